//! What stands in for the host's loader functions in mode observe: each calls the host's own function and
//! counts, times and measures what it did.
//!
//! The functions let an exception of the host's through, as the function they stand in for does.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

use super::attach::{self, Entry, FREE, READ, SAVE};
use crate::host::Host;
use crate::object::Obj;
use crate::os::counters;

type SaveFn = unsafe extern "C-unwind" fn(Obj, Obj, Obj, Obj, Obj, u8) -> Obj;
type ReadFn = unsafe extern "C-unwind" fn(Obj, Obj) -> Obj;
type FreeFn = unsafe extern "C-unwind" fn(Obj) -> Obj;

/// The stand-ins of mode observe, for hosts of the structure generation.
#[must_use]
pub fn table() -> Vec<Entry> {
    vec![
        (SAVE, save as SaveFn as usize),
        (READ, read as ReadFn as usize),
        (FREE, free as FreeFn as usize),
    ]
}

/// Offset of a string's bytes (spec section 1.3).
const STRING_DATA: usize = 32;
/// Tag of an IO result that is a value (spec section 3).
const TAG_OK: u8 = 0;

/// The host's function `name` as it was.
///
/// # Safety
/// `F` is the type of that function.
unsafe fn host_function<F: Copy>(name: &'static std::ffi::CStr) -> F {
    const { assert!(size_of::<F>() == size_of::<usize>()) };
    let address = attach::original(name).expect("set before the function was redirected to here");
    // SAFETY: an address of code, of the type that the caller vouches for.
    unsafe { std::mem::transmute_copy(&address) }
}

/// # Safety
/// `result` is an IO result.
unsafe fn is_ok(result: Obj) -> bool {
    // SAFETY: an IO result is a constructor.
    unsafe { result.kind() }.tag == TAG_OK
}

/// # Safety
/// `string` is a live string.
unsafe fn path(string: Obj) -> PathBuf {
    // SAFETY: a string holds `size` bytes from this offset, the last a terminator.
    let bytes =
        unsafe { std::slice::from_raw_parts(string.ptr().add(STRING_DATA), string.size().saturating_sub(1)) };
    OsStr::from_bytes(bytes).into()
}

unsafe extern "C-unwind" fn save(
    fname: Obj,
    key: Obj,
    data: Obj,
    deps: Obj,
    prev: Obj,
    allow_closures: u8,
) -> Obj {
    let start = Instant::now();
    // SAFETY: the host's own function, called as our caller called it.
    let result = unsafe { host_function::<SaveFn>(SAVE)(fname, key, data, deps, prev, allow_closures) };
    let time = start.elapsed();
    // SAFETY: what the host returned, and a string that it only borrowed.
    match unsafe { is_ok(result).then(|| path(fname)) } {
        Some(path) => counters::SAVE.record(std::fs::metadata(path).map_or(0, |m| m.len()), time),
        None => counters::SAVE.error(time),
    }
    result
}

unsafe extern "C-unwind" fn read(fname: Obj, deps: Obj) -> Obj {
    let start = Instant::now();
    // SAFETY: the host's own function, called as our caller called it.
    let result = unsafe { host_function::<ReadFn>(READ)(fname, deps) };
    let time = start.elapsed();
    // SAFETY: an IO result whose value is a pair of root and region (spec section 4).
    let facts = unsafe {
        is_ok(result).then(|| {
            let region = result.field(0).field(1);
            Host::get()
                .ok()
                .and_then(|host| host.read_region_structure(region))
        })
    };
    match facts {
        Some(facts) => {
            counters::READ.record(facts.map_or(0, |f| f.size as u64), time);
            match facts {
                Some(facts) if facts.mapped => counters::READ.add_mapped(),
                _ => counters::READ.add_relocated(),
            }
        }
        None => counters::READ.error(time),
    }
    result
}

unsafe extern "C-unwind" fn free(region: Obj) -> Obj {
    let start = Instant::now();
    // SAFETY: the host's own function, called as our caller called it.
    let result = unsafe { host_function::<FreeFn>(FREE)(region) };
    let time = start.elapsed();
    // SAFETY: what the host returned.
    match unsafe { is_ok(result) } {
        true => counters::FREE.record(0, time),
        false => counters::FREE.error(time),
    }
    result
}
