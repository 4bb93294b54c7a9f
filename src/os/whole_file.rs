//! A large file mapped once for the life of the process: to be read, but for a part of it that may be written.

use super::file::File;
use super::map::{Missed, map_exactly};
use std::io;
use std::ops::Range;
use std::ptr::NonNull;

/// A mapping of a whole file, removed when it is dropped before it is leaked.
#[derive(Debug)]
pub struct WholeFile {
    start: NonNull<u8>,
    size: usize,
}

impl WholeFile {
    /// Maps `size` > 0 bytes of a file at exactly `base`, to be read.
    ///
    /// # Errors
    /// [`Missed`], and nothing stays mapped.
    pub fn map_at(file: &File, size: usize, base: u64) -> Result<Self, Missed> {
        let start = map_exactly(file, size, base, libc::PROT_READ)?;
        Ok(Self { start, size })
    }

    /// Lets this process write to a part that begins at a whole page; pages that are written become its own.
    ///
    /// # Errors
    /// What `mprotect` says, such as that private memory is short.
    pub fn make_writable(&mut self, part: &Range<usize>) -> io::Result<()> {
        assert!(
            part.start <= part.end && part.end <= self.size,
            "a part of the file"
        );
        let start = self.start.as_ptr() as usize + part.start;
        // SAFETY: pages of this mapping alone; nobody minds that more is allowed.
        let done = unsafe {
            libc::mprotect(
                start as *mut _,
                part.end - part.start,
                libc::PROT_READ | libc::PROT_WRITE,
            )
        };
        if done == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Says that nearly all of a part will be read soon after its beginning is: the system then reads it from the
    /// disk in pieces as large as huge pages. Nothing is lost where it does not.
    pub fn read_in_large_pieces(&self, part: &Range<usize>) {
        assert!(
            part.start <= part.end && part.end <= self.size,
            "a part of the file"
        );
        let start = self.start.as_ptr() as usize + part.start;
        // SAFETY: advice on pages of this mapping alone, which changes no content.
        unsafe { libc::madvise(start as *mut _, part.end - part.start, libc::MADV_HUGEPAGE) };
    }

    /// The first `size` bytes. Whoever truncates the file meanwhile makes reading them end in SIGBUS.
    #[must_use]
    pub fn head(&self, size: usize) -> &[u8] {
        assert!(size <= self.size, "no more than the file has");
        // SAFETY: so many bytes are mapped as long as this value lives; nothing in this process writes to them, as the
        // parts that are made writable are given out by `leak` alone.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), size) }
    }

    /// Keeps the mapping for the life of the process; answers its first `size` bytes, which are not in a part that is
    /// written.
    #[must_use]
    pub fn leak(self, size: usize) -> &'static [u8] {
        assert!(size <= self.size, "no more than the file has");
        let start = self.start.as_ptr();
        std::mem::forget(self);
        // SAFETY: so many bytes are mapped, and nobody unmaps them any more; by the caller's word nobody writes them.
        unsafe { std::slice::from_raw_parts(start, size) }
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping this value owns.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.size) };
    }
}
