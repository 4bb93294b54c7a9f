//! The exit code of a process in which mode compare found a difference, or that could not be attached.

use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use super::process::{own_process, owns_process};
use super::verdict;
use crate::os::env;

/// Switched on, a process that found a difference, or could not be attached, ends with [`EXIT_CODE`].
const STRICT: &str = "LEAN_REGION_STRICT";

/// How a process ends that found a difference under `LEAN_REGION_STRICT=1`, whatever its own code was.
pub const EXIT_CODE: i32 = 86;

static IS_STRICT: AtomicBool = AtomicBool::new(false);

/// Whether the process was to be attached and is not.
static NOT_ATTACHED: AtomicBool = AtomicBool::new(false);

/// Says that the process is not attached although it was to be: whether its exit code has to be changed for that.
pub(super) fn not_attached() -> bool {
    NOT_ATTACHED.store(true, Ordering::Relaxed);
    own_process();
    begin()
}

/// Begins to compare: whether the process's exit code may have to be changed.
pub(super) fn begin() -> bool {
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    let strict = env::switch(STRICT, true);
    IS_STRICT.store(strict, Ordering::Relaxed);
    if strict && !REGISTERED.swap(true, Ordering::Relaxed) {
        // SAFETY: the handler stays in memory, as this library does. Without an object to belong to, it is run by
        // `exit` itself, and, if registered before the program starts, after all destructors.
        unsafe { __cxa_atexit(at_exit, ptr::null_mut(), ptr::null_mut()) };
    }
    strict
}

/// The code that the process has to end with in place of its own.
fn exit_code() -> Option<i32> {
    let failed = verdict::any_different() || NOT_ATTACHED.load(Ordering::Relaxed);
    (IS_STRICT.load(Ordering::Relaxed) && failed && owns_process()).then_some(EXIT_CODE)
}

unsafe extern "C" {
    /// Itanium C++ ABI, section 3.3.6.3: registers what `exit` has to call.
    fn __cxa_atexit(
        function: unsafe extern "C" fn(*mut libc::c_void),
        argument: *mut libc::c_void,
        object: *mut libc::c_void,
    ) -> libc::c_int;
    /// POSIX: takes the lock of a stream if that is possible at once.
    fn ftrylockfile(stream: *mut libc::FILE) -> libc::c_int;
    fn funlockfile(stream: *mut libc::FILE);
    static stdout: *mut libc::FILE;
    static stderr: *mut libc::FILE;
}

unsafe extern "C" fn at_exit(_: *mut libc::c_void) {
    if let Some(code) = exit_code() {
        // An exit handler cannot change the code that the process ends with except by a call of `exit` of its own. In
        // glibc and musl that is allowed and goes on where the first `exit` was: a handler is taken off the list before it
        // is called, so the handlers still on it run once, then streams are flushed, and the process ends with our code.
        // SAFETY: as just said, a handler may call `exit` in these libraries; it does not return.
        unsafe { libc::exit(code) }
    }
}

/// The code to end with when the host asks for `status` by `_exit`, which flushes nothing: if it is another one,
/// the standard streams are flushed first, unless a thread is using them.
pub(super) fn exit_status(status: i32) -> i32 {
    let Some(code) = exit_code() else {
        return status;
    };
    // SAFETY: the streams of the C library, which live as long as the process; flushed while locked, and only
    // if no thread that may never go on holds the lock.
    unsafe {
        for stream in [stdout, stderr] {
            if ftrylockfile(stream) == 0 {
                libc::fflush(stream);
                funlockfile(stream);
            }
        }
    }
    code
}
