//! Files that commands write: complete or not at all.

use crate::error::{Failure, Result};
use crate::output::Output;
use lean_region::os::new_file::NewFile;
use serde::Serialize;
use std::ffi::CString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Writes a file under its name, or to standard output for `-`.
pub fn file(path: &Path, bytes: &[u8], out: &mut Output) -> Result<()> {
    if path == Path::new("-") {
        if out.is_terminal() {
            return Err(Failure::Usage(
                "a region file would garble the terminal; give a file, or send the output into a pipe"
                    .to_owned(),
            ));
        }
        return out.raw(bytes);
    }
    let fail = |cause| Failure::io("write", path)(cause);
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|e| fail(io::Error::other(e)))?;
    let new = NewFile::write(&name, &[bytes]).map_err(|(_, e)| fail(e))?;
    new.publish().map_err(|(_, e)| fail(e))
}

/// Tells what was written, as JSON or in words; nothing if the file itself went to standard output.
pub fn told(
    path: &Path,
    report: &impl Serialize,
    out: &mut Output,
    words: impl FnOnce() -> String,
) -> Result<()> {
    if path == Path::new("-") {
        return Ok(());
    }
    if out.is_json() {
        return out.json(report);
    }
    writeln!(out, "{}", words())?;
    Ok(())
}
