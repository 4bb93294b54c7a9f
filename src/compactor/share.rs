//! Maximal sharing (spec section 6.3), one step behind the writing: the table's slot for an object that was just
//! written is asked for at once and looked at when the next object is about to be written, by when it has
//! arrived. Until then the object counts as new; if it turns out not to be, its bytes are still the last ones
//! and its word is still on the stack, so both can be taken back.

use super::Compactor;
use super::emit::Written;
use super::error::CompactError;
use super::tables::Probe;
use crate::object::Obj;

/// The object written last, if it has not been looked for among the earlier ones.
#[derive(Default)]
pub(super) struct Pending {
    /// Its address, 0 for none.
    object: usize,
    /// Where it begins in the buffer; it ends where the buffer ends.
    start: usize,
    hash: u32,
    /// Whether it has to be remembered.
    shared: bool,
    /// Index on the stack of the word that stands for it.
    word_at: usize,
}

impl Compactor {
    /// Takes note of an object that was just written; answers the word for it, which the caller puts on the
    /// stack next and which may still be replaced there.
    #[inline(always)]
    pub(super) fn place(
        &mut self,
        object: Obj,
        written: Written,
        shared: bool,
    ) -> Result<usize, CompactError> {
        match written {
            Written::Shareable { start, hash } => {
                self.scratch.sharing.prefetch(hash);
                self.pending = Pending {
                    object: object.0,
                    start,
                    hash,
                    shared,
                    word_at: self.scratch.stack.top(),
                };
                Ok(self.address(start))
            }
            Written::Apart { start } => {
                let word = self.address(start);
                if shared {
                    self.scratch.pointers.insert(object.0, word)?;
                }
                Ok(word)
            }
        }
    }

    /// Whether `object` is the one that [`Compactor::settle`] has yet to look for.
    #[inline(always)]
    pub(super) fn is_pending(&self, object: Obj) -> bool {
        self.pending.object == object.0
    }

    /// Looks for an object equal to the one written last. If there is one, the new copy is dropped and the word
    /// on the stack replaced. Equality of whole words is equality of exact sizes: sizes stand in the objects,
    /// and tails are zero.
    ///
    /// # Errors
    /// [`CompactError::Memory`] when a table cannot grow.
    #[inline(always)]
    pub(super) fn settle(&mut self) -> Result<(), CompactError> {
        let Pending {
            object,
            start,
            hash,
            shared,
            word_at,
        } = self.pending;
        if object == 0 {
            return Ok(());
        }
        self.pending.object = 0;
        let buffer = &self.scratch.buffer;
        let length = buffer.len() - start;
        // SAFETY: an earlier object begins at `other`, a multiple of 8 below `start`, so `length` bytes from
        // there lie inside the buffer, as do the `length` bytes at `start`.
        let equal = |other: usize| unsafe {
            let (a, b) = (buffer.at(start).cast::<u64>(), buffer.at(other).cast::<u64>());
            if length <= 64 {
                (0..length / 8).all(|i| a.add(i).read() == b.add(i).read())
            } else {
                std::slice::from_raw_parts(a, length / 8) == std::slice::from_raw_parts(b, length / 8)
            }
        };
        let offset = match self.scratch.sharing.probe(hash, equal)? {
            Probe::Found(offset) => {
                self.scratch.buffer.truncate(start);
                let word = self.address(offset);
                // SAFETY: the word was put there when the object was written, and no frame below it has been
                // finished since, for that writes an object, which settles this one first.
                unsafe { self.scratch.stack.replace(word_at, word) };
                offset
            }
            Probe::Vacant(slot) => {
                self.scratch.sharing.fill(slot, hash, start);
                start
            }
        };
        if shared {
            self.scratch.pointers.insert(object, self.address(offset))?;
        }
        Ok(())
    }
}
