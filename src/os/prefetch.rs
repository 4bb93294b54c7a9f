//! Memory asked for before it is needed, so that other work hides the wait for it.

use std::hint;

/// Bytes of a cache line.
const LINE: usize = 64;

/// Asks for the cache line at `address`, which need not be valid.
#[inline(always)]
pub fn prefetch(address: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing as far as the program can tell, and never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address as *const i8);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Looks at the first of `bytes`, and asks for the next cache line and for the `last` bytes, so that all of them are
/// waited for at once. The look comes first: where it is a page fault, what was asked for before it would be forgotten.
#[inline(always)]
pub fn both_ends(bytes: &[u8], last: usize) {
    hint::black_box(bytes.first().copied());
    let end = bytes.as_ptr_range().end as usize;
    for address in [
        bytes.as_ptr() as usize + LINE,
        end.wrapping_sub(last),
        end.wrapping_sub(1),
    ] {
        prefetch(address);
    }
}
