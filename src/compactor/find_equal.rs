//! Maximal sharing: an object equal to an earlier one is not kept, the earlier one stands for both. It is looked for one
//! step behind the writing, because a look into a large table waits for memory: when an object is written, the place
//! in the sharing table is prefetched, and the object is *pending*; when the next object is about to be written, the pending
//! one is *settled*: the table is looked at. If an equal object is found, the pending one's bytes are still the
//! last in the buffer and its word is still on the stack, so both are taken back. Most objects need no look; see `newest`.

use super::buffer::MARGIN;
use super::emit::Written;
use super::equal::{equal_at, equal_small};
use super::error::CompactError;
use super::hash::long_hash;
use super::sharing_table::Look;
use super::stack::{FLAGS, KNOWN, MIN_IMAGE, SHARED};
use super::state::{Compactor, Pending};
use crate::object::Obj;

impl Compactor {
    /// Puts the word for an object that was just written into `slot`, a place on the stack; it may still be
    /// replaced there when the object is looked for. `object` is its address and flags, as in
    /// [`Head`](super::stack::Head).
    ///
    /// # Safety
    /// `slot` is in a frame's image, and stays there until the object has been settled.
    #[inline(always)]
    pub(super) unsafe fn place(&mut self, object: usize, start: usize, hash: u32, slot: *mut usize) {
        self.scratch.sharing.prefetch(hash);
        self.pending = Pending {
            object,
            start,
            hash,
            slot: slot as usize,
        };
        // SAFETY: `slot` is a word of a frame's image, by the contract.
        unsafe { slot.write(self.address(start)) };
    }

    /// The same for an object of any kind, the last one of the buffer. `new` says that it equals no earlier one.
    /// Those that are never shared by content are done with.
    ///
    /// # Errors
    /// [`CompactError::Memory`] when a table cannot grow.
    ///
    /// # Safety
    /// As [`Compactor::place`].
    pub(super) unsafe fn place_any(
        &mut self,
        object: usize,
        written: Written,
        slot: *mut usize,
        new: bool,
    ) -> Result<(), CompactError> {
        match written {
            // SAFETY: `slot` is as `place` asks, by the same contract.
            Written::Shareable { start } if new => unsafe { self.place_new(object, start, slot) },
            // SAFETY: as above.
            Written::Shareable { start } => unsafe { self.place_last(object, start, slot) },
            Written::Apart { start } => {
                self.newest.slot = 0;
                // SAFETY: `slot` is a word of a frame's image, by the contract.
                unsafe { slot.write(self.address(start)) };
                self.remember(object, start)
            }
        }
    }

    /// The same for the object at `start`, the last one of the buffer.
    ///
    /// # Errors
    /// [`CompactError::Memory`] when a table cannot grow.
    ///
    /// # Safety
    /// As [`Compactor::place`].
    #[inline(always)]
    pub(super) unsafe fn place_last(
        &mut self,
        object: usize,
        start: usize,
        slot: *mut usize,
    ) -> Result<(), CompactError> {
        if self.next != 0 && self.is_next(start)? {
            // SAFETY: `slot` is as `place` asks, by the same contract.
            return unsafe { self.drop_copy(object, start, self.next, slot) };
        }
        let hash = long_hash(self.words(start, self.scratch.buffer.len()));
        // SAFETY: by the same contract.
        unsafe { self.place(object, start, hash, slot) };
        Ok(())
    }

    /// Whether `object` is the one that [`Compactor::settle`] has yet to look for.
    #[inline(always)]
    pub(super) fn is_pending(&self, object: Obj) -> bool {
        self.pending.object & !FLAGS == object.0
    }

    /// Looks for an object equal to the one written last. If there is one, the new copy is dropped and the word
    /// on the stack replaced.
    ///
    /// # Errors
    /// [`CompactError::Memory`] when a table cannot grow.
    #[inline(always)]
    pub(super) fn settle(&mut self) -> Result<(), CompactError> {
        let Pending {
            object,
            start,
            hash,
            slot,
        } = self.pending;
        if object == 0 {
            return Ok(());
        }
        self.pending.object = 0;
        let slot = slot as *mut usize;
        let offset = match self.scratch.sharing.look(hash, start) {
            Look::Entered => start,
            Look::Candidate(offset) if self.equals(start, offset) => offset,
            _ => self.search(start, hash)?,
        };
        if offset == start {
            self.keep(object, start, slot)
        } else {
            // SAFETY: `slot` was a word of a frame's image when the object became pending. The frame is still there and
            // has not moved, for before a frame is finished, and before the stack grows, the pending object is settled.
            unsafe { self.drop_copy(object, start, offset, slot) }
        }
    }

    /// Has the object at `start`, the last one, which equals no earlier one and whose word is in `slot`, stay.
    #[inline(always)]
    pub(super) fn keep(&mut self, object: usize, start: usize, slot: *mut usize) -> Result<(), CompactError> {
        self.newest.start = start;
        self.newest.slot = if object & SHARED == 0 { slot as usize } else { 0 };
        self.remember(object, start)
    }

    /// Drops the object at `start`, the last one, for the equal one at `offset`, whose word goes into `slot`.
    ///
    /// # Safety
    /// As [`Compactor::place`].
    #[inline(never)]
    unsafe fn drop_copy(
        &mut self,
        object: usize,
        start: usize,
        offset: usize,
        slot: *mut usize,
    ) -> Result<(), CompactError> {
        let size = self.scratch.buffer.len() - start;
        self.scratch.buffer.truncate(start);
        // SAFETY: `slot` is as `place` asks, by the same contract.
        unsafe { self.place_found(object, offset, size, slot) }
    }

    /// Puts the offset for an object into the pointer table if it has to be remembered; `object` is its address
    /// and flags.
    #[inline(always)]
    pub(super) fn remember(&mut self, object: usize, offset: usize) -> Result<(), CompactError> {
        if object & SHARED == 0 {
            Ok(())
        } else if object & KNOWN == 0 {
            self.scratch.pointers.insert_new(object & !FLAGS, offset)
        } else {
            self.scratch.pointers.insert(object & !FLAGS, offset)
        }
    }

    /// Whether the object at `start`, the last one, is equal to the one at `other`. Equality of whole words is
    /// equality of exact sizes: sizes stand in the objects, and tails are zero.
    #[inline(always)]
    fn equals(&self, start: usize, other: usize) -> bool {
        let buffer = &self.scratch.buffer;
        let words = (buffer.len() - start) / 8;
        if words > MIN_IMAGE {
            return equal_at(buffer, start, other);
        }
        const { assert!(8 * MIN_IMAGE <= MARGIN) };
        // SAFETY: `MIN_IMAGE` words are read from `start` and from `other` below it. They lie before the end of the buffer
        // or in the `MARGIN` bytes behind it, all of which is initialised memory.
        unsafe { equal_small(buffer.at(start).cast(), buffer.at(other).cast(), words) }
    }

    /// Where an object equal to the one at `start`, the last one, begins: the whole probe, where the first look of the
    /// table did not settle it. If there is none, the object is entered, and `start` is the answer.
    #[inline(never)]
    fn search(&mut self, start: usize, hash: u32) -> Result<usize, CompactError> {
        let equal = |other| equal_at(&self.scratch.buffer, start, other);
        let found = self.scratch.sharing.find_or_insert(hash, start, equal)?;
        Ok(found.unwrap_or(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compactor::equal::MANY;
    use crate::dependencies::Dependencies;

    /// Whether `last`, written behind `first` and something else, counts as equal to it. The hash does not help here.
    fn equal(first: &[u8], last: &[u8]) -> bool {
        let mut compactor = Compactor::new(0, &Dependencies::default(), true).unwrap();
        let buffer = &mut compactor.scratch.buffer;
        let mut add = |words: &[u8]| {
            let start = buffer.len();
            buffer.push_zeros(8 * words.len()).unwrap();
            for (place, &word) in buffer.bytes_mut()[start..].chunks_mut(8).zip(words) {
                place.fill(word);
            }
            start
        };
        let other = add(first);
        add(&[77; 9]);
        let start = add(last);
        compactor.equals(start, other)
    }

    #[test]
    fn objects_are_compared_word_by_word() {
        let object: [u8; MANY + 3] = std::array::from_fn(|i| i as u8 + 1);
        for words in (1..8).chain(MANY - 2..=object.len()) {
            let object = &object[..words];
            assert!(equal(object, object), "{words} words");
            for at in 0..words {
                let mut changed = object.to_vec();
                changed[at] += 1;
                assert!(!equal(object, &changed), "word {at} of {words}");
            }
        }
    }
}
