//! Anonymous memory straight from the system: zero when it is new, in huge pages where it is large, and
//! given back whole. Tables and the buffer stand on it.

use super::error::CompactError;
use crate::os::{alloc, huge_pages};
use std::ptr::NonNull;

/// From this size on memory comes in whole huge pages, if the system has them to give (`madvise`): a table of
/// some megabytes is hit at random, and each small page would cost a fault and a place in the TLB.
pub use crate::os::arena::HUGE;

/// A mapping of its own.
pub struct Pages {
    start: NonNull<u8>,
    bytes: usize,
    /// Whether pages that come into memory from now on are huge where they can be.
    huge: bool,
}

// SAFETY: the mapping is owned by this value alone; nothing in it is tied to a thread.
unsafe impl Send for Pages {}

impl Pages {
    /// No memory.
    #[must_use]
    pub const fn none() -> Self {
        Pages {
            // Aligned for every use that a table makes of it.
            start: NonNull::<u64>::dangling().cast(),
            bytes: 0,
            huge: false,
        }
    }

    /// `bytes` zero bytes, aligned to a page; `what` they are for stands in the error. `bytes` is a multiple of
    /// the page size and not 0.
    ///
    /// # Errors
    /// [`CompactError::Memory`].
    pub fn zeroed(bytes: usize, what: &'static str) -> Result<Self, CompactError> {
        if alloc::refused() {
            return Err(CompactError::Memory { what, bytes });
        }
        // SAFETY: a new anonymous mapping anywhere touches no memory in use.
        let got = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        Self::taken(got, bytes, what)
    }

    /// As many bytes as before and more behind them, wherever the system finds room; the new ones are zero.
    ///
    /// # Errors
    /// [`CompactError::Memory`]; the memory stays as it was.
    pub fn grow(&mut self, bytes: usize, what: &'static str) -> Result<(), CompactError> {
        let grown = if self.bytes == 0 {
            Self::zeroed(bytes, what)?
        } else if alloc::refused() {
            return Err(CompactError::Memory { what, bytes });
        } else {
            // SAFETY: `start` and `bytes` describe exactly the mapping that this value owns, and nobody holds a
            // pointer into it across a call that takes `&mut self`.
            let got = unsafe {
                libc::mremap(
                    self.start.as_ptr().cast(),
                    self.bytes,
                    bytes,
                    libc::MREMAP_MAYMOVE,
                )
            };
            if got == libc::MAP_FAILED {
                // A sandbox may refuse this call, and where memory is short two mappings may fit that one does not.
                return self.grow_by_copy(bytes, what);
            }
            Self::taken(got, bytes, what)?
        };
        // The old mapping has become the new one.
        std::mem::forget(std::mem::replace(self, grown));
        Ok(())
    }

    /// The same with another mapping, into which the content is copied.
    #[cold]
    fn grow_by_copy(&mut self, bytes: usize, what: &'static str) -> Result<(), CompactError> {
        let grown = Self::zeroed(bytes, what)?;
        // SAFETY: both mappings are owned, and have the bytes of the smaller one.
        unsafe {
            grown
                .start()
                .copy_from_nonoverlapping(self.start(), self.bytes.min(bytes))
        };
        *self = grown;
        Ok(())
    }

    fn taken(got: *mut libc::c_void, bytes: usize, what: &'static str) -> Result<Self, CompactError> {
        let start = NonNull::new(got.cast::<u8>()).filter(|_| got != libc::MAP_FAILED);
        let start = start.ok_or(CompactError::Memory { what, bytes })?;
        let mut pages = Pages {
            start,
            bytes,
            huge: false,
        };
        if bytes >= HUGE {
            pages.want(true);
        }
        Ok(pages)
    }

    /// Has the pages that come into memory from now on be huge or small; what is in memory stays as it is.
    fn want(&mut self, huge: bool) {
        if std::mem::replace(&mut self.huge, huge) == huge {
            return;
        }
        // SAFETY: the mapping of this value.
        unsafe { huge_pages::advise(self.start.as_ptr(), self.bytes, huge) };
    }

    /// Where the memory begins.
    #[must_use]
    #[inline(always)]
    pub fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// How much it is.
    #[must_use]
    #[inline(always)]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Brings the bytes `from..to` into memory, which are about to be written and have not been yet: in huge pages, or in
    /// small ones where huge ones do not fit or are not worth it. `from` is a multiple of the page size.
    pub fn enter(&mut self, from: usize, to: usize) {
        debug_assert!(from <= to && to <= self.bytes);
        let start = self.start.as_ptr() as usize;
        let mut at = from;
        while at < to {
            let end = (start + at + 1).next_multiple_of(HUGE) - start;
            let is_whole = (start + at).is_multiple_of(HUGE) && end <= self.bytes;
            if is_whole && huge_pages::are_given() && huge_pages::next() {
                self.want(true);
                // SAFETY: a byte of this mapping, which nobody else has a pointer into that is used meanwhile.
                let byte = unsafe { self.start.as_ptr().add(at) };
                // SAFETY: the same; nothing has been written to it yet, so that it is zero already.
                huge_pages::watch(|| unsafe { byte.write_volatile(0) });
            } else {
                if is_whole {
                    self.want(false);
                }
                self.populate(at, end.min(to));
            }
            at = end;
        }
    }

    /// Has the system provide the small pages of `from..to` now, all at once: a fault for each costs more.
    /// `from` is a multiple of the page size.
    fn populate(&self, from: usize, to: usize) {
        debug_assert!(from <= to && to <= self.bytes);
        // SAFETY: a range inside the mapping of this value; contents do not change. Systems without this advice
        // (before Linux 5.14) refuse it, and the pages come by faults.
        unsafe {
            libc::madvise(
                self.start.as_ptr().add(from).cast(),
                to - from,
                libc::MADV_POPULATE_WRITE,
            );
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if self.bytes != 0 {
            // SAFETY: exactly the mapping this value owns, which nobody uses any more.
            unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 4096;

    /// How many of the first `bytes` bytes are in memory, in pages.
    fn in_memory(pages: &Pages, bytes: usize) -> usize {
        let mut found = vec![0_u8; bytes / PAGE];
        // SAFETY: bytes of the mapping, and a byte of room for each page of them.
        let done = unsafe { libc::mincore(pages.start().cast(), bytes, found.as_mut_ptr()) };
        assert_eq!(done, 0);
        found.iter().filter(|&&page| page & 1 == 1).count()
    }

    #[test]
    fn what_is_entered_is_in_memory_and_zero() {
        let mut pages = Pages::zeroed(PAGE, "a test").expect("memory");
        // SAFETY: a page of this mapping.
        let known = unsafe { libc::madvise(pages.start().cast(), PAGE, libc::MADV_POPULATE_WRITE) } == 0;
        for (from, to, all) in [
            (PAGE, 100 * PAGE, 200 * PAGE),
            (100 * PAGE, 3 * HUGE + PAGE, 4 * HUGE),
        ] {
            pages.grow(all, "a test").expect("memory");
            assert!(in_memory(&pages, to) < to / PAGE);
            pages.enter(from, to);
            // Systems before Linux 5.14 bring small pages when they are touched, and one may be given in place of a huge one.
            assert!(!known || to > HUGE || in_memory(&pages, to) == to / PAGE);
            // SAFETY: bytes of this mapping, all initialised, and nobody writes them meanwhile.
            let bytes = unsafe { std::slice::from_raw_parts(pages.start(), to) };
            assert!(bytes.iter().all(|&byte| byte == 0));
        }
    }
}
