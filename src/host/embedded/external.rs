//! Classes of external objects in the embedded runtime: what to call when one is released or visited.

use crate::host::entries::{FinalizeFn, ForeachFn};
use std::ffi::c_void;

/// What the class word of an external object points to (`lean_external_class`).
#[repr(C)]
pub(super) struct ExternalClass {
    pub(super) finalize: FinalizeFn,
    pub(super) foreach: ForeachFn,
}

/// Like Lean's, a class is never released.
pub(super) unsafe extern "C" fn register_external_class(
    finalize: FinalizeFn,
    foreach: ForeachFn,
) -> *mut c_void {
    (&raw mut *Box::leak(Box::new(ExternalClass { finalize, foreach }))).cast()
}
