//! What this process is attached as: the mode, the functions redirected, where its report goes. Read at exit without a
//! lock.

use std::ffi::CStr;
use std::path::PathBuf;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::mode::Mode;

/// What an attached process is.
pub(super) struct Attachment {
    /// Who serves.
    pub mode: Mode,
    /// The functions redirected.
    pub names: Vec<&'static CStr>,
    /// The value of `LEAN_REGION_REPORT`, made absolute.
    pub report: Option<PathBuf>,
}

/// Null while detached. Never freed: read at exit without a lock.
static ATTACHMENT: AtomicPtr<Attachment> = AtomicPtr::new(ptr::null_mut());

/// Notes what the process is attached as now; `None` that it is no longer.
pub(super) fn set(attachment: Option<Attachment>) {
    let new = attachment.map_or(ptr::null_mut(), |a| Box::into_raw(Box::new(a)));
    ATTACHMENT.store(new, Ordering::Release);
}

/// What the process is attached as.
pub(super) fn current() -> Option<&'static Attachment> {
    // SAFETY: null or leaked by `set`, complete and never changed.
    unsafe { ATTACHMENT.load(Ordering::Acquire).as_ref() }
}
