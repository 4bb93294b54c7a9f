//! The files a command works on: arguments to paths (folders walked), paths to bytes.

use crate::error::{Failure, Result};
use olean_reader::format::sidecar::SUFFIX;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::ops::Deref;
use std::os::unix::fs::OpenOptionsExt;
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
        if is_folder(argument)? {
            return Err(Failure::Usage(format!(
                "'{}' is a folder, but one file is wanted here",
                argument.display()
            )));
        }
        Ok(Self::file(argument.to_owned()))
    }
}

/// Whether that is a folder; what is not there is none.
fn is_folder(path: &Path) -> Result<bool> {
    match fs::metadata(path) {
        Ok(meta) => Ok(meta.is_dir()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(Failure::Io {
            doing: "look at",
            path: path.to_owned(),
            cause,
        }),
    }
}

/// What arguments stand for.
#[derive(Debug, Default)]
pub struct Found {
    /// The files, each once.
    pub sources: Vec<Source>,
    /// What has the name of a region file and was passed over.
    pub passed_over: Vec<PassedOver>,
}

/// Something with the name of a region file that is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// Where it is.
    pub path: PathBuf,
    /// Why.
    pub why: Why,
}

/// Why something is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// A link to nothing.
    Dangling,
    /// A name that writers give to files which are not complete yet.
    Temporary,
    /// A pipe, a device, a socket.
    Special,
}

impl Why {
    /// What such things are called, one of them and several.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Dangling => ("dangling link", "dangling links"),
            Self::Temporary => ("temporary file", "temporary files"),
            Self::Special => ("pipe or device", "pipes or devices"),
        }
    }
}

/// The files that arguments stand for: `-` is standard input, a folder all region files below it, sorted. A file
/// that is given twice is taken once.
pub fn sources(arguments: &[PathBuf]) -> Result<Vec<Source>> {
    Ok(find(arguments)?.sources)
}

/// As [`sources`], and what was passed over on the way.
pub fn find(arguments: &[PathBuf]) -> Result<Found> {
    let mut found = Found::default();
    for argument in arguments {
        if argument == Path::new("-") {
            found.sources.push(Source::stdin());
        } else if is_folder(argument)? {
            let below = below(argument)?;
            if below.files.is_empty() {
                return Err(Failure::NothingFound(argument.clone()));
            }
            found.sources.extend(below.files.into_iter().map(Source::file));
            found.passed_over.extend(below.passed_over);
        } else {
            found.sources.push(Source::file(argument.clone()));
        }
    }
    let mut seen = HashSet::new();
    found.sources.retain(|s| seen.insert(s.clone()));
    Ok(found)
}

/// What lies below a folder.
#[derive(Debug, Default)]
pub struct Below {
    /// The region files, sorted by path.
    pub files: Vec<PathBuf>,
    /// Lists of what snapshots depend on (`X.deps` beside `X`), sorted.
    pub lists: Vec<PathBuf>,
    /// Files named as images are (`*.image`), sorted; not every such file is one.
    pub images: Vec<PathBuf>,
    /// What is passed over although it has the name of a region file, sorted.
    pub passed_over: Vec<PassedOver>,
}

/// The region files below a folder, sorted by path. Links to folders are not followed.
pub fn region_files(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(below(folder)?.files)
}

/// Everything below a folder that has to do with region files. Links to folders are not followed.
pub fn below(folder: &Path) -> Result<Below> {
    let mut found = Below::default();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(Failure::io("list", &folder))? {
            let entry = entry.map_err(Failure::io("list", &folder))?;
            let kind = entry.file_type().map_err(Failure::io("stat", &entry.path()))?;
            if kind.is_dir() {
                folders.push(entry.path());
                continue;
            }
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(SUFFIX) {
                found.lists.push(entry.path());
                continue;
            }
            if name.ends_with(".image") && kind.is_file() {
                found.images.push(entry.path());
                continue;
            }
            let why = match Name::of(&name) {
                Name::Other => continue,
                Name::Temporary => Some(Why::Temporary),
                Name::Region if kind.is_file() => None,
                Name::Region => match fs::metadata(entry.path()) {
                    Ok(meta) if meta.is_file() => None,
                    // A link to a folder.
                    Ok(meta) if meta.is_dir() => continue,
                    Ok(_) => Some(Why::Special),
                    Err(_) => Some(Why::Dangling),
                },
            };
            let path = entry.path();
            match why {
                None => found.files.push(path),
                Some(why) => found.passed_over.push(PassedOver { path, why }),
            }
        }
    }
    found.files.sort();
    found.lists.sort();
    found.images.sort();
    found.passed_over.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// What a file's name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    /// `*.olean*` and `*.ir*`.
    Region,
    /// The same, not complete or left behind by a writer that was killed: `*.tmp.*`.
    Temporary,
    /// Anything else, also what build tools leave beside region files.
    Other,
}

impl Name {
    fn of(name: &str) -> Self {
        let ends = |suffix| name.ends_with(suffix);
        if ends(".hash") || ends(".trace") || ends(".lock") {
            return Self::Other;
        }
        if !(name.contains(".olean") || ends(".ir") || name.contains(".ir.")) {
            return Self::Other;
        }
        if name.contains(".tmp.") {
            Self::Temporary
        } else {
            Self::Region
        }
    }
}

/// The bytes of a file.
///
/// They are read, not mapped: a mapping of a file that somebody cuts or writes while it is proved ends the process, or
/// shows other bytes than those that were proved.
#[derive(Debug)]
pub struct Input {
    /// How it is called in output.
    pub name: String,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    Read(Vec<u8>),
    Mapped(memmap2::Mmap),
}

/// Bytes at the start that decide whether it is worth to read on.
const FIRST: usize = 8;

impl Input {
    /// Reads a regular file, or standard input to its end; of what is no region file only the first bytes.
    pub fn open(source: &Source) -> Result<Self> {
        let bytes = match &source.path {
            Some(path) => read(path)?,
            None => {
                let name = Path::new(&source.name);
                read_stream(io::stdin().lock()).map_err(Failure::io("read", name))?
            }
        };
        Ok(Self {
            name: source.name.clone(),
            bytes: Bytes::Read(bytes),
        })
    }

    /// Maps a regular file of which little is looked at, or more than memory holds: an image.
    pub fn map(path: &Path) -> Result<Self> {
        let file = open_regular(path)?;
        // SAFETY: the mapping is private and only read, and every access to its bytes is checked. Images are replaced by
        // renaming; who writes into one nevertheless can end this process by SIGBUS, as every process that uses it.
        let mapped = unsafe { memmap2::MmapOptions::new().map_copy_read_only(&file) };
        Ok(Self {
            name: path.display().to_string(),
            bytes: match mapped {
                Ok(mapped) => Bytes::Mapped(mapped),
                // An empty file cannot be mapped.
                Err(_) => Bytes::Read(read(path)?),
            },
        })
    }
}

/// Everything, unless it is no region file: what does not end (`/dev/zero`) need not be read to know that.
fn read_stream(mut stream: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.by_ref().take(FIRST as u64).read_to_end(&mut bytes)?;
    if bytes.starts_with(b"olean") {
        stream.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// A regular file, opened for reading.
fn open_regular(path: &Path) -> Result<fs::File> {
    let meta = fs::metadata(path).map_err(Failure::io("open", path))?;
    if !meta.is_file() {
        return Err(Failure::NotRegular(path.to_owned()));
    }
    // It may have become a pipe by now, and nobody waits for its other end.
    let mut options = fs::OpenOptions::new();
    let options = options.read(true).custom_flags(libc::O_NONBLOCK);
    let file = options.open(path).map_err(Failure::io("open", path))?;
    let meta = file.metadata().map_err(Failure::io("stat", path))?;
    if !meta.is_file() {
        return Err(Failure::NotRegular(path.to_owned()));
    }
    Ok(file)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let file = open_regular(path)?;
    let meta = file.metadata().map_err(Failure::io("stat", path))?;
    let size = meta.len();
    let mut bytes = spare(usize::try_from(size).unwrap_or(usize::MAX)).map_err(Failure::io("read", path))?;
    let read = file.take(size).read_to_end(&mut bytes);
    read.map_err(Failure::io("read", path))?;
    if (bytes.len() as u64) < size {
        let e = format!(
            "it had {size} bytes and was cut to {} while it was read",
            bytes.len()
        );
        return Err(Failure::io("read", path)(io::Error::other(e)));
    }
    Ok(bytes)
}

/// Buffers kept by each thread, so that files which are read one after the other find memory that is there already.
const SPARES: usize = 4;
/// A larger buffer is given back.
const LARGEST_SPARE: usize = 32 << 20;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer with room for `size` bytes.
fn spare(size: usize) -> io::Result<Vec<u8>> {
    let mut bytes = SPARE
        .with_borrow_mut(|spare| {
            let fits = spare.iter().position(|b| b.capacity() >= size);
            fits.map(|i| spare.swap_remove(i)).or_else(|| spare.pop())
        })
        .unwrap_or_default();
    // One more than needed: a full buffer would grow before the end is seen.
    bytes.try_reserve_exact(size.saturating_add(1))?;
    Ok(bytes)
}

impl Drop for Input {
    fn drop(&mut self) {
        let Bytes::Read(bytes) = &mut self.bytes else {
            return;
        };
        let mut bytes = std::mem::take(bytes);
        if bytes.capacity() == 0 || bytes.capacity() > LARGEST_SPARE {
            return;
        }
        bytes.clear();
        // A thread that ends has nobody to keep it for.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARES {
                spare.push(bytes);
            }
        });
    }
}

impl Deref for Input {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Read(bytes) => bytes,
            Bytes::Mapped(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn region_files_are_told_by_name() {
        let of = |kind, names: &[&str]| {
            for name in names {
                assert_eq!(Name::of(name), kind, "{name}");
            }
        };
        of(
            Name::Region,
            &[
                "A.olean",
                "A.olean.server",
                "A.olean.private",
                "A.ir",
                "A.ir.sig",
                "A.olean.new",
            ],
        );
        of(Name::Temporary, &["A.olean.tmp.17", "A.ir.sig.tmp.3.0"]);
        of(
            Name::Other,
            &[
                "A.lean",
                "A.ilean",
                "A.olean.hash",
                "A.ir.hash",
                "A.iris",
                "A.snap",
                "A.tmp.1",
            ],
        );
    }

    #[test]
    fn what_is_no_region_file_is_not_read_to_its_end() {
        let bytes = read_stream(io::repeat(0)).expect("it can be read");
        assert_eq!(bytes.len(), FIRST);
    }
}
