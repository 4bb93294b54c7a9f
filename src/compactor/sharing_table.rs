//! The sharing table: written objects by the hash of their content, for maximal sharing.

use super::buckets::{Buckets, Keys};
use super::equal8::equal8;
use super::error::CompactError;
use crate::os::prefetch::prefetch;

/// The keys of [`SharingTable`]: hashes.
struct Hashes;

impl Keys for Hashes {
    #[inline(always)]
    fn hash(key: u32) -> u32 {
        key
    }
}

/// Content of an object -> its offset in the buffer, for maximal sharing. The content itself stays in the
/// buffer.
pub struct SharingTable(Buckets<Hashes>);

/// What the first look of [`SharingTable::look`] shows.
pub enum Look {
    /// Nothing is equal, and the object was entered.
    Entered,
    /// The object at this offset has the same hash.
    Candidate(usize),
    /// One has to look further.
    Unclear,
}

impl SharingTable {
    /// An empty table without memory.
    #[must_use]
    pub const fn new() -> Self {
        SharingTable(Buckets::new())
    }

    /// Asks for the memory that a probe for `hash` begins with.
    #[inline(always)]
    pub fn prefetch(&self, hash: u32) {
        prefetch(self.0.first.wrapping_add(self.0.home(hash)) as usize);
    }

    /// The first look for an object of hash `hash`, which is not 0. Enters the one at `offset` if that shows that
    /// there is room and nothing of this hash, as it mostly does.
    #[inline(always)]
    pub fn look(&mut self, hash: u32, offset: usize) -> Look {
        let bucket = self.0.first.wrapping_add(self.0.home(hash));
        // SAFETY: a bucket, which nobody else has access to; it is written only if it is not the one of a table
        // without memory, for that has no room.
        unsafe {
            let places = equal8(&(*bucket).keys, hash);
            if places & 0xff != 0 {
                return Look::Candidate((*bucket).offset(places.trailing_zeros()));
            }
            if places == 0 || self.0.used >= self.0.limit {
                return Look::Unclear;
            }
            (*bucket).set(places.trailing_zeros() - 8, hash, offset);
            self.0.used += 1;
            Look::Entered
        }
    }

    /// Enters the object at `offset`, of hash `hash`, which is not 0, and equal to no other.
    ///
    /// # Errors
    /// [`CompactError::Memory`] when the table cannot grow.
    pub fn enter(&mut self, hash: u32, offset: usize) -> Result<(), CompactError> {
        self.0.room()?;
        // SAFETY: room was made.
        unsafe { self.0.put(hash, offset) };
        self.0.used += 1;
        Ok(())
    }

    /// The offset of an object of hash `hash`, which is not 0, that `equal` says yes to, being asked about the
    /// candidate at an offset. If there is none the object at `offset` is entered.
    ///
    /// # Errors
    /// [`CompactError::Memory`] when the table cannot grow.
    pub fn find_or_insert(
        &mut self,
        hash: u32,
        offset: usize,
        mut equal: impl FnMut(usize) -> bool,
    ) -> Result<Option<usize>, CompactError> {
        self.0.room()?;
        let mut i = self.0.home(hash);
        loop {
            // SAFETY: there are buckets, and `&mut self` excludes every other access.
            let bucket = unsafe { &mut *self.0.at(i) };
            let places = equal8(&bucket.keys, hash);
            let mut found = places & 0xff;
            while found != 0 {
                let offset = bucket.offset(found.trailing_zeros());
                if equal(offset) {
                    return Ok(Some(offset));
                }
                found &= found - 1;
            }
            let empty = places >> 8;
            if empty != 0 {
                bucket.set(empty.trailing_zeros(), hash, offset);
                self.0.used += 1;
                return Ok(None);
            }
            i += 1;
        }
    }

    /// Forgets everything; keeps memory that is not large.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl Default for SharingTable {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sharing_table_tells_equal_hashes_apart_by_content() {
        let mut t = SharingTable::new();
        let hash = |i: usize| (i % 7 + 1) as u32;
        for i in 1..5_000_usize {
            let found = t.find_or_insert(hash(i), i * 8, |o| o == i * 8);
            assert_eq!(found.unwrap(), None);
        }
        for i in 1..5_000_usize {
            let found = t.find_or_insert(hash(i), 8, |o| o == i * 8);
            assert_eq!(found.unwrap(), Some(i * 8));
        }
    }

    #[test]
    fn a_large_table_grows_where_it_is() {
        let mut t = SharingTable::new();
        // Spread as by chance, so that buckets are full at times, and now and then one that the first bucket is meant for,
        // or the last one.
        let hash = |i: usize| match i % 1024 {
            0 => 1,
            1 => u32::MAX,
            _ => {
                let mixed = (i as u32 ^ i as u32 >> 16).wrapping_mul(0x21f0_aaad);
                (mixed ^ mixed >> 15).wrapping_mul(0x735a_2d97) | 1
            }
        };
        let count = 1_200_000;
        for i in 1..count {
            let found = t.find_or_insert(hash(i), i * 8, |o| o == i * 8);
            assert_eq!(found.unwrap(), None, "{i}");
        }
        for i in 1..count {
            let found = t.find_or_insert(hash(i), 8, |o| o == i * 8);
            assert_eq!(found.unwrap(), Some(i * 8), "{i}");
        }
        t.clear();
        let found = t.find_or_insert(hash(1024), 8, |_| true);
        assert_eq!(found.unwrap(), None);
    }

    #[test]
    fn the_first_look_enters_what_is_new_and_names_what_may_be_equal() {
        let mut t = SharingTable::new();
        assert!(matches!(t.look(1, 8), Look::Unclear), "without memory");
        assert_eq!(t.find_or_insert(1, 8, |_| false).unwrap(), None);
        let mut entered = 1;
        for i in 2..400 {
            match t.look(u32::reverse_bits(i) | 1, i as usize * 8) {
                Look::Entered => entered += 1,
                Look::Candidate(offset) => panic!("{i} is taken for the one at {offset}"),
                Look::Unclear => {}
            }
        }
        assert!(entered > 300, "{entered}");
        assert!(matches!(t.look(1, 80), Look::Candidate(8)));
    }
}
