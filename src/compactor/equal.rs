//! Whether two objects in the buffer are equal, word by word.

use super::buffer::Buffer;
use super::stack::MIN_IMAGE;

/// Above this many words the C library compares.
pub(super) const MANY: usize = 32;

/// Whether the first `words` words at `a` and `b`, [`MIN_IMAGE`] at most, are equal; without branches.
///
/// # Safety
/// [`MIN_IMAGE`] words are initialised at both.
#[inline(always)]
pub(super) unsafe fn equal_small(a: *const u64, b: *const u64, words: usize) -> bool {
    // One by one: a wider read cannot be served from several stores that are still on their way to the cache.
    // SAFETY: `MIN_IMAGE` words are initialised at both, by the contract, and `i` is below that.
    let differs = |i: usize| unsafe {
        (a.add(i).read_volatile() ^ b.add(i).read_volatile()) & 0_u64.wrapping_sub(u64::from(i < words))
    };
    (0..MIN_IMAGE).fold(0, |bits, i| bits | differs(i)) == 0
}

/// Whether the object at `start`, the last one of the buffer, equals the one at `other`, an earlier one.
#[inline(never)]
pub(super) fn equal_at(buffer: &Buffer, start: usize, other: usize) -> bool {
    // SAFETY: `other` is below `start`, so from there on the buffer has at least as many words as from `start` to its end,
    // which is what is compared; both are multiples of 8.
    unsafe {
        equal_words(
            buffer.at(start).cast(),
            buffer.at(other).cast(),
            (buffer.len() - start) / 8,
        )
    }
}

/// Whether the `words` words at `a` and `b` are equal.
///
/// # Safety
/// `words` words are initialised at both.
#[inline(always)]
pub(super) unsafe fn equal_words(a: *const u64, b: *const u64, words: usize) -> bool {
    // SAFETY: as many words are initialised at both, by the contract.
    unsafe {
        if words > MANY {
            return std::slice::from_raw_parts(a, words) == std::slice::from_raw_parts(b, words);
        }
        // One by one: a call to compare memory costs more than a few words do.
        (0..words).all(|i| a.add(i).read_volatile() == b.add(i).read_volatile())
    }
}
