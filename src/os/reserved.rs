//! Addresses for many small things that stay where they are: memory comes with its use, and nothing else lies between.

use super::alloc;
use super::limits::addresses_are_limited;
use super::mapping_room;
use std::ptr::{self, NonNull};

/// A mapping for elements of one type, all of them zeros at first. It stays to the end of the process.
#[derive(Debug)]
pub struct Reserved<T> {
    start: NonNull<T>,
    len: usize,
}

/// Types of which any bytes are a value, zeros among them, and which need no more than a page's alignment.
///
/// # Safety
/// Both hold.
pub unsafe trait Plain: Copy {}

// SAFETY: any bytes are a word.
unsafe impl Plain for u64 {}
// SAFETY: any bytes are an array of words.
unsafe impl<const N: usize> Plain for [u64; N] {}

// SAFETY: the memory is owned alone; nothing in it is tied to a thread.
unsafe impl<T: Plain + Send> Send for Reserved<T> {}

impl<T: Plain> Reserved<T> {
    /// Addresses for `len` > 0 elements; none where the system refuses them, or where addresses are limited and so
    /// nothing is reserved ahead.
    #[must_use]
    pub fn new(len: usize) -> Option<Self> {
        if addresses_are_limited() || alloc::refused() || mapping_room::is_scarce() {
            return None;
        }
        let bytes = size_of::<T>().checked_mul(len)?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new anonymous mapping anywhere touches no memory in use.
        let got = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if got == libc::MAP_FAILED {
            return None;
        }
        mapping_room::took();
        NonNull::new(got.cast()).map(|start| Reserved { start, len })
    }

    /// The elements. Those that nobody has written to are zeros.
    #[must_use]
    pub fn elements(&self) -> &[T] {
        // SAFETY: `len` elements are mapped, readable and owned by this value to the end of the process; zeros are a
        // value of the type (`Plain`), and `&self` excludes `elements_mut`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// The elements, to be changed.
    #[must_use]
    pub fn elements_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `elements`, writable, and `&mut self` excludes every other access through this value.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_zeros_until_they_are_written_and_stay_where_they_are() {
        let mut reserved = Reserved::<[u64; 8]>::new(1 << 20).expect("addresses");
        let at = reserved.elements().as_ptr();
        assert_eq!(reserved.elements()[(1 << 20) - 1], [0; 8]);
        reserved.elements_mut()[77] = [5; 8];
        assert_eq!(reserved.elements()[76..79], [[0; 8], [5; 8], [0; 8]]);
        assert_eq!(reserved.elements().as_ptr(), at);
    }
}
