//! What is not in an image, and why; and how paths are written down.

use serde::Serialize;
use std::path::{Path, PathBuf};

/// A file that is not in the image, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The file.
    pub path: String,
    /// Why.
    pub reason: String,
}

impl LeftOut {
    /// The file `path`, for this reason.
    pub fn new(path: &Path, reason: impl Into<String>) -> Self {
        Self {
            path: path.display().to_string(),
            reason: reason.into(),
        }
    }
}

/// The path as an image has it: absolute, without a look at any link.
pub fn absolute(path: &Path) -> PathBuf {
    use olean_reader::format::image::path::absolute;
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let folder = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let mut out = Vec::new();
    absolute(
        folder.as_os_str().as_bytes(),
        path.as_os_str().as_bytes(),
        &mut out,
    );
    PathBuf::from(OsString::from_vec(out))
}
