//! Memory asked for before it is needed, so that other work hides the wait for it.

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

/// Asks for the first two cache lines of `bytes` and for the `last` bytes, so that all of them are waited for at once.
#[inline(always)]
pub fn both_ends(bytes: &[u8], last: usize) {
    let std::ops::Range { start, end } = bytes.as_ptr_range();
    for address in [
        start as usize,
        (start as usize).wrapping_add(LINE),
        (end as usize).wrapping_sub(last),
        (end as usize).wrapping_sub(1),
    ] {
        prefetch(address);
    }
}
