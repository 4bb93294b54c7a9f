//! The functions of Lean's loader, under the names of all releases. A trailing world
//! argument, which hosts before v4.26 pass, is never read. In a process where the host's own functions serve, each of
//! them only passes its arguments on, and lets an
//! exception of the host's through. One that the host throws while we work (from a thunk or task that is forced) cannot
//! pass through Rust's panic boundary: it ends the process with a message, as the data that it leaves is nobody's.

use super::{io_result, lean_object, obj};
use crate::host::Generation;
use crate::object::Obj;
use crate::os::clock::Moment;
use crate::os::counters::{Counter, FREE, READ, SAVE};
use crate::os::thread_text;
use crate::redirect::attach;
use crate::region::calls;
use crate::region::error::CallError;
use crate::region::results::ReadFacts;
use std::ffi::CStr;

/// Runs a call, and counts it by `count` when it succeeds and as an error when it does not.
fn counted<T>(
    counter: &Counter,
    call: impl FnOnce() -> Result<T, CallError>,
    count: impl FnOnce(&T, u64),
) -> Result<T, String> {
    let start = Moment::now();
    let result = call();
    let time = start.elapsed();
    match &result {
        Ok(value) => count(value, time),
        Err(_) => counter.error(time),
    }
    result.map_err(|e| e.to_string())
}

pub(super) fn count_read(facts: ReadFacts, time: u64) {
    READ.record(facts.bytes, time);
    if !facts.mapped {
        READ.add_unmapped(time);
    }
    if facts.relocated {
        READ.add_relocated();
    }
}

/// The share of one part in the time for all of them.
fn per_part(time: u64, parts: usize) -> u64 {
    time.checked_div(parts as u64).unwrap_or_default()
}

/// The function that a call of our export `name` has to go to, if it is not served here.
///
/// # Safety
/// `F` is the C function pointer type of `name`.
unsafe fn forward<F: Copy>(name: &CStr) -> Option<F> {
    const { assert!(size_of::<F>() == size_of::<usize>()) };
    let address = attach::forward_target(name)?;
    // SAFETY: the address is that of the host's function `name`, whose type is `F` by the contract; a function
    // pointer has the size of an address, which is asserted above.
    Some(unsafe { std::mem::transmute_copy(&address) })
}

/// Saves the graph below `data` into the file `fname` (`CompactedRegion.save`).
///
/// @param fname          borrowed String: the file; it is replaced atomically
/// @param key            borrowed Name: the file's base address is derived from its stored hash
/// @param data           borrowed object: the root; everything reachable from it is saved
/// @param deps           borrowed Array of regions: pointers into them stay pointers; ignored if `prev` is given
/// @param prev           consumed Option: none, or the compactor that an earlier save returned, to share with it
/// @param allow_closures nonzero: closures are saved and the file has version 3. Hosts of v4.31 do not pass this
///                       argument, and it is not read there
/// @return an IO result, owned: the compactor, for `prev` of a later save; or an `IO.userError` whose text begins
///         `failed to write '<fname>': `, and then the file is as it was before and `prev` good for nothing
///
/// May be called from several threads at once with different compactors. A compactor belongs to one thread at
/// a time, and must be released before the dependency regions are freed.
///
/// # Safety
/// All arguments are scalars or live objects of the host. Nothing reachable from `data` changes meanwhile, except
/// references, tasks and thunks through the host's own functions.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn lean_compacted_region_save(
    fname: *mut lean_object,
    key: *mut lean_object,
    data: *mut lean_object,
    deps: *mut lean_object,
    prev: *mut lean_object,
    allow_closures: u8,
) -> *mut lean_object {
    // SAFETY: the type of this very function.
    if let Some(host) = unsafe { forward::<unsafe extern "C-unwind" fn(_, _, _, _, _, _) -> _>(attach::SAVE) }
    {
        // SAFETY: the host's function of this name, with the arguments meant for it.
        return unsafe { host(fname, key, data, deps, prev, allow_closures) };
    }
    io_result(|host| {
        let allow = host.generation() == Generation::Structure && allow_closures != 0;
        // SAFETY: the contract is the same.
        let save =
            || unsafe { calls::save(host, obj(fname), obj(key), obj(data), obj(deps), obj(prev), allow) };
        let (compactor, _) = counted(&SAVE, save, |(_, bytes), time| SAVE.record(*bytes, time))?;
        Ok(compactor)
    })
}

/// Reads the region in the file `fname` (`CompactedRegion.read`): maps it at its base address, or relocates it.
///
/// @param fname borrowed String: the file
/// @param deps  borrowed Array of regions that the file's pointers may lead into; they must outlive the region
/// @return an IO result, owned: the pair of root and region, the region a structure (v4.32 and later, and without
///         Lean) or a boxed USize handle (v4.31); or an `IO.userError` that names the file, the place and the cause.
///         The root is not counted; it lives until the region is freed
///
/// May be called from several threads at once.
///
/// # Safety
/// Both arguments are scalars or live objects of the host. Nobody writes into the file while the region lives
/// (replacing it by rename is fine).
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn lean_compacted_region_read(
    fname: *mut lean_object,
    deps: *mut lean_object,
) -> *mut lean_object {
    // SAFETY: the type of this very function.
    if let Some(host) = unsafe { forward::<unsafe extern "C-unwind" fn(_, _) -> _>(attach::READ) } {
        // SAFETY: the host's function of this name, with the arguments meant for it.
        return unsafe { host(fname, deps) };
    }
    io_result(|host| {
        // SAFETY: the contract is the same.
        let read = || unsafe { calls::read(host, obj(fname), obj(deps)) };
        let (pair, _) = counted(&READ, read, |(_, facts), time| count_read(*facts, time))?;
        Ok(pair)
    })
}

/// Frees a region.
///
/// @param region consumed: the region's structure, or its handle where regions are handles
/// @return an IO result, owned: unit; or an `IO.userError` if this is no live region of this library, as after it
///         was freed once
///
/// May be called from several threads at once.
///
/// # Safety
/// No object of the region is used any more, by no thread and no other region. Where the host's regions are
/// structures, `region` is a scalar, a live object, or a handle of a live region.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn lean_compacted_region_free(region: *mut lean_object) -> *mut lean_object {
    // SAFETY: the type of this very function.
    if let Some(host) = unsafe { forward::<unsafe extern "C-unwind" fn(_) -> _>(attach::FREE) } {
        // SAFETY: the host's function of this name, with the arguments meant for it.
        return unsafe { host(region) };
    }
    io_result(|host| {
        // SAFETY: the contract is the same.
        let freed = unsafe { calls::free(host, obj(region)) };
        // Reports hold no times of frees, so none is taken.
        match &freed {
            Ok(()) => FREE.record(0, 0),
            Err(_) => FREE.error(0),
        }
        freed.map(|()| Obj::UNIT).map_err(|e| e.to_string())
    })
}

/// The size of a region in bytes, which is the size of its file.
///
/// @param region a handle, as in a boxed USize of `lean_compacted_region_read`
/// @return bytes; 0 if there is no live region with this handle
///
/// May be called from several threads at once.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn lean_compacted_region_size(region: usize) -> usize {
    // SAFETY: the type of this very function.
    if let Some(host) = unsafe { forward::<unsafe extern "C-unwind" fn(_) -> _>(attach::SIZE) } {
        // SAFETY: the host's function of this name, with the arguments meant for it.
        return unsafe { host(region) };
    }
    calls::size(region).unwrap_or_else(|| {
        thread_text::set("lean_compacted_region_size: the handle is that of no live region");
        0
    })
}

/// Whether a region lies mapped at its base address.
///
/// @param region a handle, as in a boxed USize of `lean_compacted_region_read`
/// @return 1 if so; 0 if its content was read and relocated, or if there is no live region with this handle
///
/// May be called from several threads at once.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn lean_compacted_region_is_memory_mapped(region: usize) -> u8 {
    // SAFETY: the type of this very function.
    if let Some(host) = unsafe { forward::<unsafe extern "C-unwind" fn(_) -> _>(attach::IS_MEMORY_MAPPED) } {
        // SAFETY: the host's function of this name, with the arguments meant for it.
        return unsafe { host(region) };
    }
    calls::is_memory_mapped(region)
        .unwrap_or_else(|| {
            thread_text::set("lean_compacted_region_is_memory_mapped: the handle is that of no live region");
            false
        })
        .into()
}

/// Saves all parts of a module, sharing what they have in common (`saveModuleDataParts`). Every file is complete
/// before the first is put under its name.
///
/// @param mod   borrowed Name: the key of the first part's base address
/// @param parts borrowed Array of pairs of String (the file) and object (the root)
/// @return an IO result, owned: unit; or an `IO.userError`
///
/// May be called from several threads at once.
///
/// # Safety
/// As `lean_compacted_region_save`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn lean_save_module_data_parts(
    r#mod: *mut lean_object,
    parts: *mut lean_object,
) -> *mut lean_object {
    // SAFETY: the type of this very function.
    if let Some(host) = unsafe { forward::<unsafe extern "C-unwind" fn(_, _) -> _>(attach::SAVE_PARTS) } {
        // SAFETY: the host's function of this name, with the arguments meant for it.
        return unsafe { host(r#mod, parts) };
    }
    io_result(|host| {
        // SAFETY: the contract is the same.
        let save = || unsafe { calls::save_parts(host, obj(r#mod), obj(parts)) };
        counted(&SAVE, save, |sizes, time| {
            let each = per_part(time, sizes.len());
            sizes.iter().for_each(|&bytes| SAVE.record(bytes, each));
        })?;
        Ok(Obj::UNIT)
    })
}

/// Reads all parts of a module, each of which may point into the ones before it (`readModuleDataParts`).
///
/// @param fnames borrowed Array of String: the files, in the order they were saved; it may be empty
/// @return an IO result, owned: an Array of pairs of root and region, as `lean_compacted_region_read` returns them;
///         or an `IO.userError`, and then none of them is left mapped
///
/// May be called from several threads at once.
///
/// # Safety
/// As `lean_compacted_region_read`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn lean_read_module_data_parts(fnames: *mut lean_object) -> *mut lean_object {
    // SAFETY: the type of this very function.
    if let Some(host) = unsafe { forward::<unsafe extern "C-unwind" fn(_) -> _>(attach::READ_PARTS) } {
        // SAFETY: the host's function of this name, with the arguments meant for it.
        return unsafe { host(fnames) };
    }
    io_result(|host| {
        // SAFETY: the contract is the same.
        let read = || unsafe { calls::read_parts(host, obj(fnames)) };
        let (pairs, _) = counted(&READ, read, |(_, regions), time| {
            let each = per_part(time, regions.len());
            regions.iter().for_each(|&facts| count_read(facts, each));
        })?;
        Ok(pairs)
    })
}

/// The same as `lean_save_module_data_parts`.
///
/// # Safety
/// As `lean_save_module_data_parts`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn save_module_data_parts(
    r#mod: *mut lean_object,
    parts: *mut lean_object,
) -> *mut lean_object {
    // SAFETY: the contract is the same.
    unsafe { lean_save_module_data_parts(r#mod, parts) }
}

/// The same as `lean_read_module_data_parts`.
///
/// # Safety
/// As `lean_read_module_data_parts`.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn read_module_data_parts(fnames: *mut lean_object) -> *mut lean_object {
    // SAFETY: the contract is the same.
    unsafe { lean_read_module_data_parts(fnames) }
}
