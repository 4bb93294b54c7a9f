//! The hash of an object's content for the sharing table. Equality is always found out by comparing words, so the hash
//! decides about speed alone, never about what is written.

use super::stack::MIN_IMAGE;

const K0: u64 = 0xa076_1d64_78bd_642f;
const K1: u64 = 0xe703_7ed1_a0b4_28db;
/// An odd factor: the golden ratio's fraction.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Folds the 128-bit product: every bit of both factors reaches every part of the result.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let p = u128::from(a) * u128::from(b);
    p as u64 ^ (p >> 64) as u64
}

/// The hash of a constructor, whose words mostly are few: one multiplication for each. Only the upper half of
/// the state is good.
#[derive(Clone, Copy)]
pub struct ShortHash(u64);

impl ShortHash {
    /// Starts with the object's header word.
    #[inline(always)]
    #[must_use]
    pub fn new(header: u64) -> Self {
        ShortHash(header)
    }

    /// Takes one word.
    #[inline(always)]
    pub fn word(&mut self, w: u64) {
        self.0 = (self.0.rotate_right(29) ^ w).wrapping_mul(FACTOR);
    }

    /// The 32 bits that the table keeps. They are not 0, which stands for no entry there, and the upper ones
    /// are the better ones.
    #[inline(always)]
    #[must_use]
    pub fn finish(self) -> u32 {
        (self.0 >> 32) as u32 | 1
    }
}

/// The same hash of a constructor's words. Up to [`MIN_IMAGE`] there are always so many, the rest of them zero.
#[must_use]
pub fn short_hash(words: &[u64]) -> u32 {
    let mut hash = ShortHash::new(words[0]);
    let missing = MIN_IMAGE.saturating_sub(words.len());
    for &word in words[1..].iter().chain(&[0; MIN_IMAGE][..missing]) {
        hash.word(word);
    }
    hash.finish()
}

/// The hash of other objects, by their words: two at a step.
#[inline]
#[must_use]
pub fn long_hash(words: &[u64]) -> u32 {
    let mut state = words[0] ^ K0;
    let mut pairs = words[1..].chunks_exact(2);
    for pair in &mut pairs {
        state = fold(pair[0] ^ K1, pair[1] ^ state);
    }
    for &word in pairs.remainder() {
        state = fold(state ^ word, K1);
    }
    (fold(state, K0) >> 32) as u32 | 1
}
