//! What stands in for the host's loader functions in mode observe: each calls the host's own function and
//! counts, times and measures what it did.
//!
//! The functions let an exception of the host's through, as the function they stand in for does.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::attach::{self, Entry, FREE, IS_MEMORY_MAPPED, READ, READ_PARTS, SAVE, SAVE_PARTS, SIZE};
use crate::host::{Generation, Host};
use crate::object::Obj;
use crate::os::clock::Moment;
use crate::os::{counters, saved_files};

type SaveFn = unsafe extern "C-unwind" fn(Obj, Obj, Obj, Obj, Obj, u8) -> Obj;
type TwoFn = unsafe extern "C-unwind" fn(Obj, Obj) -> Obj;
type OneFn = unsafe extern "C-unwind" fn(Obj) -> Obj;
type SizeFn = unsafe extern "C-unwind" fn(usize) -> usize;
type IsMappedFn = unsafe extern "C-unwind" fn(usize) -> u8;

/// The stand-ins of mode observe, for hosts of all generations.
#[must_use]
pub fn table() -> Vec<Entry> {
    vec![
        (SAVE, save as SaveFn as usize),
        (READ, read as TwoFn as usize),
        (FREE, free as OneFn as usize),
        (SIZE, size as SizeFn as usize),
        (IS_MEMORY_MAPPED, is_memory_mapped as IsMappedFn as usize),
        (SAVE_PARTS, save_parts as TwoFn as usize),
        (READ_PARTS, read_parts as OneFn as usize),
    ]
}

/// Tag of an IO result that is a value.
const TAG_OK: u8 = 0;

/// Why a host's function can be called: redirecting it to here has kept its first instructions.
pub(crate) const KEPT: &str = "kept when the function was redirected";

/// The host's function `name` as it was, if it has it.
///
/// # Safety
/// `F` is the type of that function.
pub(crate) unsafe fn host_function<F: Copy>(name: &CStr) -> Option<F> {
    const { assert!(size_of::<F>() == size_of::<usize>()) };
    // SAFETY: the address is that of code which does what the function `name` did, whose type is `F` by the contract; a
    // function pointer has the size of an address, which is asserted above.
    attach::original(name).map(|address| unsafe { std::mem::transmute_copy(&address) })
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
    // SAFETY: a live string, which is not changed meanwhile.
    let bytes = unsafe { string.string_bytes() };
    OsStr::from_bytes(&bytes[..bytes.len().saturating_sub(1)]).into()
}

/// Length of the file, 0 if it has gone.
fn file_len(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |m| m.len())
}

/// Counts one file that was saved.
fn count_save(file: &Path, time: u64) {
    counters::SAVE.record(file_len(file), time);
    saved_files::add(file);
}

/// The share of one of `parts` files in the time of a call.
fn share(time: u64, parts: usize) -> u64 {
    time / parts.max(1) as u64
}

/// Counts one file that was read into the region `region` (borrowed).
///
/// # Safety
/// `region` is a region as the host's read functions return it.
unsafe fn count_read(file: &Path, region: Obj, time: u64) {
    let host = Host::get().expect("bound before its functions were redirected");
    let (bytes, mapped) = if host.generation() == Generation::Structure {
        // SAFETY: a region is a structure here.
        let facts = unsafe { host.read_region_structure(region) };
        (facts.map(|f| f.size as u64), facts.map(|f| f.mapped))
    } else {
        // SAFETY: a region is a boxed handle here, which the host's functions accept.
        let mapped = unsafe {
            let is_mapped = host_function::<IsMappedFn>(IS_MEMORY_MAPPED);
            is_mapped
                .zip(host.unbox_usize(region))
                .map(|(is_mapped, handle)| is_mapped(handle) != 0)
        };
        (None, mapped)
    };
    counters::READ.record(bytes.unwrap_or_else(|| file_len(file)), time);
    if mapped != Some(true) {
        counters::READ.add_unmapped(time);
    }
    if mapped == Some(false) {
        counters::READ.add_relocated();
    }
}

unsafe extern "C-unwind" fn save(
    fname: Obj,
    key: Obj,
    data: Obj,
    deps: Obj,
    prev: Obj,
    allow_closures: u8,
) -> Obj {
    // SAFETY: the host's own function.
    let host = unsafe { host_function::<SaveFn>(SAVE) }.expect(KEPT);
    let start = Moment::now();
    // SAFETY: called as our caller called it.
    let result = unsafe { host(fname, key, data, deps, prev, allow_closures) };
    let time = start.elapsed();
    // SAFETY: what the host returned, and a string that it only borrowed.
    match unsafe { is_ok(result).then(|| path(fname)) } {
        Some(file) => count_save(&file, time),
        None => counters::SAVE.error(time),
    }
    result
}

unsafe extern "C-unwind" fn read(fname: Obj, deps: Obj) -> Obj {
    // SAFETY: the host's own function.
    let host = unsafe { host_function::<TwoFn>(READ) }.expect(KEPT);
    let start = Moment::now();
    // SAFETY: called as our caller called it.
    let result = unsafe { host(fname, deps) };
    let time = start.elapsed();
    // SAFETY: an IO result whose value is a pair of root and region, and a string that was only borrowed.
    unsafe {
        if is_ok(result) {
            count_read(&path(fname), result.field(0).field(1), time);
        } else {
            counters::READ.error(time);
        }
    }
    result
}

unsafe extern "C-unwind" fn free(region: Obj) -> Obj {
    // SAFETY: the host's own function.
    let host = unsafe { host_function::<OneFn>(FREE) }.expect(KEPT);
    let start = Moment::now();
    // SAFETY: called as our caller called it.
    let result = unsafe { host(region) };
    let time = start.elapsed();
    // SAFETY: what the host returned.
    match unsafe { is_ok(result) } {
        true => counters::FREE.record(0, time),
        false => counters::FREE.error(time),
    }
    result
}

unsafe extern "C-unwind" fn size(region: usize) -> usize {
    // SAFETY: the host's own function, called as our caller called it.
    unsafe { host_function::<SizeFn>(SIZE).expect(KEPT)(region) }
}

unsafe extern "C-unwind" fn is_memory_mapped(region: usize) -> u8 {
    // SAFETY: the host's own function, called as our caller called it.
    unsafe { host_function::<IsMappedFn>(IS_MEMORY_MAPPED).expect(KEPT)(region) }
}

unsafe extern "C-unwind" fn save_parts(module: Obj, parts: Obj) -> Obj {
    // SAFETY: the host's own function.
    let host = unsafe { host_function::<TwoFn>(SAVE_PARTS) }.expect(KEPT);
    // SAFETY: an array of pairs of a file's name and a root, which belongs to our caller.
    let files: Vec<PathBuf> = unsafe {
        (0..parts.size())
            .map(|i| path(parts.element(i).field(0)))
            .collect()
    };
    let start = Moment::now();
    // SAFETY: called as our caller called it.
    let result = unsafe { host(module, parts) };
    let time = start.elapsed();
    // SAFETY: what the host returned.
    match unsafe { is_ok(result) } {
        true => {
            let each = share(time, files.len());
            files.iter().for_each(|file| count_save(file, each));
        }
        false => counters::SAVE.error(time),
    }
    result
}

unsafe extern "C-unwind" fn read_parts(fnames: Obj) -> Obj {
    // SAFETY: the host's own function.
    let host = unsafe { host_function::<OneFn>(READ_PARTS) }.expect(KEPT);
    // SAFETY: an array of names, which belongs to our caller.
    let files: Vec<PathBuf> = unsafe { (0..fnames.size()).map(|i| path(fnames.element(i))).collect() };
    let start = Moment::now();
    // SAFETY: called as our caller called it.
    let result = unsafe { host(fnames) };
    let time = start.elapsed();
    // SAFETY: an IO result whose value is an array of as many pairs of root and region as there are names.
    unsafe {
        if is_ok(result) {
            let each = share(time, files.len());
            for (i, file) in files.iter().enumerate() {
                count_read(file, result.field(0).element(i).field(1), each);
            }
        } else {
            counters::READ.error(time);
        }
    }
    result
}
