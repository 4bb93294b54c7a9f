//! The embedded runtime: what stands in for Lean's where a process has none, so that a C program can build
//! objects, save and load them. Objects lie in memory of the C library's malloc and record their sizes as
//! mimalloc builds of Lean do, so that files have the bytes that releases write.
//!
//! There is nothing here that runs Lean code: thunks and tasks always have their value, closures are never
//! called.

use super::entries::Entries;
use super::refcount::inc;
use crate::object::Obj;
use olean_reader::format::object::OBJECT_HEADER;
use std::sync::atomic::{AtomicUsize, Ordering};

mod external;

mod memory;
mod release;

pub use memory::live_objects;
pub(super) use memory::{alloc, alloc_limbs};

/// Tag of the constructor `IO.Error.userError`: its place among the constructors of `IO.Error`.
const TAG_USER_ERROR: u8 = 18;

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
        register_external_class: external::register_external_class,
        name_mk_string: None,
        name_mk_numeral: None,
        alloc_mpz: None,
        st_ref_get: Some(value_of_reference),
        object_byte_size: None,
    }
}

/// `lean_task_get` and `lean_thunk_get_core`: the value is always there already, so this only reads it.
///
/// # Safety
/// `o` is a live thunk or task.
unsafe extern "C-unwind" fn value_of_finished(o: Obj) -> Obj {
    // SAFETY: both kinds keep their value in the word after the header.
    unsafe { Obj(o.word(OBJECT_HEADER)) }
}

/// `lean_st_ref_get`. Nothing here ever takes the value out of a reference, so it is there.
///
/// # Safety
/// `o` is a live reference.
unsafe extern "C-unwind" fn value_of_reference(o: Obj, _world: Obj) -> Obj {
    // SAFETY: a reference keeps its value in the word after the header, which threads access atomically.
    unsafe {
        let word = &*o.ptr().add(OBJECT_HEADER).cast::<AtomicUsize>();
        let value = Obj(word.load(Ordering::Acquire));
        inc(value);
        value
    }
}

/// # Safety
/// `text` is an owned string.
unsafe extern "C-unwind" fn mk_io_user_error(text: Obj) -> Obj {
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
