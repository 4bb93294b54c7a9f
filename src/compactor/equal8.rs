//! Comparing all keys of a bucket at once: a bit for each place whose key is the one looked for. With SSE2 on
//! x86-64, where every processor has it; elsewhere in a way that compilers turn into vector instructions.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m128i, _mm_cmpeq_epi32, _mm_loadu_si128, _mm_movemask_epi8, _mm_packs_epi16, _mm_packs_epi32,
    _mm_set1_epi32, _mm_setzero_si128,
};

/// Which of eight words are `word`, in the lower eight bits, and which are 0, in the next eight.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn equal8(words: &[u32; 8], word: u32) -> u32 {
    // SAFETY: both halves of the array are read, 16 bytes each, and every x86-64 has SSE2.
    unsafe {
        let at = words.as_ptr().cast::<__m128i>();
        let (low, high) = (_mm_loadu_si128(at), _mm_loadu_si128(at.add(1)));
        let (wanted, zero) = (_mm_set1_epi32(word as i32), _mm_setzero_si128());
        let equal = _mm_packs_epi32(_mm_cmpeq_epi32(low, wanted), _mm_cmpeq_epi32(high, wanted));
        let empty = _mm_packs_epi32(_mm_cmpeq_epi32(low, zero), _mm_cmpeq_epi32(high, zero));
        _mm_movemask_epi8(_mm_packs_epi16(equal, empty)) as u32
    }
}

/// Which of eight words are `word`, in the lower eight bits, and which are 0, in the next eight.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub fn equal8(words: &[u32; 8], word: u32) -> u32 {
    (0..8).fold(0, |bits, i| {
        bits | u32::from(words[i] == word) << i | u32::from(words[i] == 0) << (8 + i)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bit_for_each_equal_word(words in prop::array::uniform8(0..3_u32)) {
            let naive = |word: u32| -> u32 { (0..8).map(|i| u32::from(words[i] == word) << i).sum() };
            for word in 0..4 {
                prop_assert_eq!(equal8(&words, word), naive(word) | naive(0) << 8);
            }
        }
    }
}
