//! The list of files beside a snapshot, read whole.

use crate::os::file::{File, errno_text};
use crate::region::error::{CallError, shown};
use olean_reader::format::room::filled;
use olean_reader::format::sidecar::{SUFFIX, Sidecar};
use std::ffi::{CStr, CString};
use std::fmt::Display;

/// Larger than any list of files that can be: a hundred bytes for each of two million.
const MOST: u64 = 256 << 20;

/// The list beside `snapshot`. Its relative paths are meant from the folder of the snapshot if `beside`, else from
/// the working directory, as Lean means them.
///
/// # Errors
/// It is not there, or no such list: the error names it and says why.
pub fn read(snapshot: &CStr, beside: bool) -> Result<Sidecar, CallError> {
    let mut name = snapshot.to_bytes().to_vec();
    name.extend(SUFFIX.as_bytes());
    let name = CString::new(name).unwrap_or_default();
    let failed = |e: &dyn Display| {
        let (list, snapshot) = (shown(&name), shown(snapshot));
        CallError::Argument(format!(
            "failed to read '{list}', the list of the files that the snapshot '{snapshot}' was saved over: {e}"
        ))
    };
    let file = File::open(&name).map_err(|e| failed(&errno_text(&e)))?;
    let stat = file.stat().map_err(|e| failed(&errno_text(&e)))?;
    if stat.st_mode & libc::S_IFMT != libc::S_IFREG {
        return Err(failed(&"it is not a regular file"));
    }
    let size = u64::try_from(stat.st_size).unwrap_or_default();
    let size = usize::try_from(size).ok().filter(|_| size <= MOST);
    let size =
        size.ok_or_else(|| failed(&format!("it has {} bytes, which no such list has", stat.st_size)))?;
    let mut json = filled(0_u8, size, "the list").map_err(|e| failed(&e))?;
    let got = file.read_at(&mut json, 0).map_err(|e| failed(&errno_text(&e)))?;
    let folder = match snapshot.to_bytes().iter().rposition(|&b| b == b'/') {
        Some(at) if beside => &snapshot.to_bytes()[..=at],
        _ => b"",
    };
    Sidecar::parse(&json[..got], folder).map_err(|e| failed(&e))
}
