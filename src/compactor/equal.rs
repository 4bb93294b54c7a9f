//! Whether two objects in the buffer are equal, word by word.

use super::buffer::Buffer;
use super::stack::MIN_IMAGE;

/// Above so many words the C library compares.
pub(super) const MANY: usize = 32;

/// Whether the first `words` words at `a` and `b`, [`MIN_IMAGE`] at most, are equal; without branches.
///
/// # Safety
/// [`MIN_IMAGE`] words are initialised at both.
#[inline(always)]
pub(super) unsafe fn equal_small(a: *const u64, b: *const u64, words: usize) -> bool {
    // One by one: a wider read cannot be served from several pending stores.
    // SAFETY: by the caller's word.
    let differs = |i: usize| unsafe {
        (a.add(i).read_volatile() ^ b.add(i).read_volatile()) & 0_u64.wrapping_sub(u64::from(i < words))
    };
    (0..MIN_IMAGE).fold(0, |bits, i| bits | differs(i)) == 0
}

/// Whether the object at `start`, the last one of the buffer, equals the one at `other`, an earlier one.
#[inline(never)]
pub(super) fn equal_at(buffer: &Buffer, start: usize, other: usize) -> bool {
    // SAFETY: an earlier object begins at `other`, a multiple of 8 below `start`, so as many words from there lie inside
    // the buffer as do from `start`.
    unsafe {
        equal_words(
            buffer.at(start).cast(),
            buffer.at(other).cast(),
            (buffer.len() - start) / 8,
        )
    }
}

/// Whether so many words at `a` and `b` are equal.
///
/// # Safety
/// So many words are initialised at both.
#[inline(always)]
pub(super) unsafe fn equal_words(a: *const u64, b: *const u64, words: usize) -> bool {
    // SAFETY: by the caller's word.
    unsafe {
        if words > MANY {
            return std::slice::from_raw_parts(a, words) == std::slice::from_raw_parts(b, words);
        }
        // One by one: a call to compare memory costs more than a few words do.
        (0..words).all(|i| a.add(i).read_volatile() == b.add(i).read_volatile())
    }
}
