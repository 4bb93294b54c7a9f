//! Objects for programs without Lean: made and looked into through the host of this process, the embedded runtime
//! if there is no other. Where a Lean runtime is bound, these make its objects.

use super::{guarded, host, lean_object, obj, raw};
use crate::host::{Host, embedded};
use crate::object::Obj;
use olean_reader::format::object::{
    ARRAY_HEADER, MAX_CTOR_TAG, OBJECT_HEADER, TAG_CLOSURE, TAG_SARRAY, TAG_STRING,
};
use std::ffi::{c_char, c_void};

/// Makes an object, or NULL with the reason for `lean_region_last_error`.
fn make(f: impl FnOnce(&Host) -> Result<Obj, String>) -> *mut lean_object {
    let Some(host) = host() else {
        return std::ptr::null_mut();
    };
    guarded(|| f(host)).map_or(std::ptr::null_mut(), raw)
}

/// The bytes at `data`.
///
/// # Safety
/// `data` points to `count` readable values, or `count` is 0.
unsafe fn slice<'a, T>(data: *const T, count: usize) -> &'a [T] {
    if count == 0 {
        return &[];
    }
    // SAFETY: `data` points to `count` values by the contract, and as there are some it is not null.
    unsafe { std::slice::from_raw_parts(data, count) }
}

/// Whether `o` is an object with this tag.
///
/// # Safety
/// `o` is a scalar or a live object.
unsafe fn has_tag(o: Obj, tag: u8) -> bool {
    // SAFETY: not a scalar, so a live object.
    !o.is_scalar() && unsafe { o.kind().tag } == tag
}

/// The boxed scalar `value`; its top bit is lost.
#[unsafe(no_mangle)]
pub extern "C" fn lean_region_box(value: usize) -> *mut lean_object {
    raw(Obj::boxed(value))
}

/// The value of a boxed scalar.
#[unsafe(no_mangle)]
pub extern "C" fn lean_region_unbox(scalar: *mut lean_object) -> usize {
    obj(scalar).unbox()
}

/// Whether an object is a boxed scalar.
#[unsafe(no_mangle)]
pub extern "C" fn lean_region_is_scalar(object: *mut lean_object) -> bool {
    obj(object).is_scalar()
}

/// Takes a reference more.
///
/// # Safety
/// `object` is a scalar or a live object.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_inc(object: *mut lean_object) {
    if let Some(host) = host() {
        // SAFETY: the contract is the same.
        unsafe { host.inc(obj(object)) }
    }
}

/// Gives up a reference; the last one releases the object and what it owns.
///
/// # Safety
/// `object` is a scalar or a live object of which the caller owns a reference.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_dec(object: *mut lean_object) {
    if let Some(host) = host() {
        // SAFETY: the contract is the same.
        unsafe { host.dec(obj(object)) }
    }
}

/// Objects of the embedded runtime that are alive.
#[unsafe(no_mangle)]
pub extern "C" fn lean_region_live_objects() -> usize {
    embedded::live_objects()
}

/// Regions of this library that are alive.
#[unsafe(no_mangle)]
pub extern "C" fn lean_region_live_regions() -> usize {
    crate::region::calls::live()
}

/// Tag of an object; 255 for a boxed scalar.
///
/// # Safety
/// `object` is a scalar or a live object.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_tag(object: *mut lean_object) -> u8 {
    let o = obj(object);
    if o.is_scalar() {
        return 255;
    }
    // SAFETY: not a scalar, so a live object.
    unsafe { o.kind().tag }
}

/// Children of an object: fields of a constructor, elements of an array, captured arguments of a closure, the value
/// of a thunk, task, reference or promise; none of anything else.
///
/// # Safety
/// `object` is a scalar or a live object.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_child_count(object: *mut lean_object) -> usize {
    let o = obj(object);
    if o.is_scalar() {
        return 0;
    }
    // SAFETY: a live object.
    unsafe { o.pointers(o.kind()) }.map_or(0, |(_, count)| count)
}

/// A child of an object, borrowed from it: see `lean_region_child_count`. NULL behind the last one.
///
/// # Safety
/// `object` is a scalar or a live object; of a task or thunk the value must be there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_child(object: *mut lean_object, index: usize) -> *mut lean_object {
    let o = obj(object);
    if o.is_scalar() {
        return std::ptr::null_mut();
    }
    // SAFETY: a live object; the field is one of those that it has.
    unsafe {
        match o.pointers(o.kind()) {
            Some((first, count)) if index < count => raw(Obj(o.word(first + 8 * index))),
            _ => std::ptr::null_mut(),
        }
    }
}

/// A constructor.
///
/// @param tag          0 to 243
/// @param fields       consumed objects
/// @param field_count  at most 255
/// @param scalars      bytes behind the fields: `USize` first, then by falling size
/// @param scalar_bytes fewer than 1024
/// @return owned; NULL if an argument is out of range
///
/// # Safety
/// The pointers lead to as many values as the counts say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_mk_ctor(
    tag: u8,
    fields: *const *mut lean_object,
    field_count: usize,
    scalars: *const u8,
    scalar_bytes: usize,
) -> *mut lean_object {
    make(|host| {
        if tag > MAX_CTOR_TAG || field_count > 255 || scalar_bytes >= 1024 {
            return Err("lean_region_mk_ctor: tag, number of fields or scalar bytes out of range".to_owned());
        }
        if field_count == 0 && scalar_bytes == 0 {
            return Ok(Obj::boxed(tag.into()));
        }
        // SAFETY: fields and scalars can be read by the contract; an object pointer is laid out like an `Obj`.
        unsafe {
            Ok(host.mk_ctor(
                tag,
                slice(fields.cast::<Obj>(), field_count),
                slice(scalars, scalar_bytes),
            ))
        }
    })
}

/// Bytes behind the fields of a constructor, borrowed; NULL if `object` is none. Their number is not recorded by every
/// runtime.
///
/// # Safety
/// `object` is a scalar or a live object.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_ctor_scalars(object: *mut lean_object) -> *mut u8 {
    let o = obj(object);
    // SAFETY: a live constructor has its scalars behind its fields.
    unsafe {
        if o.is_scalar() || o.kind().tag > MAX_CTOR_TAG {
            return std::ptr::null_mut();
        }
        o.ptr().add(OBJECT_HEADER + 8 * usize::from(o.kind().other))
    }
}

/// A string.
///
/// @param text  UTF-8
/// @param bytes its length without any terminator
/// @return owned; NULL if `text` is no UTF-8
///
/// # Safety
/// `text` points to `bytes` readable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_mk_string(text: *const c_char, bytes: usize) -> *mut lean_object {
    make(|host| {
        // SAFETY: the bytes can be read by the contract.
        let text = std::str::from_utf8(unsafe { slice(text.cast::<u8>(), bytes) });
        let text = text.map_err(|e| format!("lean_region_mk_string: {e}"))?;
        // SAFETY: a runtime is bound, and this function is called where objects may be made.
        Ok(unsafe { host.mk_string(text) })
    })
}

/// The text of a string, terminated, borrowed; NULL if `object` is none.
///
/// # Safety
/// `object` is a scalar or a live object.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_string_text(object: *mut lean_object) -> *const c_char {
    let o = obj(object);
    // SAFETY: a live string, whose bytes nobody changes while the caller may look at them.
    unsafe {
        if has_tag(o, TAG_STRING) {
            o.string_bytes().as_ptr().cast()
        } else {
            std::ptr::null()
        }
    }
}

/// Bytes of a string without its terminator; 0 if `object` is none.
///
/// # Safety
/// `object` is a scalar or a live object.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_string_bytes(object: *mut lean_object) -> usize {
    let o = obj(object);
    // SAFETY: a live string has its size behind its header.
    unsafe { if has_tag(o, TAG_STRING) { o.size() - 1 } else { 0 } }
}

/// An array.
///
/// @param elements consumed objects
/// @return owned
///
/// # Safety
/// `elements` points to `count` objects.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_mk_array(
    elements: *const *mut lean_object,
    count: usize,
) -> *mut lean_object {
    // SAFETY: the elements can be read by the contract; an object pointer is laid out like an `Obj`.
    make(|host| Ok(unsafe { host.mk_array(slice(elements.cast::<Obj>(), count)) }))
}

/// An array of scalars.
///
/// @param element_size 1, 2, 4 or 8
/// @param data         the elements
/// @param bytes        their bytes, a multiple of `element_size`
/// @return owned; NULL if an argument is out of range
///
/// # Safety
/// `data` points to `bytes` readable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_mk_sarray(
    element_size: u8,
    data: *const u8,
    bytes: usize,
) -> *mut lean_object {
    make(|host| {
        if !matches!(element_size, 1 | 2 | 4 | 8) || !bytes.is_multiple_of(usize::from(element_size)) {
            return Err(
                "lean_region_mk_sarray: the element size is none, or does not divide the bytes".to_owned(),
            );
        }
        // SAFETY: the bytes can be read by the contract, and the element size divides them.
        Ok(unsafe { host.mk_sarray(element_size, slice(data, bytes)) })
    })
}

/// The elements of an array of scalars, borrowed; NULL if `object` is none. Their number is `lean_region_sarray_size`.
///
/// # Safety
/// `object` is a scalar or a live object.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_sarray_data(object: *mut lean_object) -> *mut u8 {
    let o = obj(object);
    // SAFETY: a live scalar array has its elements behind its header.
    unsafe {
        if has_tag(o, TAG_SARRAY) {
            o.ptr().add(ARRAY_HEADER)
        } else {
            std::ptr::null_mut()
        }
    }
}

/// Elements of an array of scalars; 0 if `object` is none.
///
/// # Safety
/// `object` is a scalar or a live object.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_sarray_size(object: *mut lean_object) -> usize {
    let o = obj(object);
    // SAFETY: a live scalar array has its size behind its header.
    unsafe { if has_tag(o, TAG_SARRAY) { o.size() } else { 0 } }
}

/// The name `prefix.string` (both consumed), with its hash.
///
/// @return owned
///
/// # Safety
/// `prefix` is a name (`lean_region_box(0)` is the anonymous one), `string` a string; the caller owns both.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_mk_name_str(
    prefix: *mut lean_object,
    string: *mut lean_object,
) -> *mut lean_object {
    // SAFETY: a name and its component, both the caller's to give, by the contract.
    make(|host| Ok(unsafe { host.mk_name_str(obj(prefix), obj(string)) }))
}

/// The name `prefix.number` (both consumed), with its hash.
///
/// @return owned
///
/// # Safety
/// `prefix` is a name, `number` a natural number; the caller owns both.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_mk_name_num(
    prefix: *mut lean_object,
    number: *mut lean_object,
) -> *mut lean_object {
    // SAFETY: a name and its component, both the caller's to give, by the contract.
    make(|host| Ok(unsafe { host.mk_name_num(obj(prefix), obj(number)) }))
}

/// An integer or natural number of any size.
///
/// @param negative whether its sign is minus; a natural number has none
/// @param integer  whether it is an `Int`, whose small values end at 2^31 and not at 2^63
/// @param limbs    its magnitude, lowest limb first
/// @param count    limbs
/// @return owned; NULL if it needs a bignum and the runtime offers no way to make one
///
/// # Safety
/// `limbs` points to `count` readable limbs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_mk_number(
    negative: bool,
    integer: bool,
    limbs: *const u64,
    count: usize,
) -> *mut lean_object {
    make(|host| {
        // SAFETY: the limbs can be read by the contract.
        let made = unsafe {
            let limbs = slice(limbs, count);
            if integer {
                host.mk_int_from_limbs(negative, limbs)
            } else {
                host.mk_nat_from_limbs(limbs)
            }
        };
        made.ok_or_else(|| "lean_region_mk_number: this runtime exports no way to make a bignum".to_owned())
    })
}

/// An evaluated thunk with `value` (consumed).
///
/// @return owned
///
/// # Safety
/// The caller owns `value`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_mk_thunk(value: *mut lean_object) -> *mut lean_object {
    // SAFETY: the argument is an object that is the caller's to give, by the contract.
    make(|host| Ok(unsafe { host.mk_thunk(obj(value)) }))
}

/// A finished task with `value` (consumed).
///
/// @return owned
///
/// # Safety
/// The caller owns `value`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_mk_task(value: *mut lean_object) -> *mut lean_object {
    // SAFETY: the argument is an object that is the caller's to give, by the contract.
    make(|host| Ok(unsafe { host.mk_task(obj(value)) }))
}

/// A promise that `task` (consumed) resolves.
///
/// @return owned
///
/// # Safety
/// The caller owns `task`, which is a task.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_mk_promise(task: *mut lean_object) -> *mut lean_object {
    // SAFETY: the argument is an object that is the caller's to give, by the contract.
    make(|host| Ok(unsafe { host.mk_promise(obj(task)) }))
}

/// A mutable reference to `value` (consumed).
///
/// @return owned
///
/// # Safety
/// The caller owns `value`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_mk_ref(value: *mut lean_object) -> *mut lean_object {
    // SAFETY: the argument is an object that is the caller's to give, by the contract.
    make(|host| Ok(unsafe { host.mk_ref(obj(value)) }))
}

/// A closure.
///
/// @param code  what it calls; it must be code of a loaded library for the closure to be saved
/// @param arity parameters of `code`
/// @param args  consumed objects: the first arguments
/// @param count fewer than `arity`
/// @return owned; NULL if there are too many arguments
///
/// # Safety
/// `code` is a function of `arity` objects that returns one; `args` points to `count` objects.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_mk_closure(
    code: *const c_void,
    arity: u16,
    args: *const *mut lean_object,
    count: usize,
) -> *mut lean_object {
    make(|host| {
        if count >= arity.into() {
            return Err("lean_region_mk_closure: a closure holds fewer arguments than its arity".to_owned());
        }
        let most = host.max_closure_args();
        if count > most {
            return Err(format!(
                "lean_region_mk_closure: a closure of this runtime holds at most {most} arguments"
            ));
        }
        // SAFETY: the code takes `arity` arguments and the given ones can be read, by the contract; they are fewer.
        Ok(unsafe { host.mk_closure(code, arity, slice(args.cast::<Obj>(), count)) })
    })
}

/// The code of a closure; NULL if `object` is none.
///
/// # Safety
/// `object` is a scalar or a live object.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_closure_code(object: *mut lean_object) -> *const c_void {
    let o = obj(object);
    // SAFETY: a live closure has its code address behind its header.
    unsafe {
        if has_tag(o, TAG_CLOSURE) {
            o.word(8) as *const c_void
        } else {
            std::ptr::null()
        }
    }
}

/// The arity of a closure; 0 if `object` is none.
///
/// # Safety
/// `object` is a scalar or a live object.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_closure_arity(object: *mut lean_object) -> u16 {
    let o = obj(object);
    // SAFETY: a live closure has its arity behind its code address.
    unsafe {
        if has_tag(o, TAG_CLOSURE) {
            o.word(16) as u16
        } else {
            0
        }
    }
}

/// Whether an IO result is a success. Its value, or its error, is `lean_region_child(result, 0)`.
///
/// # Safety
/// `result` is a live IO result.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_io_is_ok(result: *mut lean_object) -> bool {
    // SAFETY: an IO result is a constructor; tag 0 is success.
    unsafe { has_tag(obj(result), 0) }
}

/// The text of the `IO.userError` in a failed IO result, terminated, borrowed; NULL if it is a success or another
/// error.
///
/// # Safety
/// `result` is a live IO result.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_io_error_text(result: *mut lean_object) -> *const c_char {
    // SAFETY: an error is a constructor, whose first field, if it has one, is a live object.
    unsafe {
        let error = lean_region_child(result, 0);
        if lean_region_io_is_ok(result) || error.is_null() {
            return std::ptr::null();
        }
        let text = lean_region_child(error, 0);
        if text.is_null() {
            std::ptr::null()
        } else {
            lean_region_string_text(text)
        }
    }
}
