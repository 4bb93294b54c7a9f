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

/// The version of a file, and what it can hold.
#[derive(Clone, Copy, Debug)]
pub enum FileVersion<'a> {
    /// No closures.
    V2,
    /// Closures, and the record of the files that it depends on, or nothing.
    V3 {
        /// See [`super::freshness::record`].
        dependencies: &'a [u8],
    },
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
    version: FileVersion<'_>,
    identity: &FileIdentity,
    values: &impl Values,
) -> Result<Saved, SaveError> {
    let compact = |cause| SaveError::Compact {
        file: shown(path),
        cause,
    };
    let number = match version {
        FileVersion::V2 => VERSION_2,
        FileVersion::V3 { .. } => VERSION_3,
    };
    // SAFETY: the contract is that of `add_part`.
    let part = unsafe { compactor.add_part(root, number, values) }.map_err(compact)?;
    let trailer = match version {
        FileVersion::V3 { dependencies } => Some(trailer(compactor, &part, dependencies).map_err(compact)?),
        FileVersion::V2 => None,
    };
    let FileIdentity {
        version: lean_version,
        githash,
        flags,
    } = *identity;
    let header = Header {
        version: number,
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
fn trailer(compactor: &mut Compactor, part: &Part, dependencies: &[u8]) -> Result<Vec<u8>, CompactError> {
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
    let trailer = closures::save::trailer(data, &fields, dependencies);
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
