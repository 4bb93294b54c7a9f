//! What objects are and hold: the tags, numbers of any size, and the root and the region in the result of a read,
//! whatever the host's regions look like.

use super::objects::{lean_region_child, lean_region_child_count, lean_region_dec, lean_region_inc};
use super::objects::{lean_region_io_error_text, lean_region_io_is_ok, lean_region_is_scalar};
use super::{guarded, host, lean_object, loader, obj, raw};
use crate::host::{Generation, Host};
use crate::object::Obj;
use crate::os::thread_text;
use olean_reader::format::object::{self, OBJECT_HEADER};
use std::ffi::CStr;

/// What `lean_region_tag` answers: constructors have a tag from 0 to this one.
pub const LEAN_REGION_TAG_MAX_CTOR: u8 = 243;
/// `lean_region_tag` of a promise.
pub const LEAN_REGION_TAG_PROMISE: u8 = 244;
/// `lean_region_tag` of a closure.
pub const LEAN_REGION_TAG_CLOSURE: u8 = 245;
/// `lean_region_tag` of an array of objects.
pub const LEAN_REGION_TAG_ARRAY: u8 = 246;
/// `lean_region_tag` of an array of structures, which no release of Lean makes.
pub const LEAN_REGION_TAG_STRUCT_ARRAY: u8 = 247;
/// `lean_region_tag` of an array of scalars, such as a `ByteArray`.
pub const LEAN_REGION_TAG_SARRAY: u8 = 248;
/// `lean_region_tag` of a string.
pub const LEAN_REGION_TAG_STRING: u8 = 249;
/// `lean_region_tag` of a bignum: a `Nat` from 2^63 on, an `Int` outside 32 bits.
pub const LEAN_REGION_TAG_BIGNUM: u8 = 250;
/// `lean_region_tag` of a thunk.
pub const LEAN_REGION_TAG_THUNK: u8 = 251;
/// `lean_region_tag` of a task.
pub const LEAN_REGION_TAG_TASK: u8 = 252;
/// `lean_region_tag` of a mutable reference.
pub const LEAN_REGION_TAG_REF: u8 = 253;
/// `lean_region_tag` of an object of the host's own, such as a compactor; no file holds one.
pub const LEAN_REGION_TAG_EXTERNAL: u8 = 254;
/// `lean_region_tag` of a boxed scalar, which is no object.
pub const LEAN_REGION_TAG_SCALAR: u8 = 255;

// The header's numbers are written out; this holds them against those that files are read and written by.
const _: () = {
    assert!(LEAN_REGION_TAG_MAX_CTOR == object::MAX_CTOR_TAG);
    assert!(LEAN_REGION_TAG_PROMISE == object::TAG_PROMISE);
    assert!(LEAN_REGION_TAG_CLOSURE == object::TAG_CLOSURE);
    assert!(LEAN_REGION_TAG_ARRAY == object::TAG_ARRAY);
    assert!(LEAN_REGION_TAG_STRUCT_ARRAY == object::TAG_STRUCT_ARRAY);
    assert!(LEAN_REGION_TAG_SARRAY == object::TAG_SARRAY);
    assert!(LEAN_REGION_TAG_STRING == object::TAG_STRING);
    assert!(LEAN_REGION_TAG_BIGNUM == object::TAG_MPZ);
    assert!(LEAN_REGION_TAG_THUNK == object::TAG_THUNK);
    assert!(LEAN_REGION_TAG_TASK == object::TAG_TASK);
    assert!(LEAN_REGION_TAG_REF == object::TAG_REF);
    assert!(LEAN_REGION_TAG_EXTERNAL == object::TAG_EXTERNAL);
    assert!(LEAN_REGION_TAG_SCALAR == object::TAG_RESERVED);
};

/// The value of a natural number or an integer, be it a boxed scalar or a bignum: the other way of
/// `lean_region_mk_number`.
///
/// @param number   borrowed
/// @param integer  whether to take it as an `Int`: a boxed scalar does not say which of the two it is
/// @param negative where its sign goes: whether it is below zero; may be NULL
/// @param limbs    where its magnitude goes, lowest limb first; may be NULL if `capacity` is 0
/// @param capacity limbs that have room there; what is beyond is left out
/// @param count    where the number of limbs of the whole magnitude goes, 0 for zero; may be NULL
/// @return 0 on success; -1 if `number` is no number (see lean_region_last_error), and then nothing is written
///
/// May be called from several threads at once.
///
/// # Safety
/// `number` is a scalar or a live object; the pointers that are not NULL lead to a `bool`, to `capacity` limbs and to a
/// `size_t`, all writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_number(
    number: *mut lean_object,
    integer: bool,
    negative: *mut bool,
    limbs: *mut u64,
    capacity: usize,
    count: *mut usize,
) -> i32 {
    let Some(host) = host() else {
        return -1;
    };
    let value = guarded(|| {
        let no_number = "lean_region_number: the object is neither a boxed scalar nor a bignum";
        if number.is_null() {
            return Err(no_number.to_owned());
        }
        // SAFETY: a scalar or a live object, which the caller keeps alive during this call.
        unsafe { host.number(obj(number), integer) }.ok_or_else(|| no_number.to_owned())
    });
    let Ok(value) = value else {
        return -1;
    };
    let all = value.limbs();
    // SAFETY: `count` and `negative` are NULL or may be written, and `limbs` has room for `capacity` limbs, by the
    // contract; no more than `capacity` are written.
    unsafe {
        if !count.is_null() {
            count.write(all.len());
        }
        if !negative.is_null() {
            negative.write(value.negative);
        }
        for (i, limb) in all.take(capacity).enumerate() {
            limbs.add(i).write(limb);
        }
    }
    0
}

/// The pair of root and region in `result`, which may be that pair itself; NULL, with the reason for
/// `lean_region_last_error`, if there is none.
///
/// # Safety
/// `result` is NULL, a scalar or a live object.
unsafe fn pair(result: *mut lean_object, function: &str) -> *mut lean_object {
    // A success is a constructor with the pair in its first field, alone or beside the world's token, a scalar. A pair
    // is one with two fields, the second of which is an object: a region structure or a boxed `USize`.
    // SAFETY: a live object each time, asked for children that it has.
    unsafe {
        if !result.is_null() && !lean_region_is_scalar(result) && lean_region_io_is_ok(result) {
            let is_pair = |o: *mut lean_object| {
                !lean_region_is_scalar(o)
                    && lean_region_io_is_ok(o)
                    && lean_region_child_count(o) == 2
                    && !lean_region_is_scalar(lean_region_child(o, 1))
            };
            if is_pair(result) {
                return result;
            }
            let value = lean_region_child(result, 0);
            if !value.is_null() && is_pair(value) {
                return value;
            }
        }
    }
    thread_text::set(&format!(
        "{function}: the object is neither a successful result of a read nor a pair of root and region"
    ));
    std::ptr::null_mut()
}

/// The root of what was read: the object that was saved.
///
/// @param result borrowed: the result of `lean_compacted_region_read`, or a pair out of the array that
///               `lean_read_module_data_parts` answers with
/// @return borrowed, and not from `result`: the root lives until the region is freed, and needs no reference. NULL if
///         `result` is that of a failed read, or anything else (see lean_region_last_error)
///
/// May be called from several threads at once.
///
/// # Safety
/// `result` is NULL, a scalar or a live object.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_read_root(result: *mut lean_object) -> *mut lean_object {
    // SAFETY: a pair has two fields.
    unsafe {
        let pair = pair(result, "lean_region_read_root");
        if pair.is_null() {
            pair
        } else {
            lean_region_child(pair, 0)
        }
    }
}

/// The region of what was read, as the host has it: a structure (v4.32 and later, and without Lean) or a boxed
/// `USize`. It is what the array of dependencies of a save or a read is made of: take a reference for each place there
/// (`lean_region_inc`).
///
/// @param result borrowed: see `lean_region_read_root`
/// @return borrowed from `result`; NULL as for `lean_region_read_root`
///
/// May be called from several threads at once.
///
/// # Safety
/// `result` is NULL, a scalar or a live object.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_read_region(result: *mut lean_object) -> *mut lean_object {
    // SAFETY: a pair has two fields.
    unsafe {
        let pair = pair(result, "lean_region_read_region");
        if pair.is_null() {
            pair
        } else {
            lean_region_child(pair, 1)
        }
    }
}

/// The handle of a region: from the structure, whose region may be freed meanwhile, or the boxed `USize`.
///
/// # Safety
/// `region` is a scalar or a live object.
unsafe fn handle(host: &Host, region: Obj) -> Option<usize> {
    // SAFETY: the contract is the same.
    unsafe {
        let structure = host.read_region_structure(region).map(|facts| facts.buffer);
        structure.or_else(|| host.unbox_usize(region))
    }
}

/// The handle of the region of what was read, which is what `lean_compacted_region_size` and
/// `lean_compacted_region_is_memory_mapped` take.
///
/// @param result borrowed: see `lean_region_read_root`
/// @return the handle, good until the region is freed; 0 where `lean_region_read_root` answers NULL
///
/// May be called from several threads at once.
///
/// # Safety
/// `result` is NULL, a scalar or a live object.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_read_handle(result: *mut lean_object) -> usize {
    let Some(host) = host() else {
        return 0;
    };
    // SAFETY: the contract is the same.
    let pair = unsafe { pair(result, "lean_region_read_handle") };
    if pair.is_null() {
        return 0;
    }
    let found = guarded(|| {
        // SAFETY: the second field of a live pair.
        unsafe { handle(host, obj(lean_region_child(pair, 1))) }
            .ok_or_else(|| "lean_region_read_handle: the pair's second half is no region".to_owned())
    });
    found.unwrap_or(0)
}

/// Frees the region of what was read, in the way of the host, and releases the result: what a destructor calls.
///
/// @param result consumed: the result of `lean_compacted_region_read`, or an owned pair of root and region. That of a
///               failed read is released, and this is a success. NULL is one too
/// @return 0 on success; -1 if its region is no live one (see lean_region_last_error), as when it was freed before; the
///         result is released all the same
///
/// May be called from several threads at once.
///
/// # Safety
/// `result` is NULL or a live object of which the caller owns the only reference. No object of the region is used any
/// more, by no thread and no other region.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_free_read(result: *mut lean_object) -> i32 {
    let Some(host) = host() else {
        return -1;
    };
    if result.is_null() {
        return 0;
    }
    // SAFETY: the caller owns `result`, so everything in it lives until it is released here, and a structure beyond
    // that by the reference taken for it; freeing a structure consumes that reference, and freeing by handle consumes
    // none. The pair's first field lies behind its header, and nobody else looks at it. The text of an error is
    // terminated.
    unsafe {
        if !lean_region_is_scalar(result) && !lean_region_io_is_ok(result) {
            lean_region_dec(result);
            return 0;
        }
        let pair = pair(result, "lean_region_free_read");
        if pair.is_null() {
            lean_region_dec(result);
            return -1;
        }
        let region = lean_region_child(pair, 1);
        let structure = host.read_region_structure(obj(region)).is_some();
        let handle = host.unbox_usize(obj(region));
        if structure {
            lean_region_inc(region);
        }
        if structure || handle.is_some() {
            // The root would be followed when the pair goes, and the region may be gone already. Objects of regions are
            // not counted, so nothing is lost.
            obj(pair).set_word(OBJECT_HEADER, Obj::UNIT.0);
        }
        lean_region_dec(result);
        let freed = match handle {
            _ if structure => loader::lean_compacted_region_free(region),
            // Where regions are structures, a number that is no region's handle would be taken for an object.
            Some(handle) if host.generation() != Generation::Structure => {
                loader::lean_compacted_region_free(raw(Obj(handle)))
            }
            _ => {
                thread_text::set(
                    "lean_region_free_read: the pair's second half is no live region of this host",
                );
                std::ptr::null_mut()
            }
        };
        if freed.is_null() {
            return -1;
        }
        let good = lean_region_io_is_ok(freed);
        if !good {
            let text = lean_region_io_error_text(freed);
            if !text.is_null() {
                thread_text::set(&CStr::from_ptr(text).to_string_lossy());
            }
        }
        lean_region_dec(freed);
        if good { 0 } else { -1 }
    }
}
