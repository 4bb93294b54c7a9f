//! Objects that need no look into the sharing table, and may never be entered there.
//!
//! The *newest* object is the one that was written and stayed last. No object refers to it yet, for that one would
//! have been written later.
//!
//! * What is written next and refers to the newest equals no earlier object: that one would refer to it too. So it is
//!   not looked up, and lies directly behind its child.
//! * Nor is it entered, but *marked*, if the child's count says that no other field leads to it. For as long as the
//!   child has this one parent nothing can equal the parent. A second object that refers to the child comes about in
//!   one way only: something is found, by content, to equal the child, and takes its word. Then the object
//!   behind the child is looked at, and if it is marked, it is entered, late.
//! * Graphs that are equal in part mostly are so for many objects in a row. So the object behind one that was found
//!   is *next*: it is compared first when another object is written. If it is equal, it has been found without the
//!   table, and a mark stays: the word that was taken is gone with the copy of the parent. This is so if what took the
//!   word has one reference and is no root; otherwise the marked object is entered at once.

use super::buffer::MARGIN;
use super::equal::{equal_at, equal_small, equal_words};
use super::error::CompactError;
use super::hash::{long_hash, short_hash};
use super::stack::{Frame, MIN_IMAGE, SHARED};
use super::state::Compactor;
use crate::object::Kind;
use olean_reader::format::layout::{ARRAY_HEADER, MAX_CTOR_TAG, TAG_ARRAY, align8};

impl Compactor {
    /// Whether the object of the top frame, whose fields are done and settled, equals no earlier one, for it refers
    /// to the newest.
    #[inline(always)]
    pub(super) fn is_new(&self, frame: Frame) -> bool {
        // What is above the top frame is nowhere.
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
        // SAFETY: a word of a frame, by the caller's word.
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
        // SAFETY: a word of a frame, by the caller's word.
        unsafe { slot.write(self.address(offset)) };
        if offset == self.newest.start {
            self.newest.slot = 0;
        }
        let end = offset + size;
        self.next = if end < self.scratch.buffer.len() { end } else { 0 };
        if object & SHARED != 0 {
            // Other fields lead to this one, so what comes next need not be the only one to refer to it.
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
        // SAFETY: the image by the caller's word. An object begins at `next`, or a word that begins none and ends the
        // comparison, and `MARGIN` bytes behind the buffer may be read. With an equal header the object there has
        // as many words as the image.
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

    /// Looks no longer at the object behind the one found last, so that it has to be in the table.
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

    #[inline(never)]
    fn enter_late(&mut self, at: usize) -> Result<(), CompactError> {
        self.scratch.marks.clear_at(at);
        let header = self.words(at, at + 8)[0];
        let kind = Kind::of_header((header >> 32) as u32);
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
        let mut compactor = Compactor::new(0, &Dependencies::new(Vec::new()), true);
        for words in 1..12 {
            let mut image: Vec<u64> = (0..words as u64).map(|i| i * i + 5).collect();
            let hash = short_hash(&image);
            image.resize(words.max(MIN_IMAGE), 0);
            // SAFETY: so many words, and `MIN_IMAGE`.
            let (start, written) = unsafe { compactor.emit_ctor::<true>(image.as_ptr(), words).unwrap() };
            assert_eq!(written, hash, "{words} words");
            assert_eq!(compactor.words(start, start + 8 * words), &image[..words]);
        }
    }
}
