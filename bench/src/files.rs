//! The directories that a measurement writes to, on memory if the machine has a tmpfs, and the bare system
//! calls that are the floor of what a loader does to files.

use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};

/// A directory for files, removed when dropped.
pub struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    /// A fresh directory on `/dev/shm`, or, with a note on stderr, in the usual place for temporary files.
    #[must_use]
    pub fn new() -> Scratch {
        let name = format!("lean-region-bench-{}", std::process::id());
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() && std::fs::create_dir(memory.join(&name)).is_ok() {
            memory.join(&name)
        } else {
            let dir = std::env::temp_dir().join(&name);
            eprintln!(
                "bench: no tmpfs at /dev/shm, files go to {} and times hold its writes",
                dir.display()
            );
            std::fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
            dir
        };
        Scratch { dir }
    }

    /// The directory `name` in it, made if need be.
    #[must_use]
    pub fn dir(&self, name: &str) -> PathBuf {
        let dir = self.dir.join(name);
        std::fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        dir
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A path for system calls.
#[must_use]
pub fn c_path(path: &Path) -> CString {
    CString::new(path.to_str().expect("a path of this program")).expect("without NUL")
}

/// The floor of a save: create, write, close and rename.
pub fn write_bare(temporary: &CStr, target: &CStr, bytes: &[u8]) {
    // SAFETY: terminated strings and readable bytes.
    unsafe {
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_CLOEXEC;
        let fd = libc::open(temporary.as_ptr(), flags, 0o666 as libc::c_uint);
        assert!(fd >= 0, "{temporary:?}: {}", std::io::Error::last_os_error());
        let mut rest = bytes;
        while !rest.is_empty() {
            let n = libc::write(fd, rest.as_ptr().cast(), rest.len());
            assert!(n > 0, "{temporary:?}: {}", std::io::Error::last_os_error());
            rest = &rest[n as usize..];
        }
        assert_eq!(libc::close(fd), 0);
        assert_eq!(libc::rename(temporary.as_ptr(), target.as_ptr()), 0);
    }
}

/// The floor of a read that maps, with free: open, fstat, pread, mmap, close, a look at the last page, munmap.
pub fn map_bare(path: &CStr, base: u64) {
    let mut header = [0u8; 96];
    // SAFETY: a writable buffer of that size; the mapping lands at a free address or fails, and its last byte is the
    // file's.
    unsafe {
        let fd = open_bare(path);
        let mut stat: libc::stat = std::mem::zeroed();
        assert_eq!(libc::fstat(fd, &raw mut stat), 0);
        assert_eq!(libc::pread(fd, header.as_mut_ptr().cast(), 96, 0), 96);
        let size = stat.st_size as usize;
        let mapped = Mapped(map_somewhere(path, fd, size, base), size);
        libc::close(fd);
        let last = ((mapped.0 + size - 1) as *const u8).read_volatile();
        std::hint::black_box((header, last));
        mapped.free();
    }
}

/// A mapping made by bare system calls.
pub struct Mapped(usize, usize);

impl Mapped {
    /// Gives its pages back, and keeps the addresses.
    pub fn forget(&self) {
        // SAFETY: pages of this value, which nobody uses any more.
        unsafe { libc::madvise(self.0 as *mut _, self.1, libc::MADV_DONTNEED) };
    }

    /// Takes it away.
    pub fn free(self) {
        // SAFETY: a mapping that nobody else knows, and the value is gone afterwards.
        unsafe { libc::munmap(self.0 as *mut _, self.1) };
    }
}

/// A private mapping of a whole file at `at`, or anywhere for 0; never in place of another one.
fn map_file(fd: libc::c_int, size: usize, at: u64, flags: libc::c_int) -> *mut libc::c_void {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: without MAP_FIXED the mapping lands at free addresses or fails.
    unsafe { libc::mmap(at as *mut _, size, access, libc::MAP_PRIVATE | flags, fd, 0) }
}

/// What no loader can leave out that maps a file where the file says: open, its size by the call that costs least, the
/// header, mmap, close. Answers the mapping.
#[must_use]
pub fn map_least(path: &CStr, base: u64) -> Mapped {
    let mut header = [0u8; 96];
    // SAFETY: a terminated string and a writable buffer; the mapping lands at a free address or fails.
    unsafe {
        let fd = open_bare(path);
        let size = libc::lseek(fd, 0, libc::SEEK_END);
        assert!(size > 0, "{path:?}: {}", std::io::Error::last_os_error());
        let size = size as usize;
        assert_eq!(libc::pread(fd, header.as_mut_ptr().cast(), 96, 0), 96);
        std::hint::black_box(header);
        let mapped = Mapped(map_somewhere(path, fd, size, base), size);
        libc::close(fd);
        mapped
    }
}

fn open_bare(path: &CStr) -> libc::c_int {
    // SAFETY: a terminated string.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    assert!(fd >= 0, "{path:?}: {}", std::io::Error::last_os_error());
    fd
}

/// A mapping of a whole file at `base`. Now and then the runtime's allocator has taken one of thousands of base
/// addresses: then elsewhere.
fn map_somewhere(path: &CStr, fd: libc::c_int, size: usize, base: u64) -> usize {
    let mut at = map_file(fd, size, base, libc::MAP_FIXED_NOREPLACE);
    if at == libc::MAP_FAILED {
        at = map_file(fd, size, 0, 0);
    }
    assert_ne!(
        at,
        libc::MAP_FAILED,
        "{path:?}: {}",
        std::io::Error::last_os_error()
    );
    at as usize
}

/// Memory with huge pages, of which each piece is used once.
#[derive(Default)]
pub struct FreshMemory {
    chunk: Option<Mapped>,
    next: usize,
}

/// Bytes of a huge page.
const HUGE: usize = 2 << 20;
/// Bytes that are mapped at once, at least.
const CHUNK: usize = 32 << 20;

impl FreshMemory {
    /// Whole pages for `size` bytes.
    pub fn piece(&mut self, size: usize) -> Mapped {
        let size = size.next_multiple_of(4096);
        if self.chunk.as_ref().is_none_or(|c| self.next + size > c.0 + c.1) {
            if let Some(old) = self.chunk.take() {
                old.free();
            }
            let bytes = CHUNK.max(size) + HUGE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let access = libc::PROT_READ | libc::PROT_WRITE;
            // SAFETY: a new mapping anywhere, and advice on it.
            let at = unsafe {
                let at = libc::mmap(std::ptr::null_mut(), bytes, access, flags, -1, 0);
                assert_ne!(at, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
                libc::madvise(at, bytes, libc::MADV_HUGEPAGE);
                at as usize
            };
            self.chunk = Some(Mapped(at, bytes));
            self.next = at.next_multiple_of(HUGE);
        }
        self.next += size;
        Mapped(self.next - size, size)
    }
}

impl Drop for FreshMemory {
    fn drop(&mut self) {
        if let Some(chunk) = self.chunk.take() {
            chunk.free();
        }
    }
}

/// The floor of a read that relocates: what the system does for it. Open, fstat, two pread, an mmap that fails at the
/// base address, the whole content into `memory`, fresh and with huge pages, close.
pub fn copy_bare(path: &CStr, base: u64, memory: &Mapped) {
    let mut header = [0u8; 96];
    let mut root = [0u8; 32];
    // SAFETY: a terminated string, writable buffers of the given sizes; the mapping replaces no other.
    unsafe {
        let fd = open_bare(path);
        let mut stat: libc::stat = std::mem::zeroed();
        assert_eq!(libc::fstat(fd, &raw mut stat), 0);
        let size = stat.st_size as usize;
        assert_eq!(libc::pread(fd, header.as_mut_ptr().cast(), 96, 0), 96);
        libc::pread(fd, root.as_mut_ptr().cast(), 32, size as libc::off_t - 32);
        assert_eq!(
            map_file(fd, size, base, libc::MAP_FIXED_NOREPLACE),
            libc::MAP_FAILED,
            "{path:?}: its base is free"
        );
        assert!(size <= memory.1, "room was made");
        assert_eq!(
            libc::pread(fd, memory.0 as *mut _, size, 0),
            size as libc::ssize_t
        );
        libc::close(fd);
        std::hint::black_box((header, root));
    }
}

/// The base address in a region file's header.
#[must_use]
pub fn base_of(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[80..88].try_into().expect("a region file"))
}
