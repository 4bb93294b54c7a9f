//! The hash of an object's content for the sharing table. It decides nothing but speed.

const K0: u64 = 0xa076_1d64_78bd_642f;
const K1: u64 = 0xe703_7ed1_a0b4_28db;

/// Folds the 128-bit product: every bit of both factors reaches every part of the result.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let p = u128::from(a) * u128::from(b);
    p as u64 ^ (p >> 64) as u64
}

/// A hash that takes one or two words a step.
#[derive(Clone, Copy)]
pub struct WordHash(u64);

impl WordHash {
    /// Starts with the object's header word.
    #[inline(always)]
    #[must_use]
    pub fn new(header: u64) -> Self {
        WordHash(header ^ K0)
    }

    /// Takes one word.
    #[inline(always)]
    pub fn word(&mut self, w: u64) {
        self.0 = fold(self.0 ^ w, K1);
    }

    /// Takes two words at once.
    #[inline(always)]
    pub fn pair(&mut self, a: u64, b: u64) {
        self.0 = fold(a ^ K1, b ^ self.0);
    }

    /// The 32 bits that the table keeps.
    #[inline(always)]
    #[must_use]
    pub fn finish(self) -> u32 {
        let h = fold(self.0, K0);
        (h ^ h >> 32) as u32
    }
}
