//! Memory of the embedded runtime's objects: from the C library's malloc, and counted.

use std::alloc::{Layout, handle_alloc_error};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Objects allocated here and not released.
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// How many objects of the embedded runtime live in this process, for tests and leak checks.
#[must_use]
pub fn live_objects() -> usize {
    LIVE.load(Ordering::Relaxed)
}

/// Uninitialised memory for an object, aligned to 16 bytes. Ends the process if there is none, as Lean does.
pub(in crate::host) fn alloc(bytes: usize) -> *mut u8 {
    let memory = malloc(bytes);
    LIVE.fetch_add(1, Ordering::Relaxed);
    memory
}

fn malloc(bytes: usize) -> *mut u8 {
    // SAFETY: malloc accepts any size.
    let memory = unsafe { libc::malloc(bytes) }.cast::<u8>();
    if memory.is_null() {
        handle_alloc_error(Layout::from_size_align(bytes, 16).unwrap_or(Layout::new::<u64>()));
    }
    memory
}

/// A copy of the limbs of a bignum, which owns it.
pub(in crate::host) fn alloc_limbs(limbs: &[u64]) -> *mut u64 {
    let copy = malloc(size_of_val(limbs)).cast::<u64>();
    // SAFETY: the copy has room for the limbs and is fresh.
    unsafe { copy.copy_from_nonoverlapping(limbs.as_ptr(), limbs.len()) };
    copy
}

/// Gives back the memory of an object.
///
/// # Safety
/// `memory` is from [`alloc`], and nobody uses it any more.
pub(super) unsafe fn free(memory: *mut u8) {
    // SAFETY: `alloc` has it from malloc, and it is given back once, as nobody uses it afterwards.
    unsafe { libc::free(memory.cast()) };
    LIVE.fetch_sub(1, Ordering::Relaxed);
}
