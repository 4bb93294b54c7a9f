//! The hash of an object's content for the sharing table. It decides nothing but speed.

const K0: u64 = 0xa076_1d64_78bd_642f;
const K1: u64 = 0xe703_7ed1_a0b4_28db;
/// One odd factor for each word of a short object: multiples of the golden ratio's fraction, made odd.
const FACTORS: [u64; 6] = [
    0x9e37_79b9_7f4a_7c15,
    0x3c6e_f372_fe94_f82b,
    0xdaa6_6d2c_7ddf_743f,
    0x78dd_e6e5_fd29_f055,
    0x1715_609f_7c74_6c69,
    0xb54c_da58_fbbe_e87f,
];

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

    /// Takes the word number `i` of a short object. All of these can be multiplied at once, because none waits
    /// for the one before; the last step mixes their sum.
    #[inline(always)]
    pub fn short(&mut self, i: usize, w: u64) {
        self.0 = self.0.wrapping_add(w.wrapping_mul(FACTORS[i]));
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
