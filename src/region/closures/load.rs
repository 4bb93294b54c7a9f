//! The closures of a file that was just read get the code addresses of this process.

use std::ffi::{CStr, OsStr};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::libraries::{LibraryError, MissingCode, match_libraries};
use super::save::digest;
use crate::os::notes;
use crate::region::error::ReadError;
use crate::relocate;
use olean_reader::format::extension;
use olean_reader::format::trailer::{Trailer, closure_count, ends_with_extension};

/// Rewrites the code addresses of a version 3 file's closures; of a file without closures neither the library
/// table nor the loaded libraries are looked at.
pub fn relocate_closures(
    path: &CStr,
    bytes: &mut [u8],
    data: Range<usize>,
    missing: MissingCode,
) -> Result<(), ReadError> {
    let content = |e: &dyn std::fmt::Display| ReadError::content(path, e.to_string());
    let (data_bytes, rest) = bytes.split_at_mut(data.end);
    let at = data.end as u64;
    if closure_count(rest, at).map_err(|e| content(&e))? == 0 {
        return match is_as_written(rest, at) {
            true => Ok(()),
            false => Err(content(&LibraryError::Altered)),
        };
    }
    let trailer = Trailer::parse(rest, at).map_err(|e| content(&e))?;
    let matched = match_libraries(&trailer, missing).map_err(|e| content(&e))?;
    relocate::closures::relocate(&mut data_bytes[data.start..], &trailer, &matched.moves)
        .map_err(|e| content(&e))?;
    let file = Path::new(OsStr::from_bytes(path.to_bytes()));
    for reason in matched.notes {
        notes::add(file, reason);
    }
    Ok(())
}

/// Whether a trailer that counts no closures was written so: one that counts none by damage still has an extension
/// section, whose digest of the sections before it tells.
fn is_as_written(trailer: &[u8], at: u64) -> bool {
    if !ends_with_extension(trailer) {
        return true;
    }
    let Ok(trailer) = Trailer::parse(trailer, at) else {
        return false;
    };
    let payload = trailer.extension().unwrap_or_default();
    extension::decode(payload, 0).is_ok_and(|e| e.sections == Some(digest(trailer.sections())))
}
