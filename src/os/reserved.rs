//! Addresses for many small things that stay where they are: memory comes with its use, a small page at a time, and
//! nothing else lies between.

use super::alloc;
use super::limits::addresses_are_limited;
use super::mapping_room;
use std::marker::PhantomData;
use std::ptr;

/// Places for values of one type, in a mapping that stays to the end of the process.
#[derive(Debug)]
pub struct Reserved<T> {
    start: usize,
    places: usize,
    of: PhantomData<T>,
}

impl<T: Copy> Reserved<T> {
    /// So many places; none where the system refuses them, or where addresses are limited and so nothing is reserved
    /// ahead.
    #[must_use]
    pub fn new(places: usize) -> Option<Self> {
        if addresses_are_limited() || alloc::refused() || mapping_room::is_scarce() {
            return None;
        }
        let bytes = size_of::<T>().checked_mul(places)?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new anonymous mapping anywhere touches no memory in use.
        let got = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if got == libc::MAP_FAILED {
            return None;
        }
        mapping_room::took();
        // SAFETY: advice on the new mapping. A huge page for the first few places would be cleared for nothing.
        unsafe { libc::madvise(got, bytes, libc::MADV_NOHUGEPAGE) };
        Some(Reserved {
            start: got as usize,
            places,
            of: PhantomData,
        })
    }

    /// Where the value at place `index` lies, or would.
    #[must_use]
    pub fn address(&self, index: usize) -> usize {
        self.start + size_of::<T>() * index
    }

    /// Puts a value into a place.
    ///
    /// # Panics
    /// There is no such place.
    ///
    /// # Safety
    /// Nobody else looks at this place meanwhile.
    pub unsafe fn set(&mut self, index: usize, value: T) {
        assert!(index < self.places);
        // SAFETY: a place of the mapping, which begins at a page, so it is aligned; nobody else looks at it, by the
        // contract.
        unsafe { (self.address(index) as *mut T).write(value) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_one_behind_the_other_and_stay() {
        let mut reserved = Reserved::<[u64; 8]>::new(1 << 20).expect("addresses");
        for index in [77, 78, (1 << 20) - 1] {
            // SAFETY: places of this test.
            unsafe {
                reserved.set(index, [index as u64; 8]);
                let value = *(reserved.address(index) as *const [u64; 8]);
                assert_eq!(value, [index as u64; 8]);
            }
        }
        assert_eq!(reserved.address(78) - reserved.address(77), 64);
        // SAFETY: as above; a place that nobody has written to is zero.
        assert_eq!(unsafe { *(reserved.address(76) as *const [u64; 8]) }, [0; 8]);
    }

    #[test]
    #[should_panic(expected = "index < self.places")]
    fn there_are_no_places_behind_the_last_one() {
        let mut reserved = Reserved::<u64>::new(512).expect("addresses");
        // SAFETY: nothing is there.
        unsafe { reserved.set(512, 1) };
    }
}
