//! The pointer table: what stands in the file for a live object, by its address, for objects that the walk can meet
//! again.

use super::buckets::{Buckets, Keys, PLACES};
use super::equal8::equal8;
use super::error::CompactError;
use crate::os::prefetch::prefetch;
use std::collections::HashMap;

/// The keys of [`PointerTable`]: short addresses.
struct Addresses;

impl Keys for Addresses {
    /// The upper bits of the product depend on all bits of the key.
    #[inline(always)]
    fn hash(key: u32) -> u32 {
        key.wrapping_mul(0x9e37_79b1)
    }
}

/// Addresses have this many bits within a window.
const WINDOW_BITS: u32 = 33;
/// Windows that a table can have: 2 bits of a key say which one, and 0 is none.
const WINDOWS: usize = 3;

/// Address of a live object -> the offset of what stands for it in the buffer.
///
/// Holds only objects that can be met again: shared ones and those never shared by content. Objects mostly lie
/// in a few windows of 8 GB, where 30 bits tell them apart; those that do not are in `far`.
pub struct PointerTable {
    near: Buckets<Addresses>,
    /// The windows: upper bits of the addresses in each, plus 1; 0 for a window that is not yet chosen.
    windows: [usize; WINDOWS],
    far: Option<HashMap<usize, usize>>,
}

impl PointerTable {
    /// An empty table without memory.
    #[must_use]
    pub const fn new() -> Self {
        PointerTable {
            near: Buckets::new(),
            windows: [0; WINDOWS],
            far: None,
        }
    }

    /// The short form of an address in window number `window`.
    #[inline(always)]
    fn short(address: usize, window: usize) -> u32 {
        ((window + 1) << 30) as u32 | (address >> 3) as u32 & ((1 << 30) - 1)
    }

    /// The short form of an address, if it is in a window.
    #[inline(always)]
    fn key(&self, address: usize) -> Option<u32> {
        let window = (address >> WINDOW_BITS) + 1;
        if window == self.windows[0] {
            return Some(Self::short(address, 0));
        }
        let i = self.windows.iter().position(|&w| w == window)?;
        Some(Self::short(address, i))
    }

    /// Where the offset, divided by 8, of the object with this key stands, if it was inserted.
    #[inline(always)]
    fn find(&self, key: u32) -> Option<*mut u32> {
        let mut i = self.near.home(key);
        loop {
            let bucket = self.near.at(i);
            // SAFETY: a bucket, which nobody writes meanwhile; a place in it.
            unsafe {
                let found = equal8(&(*bucket).keys, key) & 0xff;
                if found != 0 {
                    let offsets = (&raw mut (*bucket).offsets).cast::<u32>();
                    return Some(offsets.add(found.trailing_zeros() as usize));
                }
                if (*bucket).keys[PLACES - 1] == 0 {
                    return None;
                }
            }
            i += 1;
        }
    }

    /// The offset for the object at `address`, if it was inserted.
    #[must_use]
    #[inline(always)]
    pub fn get(&self, address: usize) -> Option<usize> {
        match self.key(address) {
            // SAFETY: a place of the table, and `&self` excludes that it is written.
            Some(key) => self
                .find(key)
                .map(|offset| unsafe { offset.read() as usize } << 3),
            None => self.get_far(address),
        }
    }

    /// Asks for the memory that a look for the object at `address` begins with, if that is in the first window.
    #[inline(always)]
    pub fn prefetch(&self, address: usize) {
        let home = self.near.home(Self::short(address, 0));
        prefetch(self.near.first.wrapping_add(home) as usize);
    }

    #[cold]
    #[inline(never)]
    fn get_far(&self, address: usize) -> Option<usize> {
        self.far.as_ref()?.get(&address).copied()
    }

    /// Inserts or overwrites the offset for the object at `address`.
    ///
    /// # Errors
    /// [`CompactError::Memory`] when the table cannot grow.
    pub fn insert(&mut self, address: usize, offset: usize) -> Result<(), CompactError> {
        if let Some(place) = self.key(address).and_then(|key| self.find(key)) {
            // SAFETY: a place of the table, and `&mut self` excludes that it is read.
            unsafe { place.write((offset >> 3) as u32) };
            return Ok(());
        }
        self.insert_new(address, offset)
    }

    /// Inserts the offset for the object at `address`, which is not in the table if it is near.
    ///
    /// # Errors
    /// [`CompactError::Memory`] when the table cannot grow.
    #[inline(always)]
    pub fn insert_new(&mut self, address: usize, offset: usize) -> Result<(), CompactError> {
        let Some(key) = self.key(address) else {
            return self.insert_elsewhere(address, offset);
        };
        debug_assert!(self.find(key).is_none());
        self.near.room()?;
        // SAFETY: room was made.
        unsafe { self.near.put(key, offset) };
        self.near.used += 1;
        Ok(())
    }

    /// The same for an address that is in no window: it gets the next one, or goes among the far ones.
    #[cold]
    #[inline(never)]
    fn insert_elsewhere(&mut self, address: usize, offset: usize) -> Result<(), CompactError> {
        if let Some(free) = self.windows.iter().position(|&w| w == 0) {
            self.windows[free] = (address >> WINDOW_BITS) + 1;
            return self.insert_new(address, offset);
        }
        let far = self.far.get_or_insert_default();
        let refused = CompactError::Memory {
            what: "a hash table",
            bytes: (far.len() + 1).saturating_mul(2 * size_of::<[usize; 2]>()),
        };
        far.try_reserve(1).map_err(|_| refused)?;
        far.insert(address, offset);
        Ok(())
    }

    /// Forgets everything; keeps memory that is not large.
    pub fn clear(&mut self) {
        self.near.clear();
        self.windows = [0; WINDOWS];
        self.far = None;
    }
}

impl Default for PointerTable {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointer_table_finds_what_was_inserted_through_growth() {
        let mut t = PointerTable::new();
        assert_eq!(t.get(8), None);
        for i in 1..10_000 {
            t.insert(i * 48, i * 8).unwrap();
        }
        t.insert(48, 56).unwrap();
        assert_eq!(t.get(48), Some(56));
        for i in 2..10_000 {
            assert_eq!(t.get(i * 48), Some(i * 8));
        }
        assert_eq!(t.get(10_000 * 48), None);
        t.clear();
        assert_eq!(t.get(96), None);
    }

    #[test]
    fn addresses_from_all_over_the_address_space_are_told_apart() {
        let mut t = PointerTable::new();
        // The same lower bits in more windows than there are.
        let address = |i: usize| (i % 7) << WINDOW_BITS | (i / 7) << 3;
        for i in 1..7000 {
            assert_eq!(t.get(address(i)), None, "{i}");
            t.insert(address(i), i * 8).unwrap();
        }
        for i in 1..7000 {
            assert_eq!(t.get(address(i)), Some(i * 8), "{i}");
        }
        for i in (1..7000).step_by(3) {
            t.insert(address(i), 8).unwrap();
        }
        for i in 1..7000 {
            assert_eq!(t.get(address(i)), Some(if i % 3 == 1 { 8 } else { i * 8 }), "{i}");
        }
        t.clear();
        assert!((1..7000).all(|i| t.get(address(i)).is_none()));
    }

    #[test]
    fn memory_that_is_used_again_holds_nothing_of_before() {
        let mut t = PointerTable::new();
        // Sizes that leave the two halves of the memory in every relation to each other.
        for (round, count) in [10_000, 3, 700, 30_000, 900, 5_000, 0, 2_000]
            .into_iter()
            .enumerate()
        {
            let key = |i: usize| (round + 2) << 24 | i << 3;
            for i in 0..count {
                assert_eq!(t.get(key(i)), None, "round {round}");
                t.insert(key(i), i * 8).unwrap();
            }
            for i in 0..count {
                assert_eq!(t.get(key(i)), Some(i * 8), "round {round}");
                assert_eq!(t.get(key(i) - (1 << 24)), None, "round {round}");
            }
            t.clear();
        }
    }
}
