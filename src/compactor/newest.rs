//! Objects that maximal sharing need not look up in the sharing table, nor enter there before somebody could find them.
//!
//! The *newest* object is the last one that was written and kept because no earlier object equals it. An object refers
//! only to objects written before it, so no object in the buffer refers to the newest.
//!
//! * Not looked up: a *parent* that is written next and refers to the newest (its *child*). An equal object would refer
//!   to the child as well, and there is none. The parent then lies directly behind its child in the buffer.
//! * Not entered, but *marked*: that parent, if the child's reference count is 1, so that no field of another live object
//!   leads to the child. Nothing written later equals the parent unless it refers to the child too, and that can come
//!   about in one way only: a later object is found equal to the child, so that its parent gets the child's word.
//!   At that moment the object behind the child is looked at, and if it is marked, it is entered (late) and the mark
//!   taken away.
//! * *Next*: the object behind the one found equal last. Where two graphs are equal, they mostly are so for many objects
//!   in a row, so when another object is written it is compared with the next one first. If they are equal, the table
//!   was not needed, and the mark of the next one can stay: the only object that had got the child's word is the copy
//!   of the parent, which is dropped. This needs that what was found equal to the child has one reference and is no root, so
//!   that no other object gets the word; otherwise the marked object is entered at once.

use super::buffer::MARGIN;
use super::equal::{equal_at, equal_small, equal_words};
use super::error::CompactError;
use super::hash::{long_hash, short_hash};
use super::stack::{Frame, MIN_IMAGE, SHARED};
use super::state::Compactor;
use olean_reader::format::object::{ARRAY_HEADER, MAX_CTOR_TAG, ObjectHeader, TAG_ARRAY, align8};

impl Compactor {
    /// Whether the object of the top frame, whose fields are all finished and settled, is certainly equal to no earlier
    /// one, because it refers to the newest.
    #[inline(always)]
    pub(super) fn is_new(&self, frame: Frame) -> bool {
        // No live frame lies above the top one, so a slot at or above the top frame's image is in that image.
        self.newest.slot >= frame.image() as usize
    }

    /// Puts the word for the object at `start`, the last one, of which [`Compactor::is_new`] was true, into `slot`.
    ///
    /// # Errors
    /// [`CompactError::Memory`].
    ///
    /// # Safety
    /// As [`Compactor::place`].
    #[inline(always)]
    pub(super) unsafe fn place_new(
        &mut self,
        object: usize,
        start: usize,
        slot: *mut usize,
    ) -> Result<(), CompactError> {
        self.scratch.marks.set(start)?;
        // SAFETY: `slot` is a word of a frame's image, by the contract.
        unsafe { slot.write(self.address(start)) };
        self.keep(object, start, slot)
    }

    /// Puts the word for the object at `offset`, of `size` bytes, which equals `object`, into `slot`.
    ///
    /// # Errors
    /// [`CompactError::Memory`] when a table cannot grow.
    ///
    /// # Safety
    /// As [`Compactor::place`].
    #[inline(always)]
    pub(super) unsafe fn place_found(
        &mut self,
        object: usize,
        offset: usize,
        size: usize,
        slot: *mut usize,
    ) -> Result<(), CompactError> {
        // SAFETY: `slot` is a word of a frame's image, by the contract.
        unsafe { slot.write(self.address(offset)) };
        if offset == self.newest.start {
            self.newest.slot = 0;
        }
        let end = offset + size;
        self.next = if end < self.scratch.buffer.len() { end } else { 0 };
        if object & SHARED != 0 {
            // Other fields lead to this object, and get its word too: several objects may refer to it from now on.
            self.enter_marked(end)?;
        }
        self.remember(object, offset)
    }

    /// Whether the finished image of a constructor of `words` words equals the object behind the one found last.
    /// If not, that one is found by the table from now on.
    ///
    /// # Errors
    /// [`CompactError::Memory`] when a table cannot grow.
    ///
    /// # Safety
    /// `image` has `words` initialised words, and [`MIN_IMAGE`] in any case.
    #[inline(always)]
    pub(super) unsafe fn image_is_next(
        &mut self,
        image: *const u64,
        words: usize,
    ) -> Result<bool, CompactError> {
        const { assert!(8 * MIN_IMAGE <= MARGIN) };
        // SAFETY: the image has these words by the contract. At `next`, inside the buffer, an object begins, or the zero
        // word behind a part, which equals no header. `equal_small` reads `MIN_IMAGE` words from there, which the
        // margin behind the buffer allows for. `equal_words` reads on only if the headers are equal, and then the object
        // there has as many words as the image.
        let equal = unsafe {
            let next = self.scratch.buffer.at(self.next).cast();
            equal_small(image, next, words) && (words <= MIN_IMAGE || equal_words(image, next, words))
        };
        if !equal {
            self.leave_next()?;
        }
        Ok(equal)
    }

    /// The same for the object at `start`, the last one.
    ///
    /// # Errors
    /// [`CompactError::Memory`] when a table cannot grow.
    pub(super) fn is_next(&mut self, start: usize) -> Result<bool, CompactError> {
        let equal = equal_at(&self.scratch.buffer, start, self.next);
        if !equal {
            self.leave_next()?;
        }
        Ok(equal)
    }

    /// Gives up comparing with the next object, so from now on it has to be in the table if anything can equal it.
    ///
    /// # Errors
    /// [`CompactError::Memory`] when a table cannot grow.
    #[inline(always)]
    pub(super) fn leave_next(&mut self) -> Result<(), CompactError> {
        let next = std::mem::take(&mut self.next);
        self.enter_marked(next)
    }

    /// Enters the object at `at` into the sharing table if it is marked, and takes the mark away.
    #[inline(always)]
    fn enter_marked(&mut self, at: usize) -> Result<(), CompactError> {
        if self.scratch.marks.get(at) {
            self.enter_late(at)
        } else {
            Ok(())
        }
    }

    /// Enters the marked object at `at`, with the hash by which equal ones will be looked for.
    #[inline(never)]
    fn enter_late(&mut self, at: usize) -> Result<(), CompactError> {
        self.scratch.marks.clear_at(at);
        let header = self.words(at, at + 8)[0];
        let kind = ObjectHeader::of_word(header);
        let size = if kind.tag == TAG_ARRAY {
            ARRAY_HEADER + 8 * self.words(at, at + 16)[1] as usize
        } else {
            align8(kind.cs_sz.into())
        };
        let words = self.words(at, at + size);
        let hash = if kind.tag <= MAX_CTOR_TAG {
            short_hash(words)
        } else {
            long_hash(words)
        };
        self.scratch.sharing.enter(hash, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dependencies::Dependencies;

    #[test]
    fn a_constructor_entered_late_has_the_hash_that_it_is_looked_for_by() {
        let mut compactor = Compactor::new(0, &Dependencies::default(), true).unwrap();
        for words in 1..12 {
            let mut image: Vec<u64> = (0..words as u64).map(|i| i * i + 5).collect();
            let hash = short_hash(&image);
            image.resize(words.max(MIN_IMAGE), 0);
            // SAFETY: the image has `words` words, and `MIN_IMAGE` at least.
            let (start, written) = unsafe { compactor.emit_ctor::<true>(image.as_ptr(), words).unwrap() };
            assert_eq!(written, hash, "{words} words");
            assert_eq!(compactor.words(start, start + 8 * words), &image[..words]);
        }
    }
}
