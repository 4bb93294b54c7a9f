//! Files: positioned reads and writes that survive EINTR and short transfers.

use std::ffi::CStr;
use std::io;

/// Repeats a system call that answers -1 on failure while it was only interrupted.
pub(super) fn retry(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        let n = call();
        if n >= 0 {
            return Ok(n as usize);
        }
        let e = io::Error::last_os_error();
        if e.raw_os_error() != Some(libc::EINTR) {
            return Err(e);
        }
    }
}

/// What the system says about the last failed call, in the words of `strerror`, as the incumbent prints it.
#[must_use]
pub fn errno_text(e: &io::Error) -> String {
    let Some(code) = e.raw_os_error() else {
        return e.to_string();
    };
    let mut text = [0 as libc::c_char; 128];
    // SAFETY: the buffer's size is given; the function terminates what it writes.
    let known = unsafe { libc::strerror_r(code, text.as_mut_ptr(), text.len()) } == 0;
    if !known {
        return e.to_string();
    }
    // SAFETY: `strerror_r` succeeded, so the buffer holds a terminated string.
    unsafe { CStr::from_ptr(text.as_ptr()) }
        .to_string_lossy()
        .into_owned()
}

/// Bytes that are written at once. Linux takes memory for a file in pieces as large as what a call writes, and those of 2 MB are
/// what a virtual machine gives back to its host when they are free: to have one back takes ten times as long as to
/// write it.
pub const WRITTEN_AT_ONCE: usize = 256 << 10;

/// No descriptor.
const CLOSED: libc::c_int = -1;

/// An open file, closed when dropped.
pub struct File {
    fd: libc::c_int,
}

impl File {
    /// Opens a file for reading; a child of this process does not inherit it.
    ///
    /// # Errors
    /// What `open` says.
    pub fn open(path: &CStr) -> io::Result<File> {
        Self::open_with(path, 0)
    }

    /// The same, but without waiting for anybody, as for who writes into a pipe.
    ///
    /// # Errors
    /// What `open` says.
    pub fn open_at_once(path: &CStr) -> io::Result<File> {
        Self::open_with(path, libc::O_NONBLOCK)
    }

    fn open_with(path: &CStr, more: libc::c_int) -> io::Result<File> {
        let flags = libc::O_RDONLY | libc::O_CLOEXEC | more;
        // SAFETY: `path` is a terminated string.
        let fd = retry(|| unsafe { libc::open(path.as_ptr(), flags) } as isize)?;
        Ok(File {
            fd: fd as libc::c_int,
        })
    }

    /// Creates a file for writing that must not exist yet; its mode is left to the umask. A link is not followed.
    pub(super) fn create(path: &CStr) -> io::Result<File> {
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
        // SAFETY: `path` is a terminated string; a mode is given as O_CREAT asks.
        let fd = retry(|| unsafe { libc::open(path.as_ptr(), flags, 0o666 as libc::c_uint) } as isize)?;
        Ok(File {
            fd: fd as libc::c_int,
        })
    }

    /// Closes the file before this value is dropped. Whatever it is asked for after that fails.
    pub fn close(&mut self) {
        if self.fd != CLOSED {
            // SAFETY: the descriptor is owned by this value, which has none any more.
            unsafe { libc::close(std::mem::replace(&mut self.fd, CLOSED)) };
        }
    }

    /// The descriptor, for mapping; still owned by this value.
    #[must_use]
    pub fn fd(&self) -> libc::c_int {
        self.fd
    }

    /// What the system knows of the file.
    ///
    /// # Errors
    /// What `fstat` says.
    pub fn stat(&self) -> io::Result<libc::stat> {
        // SAFETY: all-zero bytes are a valid `stat`.
        let mut st: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: the descriptor is open and `st` is writable.
        retry(|| unsafe { libc::fstat(self.fd, &raw mut st) } as isize)?;
        Ok(st)
    }

    /// Reads at `offset` until `out` is full or the file ends; answers the bytes read.
    ///
    /// # Errors
    /// What `pread` says, except EINTR.
    pub fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < out.len() {
            let rest = &mut out[done..];
            let at = (offset + done as u64) as libc::off_t;
            // SAFETY: `rest` is writable for its length.
            let n = retry(|| unsafe { libc::pread(self.fd, rest.as_mut_ptr().cast(), rest.len(), at) })?;
            if n == 0 {
                break;
            }
            done += n;
        }
        Ok(done)
    }

    /// Reads the first bytes of the file, if they are in memory; answers how many came.
    ///
    /// # Errors
    /// `WouldBlock` where they would have to be waited for; anything else where the system cannot tell.
    pub fn read_without_waiting(&self, out: &mut [u8]) -> io::Result<usize> {
        let part = libc::iovec {
            iov_base: out.as_mut_ptr().cast(),
            iov_len: out.len(),
        };
        let fd = libc::c_long::from(self.fd);
        let (parts, at, at_upper_half): (libc::c_long, libc::c_long, libc::c_long) = (1, 0, 0);
        let flags = libc::c_long::from(libc::RWF_NOWAIT);
        // Not by the function of the C library, which older ones do not have.
        // SAFETY: `part` describes `out`, which is writable. Every argument is a whole register, as `syscall` takes it.
        let n = unsafe {
            libc::syscall(
                libc::SYS_preadv2,
                fd,
                &raw const part,
                parts,
                at,
                at_upper_half,
                flags,
            )
        };
        usize::try_from(n).map_err(|_| io::Error::last_os_error())
    }

    /// Has the system read the first `bytes` bytes of the file into memory, and does not wait for them.
    pub fn will_need(&self, bytes: u64) {
        let bytes = libc::off_t::try_from(bytes).unwrap_or(libc::off_t::MAX);
        // SAFETY: advice about an open file; whatever comes of it changes no content.
        unsafe { libc::posix_fadvise(self.fd, 0, bytes, libc::POSIX_FADV_WILLNEED) };
    }

    /// Writes all of `bytes` at the end of what was written, at most [`WRITTEN_AT_ONCE`] of them by one call.
    pub(super) fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let piece = bytes.len().min(WRITTEN_AT_ONCE);
            // SAFETY: `bytes` is readable for its length, and a piece is no longer.
            let n = retry(|| unsafe { libc::write(self.fd, bytes.as_ptr().cast(), piece) })?;
            if n == 0 {
                return Err(io::Error::from_raw_os_error(libc::EIO));
            }
            bytes = &bytes[n..];
        }
        Ok(())
    }

    /// Has the file system report what delayed writes came to, as it does when a descriptor is closed; the file stays
    /// open.
    pub(super) fn settle(&self) -> io::Result<()> {
        // SAFETY: the descriptor is open.
        let second = retry(|| unsafe { libc::fcntl(self.fd, libc::F_DUPFD_CLOEXEC, 0) } as isize)?;
        // SAFETY: the descriptor made above, closed once.
        if unsafe { libc::close(second as libc::c_int) } == 0 {
            return Ok(());
        }
        let e = io::Error::last_os_error();
        // Linux has closed the descriptor even when it says that it was interrupted.
        if e.raw_os_error() == Some(libc::EINTR) {
            Ok(())
        } else {
            Err(e)
        }
    }

    /// Waits until the file is on the disk.
    ///
    /// # Errors
    /// What `fsync` says.
    pub(super) fn sync(&self) -> io::Result<()> {
        // SAFETY: the descriptor is open.
        retry(|| unsafe { libc::fsync(self.fd) } as isize).map(|_| ())
    }

    /// Opens what stands there itself, and no device or pipe by waiting for it; not to be read or written.
    pub(super) fn open_to_look(path: &CStr) -> io::Result<File> {
        Self::open_with(path, libc::O_NOFOLLOW | libc::O_NONBLOCK)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.close();
    }
}

/// What the system knows of the file under the name `path`. Links are followed.
///
/// # Errors
/// What `stat` says.
pub fn stat_of(path: &CStr) -> io::Result<libc::stat> {
    // SAFETY: all-zero bytes are a valid `stat`.
    let mut st: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `path` is a terminated string and `st` is writable.
    retry(|| unsafe { libc::stat(path.as_ptr(), &raw mut st) } as isize)?;
    Ok(st)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;

    /// Calls of this thread that have written something so far.
    fn writes() -> usize {
        let io = std::fs::read_to_string("/proc/thread-self/io").expect("the system tells");
        let writes = io.lines().find_map(|line| line.strip_prefix("syscw: "));
        writes.expect("a number of writes").parse().expect("a number")
    }

    #[test]
    fn what_is_written_in_pieces_is_whole() {
        let dir = testkit::temp_dir("pieces");
        let path = CString::new(dir.path().join("a").to_str().expect("text")).expect("no NUL");
        for size in [
            0,
            1,
            WRITTEN_AT_ONCE - 1,
            WRITTEN_AT_ONCE,
            WRITTEN_AT_ONCE + 1,
            3 * WRITTEN_AT_ONCE + 7,
        ] {
            let bytes: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let file = File::create(&path).expect("created");
            let before = writes();
            file.write_all(&bytes).expect("written");
            assert_eq!(writes() - before, size.div_ceil(WRITTEN_AT_ONCE));
            let written = std::fs::read(dir.path().join("a")).expect("it is there");
            assert!(written == bytes, "{size}");
            std::fs::remove_file(dir.path().join("a")).expect("it is there");
        }
    }

    #[test]
    fn a_file_that_was_closed_early_is_not_closed_again() {
        let dir = testkit::temp_dir("closed-early");
        let path = CString::new(dir.path().join("a").to_str().expect("text")).expect("no NUL");
        File::create(&path)
            .expect("created")
            .write_all(b"x")
            .expect("written");
        let mut closed = File::open(&path).expect("opened");
        closed.close();
        closed.close();
        assert_eq!(closed.fd(), CLOSED);
        assert!(closed.stat().is_err());
        assert!(closed.read_at(&mut [0], 0).is_err());
    }

    #[test]
    fn what_is_not_in_memory_is_not_waited_for_and_comes_when_it_is_asked_for() {
        let dir = testkit::temp_dir("not-in-memory");
        let path = CString::new(dir.path().join("a").to_str().expect("text")).expect("no NUL");
        let written = File::create(&path).expect("created");
        written.write_all(&[7; 300_000]).expect("written");
        let file = File::open(&path).expect("opened");
        let mut start = [0; 16];
        match file.read_without_waiting(&mut start) {
            Ok(n) => assert_eq!((n, start), (16, [7; 16]), "it has just been written"),
            Err(e) => {
                // A file system that does not know.
                assert_eq!(e.raw_os_error(), Some(libc::EOPNOTSUPP));
                return;
            }
        }
        written.sync().expect("on the disk");
        // SAFETY: advice about an open file.
        let forgotten = unsafe { libc::posix_fadvise(file.fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        assert_eq!(forgotten, 0);
        let waits = file
            .read_without_waiting(&mut start)
            .expect_err("it is on the disk alone");
        assert_eq!(waits.kind(), io::ErrorKind::WouldBlock);
        file.will_need(1 << 20);
        let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while file.read_without_waiting(&mut start).is_err() {
            assert!(std::time::Instant::now() < end, "it does not come");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert_eq!(start, [7; 16]);
    }

    #[test]
    fn a_program_that_is_started_inherits_no_file() {
        let dir = testkit::temp_dir("cloexec");
        let path = CString::new(dir.path().join("a").to_str().expect("text")).expect("no NUL");
        for file in [
            File::create(&path).expect("created"),
            File::open(&path).expect("opened"),
        ] {
            // SAFETY: asks for the flags of a descriptor that is open.
            let flags = unsafe { libc::fcntl(file.fd(), libc::F_GETFD) };
            assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
        }
    }
}
