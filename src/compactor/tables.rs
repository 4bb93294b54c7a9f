//! The two hash tables of a compactor, both open addressing with linear probing. They are the hot loop:
//! a probe is one cache line, and growing needs nothing but the slots themselves.

use super::error::CompactError;
use super::memory::{HUGE, Pages, prefetch};

/// Slots of an empty table. Growth starts from here for every save, so that a small one touches little.
const FIRST_SLOTS: usize = 1 << 9;
/// Below this many slots growth is fourfold, above it twofold.
const SMALL_SLOTS: usize = 1 << 17;
/// A table grows when so many sixteenths of its slots are used. Memory is dearer than a longer probe: most of a
/// probe lies in one cache line.
const MAX_SIXTEENTHS: usize = 13;
/// Memory that is kept for the next compactor, in bytes; what is larger is given back.
const KEEP: usize = 1 << 20;
const PAGE: usize = 4096;

/// A value of a slot; all-zero bytes are one, which stands for "empty".
///
/// # Safety
/// All-zero bytes are a valid value, and the type has no drop.
unsafe trait Slot: Copy {
    /// Whether nothing was entered.
    fn is_empty(self) -> bool;
}

// SAFETY: integers.
unsafe impl Slot for u64 {
    #[inline(always)]
    fn is_empty(self) -> bool {
        self == 0
    }
}

// SAFETY: integers.
unsafe impl Slot for [usize; 2] {
    #[inline(always)]
    fn is_empty(self) -> bool {
        self[0] == 0
    }
}

/// A power of two of slots, at the beginning of `pages`; everything behind them and in `spare` is zero. Growth
/// alternates between the two, so that memory that was used before is used again and need not be cleared.
struct Slots<T> {
    pages: Pages,
    spare: Pages,
    /// Number of slots minus one; meaningless while there are none.
    mask: usize,
    /// Slots in use at which the table grows; 0 while there are no slots.
    limit: usize,
    used: usize,
    slot: std::marker::PhantomData<T>,
}

impl<T: Slot> Slots<T> {
    const fn new() -> Self {
        Slots {
            pages: Pages::none(),
            spare: Pages::none(),
            mask: 0,
            limit: 0,
            used: 0,
            slot: std::marker::PhantomData,
        }
    }

    /// How many there are.
    fn count(&self) -> usize {
        if self.limit == 0 { 0 } else { self.mask + 1 }
    }

    /// The slot where a probe that began at `i` arrives.
    ///
    /// # Safety
    /// There are slots.
    #[inline(always)]
    unsafe fn at(&self, i: usize) -> *mut T {
        debug_assert!(self.limit > 0);
        // SAFETY: `mask` is below the number of slots, which all lie in `pages`, page-aligned.
        unsafe { self.pages.start().cast::<T>().add(i & self.mask) }
    }

    /// More slots; `home` is where the probe for a value begins, by the new mask.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, home: impl Fn(T, usize) -> usize) -> Result<(), CompactError> {
        let old = self.count();
        let count = match old {
            0 => FIRST_SLOTS,
            n if n < SMALL_SLOTS => n * 4,
            n => n * 2,
        };
        let bytes = (count * size_of::<T>()).next_multiple_of(PAGE);
        if self.spare.bytes() < bytes {
            self.spare = Pages::zeroed(bytes, "a hash table")?;
            if bytes < HUGE {
                self.spare.populate(0, bytes);
            }
        }
        std::mem::swap(&mut self.pages, &mut self.spare);
        self.mask = count - 1;
        self.limit = count / 16 * MAX_SIXTEENTHS;
        for i in 0..old {
            // SAFETY: the old slots are at the beginning of `spare` now; the new table has an empty slot for
            // each, as less than half of it will be used, and `at` stays inside of it.
            unsafe {
                let value = self.spare.start().cast::<T>().add(i).read();
                if !value.is_empty() {
                    let mut to = home(value, self.mask);
                    while !(*self.at(to)).is_empty() {
                        to += 1;
                    }
                    self.at(to).write(value);
                }
            }
        }
        if bytes >= HUGE {
            self.spare = Pages::none();
        } else {
            Self::recycle(&mut self.spare, old);
        }
        Ok(())
    }

    /// Makes memory whose first `used` slots were in use zero again, or gives it back if it is large.
    fn recycle(pages: &mut Pages, used: usize) {
        if pages.bytes() > KEEP {
            *pages = Pages::none();
        } else {
            // SAFETY: the slots lie in this memory, which is the caller's alone.
            unsafe { pages.start().write_bytes(0, used * size_of::<T>()) };
        }
    }

    /// Forgets everything; keeps memory that is not large.
    fn clear(&mut self) {
        let count = self.count();
        Self::recycle(&mut self.pages, count);
        (self.limit, self.used) = (0, 0);
    }
}

/// Address of a live object -> the word that stands for it in the region.
///
/// Holds only objects that can be met again: shared ones and those never shared by content.
pub struct PointerTable(Slots<[usize; 2]>);

/// Where the probe for an address begins. The upper half of the product depends on all bits of the address.
#[inline(always)]
fn home_of_address(key: usize, mask: usize) -> usize {
    ((key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & mask
}

impl PointerTable {
    /// An empty table without memory.
    #[must_use]
    pub const fn new() -> Self {
        PointerTable(Slots::new())
    }

    /// The word for the object at `key`, if it was inserted. `key` is not 0.
    #[must_use]
    #[inline(always)]
    pub fn get(&self, key: usize) -> Option<usize> {
        if self.0.limit == 0 {
            return None;
        }
        let mut i = home_of_address(key, self.0.mask);
        loop {
            // SAFETY: there are slots.
            let [k, word] = unsafe { self.0.at(i).read() };
            if k == key {
                return Some(word);
            }
            if k == 0 {
                return None;
            }
            i += 1;
        }
    }

    /// Inserts or overwrites the word for the object at `key`, which is not 0.
    ///
    /// # Errors
    /// [`CompactError::Memory`] when the table cannot grow.
    #[inline(always)]
    pub fn insert(&mut self, key: usize, word: usize) -> Result<(), CompactError> {
        if self.0.used >= self.0.limit {
            self.0.grow(|[key, _], mask| home_of_address(key, mask))?;
        }
        let mut i = home_of_address(key, self.0.mask);
        loop {
            // SAFETY: there are slots.
            let slot = unsafe { &mut *self.0.at(i) };
            if slot[0] == 0 {
                *slot = [key, word];
                self.0.used += 1;
                return Ok(());
            }
            if slot[0] == key {
                slot[1] = word;
                return Ok(());
            }
            i += 1;
        }
    }

    /// Forgets everything; keeps memory that is not large.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// Content of an object -> its offset in the buffer, for maximal sharing. The content itself stays in the
/// buffer: a slot is 32 bits of hash and the offset divided by 8, or 0 when empty (no object is at 0).
pub struct SharingTable(Slots<u64>);

/// Where a probe ended: at an equal object, or at the empty slot where the new one belongs.
pub enum Probe {
    /// An equal object lies at this offset of the buffer.
    Found(usize),
    /// No equal object; the slot to give to [`SharingTable::fill`].
    Vacant(usize),
}

impl SharingTable {
    /// An empty table without memory.
    #[must_use]
    pub const fn new() -> Self {
        SharingTable(Slots::new())
    }

    /// Asks for the memory that a probe for `hash` begins with.
    #[inline(always)]
    pub fn prefetch(&self, hash: u32) {
        let slot = self
            .0
            .pages
            .start()
            .cast::<u64>()
            .wrapping_add(hash as usize & self.0.mask);
        prefetch(slot as usize);
    }

    /// Looks for an object of hash `hash`; `equal` compares the candidate at an offset.
    ///
    /// # Errors
    /// [`CompactError::Memory`] when the table cannot grow.
    #[inline(always)]
    pub fn probe(&mut self, hash: u32, mut equal: impl FnMut(usize) -> bool) -> Result<Probe, CompactError> {
        if self.0.used >= self.0.limit {
            self.0.grow(|slot, mask| (slot >> 32) as usize & mask)?;
        }
        let mut i = hash as usize;
        loop {
            // SAFETY: there are slots.
            let slot = unsafe { self.0.at(i).read() };
            if slot == 0 {
                return Ok(Probe::Vacant(i));
            }
            if (slot >> 32) as u32 == hash {
                let offset = (slot as u32 as usize) << 3;
                if equal(offset) {
                    return Ok(Probe::Found(offset));
                }
            }
            i += 1;
        }
    }

    /// Enters the object at `offset` into the slot that [`SharingTable::probe`] named just before.
    #[inline(always)]
    pub fn fill(&mut self, slot: usize, hash: u32, offset: usize) {
        // SAFETY: a probe has been there, so there are slots.
        unsafe {
            self.0
                .at(slot)
                .write(u64::from(hash) << 32 | (offset >> 3) as u64)
        };
        self.0.used += 1;
    }

    /// Forgets everything; keeps memory that is not large.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl Default for PointerTable {
    fn default() -> Self {
        Self::new()
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
    fn pointer_table_finds_what_was_inserted_through_growth() {
        let mut t = PointerTable::new();
        assert_eq!(t.get(8), None);
        for i in 1..10_000 {
            t.insert(i * 48, i).unwrap();
        }
        t.insert(48, 7).unwrap();
        assert_eq!(t.get(48), Some(7));
        for i in 2..10_000 {
            assert_eq!(t.get(i * 48), Some(i));
        }
        assert_eq!(t.get(10_000 * 48), None);
        t.clear();
        assert_eq!(t.get(96), None);
    }

    #[test]
    fn memory_that_is_used_again_holds_nothing_of_before() {
        let mut t = PointerTable::new();
        // Sizes that leave the two halves of the memory in every relation to each other.
        for (round, count) in [10_000, 3, 700, 30_000, 900, 5_000, 0, 2_000]
            .into_iter()
            .enumerate()
        {
            let key = |i: usize| (round + 2) << 32 | i << 3;
            for i in 0..count {
                assert_eq!(t.get(key(i)), None, "round {round}");
                t.insert(key(i), i).unwrap();
            }
            for i in 0..count {
                assert_eq!(t.get(key(i)), Some(i), "round {round}");
                assert_eq!(t.get(key(i) - (1 << 32)), None, "round {round}");
            }
            t.clear();
        }
    }

    #[test]
    fn sharing_table_tells_equal_hashes_apart_by_content() {
        let mut t = SharingTable::new();
        for i in 1..5_000_usize {
            let hash = (i % 7) as u32;
            match t.probe(hash, |o| o == i * 8).unwrap() {
                Probe::Vacant(slot) => t.fill(slot, hash, i * 8),
                Probe::Found(o) => panic!("{o} found before it was entered"),
            }
            if i > 1000 && i % 7 != 0 {
                continue;
            }
            assert!(matches!(t.probe(hash, |o| o == i * 8).unwrap(), Probe::Found(o) if o == i * 8));
        }
    }
}
