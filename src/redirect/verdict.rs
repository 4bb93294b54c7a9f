//! What mode compare found: counts, the first difference, and the exit code of a process that found one.
//! Atomics and no locks: calls come from several threads, and the process may end at any moment.

use std::fmt::Write as _;
use std::path::Path;
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use super::attach::complain;
use super::report::{owns_process, push_string};
use crate::os::{env, notes};

/// With the value 1, a process that found a difference ends with [`EXIT_CODE`].
const STRICT: &str = "LEAN_REGION_STRICT";

/// How a process ends that found a difference under `LEAN_REGION_STRICT=1`, whatever its own code was.
pub const EXIT_CODE: i32 = 86;

/// A call whose outcome is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    /// `lean_compacted_region_save`.
    Save,
    /// `lean_compacted_region_read`.
    Read,
}

/// What two loaders did differently.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// In which call.
    pub call: Call,
    /// The file that was saved or read.
    pub file: String,
    /// The file that the host wrote in its place, which was kept.
    pub host_file: Option<String>,
    /// What differs.
    pub detail: String,
}

struct Counts {
    equal: AtomicU64,
    different: AtomicU64,
}

impl Counts {
    const fn new() -> Self {
        Self {
            equal: AtomicU64::new(0),
            different: AtomicU64::new(0),
        }
    }
}

static SAVES: Counts = Counts::new();
static READS: Counts = Counts::new();
static NOT_COMPARED: AtomicU64 = AtomicU64::new(0);
/// Null or leaked, never changed.
static FIRST: AtomicPtr<Finding> = AtomicPtr::new(ptr::null_mut());
static IS_STRICT: AtomicBool = AtomicBool::new(false);

impl Call {
    fn name(self) -> &'static str {
        match self {
            Self::Save => "save",
            Self::Read => "read",
        }
    }

    fn counts(self) -> &'static Counts {
        match self {
            Self::Save => &SAVES,
            Self::Read => &READS,
        }
    }
}

/// Counts a call in which both did the same.
pub fn equal(call: Call) {
    call.counts().equal.fetch_add(1, Ordering::Relaxed);
}

/// Counts a call in which they did not, and says so in one line on stderr.
pub fn different(finding: Finding) {
    finding.call.counts().different.fetch_add(1, Ordering::Relaxed);
    let kept = match &finding.host_file {
        Some(path) => format!("; the host's file is kept as '{path}'"),
        None => String::new(),
    };
    complain(&format!(
        "compare: {} of '{}' differs from the host's: {}{kept}",
        finding.call.name(),
        finding.file,
        finding.detail
    ));
    let new = Box::into_raw(Box::new(finding));
    if FIRST
        .compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Relaxed)
        .is_err()
    {
        // SAFETY: the box made above, which nobody else has seen.
        drop(unsafe { Box::from_raw(new) });
    }
}

/// Counts a call that the host's loader could not be given, and notes why.
pub fn not_compared(file: &str, why: &str) {
    NOT_COMPARED.fetch_add(1, Ordering::Relaxed);
    notes::add(Path::new(file), format!("not compared: {why}"));
}

/// Begins to compare: whether the process's exit code may have to be changed.
pub(super) fn begin() -> bool {
    static AT_EXIT: Once = Once::new();
    let strict = env::var(STRICT).is_some_and(|value| value == "1");
    IS_STRICT.store(strict, Ordering::Relaxed);
    if strict {
        // SAFETY: the handler stays in memory, as this library does. Without an object to belong to, it is run by
        // `exit` itself, and, if registered before the program starts, after all destructors.
        AT_EXIT.call_once(|| unsafe {
            __cxa_atexit(at_exit, ptr::null_mut(), ptr::null_mut());
        });
    }
    strict
}

/// What a forked child begins with. Stores only.
pub(super) fn reset() {
    for counts in [&SAVES, &READS] {
        counts.equal.store(0, Ordering::Relaxed);
        counts.different.store(0, Ordering::Relaxed);
    }
    NOT_COMPARED.store(0, Ordering::Relaxed);
    FIRST.store(ptr::null_mut(), Ordering::Relaxed);
}

/// The code that the process has to end with in place of its own.
fn exit_code() -> Option<i32> {
    let different = [&SAVES, &READS]
        .iter()
        .any(|c| c.different.load(Ordering::Relaxed) > 0);
    (IS_STRICT.load(Ordering::Relaxed) && different && owns_process()).then_some(EXIT_CODE)
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
        // What is left to be done, other handlers and the buffers of streams, is done by this call, which on
        // Linux goes on where the one that led here was (glibc, musl: handlers are taken off before they are
        // called).
        // SAFETY: a handler may call it there; it does not come back.
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

/// The member `compare` of the report, with its comma.
pub(super) fn push_json(out: &mut String) {
    let number = |n: &AtomicU64| n.load(Ordering::Relaxed);
    // Writing to a string does not fail.
    let _ = write!(
        out,
        r#","compare":{{"saves_equal":{},"saves_different":{},"reads_equal":{},"reads_different":{},"not_compared":{},"first_difference":"#,
        number(&SAVES.equal),
        number(&SAVES.different),
        number(&READS.equal),
        number(&READS.different),
        number(&NOT_COMPARED),
    );
    // SAFETY: null, or leaked complete and never changed (`different`).
    match unsafe { FIRST.load(Ordering::Acquire).as_ref() } {
        None => out.push_str("null"),
        Some(first) => {
            let _ = write!(out, r#"{{"call":"{}","file":"#, first.call.name());
            push_string(out, &first.file);
            out.push_str(r#","host_file":"#);
            match &first.host_file {
                None => out.push_str("null"),
                Some(path) => push_string(out, path),
            }
            out.push_str(r#","detail":"#);
            push_string(out, &first.detail);
            out.push('}');
        }
    }
    out.push('}');
}
