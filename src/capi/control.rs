//! This library's own affairs: version, which runtime it works with, the last error.

use super::{guarded, set_last_error};
use crate::host::Host;
use std::ffi::c_char;

/// The version of this library.
///
/// @return a string that lives as long as the process
#[unsafe(no_mangle)]
pub extern "C" fn lean_region_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// Learns which Lean runtime the process has, without changing it: the one that is loaded, or else the embedded
/// runtime. Every other function does the same at its first call; this one tells whether it worked. The choice is
/// made once.
///
/// @return 0 on success, -1 if a runtime is loaded that cannot be used (see lean_region_last_error)
#[unsafe(no_mangle)]
pub extern "C" fn lean_region_bind() -> i32 {
    match guarded(|| Host::get().map_err(|e| e.to_string())) {
        Ok(_) => 0,
        Err(_) => -1,
    }
}

/// What went wrong in the last call on this thread that failed.
///
/// @param out      where the text goes, terminated; may be NULL if capacity is 0
/// @param capacity bytes at `out`; a longer text is cut
/// @return bytes of the whole text without its terminator; 0 if nothing has failed
///
/// # Safety
/// `out` points to `capacity` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_last_error(out: *mut c_char, capacity: usize) -> usize {
    let text = super::LAST_ERROR
        .try_with(|last| last.borrow().clone())
        .ok()
        .flatten()
        .unwrap_or_default();
    // SAFETY: passed on from the caller.
    unsafe { copy_out(&text, out, capacity) }
}

/// Copies `text` and a terminator to `out`, cut to `capacity` bytes; answers the bytes of the whole text.
///
/// # Safety
/// `out` points to `capacity` writable bytes.
pub(super) unsafe fn copy_out(text: &str, out: *mut c_char, capacity: usize) -> usize {
    if let Some(most) = capacity.checked_sub(1) {
        let n = text.len().min(most);
        // SAFETY: at most `capacity` bytes are written, which the caller vouches for.
        unsafe {
            out.cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), n);
            out.add(n).write(0);
        }
    }
    text.len()
}

/// Forgets the last error of this thread.
#[unsafe(no_mangle)]
pub extern "C" fn lean_region_clear_error() {
    set_last_error("");
}
