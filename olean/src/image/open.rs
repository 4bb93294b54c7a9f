//! An image that is there: mapped anywhere, for reading its tables and checking its content.

use crate::error::{Failure, Result};
use crate::input::Input;
use olean_reader::format::image::{Header, ImageError, Layout, Tables, digest};
use std::fs;
use std::path::{Path, PathBuf};

/// An image whose header makes sense.
pub struct Image {
    /// What its first page says.
    pub header: Header,
    /// Where everything lies.
    pub layout: Layout,
    /// Its name.
    pub path: PathBuf,
    input: Input,
}

/// The image cannot be used, in words that say what to do.
pub fn refused(path: &Path, e: &ImageError) -> Failure {
    Failure::Refused {
        path: path.display().to_string(),
        text: format!("{e}; build it again with olean image build"),
    }
}

impl Image {
    /// Opens the image `path`; nothing but its header is looked at.
    pub fn open(path: &Path) -> Result<Self> {
        let input = Input::map(path)?;
        let page = page_size();
        let decoded = Header::decode(&input, input.len() as u64, page);
        let (header, layout) = decoded.map_err(|e| refused(path, &e))?;
        Ok(Self {
            header,
            layout,
            path: path.to_owned(),
            input,
        })
    }

    /// Its tables, checked against their digests.
    pub fn tables(&self) -> Result<Tables<'_>> {
        let tables = || {
            let tables = Tables::new(&self.header, &self.layout, &self.input)?;
            tables.check_index()?;
            tables.check_roots()?;
            tables.check_paths()?;
            tables.check_digests()?;
            Ok(tables)
        };
        tables().map_err(|e| refused(&self.path, &e))
    }

    /// Whether the region of an entry is what was written.
    pub fn region_is_whole(&self, tables: &Tables<'_>, index: u32) -> bool {
        let bytes = tables.entry(index).and_then(|e| {
            let start = usize::try_from(e.offset).ok()?;
            self.input
                .get(start..)?
                .get(..usize::try_from(e.identity.size).ok()?)
        });
        match (bytes, tables.digests(index)) {
            (Some(bytes), Some((_, written))) => digest(bytes) == written,
            _ => false,
        }
    }

    /// Bytes that the file takes on the disk.
    pub fn on_disk(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(&self.path).map_or(0, |m| m.blocks() * 512)
    }
}

/// Bytes of a page of this system.
fn page_size() -> u64 {
    // SAFETY: asks for a number.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or(4096)
}

/// The paths of every entry, by its number.
pub fn paths(tables: &Tables<'_>) -> Vec<Vec<PathBuf>> {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let mut all = vec![Vec::new(); tables.len() as usize];
    for (index, path) in tables.all_paths() {
        if let Some(paths) = all.get_mut(index as usize) {
            paths.push(PathBuf::from(OsStr::from_bytes(path)));
        }
    }
    all
}
