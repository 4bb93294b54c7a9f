//! What is done when an attached process forks or ends, however it ends: the report is written, and mode compare may
//! change the exit code.

use std::ffi::CStr;
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::attachment::{self, Attachment};
use super::mode::Mode;
use super::process::{own_process, owns_process};
use super::{exit_code, report, verdict};
use crate::os::{counters, env, notes, saved_files};

/// `%p` in the value stands for the process id.
const VARIABLE: &str = "LEAN_REGION_REPORT";

/// Whether this is a forked child of the process that attached.
static FORKED: AtomicBool = AtomicBool::new(false);
static WRITTEN: AtomicBool = AtomicBool::new(false);

/// Notes that the process is attached now. Answers whether there is something to do when it ends.
pub(super) fn begin(mode: Mode, names: Vec<&'static CStr>) -> bool {
    static HANDLED: AtomicBool = AtomicBool::new(false);
    if !HANDLED.swap(true, Ordering::Relaxed) {
        // SAFETY: the handler does nothing but atomic stores and getpid, which a forked child may.
        unsafe { libc::pthread_atfork(None, None, Some(after_fork)) };
    }
    let report = env::var(VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from);
    // The process may change its directory.
    let report = report.map(|path| std::path::absolute(&path).unwrap_or(path));
    saved_files::keep(report.is_some());
    let strict = mode == Mode::Compare && exit_code::begin();
    let wanted = report.is_some() || strict;
    own_process();
    attachment::set(Some(Attachment { mode, names, report }));
    wanted
}

/// Notes that the process is no longer attached.
pub(super) fn end() {
    attachment::set(None);
}

unsafe extern "C" fn after_fork() {
    counters::reset();
    notes::reset();
    saved_files::reset();
    verdict::reset();
    own_process();
    FORKED.store(true, Ordering::Relaxed);
    WRITTEN.store(false, Ordering::Relaxed);
}

/// What the host's `_exit` and `_Exit` lead to.
pub(super) extern "C" fn leave(status: i32) -> ! {
    write_at_exit();
    // SAFETY: what the caller asked for.
    unsafe { libc::_exit(exit_code::exit_status(status)) }
}

/// Writes the report of an attached process that ends, once. Takes no lock of this library's. Does
/// nothing in a process that shares memory with the attached one, and nothing in a forked child that
/// never called the loader.
pub fn write_at_exit() {
    let Some(attachment) = attachment::current() else {
        return;
    };
    let Some(path) = &attachment.report else { return };
    let called = [&counters::SAVE, &counters::READ, &counters::FREE]
        .iter()
        .any(|c| c.counts().calls > 0);
    if !owns_process() || FORKED.load(Ordering::Relaxed) && !called || WRITTEN.swap(true, Ordering::Relaxed) {
        return;
    }
    // A panic must neither cross into C nor keep the process from ending.
    let _ = catch_unwind(|| {
        // SAFETY: the runtime is the one that the process was attached to, which has been initialised by the time that the
        // process ends, and stays usable until it is gone: its memory is never given up.
        unsafe { report::write(path) };
    });
}
