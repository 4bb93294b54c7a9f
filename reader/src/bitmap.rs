//! One bit per word of a file, with ranks: where objects start, and the number of each.

use crate::format::room::{NoMemory, collected, filled};

/// What the memory is for, in errors.
const WHAT: &str = "the table of objects";

/// A set of word indexes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bitmap {
    bits: Vec<u64>,
    /// Set bits before each element of `bits`; filled by [`Bitmap::finish`].
    rank: Vec<u32>,
}

impl Bitmap {
    pub(crate) fn new(words: usize) -> Result<Self, NoMemory> {
        Ok(Self {
            bits: filled(0, words / 64 + 1, WHAT)?,
            rank: Vec::new(),
        })
    }

    #[inline]
    pub(crate) fn set(&mut self, i: usize) {
        self.bits[i / 64] |= 1 << (i % 64);
    }

    /// Sets bit `i` and says whether it was set before.
    #[inline]
    pub(crate) fn replace(&mut self, i: usize) -> bool {
        let old = self.get(i);
        self.set(i);
        old
    }

    #[inline]
    pub(crate) fn get(&self, i: usize) -> bool {
        self.bits.get(i / 64).is_some_and(|b| b >> (i % 64) & 1 != 0)
    }

    /// Counts; call it after the last [`Bitmap::set`] and before [`Bitmap::index_of`].
    pub(crate) fn finish(&mut self) -> Result<(), NoMemory> {
        let mut n = 0;
        let ranks = self.bits.iter().map(|b| {
            let before = n;
            n += b.count_ones();
            before
        });
        self.rank = collected(ranks, WHAT)?;
        Ok(())
    }

    /// How many set bits come before bit `i`, if it is set.
    #[inline]
    pub(crate) fn index_of(&self, i: usize) -> Option<u32> {
        self.get(i).then(|| self.rank_of(i))
    }

    /// How many set bits come before bit `i`.
    pub(crate) fn rank_of(&self, i: usize) -> u32 {
        self.rank[i / 64] + (self.bits[i / 64] & ((1 << (i % 64)) - 1)).count_ones()
    }

    /// The set bits in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.bits.iter().enumerate().flat_map(|(i, &b)| {
            std::iter::successors((b != 0).then_some(b), |b| {
                let rest = b & (b - 1);
                (rest != 0).then_some(rest)
            })
            .map(move |b| i * 64 + b.trailing_zeros() as usize)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_number_the_set_bits() {
        let mut b = Bitmap::new(1000).unwrap();
        let set = [0, 1, 63, 64, 65, 127, 128, 640, 999, 1000];
        for i in set {
            assert!(!b.replace(i));
            assert!(b.replace(i));
        }
        b.finish().unwrap();
        assert_eq!(b.iter().collect::<Vec<_>>(), set);
        for (n, i) in set.into_iter().enumerate() {
            assert_eq!(b.index_of(i), Some(n as u32));
        }
        assert_eq!(b.index_of(2), None);
        assert_eq!(b.rank_of(2), 2);
        assert!(!b.get(1_000_000));
    }
}
