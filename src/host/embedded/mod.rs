//! The embedded runtime: what stands in for Lean's where a process has none, so that a C program can build
//! objects, save and load them. Objects lie in memory of the C library's malloc and record their sizes as
//! mimalloc builds of Lean do, so that files have the bytes that releases write.
//!
//! There is nothing here that runs Lean code: thunks and tasks always have their value, closures are never
//! called.

use super::entries::{Entries, FinalizeFn, ForeachFn};
use crate::object::Obj;
use olean_reader::format::layout::OBJECT_HEADER;
use std::alloc::{Layout, handle_alloc_error};
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};

pub mod hash;
mod release;

/// Tag of the constructor `IO.Error.userError` (spec section 3).
const TAG_USER_ERROR: u8 = 18;

/// Objects allocated here and not released.
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// How many objects of the embedded runtime live in this process, for tests and leak checks.
#[must_use]
pub fn live_objects() -> usize {
    LIVE.load(Ordering::Relaxed)
}

/// The version that the embedded runtime writes into files: our own, not that of any Lean.
pub(super) const VERSION: &str = concat!("lean-region ", env!("CARGO_PKG_VERSION"));

/// The functions of the embedded runtime.
pub(super) fn entries() -> Entries {
    Entries {
        dec_ref_cold: release::dec_ref_cold,
        mark_mt: release::mark_mt,
        task_get: value_of_finished,
        thunk_get_core: value_of_finished,
        mk_io_user_error,
        register_external_class,
        name_mk_string: None,
        name_mk_numeral: None,
        alloc_mpz: None,
        object_byte_size: None,
    }
}

/// Uninitialised memory for an object, aligned to 16 bytes. Ends the process if there is none, as Lean does.
pub(super) fn alloc(bytes: usize) -> *mut u8 {
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
pub(super) fn alloc_limbs(limbs: &[u64]) -> *mut u64 {
    let copy = malloc(size_of_val(limbs)).cast::<u64>();
    // SAFETY: the copy has room for the limbs and is fresh.
    unsafe { copy.copy_from_nonoverlapping(limbs.as_ptr(), limbs.len()) };
    copy
}

/// `lean_task_get` and `lean_thunk_get_core`: the value is always there already, so this only reads it.
///
/// # Safety
/// `o` is a live thunk or task.
unsafe extern "C" fn value_of_finished(o: Obj) -> Obj {
    // SAFETY: both kinds keep their value in the word after the header.
    unsafe { Obj(o.word(OBJECT_HEADER)) }
}

/// # Safety
/// `text` is an owned string.
unsafe extern "C" fn mk_io_user_error(text: Obj) -> Obj {
    let bytes = OBJECT_HEADER + 8;
    let memory = alloc(bytes);
    // SAFETY: 16 fresh bytes: the header (count 1, size, one field, tag) and the field.
    unsafe {
        memory
            .cast::<u64>()
            .write(1 | (bytes as u64) << 32 | 1 << 48 | u64::from(TAG_USER_ERROR) << 56);
        memory.add(OBJECT_HEADER).cast::<Obj>().write(text);
    }
    Obj(memory as usize)
}

/// What the class word of an external object points to (`lean_external_class`).
#[repr(C)]
struct ExternalClass {
    finalize: FinalizeFn,
    foreach: ForeachFn,
}

/// Like Lean's, a class is never released.
unsafe extern "C" fn register_external_class(finalize: FinalizeFn, foreach: ForeachFn) -> *mut c_void {
    (&raw mut *Box::leak(Box::new(ExternalClass { finalize, foreach }))).cast()
}
