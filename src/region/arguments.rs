//! The arguments of the loader's functions as Rust values: file names, arrays, keys and options of the host.

use super::error::{CallError, SHOWN};
use crate::host::Host;
use crate::object::Obj;
use olean_reader::format::base::{ANONYMOUS_HASH, base_address};
use olean_reader::format::object::{ARRAY_HEADER, TAG_ARRAY, TAG_STRING};
use std::ffi::{CStr, CString};

/// A string object as a file name.
///
/// # Safety
/// `string` is a scalar or a live object that outlives the result.
pub(super) unsafe fn path<'a>(string: Obj) -> Result<&'a CStr, CallError> {
    let no_path = || CallError::Argument("the file name is no string".to_owned());
    // SAFETY: a live object's header may be read; a live string outlives the result.
    let bytes = unsafe {
        if string.is_scalar() || string.kind().tag != TAG_STRING {
            return Err(no_path());
        }
        string.string_bytes()
    };
    // A string ends with a NUL. Where it has no other one, the C library finds that in less time than
    // `CStr::from_bytes_with_nul` does.
    if bytes.last() == Some(&0) {
        // SAFETY: there is a NUL among the bytes, which live as long as the string.
        let path = unsafe { CStr::from_ptr(bytes.as_ptr().cast()) };
        if path.to_bytes_with_nul().len() == bytes.len() {
            return Ok(path);
        }
    }
    Err(with_nul(bytes))
}

#[cold]
fn with_nul(bytes: &[u8]) -> CallError {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    CallError::Argument(format!(
        "failed to open file {text:?}: the name contains a NUL character"
    ))
}

/// The elements of an array object.
///
/// # Safety
/// `array` is a scalar or a live object that outlives the result.
pub(super) unsafe fn elements<'a>(array: Obj, what: &str) -> Result<&'a [Obj], CallError> {
    // SAFETY: a live array has `size` words behind its header; `Obj` is such a word.
    unsafe {
        if array.is_scalar() || array.kind().tag != TAG_ARRAY {
            return Err(CallError::Argument(format!("the {what} are no array")));
        }
        Ok(std::slice::from_raw_parts(
            array.ptr().add(ARRAY_HEADER).cast::<Obj>(),
            array.size(),
        ))
    }
}

/// The base address for files saved under the name `key`.
///
/// # Safety
/// `key` is a scalar or a live object.
pub(super) unsafe fn key_base(key: Obj) -> Result<u64, CallError> {
    if key.is_scalar() {
        return Ok(base_address(ANONYMOUS_HASH));
    }
    // SAFETY: a live name that is not anonymous has two fields and its hash behind them.
    unsafe {
        let kind = key.kind();
        if !(1..=2).contains(&kind.tag) || kind.other != 2 {
            return Err(CallError::Argument("the key of a region is no name".to_owned()));
        }
        Ok(base_address(key.word(24) as u64))
    }
}

/// The value of an option, owned; the option is consumed.
///
/// # Safety
/// `option` is an `Option` of `host`, owned by the caller.
pub(super) unsafe fn take_some(host: &Host, option: Obj) -> Option<Obj> {
    if option.is_scalar() {
        return None;
    }
    // SAFETY: `some` has one field.
    unsafe {
        let value = option.field(0);
        host.inc(value);
        host.dec(option);
        Some(value)
    }
}

/// The path in element `index` of an array of regions, where regions are structures.
///
/// # Safety
/// `regions` is a scalar or a live object of `host`.
pub(super) unsafe fn region_path(host: &Host, regions: Obj, index: usize) -> Option<CString> {
    // SAFETY: `regions` is a scalar or a live object, by the contract; an array keeps its elements alive, each a
    // scalar or an object. What `read_region_structure` takes for a region's structure has a path, which is copied
    // before anything can go.
    unsafe {
        let region = *elements(regions, "dependency regions").ok()?.get(index)?;
        host.read_region_structure(region)?;
        path(host.region_file_path(region)).ok().map(CStr::to_owned)
    }
}
