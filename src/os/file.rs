//! Files: positioned reads and writes that survive EINTR and short transfers, and a file that appears
//! under its name only when it is complete.

use std::ffi::{CStr, CString};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// Repeats a system call that answers -1 on failure while it was only interrupted.
fn retry(mut call: impl FnMut() -> isize) -> io::Result<usize> {
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
        // SAFETY: `path` is a terminated string.
        let fd = retry(|| unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) } as isize)?;
        Ok(File {
            fd: fd as libc::c_int,
        })
    }

    /// Creates a file for writing that must not exist yet; its mode is left to the umask.
    fn create(path: &CStr) -> io::Result<File> {
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
        // SAFETY: `path` is a terminated string; a mode is given as O_CREAT asks.
        let fd = retry(|| unsafe { libc::open(path.as_ptr(), flags, 0o666 as libc::c_uint) } as isize)?;
        Ok(File {
            fd: fd as libc::c_int,
        })
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

    /// Writes all of `bytes` at the end of what was written.
    fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            // SAFETY: `bytes` is readable for its length.
            let n = retry(|| unsafe { libc::write(self.fd, bytes.as_ptr().cast(), bytes.len()) })?;
            if n == 0 {
                return Err(io::Error::from_raw_os_error(libc::EIO));
            }
            bytes = &bytes[n..];
        }
        Ok(())
    }

    /// Closes the file and reports what delayed writes came to.
    fn close(self) -> io::Result<()> {
        let fd = self.fd;
        std::mem::forget(self);
        // SAFETY: the descriptor was owned by `self`, which is gone without closing it.
        if unsafe { libc::close(fd) } == 0 {
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
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: the descriptor is owned by this value.
        unsafe { libc::close(self.fd) };
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

/// At which step a new file could not be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteStep {
    /// Creating the temporary file.
    Create,
    /// Writing its bytes.
    Write,
    /// Closing it, where some file systems report a full disk.
    Close,
    /// Renaming it onto the target.
    Rename,
}

/// A complete temporary file beside its target, removed when dropped before [`NewFile::publish`].
pub struct NewFile {
    temporary: CString,
    target: CString,
    published: bool,
}

static SERIAL: AtomicU64 = AtomicU64::new(0);

impl NewFile {
    /// Writes `chunks` one after the other into a temporary file beside `target` and closes it. The name is
    /// `<target>.tmp.<pid>.<serial>`: unique among processes and threads.
    ///
    /// # Errors
    /// The step that failed and what the system said; no file is left behind.
    pub fn write(target: &CStr, chunks: &[&[u8]]) -> Result<NewFile, (WriteStep, io::Error)> {
        let (new, file) = Self::create(target).map_err(|e| (WriteStep::Create, e))?;
        for chunk in chunks {
            file.write_all(chunk).map_err(|e| (WriteStep::Write, e))?;
        }
        file.close().map_err(|e| (WriteStep::Close, e))?;
        Ok(new)
    }

    fn create(target: &CStr) -> io::Result<(NewFile, File)> {
        loop {
            let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
            let temporary = temporary_name(target, std::process::id(), serial);
            match File::create(&temporary) {
                Ok(file) => {
                    return Ok((
                        NewFile {
                            temporary,
                            target: target.to_owned(),
                            published: false,
                        },
                        file,
                    ));
                }
                // Left behind by a killed process that had this number.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Puts the file in the place of its target, atomically.
    ///
    /// # Errors
    /// What `rename` says; the temporary file is removed and the target is as it was.
    pub fn publish(mut self) -> Result<(), (WriteStep, io::Error)> {
        // SAFETY: both are terminated strings.
        retry(|| unsafe { libc::rename(self.temporary.as_ptr(), self.target.as_ptr()) } as isize)
            .map_err(|e| (WriteStep::Rename, e))?;
        self.published = true;
        Ok(())
    }
}

/// `<target>.tmp.<pid>.<serial>`. By hand, for `format!` takes a microsecond, of the thirty that a small save takes.
fn temporary_name(target: &CStr, pid: u32, serial: u64) -> CString {
    const TMP: &[u8] = b".tmp.";
    let (mut pid_digits, mut serial_digits) = (itoa::Buffer::new(), itoa::Buffer::new());
    let (pid, serial) = (pid_digits.format(pid), serial_digits.format(serial));
    let length = target.count_bytes() + TMP.len() + pid.len() + 1 + serial.len();
    let mut name = Vec::with_capacity(length + 1);
    for part in [target.to_bytes(), TMP, pid.as_bytes(), b".", serial.as_bytes()] {
        name.extend_from_slice(part);
    }
    CString::new(name).expect("a C string and digits hold no NUL")
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.published {
            // SAFETY: a terminated string. A failure leaves a file that nobody looks at.
            unsafe { libc::unlink(self.temporary.as_ptr()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_names_hold_process_and_serial_number() {
        let name = |pid, serial| temporary_name(c"a/b.olean", pid, serial);
        assert_eq!(name(1, 0).as_c_str(), c"a/b.olean.tmp.1.0");
        assert_eq!(
            name(u32::MAX, u64::MAX).as_c_str(),
            c"a/b.olean.tmp.4294967295.18446744073709551615"
        );
    }
}
