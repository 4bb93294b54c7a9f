//! The files a command works on: arguments to paths (folders walked), paths to bytes (mapped).

use crate::error::{Failure, Result};
use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::ops::Deref;
use std::path::{Path, PathBuf};

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Source {
    /// Where it is; `None` for standard input.
    pub path: Option<PathBuf>,
    /// How it is called in output.
    pub name: String,
}

impl Source {
    /// A file.
    pub fn file(path: PathBuf) -> Self {
        Self {
            name: path.display().to_string(),
            path: Some(path),
        }
    }

    fn stdin() -> Self {
        Self {
            path: None,
            name: "<stdin>".to_owned(),
        }
    }

    /// The file for an argument that may not be a folder.
    pub fn one(argument: &Path) -> Result<Self> {
        if argument == Path::new("-") {
            return Ok(Self::stdin());
        }
        if argument.is_dir() {
            return Err(Failure::Usage(format!(
                "'{}' is a folder, but one file is wanted here",
                argument.display()
            )));
        }
        Ok(Self::file(argument.to_owned()))
    }
}

/// The files that arguments stand for: `-` is standard input, a folder all region files below it, sorted. A file
/// that is given twice is taken once.
pub fn sources(arguments: &[PathBuf]) -> Result<Vec<Source>> {
    let mut found = Vec::new();
    for argument in arguments {
        if argument == Path::new("-") {
            found.push(Source::stdin());
        } else if argument.is_dir() {
            let files = region_files(argument)?;
            if files.is_empty() {
                return Err(Failure::NothingFound(argument.clone()));
            }
            found.extend(files.into_iter().map(Source::file));
        } else {
            found.push(Source::file(argument.clone()));
        }
    }
    let mut seen = HashSet::new();
    found.retain(|s| seen.insert(s.clone()));
    Ok(found)
}

/// The region files below a folder, sorted by path. Links to folders are not followed.
pub fn region_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(Failure::io("list", &folder))? {
            let entry = entry.map_err(Failure::io("list", &folder))?;
            let (path, kind) = (entry.path(), entry.file_type());
            if kind.is_ok_and(|k| k.is_dir()) {
                folders.push(path);
            } else if is_region_name(&entry.file_name().to_string_lossy()) && path.is_file() {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Whether files of this name hold a region: `*.olean*` and `*.ir*`, except what build tools and interrupted
/// writers leave beside them.
fn is_region_name(name: &str) -> bool {
    let ends = |suffix| name.ends_with(suffix);
    if ends(".hash") || ends(".trace") || ends(".lock") || name.contains(".tmp.") {
        return false;
    }
    name.contains(".olean") || ends(".ir") || name.contains(".ir.")
}

/// The bytes of a file.
#[derive(Debug)]
pub struct Input {
    /// How it is called in output.
    pub name: String,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    Mapped(memmap2::Mmap),
    Read(Vec<u8>),
}

impl Input {
    /// Maps a regular file, reads anything else to its end.
    pub fn open(source: &Source) -> Result<Self> {
        let bytes = match &source.path {
            Some(path) => open(path)?,
            None => {
                let mut bytes = Vec::new();
                let read = std::io::stdin().lock().read_to_end(&mut bytes);
                read.map_err(Failure::io("read", Path::new(&source.name)))?;
                Bytes::Read(bytes)
            }
        };
        Ok(Self {
            name: source.name.clone(),
            bytes,
        })
    }
}

fn open(path: &Path) -> Result<Bytes> {
    let mut file = fs::File::open(path).map_err(Failure::io("open", path))?;
    let meta = file.metadata().map_err(Failure::io("stat", path))?;
    if meta.is_file() && meta.len() > 0 {
        // SAFETY: the mapping is private and only read. Nobody may write into a region file in place: loaders
        // map them, and every writer replaces them by rename; who does so nevertheless can make this process
        // see other bytes or end by SIGBUS, as every process that has loaded the file. The validating reader
        // checks every access, so other bytes lead to another verdict or a panic, never to a wild access.
        let mapped = unsafe { memmap2::MmapOptions::new().map_copy_read_only(&file) };
        // The number of mappings is limited; what cannot be mapped can be read.
        if let Ok(mapped) = mapped {
            return Ok(Bytes::Mapped(mapped));
        }
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(Failure::io("read", path))?;
    Ok(Bytes::Read(bytes))
}

impl Deref for Input {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(m) => m,
            Bytes::Read(v) => v,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn region_files_are_told_by_name() {
        for name in [
            "A.olean",
            "A.olean.server",
            "A.olean.private",
            "A.ir",
            "A.ir.sig",
            "A.olean.new",
        ] {
            assert!(is_region_name(name), "{name}");
        }
        for name in [
            "A.lean",
            "A.ilean",
            "A.olean.hash",
            "A.ir.hash",
            "A.olean.tmp.17",
            "A.iris",
            "A.snap",
        ] {
            assert!(!is_region_name(name), "{name}");
        }
    }
}
