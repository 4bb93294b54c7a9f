//! The two hash tables of a compactor, both open addressing with linear probing. They are the hot loop:
//! a probe is one cache line, and growing needs nothing but the slots themselves.

use super::error::CompactError;

/// Slots of a fresh table; it is cleared for every save, so it stays within the first-level cache.
const FIRST_SLOTS: usize = 1 << 9;

/// A table larger than this is given back when a compactor ends, not kept for the next one.
const KEEP_SLOTS: usize = 1 << 16;

fn zeroed<T: Copy>(slots: usize, empty: T) -> Result<Vec<T>, CompactError> {
    let mut v = Vec::new();
    v.try_reserve_exact(slots).map_err(|_| CompactError::Memory {
        what: "a hash table",
        bytes: slots * size_of::<T>(),
    })?;
    v.resize(slots, empty);
    Ok(v)
}

/// Address of a live object -> the word that stands for it in the region.
///
/// Holds only objects that can be met again: shared ones and those never shared by content.
pub struct PointerTable {
    slots: Vec<(usize, usize)>,
    shift: u32,
    used: usize,
}

impl PointerTable {
    /// An empty table without slots.
    #[must_use]
    pub const fn new() -> Self {
        PointerTable {
            slots: Vec::new(),
            shift: 0,
            used: 0,
        }
    }

    #[inline(always)]
    fn first_slot(&self, key: usize) -> usize {
        // Fibonacci hashing: the top bits of the product depend on all bits of the address.
        (key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) as usize >> self.shift
    }

    /// The word for the object at `key`, if it was inserted. `key` is not 0.
    #[must_use]
    #[inline(always)]
    pub fn get(&self, key: usize) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let mask = self.slots.len() - 1;
        let mut i = self.first_slot(key);
        loop {
            let (k, v) = self.slots[i & mask];
            if k == key {
                return Some(v);
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
    pub fn insert(&mut self, key: usize, value: usize) -> Result<(), CompactError> {
        if self.used * 2 >= self.slots.len() {
            self.grow()?;
        }
        let mask = self.slots.len() - 1;
        let mut i = self.first_slot(key);
        loop {
            let slot = &mut self.slots[i & mask];
            if slot.0 == 0 {
                *slot = (key, value);
                self.used += 1;
                return Ok(());
            }
            if slot.0 == key {
                slot.1 = value;
                return Ok(());
            }
            i += 1;
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) -> Result<(), CompactError> {
        let slots = if self.slots.is_empty() {
            FIRST_SLOTS
        } else {
            self.slots.len() * 4
        };
        let old = std::mem::replace(&mut self.slots, zeroed(slots, (0, 0))?);
        self.shift = usize::BITS - slots.trailing_zeros();
        let mask = slots - 1;
        for (key, value) in old.into_iter().filter(|s| s.0 != 0) {
            let mut i = self.first_slot(key);
            while self.slots[i & mask].0 != 0 {
                i += 1;
            }
            self.slots[i & mask] = (key, value);
        }
        Ok(())
    }

    /// Forgets everything; keeps the slots when they are few.
    pub fn clear(&mut self) {
        if self.slots.len() > KEEP_SLOTS {
            *self = Self::new();
        } else if self.used > 0 {
            self.slots.fill((0, 0));
            self.used = 0;
        }
    }
}

/// Content of an object -> its offset in the buffer, for maximal sharing. The content itself stays in the
/// buffer: a slot is 32 bits of hash and the offset divided by 8, or 0 when empty (no object is at 0).
pub struct SharingTable {
    slots: Vec<u64>,
    used: usize,
}

/// Where a probe ended: at an equal object, or at the empty slot where the new one belongs.
pub enum Probe {
    /// An equal object lies at this offset of the buffer.
    Found(usize),
    /// No equal object; the slot to give to [`SharingTable::fill`].
    Vacant(usize),
}

impl SharingTable {
    /// An empty table without slots.
    #[must_use]
    pub const fn new() -> Self {
        SharingTable {
            slots: Vec::new(),
            used: 0,
        }
    }

    /// Looks for an object of hash `hash`; `equal` compares the candidate at an offset.
    ///
    /// # Errors
    /// [`CompactError::Memory`] when the table cannot grow.
    #[inline(always)]
    pub fn probe(&mut self, hash: u32, mut equal: impl FnMut(usize) -> bool) -> Result<Probe, CompactError> {
        if self.used * 2 >= self.slots.len() {
            self.grow()?;
        }
        let mask = self.slots.len() - 1;
        let mut i = hash as usize;
        loop {
            let slot = self.slots[i & mask];
            if slot == 0 {
                return Ok(Probe::Vacant(i & mask));
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
        self.slots[slot] = u64::from(hash) << 32 | (offset >> 3) as u64;
        self.used += 1;
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) -> Result<(), CompactError> {
        let slots = if self.slots.is_empty() {
            FIRST_SLOTS
        } else {
            self.slots.len() * 4
        };
        let old = std::mem::replace(&mut self.slots, zeroed(slots, 0)?);
        let mask = slots - 1;
        for slot in old.into_iter().filter(|&s| s != 0) {
            let mut i = (slot >> 32) as usize;
            while self.slots[i & mask] != 0 {
                i += 1;
            }
            self.slots[i & mask] = slot;
        }
        Ok(())
    }

    /// Forgets everything; keeps the slots when they are few.
    pub fn clear(&mut self) {
        if self.slots.len() > KEEP_SLOTS {
            *self = Self::new();
        } else if self.used > 0 {
            self.slots.fill(0);
            self.used = 0;
        }
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
