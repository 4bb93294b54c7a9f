//! This library's own affairs: version, which runtime it works with, swapping itself in and out, the report, the last
//! error.

use super::{ctor, guarded};
use crate::host::Host;
use crate::os::thread_text;
use crate::redirect::{self, report};
use crate::region::calls;
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

/// Swaps this library in: the loader functions of the Lean runtime in this process lead here from now on, or as
/// LEAN_REGION_MODE says. A preloaded library does this by itself; call it for a runtime that was loaded later. Doing
/// it twice changes nothing.
///
/// @return 0 on success; -1 if no runtime is loaded or it cannot be redirected (see lean_region_last_error), and then the
///         runtime is untouched and this library's functions of its names pass calls on to it
///
/// # Safety
/// No other thread is in a loader function or calls one meanwhile. No region and no compactor of the runtime's own is
/// alive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_attach() -> i32 {
    // SAFETY: the contract is the same; `attach_now` gives it our own entry points, which are made for it.
    let attach = || unsafe { ctor::attach_now() };
    guarded(|| attach().map_err(|e| e.to_string())).map_or(-1, |()| 0)
}

/// Undoes lean_region_attach, or what the preloaded library did.
///
/// @return 0 on success; -1 if not attached, or a region of this library is still alive, which the runtime could not free
///         (see lean_region_last_error)
///
/// # Safety
/// No other thread is in a loader function or calls one meanwhile. No compactor of this library is alive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_detach() -> i32 {
    // SAFETY: the contract is the same.
    let detach = || unsafe { redirect::detach(calls::live) };
    guarded(|| detach().map_err(|e| e.to_string())).map_or(-1, |()| 0)
}

/// What was attached to and what the loader did so far, as one line of JSON: what LEAN_REGION_REPORT writes when the
/// process ends.
///
/// @param out      where the text goes, terminated; may be NULL if capacity is 0
/// @param capacity bytes at `out`; a longer text is cut
/// @return bytes of the whole text without its terminator
///
/// May be called from several threads at once, where the runtime can allocate.
///
/// # Safety
/// The runtime can allocate on this thread. `out` points to `capacity` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_report(out: *mut c_char, capacity: usize) -> usize {
    // SAFETY: this function, too, is called where the runtime can allocate.
    let text = guarded(|| Ok(unsafe { report::json() })).unwrap_or_default();
    // SAFETY: the contract is the same.
    unsafe { copy_out(&text, out, capacity) }
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
    // SAFETY: the contract is the same.
    thread_text::with(|text| unsafe { copy_out(text, out, capacity) })
}

/// Copies `text` and a terminator to `out`, cut to `capacity` bytes; answers the bytes of the whole text.
///
/// # Safety
/// `out` points to `capacity` writable bytes.
pub(super) unsafe fn copy_out(text: &str, out: *mut c_char, capacity: usize) -> usize {
    if let Some(most) = capacity.checked_sub(1) {
        let n = text.len().min(most);
        // SAFETY: `n` bytes and the terminator are at most `capacity`, and so many are writable by the contract. The
        // text is ours, and what the caller may write is not.
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
    thread_text::set("");
}
