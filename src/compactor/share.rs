//! Maximal sharing (spec section 6.3), one step behind the writing: the table's slot for an object that was just
//! written is asked for at once and looked at when the next object is about to be written, by when it has
//! arrived. Until then the object counts as new; if it turns out not to be, its bytes are still the last ones
//! and its word is still on the stack, so both can be taken back.

use super::Compactor;
use super::buffer::MARGIN;
use super::emit::Written;
use super::error::CompactError;
use super::sharing::Look;
use super::stack::{FLAGS, KNOWN, MIN_IMAGE, SHARED};
use crate::object::Obj;

/// The object written last, if it has not been looked for among the earlier ones.
#[derive(Default)]
pub(super) struct Pending {
    /// Its address and flags as in [`Head`](super::stack::Head); 0 for none.
    object: usize,
    /// Where it begins in the buffer; it ends where the buffer ends.
    start: usize,
    hash: u32,
    /// Address of the word on the stack that stands for it.
    slot: usize,
}

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
        // SAFETY: a word of a frame, by the caller's word.
        unsafe { slot.write(self.address(start)) };
    }

    /// The same for an object of any kind; those that are never shared by content are done with.
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
    ) -> Result<(), CompactError> {
        // SAFETY: passed on from the caller.
        unsafe {
            match written {
                Written::Shareable { start, hash } => self.place(object, start, hash, slot),
                Written::Apart { start } => {
                    slot.write(self.address(start));
                    self.remember(object, start)?;
                }
            }
        }
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
        let offset = match self.scratch.sharing.look(hash, start) {
            Look::Entered => start,
            Look::Candidate(offset) if self.equals_small(start, offset) => offset,
            _ => self.search(start, hash)?,
        };
        if offset != start {
            self.scratch.buffer.truncate(start);
            let word = self.address(offset);
            // SAFETY: the word was put there when the object was written. The frame is still there and has not
            // moved: to finish it writes an object, which settles this one first, as does growth.
            unsafe { (slot as *mut usize).write(word) };
        }
        self.remember(object, offset)
    }

    /// Puts the offset for an object into the pointer table if it has to be remembered; `object` is its address
    /// and flags.
    #[inline(always)]
    fn remember(&mut self, object: usize, offset: usize) -> Result<(), CompactError> {
        if object & SHARED == 0 {
            Ok(())
        } else if object & KNOWN == 0 {
            self.scratch.pointers.insert_new(object & !FLAGS, offset)
        } else {
            self.scratch.pointers.insert(object & !FLAGS, offset)
        }
    }

    /// Whether the object at `start`, the last one, is small and equal to the one at `other`. Equality of whole
    /// words is equality of exact sizes: sizes stand in the objects, and tails are zero.
    #[inline(always)]
    fn equals_small(&self, start: usize, other: usize) -> bool {
        let buffer = &self.scratch.buffer;
        let words = (buffer.len() - start) / 8;
        if words > MIN_IMAGE {
            return false;
        }
        const { assert!(8 * MIN_IMAGE <= MARGIN) };
        // SAFETY: `MARGIN` bytes from the end of the buffer on may be read, so as many words from `start`, and from
        // `other`, a multiple of 8 below it. Memory of the buffer is initialised.
        let (a, b) = unsafe {
            let words = |at| buffer.at(at).cast::<[u64; MIN_IMAGE]>().read();
            (words(start), words(other))
        };
        // Without branches; what is behind the object does not count.
        let differs = |i: usize| (a[i] ^ b[i]) & 0_u64.wrapping_sub(u64::from(i < words));
        (0..MIN_IMAGE).fold(0, |bits, i| bits | differs(i)) == 0
    }

    /// Where an object equal to the one at `start`, the last one, begins, whatever it takes to find out. It is
    /// entered if there is none.
    #[inline(never)]
    fn search(&mut self, start: usize, hash: u32) -> Result<usize, CompactError> {
        let buffer = &self.scratch.buffer;
        let words = (buffer.len() - start) / 8;
        // SAFETY: an earlier object begins at `other`, a multiple of 8 below `start`, so as many words from there
        // lie inside the buffer as do from `start`.
        let equal = |other: usize| unsafe {
            let object = |at| std::slice::from_raw_parts(buffer.at(at).cast::<u64>(), words);
            object(start) == object(other)
        };
        let found = self.scratch.sharing.find_or_insert(hash, start, equal)?;
        Ok(found.unwrap_or(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relocate::Dependencies;

    /// Whether `last`, written behind `first` and something else, counts as equal to it. The hash does not help here.
    fn equal(first: &[u8], last: &[u8]) -> bool {
        let mut compactor = Compactor::new(0, &Dependencies::new(Vec::new()), true);
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
        compactor.equals_small(start, other)
    }

    #[test]
    fn small_objects_are_compared_word_by_word() {
        let object = [1, 2, 3, 4];
        for words in 1..=MIN_IMAGE {
            let object = &object[..words];
            assert!(equal(object, object), "{words} words");
            for at in 0..words {
                let mut changed = object.to_vec();
                changed[at] += 1;
                assert!(!equal(object, &changed), "word {at} of {words}");
            }
        }
        assert!(!equal(&[0; MIN_IMAGE + 1], &[0; MIN_IMAGE + 1]), "not small");
    }
}
