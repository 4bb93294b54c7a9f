//! Saving one part: compaction, header and trailer, and a temporary file that is complete before it gets its name.

use super::closures::{self, save::ClosureError};
use super::error::{SaveError, shown};
use crate::compactor::{CompactError, Compactor, Part, Values};
use crate::host::FileIdentity;
use crate::object::Obj;
use crate::os::new_file::NewFile;
use olean_reader::format::header::{Header, ROOT_SLOT_V3, VERSION_2, VERSION_3};
use olean_reader::format::room::collected;
use std::ffi::CStr;

/// A part that was written completely and is not yet under its name.
pub struct Saved {
    /// The temporary file.
    pub file: NewFile,
    /// Its bytes.
    pub size: u64,
}

/// Compacts the graph below `root` and writes it into a temporary file beside `path`.
///
/// # Errors
/// [`SaveError`]; no file is left behind, and the compactor refuses further parts.
///
/// # Safety
/// As [`Compactor::add_part`].
pub unsafe fn save(
    compactor: &mut Compactor,
    path: &CStr,
    root: Obj,
    allow_closures: bool,
    identity: &FileIdentity,
    values: &impl Values,
) -> Result<Saved, SaveError> {
    let version = if allow_closures { VERSION_3 } else { VERSION_2 };
    let compact = |cause| SaveError::Compact {
        file: shown(path),
        cause,
    };
    // SAFETY: the contract is that of `add_part`.
    let part = unsafe { compactor.add_part(root, version, values) }.map_err(compact)?;
    let trailer = match allow_closures {
        true => Some(trailer(compactor, &part).map_err(compact)?),
        false => None,
    };
    let FileIdentity {
        version: lean_version,
        githash,
        flags,
    } = *identity;
    let header = Header {
        version,
        flags,
        lean_version,
        githash,
        base: part.base,
    }
    .encode();
    compactor.bytes_mut(&part)[..header.len()].copy_from_slice(&header);
    #[cfg(feature = "fault-injection")]
    super::fault::inject("save", compactor.bytes_mut(&part));
    let bytes = compactor.bytes(&part);
    let trailer = trailer.as_deref().unwrap_or_default();
    let size = (bytes.len() + trailer.len()) as u64;
    match NewFile::write(path, &[bytes, trailer]) {
        Ok(file) => Ok(Saved { file, size }),
        Err((step, cause)) => {
            compactor.poison();
            Err(SaveError::Write {
                file: shown(path),
                step,
                cause,
            })
        }
    }
}

/// Writes the size of the data into a version 3 part and reserves the room of its trailer, which is answered.
fn trailer(compactor: &mut Compactor, part: &Part) -> Result<Vec<u8>, CompactError> {
    let data_offset = ROOT_SLOT_V3;
    let fields = compactor
        .closure_offsets(part)
        .map(|at| (at - data_offset) as u64);
    let fields = collected(fields, "the offsets of closures");
    if fields.is_err() {
        compactor.poison();
    }
    let fields = fields?;
    let bytes = compactor.bytes_mut(part);
    let (head, data) = bytes.split_at_mut(data_offset);
    head[data_offset - 8..].copy_from_slice(&(data.len() as u64).to_le_bytes());
    let trailer = closures::save::trailer(data, &fields);
    if trailer.is_err() {
        compactor.poison();
    }
    let trailer = trailer.map_err(|e| match e {
        ClosureError::Memory(e) => e.into(),
        e => CompactError::Function(e.to_string()),
    })?;
    compactor.reserve_behind(trailer.reserved)?;
    Ok(trailer.bytes)
}
