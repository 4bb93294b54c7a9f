//! The functions of a runtime that the loader calls, by their addresses. The embedded runtime fills the same table with
//! its own.

use super::error::HostError;
use crate::object::Obj;
use crate::os::libraries::OpenObject;
use std::ffi::{CStr, c_void};

// These may throw C++ exceptions, where they run Lean code: see `capi::loader` for what comes of that.

/// A function on one object.
pub(super) type ObjectFn = unsafe extern "C-unwind" fn(Obj);
/// A function from an object to an object.
pub(super) type MapFn = unsafe extern "C-unwind" fn(Obj) -> Obj;
/// A function from two objects to an object.
pub(super) type PairFn = unsafe extern "C-unwind" fn(Obj, Obj) -> Obj;
/// `lean_external_finalize_proc`.
pub(super) type FinalizeFn = unsafe extern "C" fn(*mut c_void);
/// `lean_external_foreach_proc`.
pub(super) type ForeachFn = unsafe extern "C" fn(*mut c_void, Obj);
/// `lean_register_external_class`.
pub(super) type RegisterClassFn = unsafe extern "C" fn(FinalizeFn, ForeachFn) -> *mut c_void;

/// What `lean_alloc_mpz` reads: GMP's `__mpz_struct`.
#[repr(C)]
pub(super) struct MpzStruct {
    pub alloc: i32,
    pub size: i32,
    pub limbs: *const u64,
}

/// Functions of a runtime.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entries {
    /// `lean_dec_ref_cold`: releases one reference of an object whose count is 1 or negative.
    pub dec_ref_cold: ObjectFn,
    /// `lean_mark_mt`: makes everything reachable from a borrowed object countable by several threads.
    pub mark_mt: ObjectFn,
    /// `lean_task_get`: waits for a borrowed task, gives its value borrowed.
    pub task_get: MapFn,
    /// `lean_thunk_get_core`: forces a borrowed thunk without value, gives its value borrowed.
    pub thunk_get_core: MapFn,
    /// `lean_mk_io_user_error`: `IO.userError` of a consumed string.
    pub mk_io_user_error: MapFn,
    /// `lean_register_external_class`.
    pub register_external_class: RegisterClassFn,
    /// `lean_name_mk_string`, both consumed; else the name is built here.
    pub name_mk_string: Option<PairFn>,
    /// `lean_name_mk_numeral`, both consumed; else the name is built here.
    pub name_mk_numeral: Option<PairFn>,
    /// `lean_alloc_mpz`: an object with a copy of the number.
    pub alloc_mpz: Option<unsafe extern "C" fn(*const MpzStruct) -> Obj>,
    /// `lean_st_ref_get` of a borrowed reference, and the world, which only some take: its value, owned, or an IO
    /// result with that.
    pub st_ref_get: Option<PairFn>,
    /// `lean_object_byte_size` of a borrowed object.
    pub object_byte_size: Option<unsafe extern "C" fn(Obj) -> usize>,
}

/// Looks up a function and gives its address the type that the context asks for. Only for the function
/// pointer types of this folder, with the signature the runtime declares for `name`.
///
/// # Safety
/// `F` is a function pointer type that agrees with the C declaration of `name`.
pub(super) unsafe fn function<F: Copy>(library: &OpenObject, name: &CStr) -> Option<F> {
    const { assert!(size_of::<F>() == size_of::<usize>()) };
    let address = library.symbol(name)?;
    // SAFETY: the address is that of the function `name`, whose type is `F` by the contract; a function pointer has
    // the size of an address, which is asserted above. The library stays loaded as long as the host is used.
    Some(unsafe { std::mem::transmute_copy(&address) })
}

impl Entries {
    /// The functions of the runtime in `library`.
    pub(super) fn of(library: &OpenObject) -> Result<Self, HostError> {
        let missing = |symbol| HostError::MissingSymbol {
            library: library.object().path.clone(),
            symbol,
        };
        // SAFETY: the field types are the signatures that lean.h declares; `Obj` is passed like the pointer it wraps.
        unsafe {
            Ok(Self {
                dec_ref_cold: function(library, c"lean_dec_ref_cold")
                    .ok_or_else(|| missing("lean_dec_ref_cold"))?,
                mark_mt: function(library, c"lean_mark_mt").ok_or_else(|| missing("lean_mark_mt"))?,
                task_get: function(library, c"lean_task_get").ok_or_else(|| missing("lean_task_get"))?,
                thunk_get_core: function(library, c"lean_thunk_get_core")
                    .ok_or_else(|| missing("lean_thunk_get_core"))?,
                mk_io_user_error: function(library, c"lean_mk_io_user_error")
                    .ok_or_else(|| missing("lean_mk_io_user_error"))?,
                register_external_class: function(library, c"lean_register_external_class")
                    .ok_or_else(|| missing("lean_register_external_class"))?,
                name_mk_string: function(library, c"lean_name_mk_string"),
                name_mk_numeral: function(library, c"lean_name_mk_numeral"),
                alloc_mpz: function(library, c"lean_alloc_mpz"),
                st_ref_get: function(library, c"lean_st_ref_get"),
                object_byte_size: function(library, c"lean_object_byte_size"),
            })
        }
    }
}
