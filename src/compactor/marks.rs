//! A bit for each word of the buffer, set where an object begins that the sharing table does not have yet (see `newest`).

use super::error::CompactError;

/// A bit for each word of the buffer: whether an object begins there that has to be entered into the sharing table
/// when the one before it is found.
#[derive(Default)]
pub struct Marks(Vec<u64>);

/// Words of memory by which marks grow at least.
const GROWTH: usize = 512;
/// What is kept for the next compactor, in words.
const KEEP: usize = 32 << 10;

impl Marks {
    /// Marks the object at `offset`.
    ///
    /// # Errors
    /// [`CompactError::Memory`].
    #[inline(always)]
    pub fn set(&mut self, offset: usize) -> Result<(), CompactError> {
        let at = offset >> 9;
        if at >= self.0.len() {
            self.grow(at + 1)?;
        }
        self.0[at] |= 1 << (offset >> 3 & 63);
        Ok(())
    }

    /// Whether the object at `offset` is marked.
    #[inline(always)]
    pub fn get(&self, offset: usize) -> bool {
        let word = self.0.get(offset >> 9).copied().unwrap_or(0);
        word >> (offset >> 3 & 63) & 1 == 1
    }

    /// Takes a mark away.
    pub fn clear_at(&mut self, offset: usize) {
        if let Some(word) = self.0.get_mut(offset >> 9) {
            *word &= !(1 << (offset >> 3 & 63));
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, words: usize) -> Result<(), CompactError> {
        let words = words.next_multiple_of(GROWTH);
        let refused = CompactError::Memory {
            what: "the marks of the sharing table",
            bytes: 8 * words,
        };
        let more = words - self.0.len();
        self.0.try_reserve(more).map_err(|_| refused)?;
        self.0.resize(words, 0);
        Ok(())
    }

    /// Forgets everything; keeps memory that is not large.
    pub fn clear(&mut self) {
        self.0.clear();
        if self.0.capacity() > KEEP {
            self.0 = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_where_they_were_set() {
        let mut marks = Marks::default();
        let set = |i: usize| i.is_multiple_of(7) || i.is_multiple_of(64);
        assert!(!marks.get(0) && !marks.get(1 << 34));
        marks.clear_at(1 << 34);
        for i in (0..100_000).filter(|&i| set(i)) {
            marks.set(8 * i).unwrap();
        }
        assert!((0..200_000).all(|i| marks.get(8 * i) == (i < 100_000 && set(i))));
        marks.clear_at(8 * 128);
        assert!((0..100_000).all(|i| marks.get(8 * i) == (set(i) && i != 128)));
        marks.clear();
        marks.set(8 * 50_000).unwrap();
        assert!(
            (0..200_000).all(|i| marks.get(8 * i) == (i == 50_000)),
            "used again"
        );
    }
}
