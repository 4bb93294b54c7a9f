//! Regions that something may write to. Each is given out once in a process: what has been written cannot be taken
//! back. Before that its closures get the code addresses of this process, as when it is read from its file.

use crate::region::closures::libraries::MissingCode;
use crate::region::closures::load::relocate_closures;
use crate::region::error::ReadError;
use olean_reader::format::header::{ROOT_SLOT_V3, VERSION_3};
use std::ffi::CStr;

/// Prepares the region in `bytes`, which has been linked for where it lies. All checks are made before the first write.
///
/// # Errors
/// What reading the file would say; the region is good for nothing then.
pub(super) fn prepare(path: &CStr, bytes: &mut [u8], missing: MissingCode) -> Result<(), ReadError> {
    if bytes.get(5) != Some(&VERSION_3) {
        return Ok(());
    }
    let size = bytes
        .get(ROOT_SLOT_V3 - 8..)
        .and_then(|b| b.first_chunk())
        .map(|b| u64::from_le_bytes(*b));
    let end = size
        .and_then(|size| usize::try_from(size).ok()?.checked_add(ROOT_SLOT_V3))
        .filter(|&end| end <= bytes.len())
        .ok_or_else(|| ReadError::content(path, "its region in the image is damaged".to_owned()))?;
    relocate_closures(path, bytes, ROOT_SLOT_V3..end, missing)
}
