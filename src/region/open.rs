//! Opening a region file: the header is looked at, and everything that can be told from it and from the file's size.
//!
//! The header is read, or, where the base address of a file is known before (see `foreseen`), looked at in the mapping there. Of
//! a file that was shortened since it was asked for its size the first page may be gone. It is brought in by a call that
//! says so.

use super::ahead;
use super::error::{ReadError, shown};
use super::examine::{Examined, LookedAt, ReadOptions, described, examine, identity};
use super::foreseen;
use super::freshness::{self, Paths};
use crate::dependencies::{Dependencies, RegionView};
use crate::os::file::File;
use crate::os::map::{Memory, Missed, OutOfMemory};
use crate::os::prefetch::both_ends;
use olean_reader::Width;
use olean_reader::format::header::{HEADER_SIZE, VERSION_3};
use olean_reader::format::trailer::Trailer;
use std::ffi::CStr;

/// Of a file of up to so many bytes the first page is not brought in by a call of its own: header and root lie in a few cache
/// lines side by side, and a page fault when they are looked at takes no longer.
const TINY: usize = 256;

/// Bytes of the root of a module, which lies at the end of its file: seven words.
const MODULE_ROOT: usize = 56;

/// A file that passed the cheap checks, not yet in memory.
pub struct Opened<'a> {
    pub(super) path: &'a CStr,
    /// Closed where it is mapped already.
    pub(super) file: File,
    pub(super) examined: Examined,
    /// What became of mapping it where it wants to lie, if that was tried already.
    pub(super) placed: Option<Result<Memory, Missed>>,
}

/// Opens a file and asks which one it is.
///
/// # Errors
/// [`ReadError`]; nothing stays open.
#[inline(always)]
pub fn look_at(path: &CStr) -> Result<LookedAt, ReadError> {
    let file = File::open(path).map_err(|cause| ReadError::Open {
        file: shown(path),
        cause,
    })?;
    let identity = identity(&file).map_err(|cause| ReadError::Stat {
        file: shown(path),
        cause,
    })?;
    Ok(LookedAt { file, identity })
}

/// Opens the file `path` and checks header, sizes and root. Of the dependencies only base address and size matter.
///
/// # Errors
/// [`ReadError`]; nothing stays open.
#[inline(always)]
pub fn open<'a>(
    path: &'a CStr,
    deps: &Dependencies,
    options: &ReadOptions<'_>,
) -> Result<Opened<'a>, ReadError> {
    open_looked_at(path, look_at(path)?, deps, options)
}

/// The same with a file that was opened and looked at before.
///
/// # Errors
/// As [`open`].
#[inline(always)]
pub fn open_looked_at<'a>(
    path: &'a CStr,
    looked_at: LookedAt,
    deps: &Dependencies,
    options: &ReadOptions<'_>,
) -> Result<Opened<'a>, ReadError> {
    if !may_be_mapped_at_once(&looked_at, options) {
        return go_on(path, looked_at, deps, options);
    }
    let Some(base) = foreseen::base(path, deps) else {
        let opened = go_on(path, looked_at, deps, options)?;
        foreseen::learn(path, deps, opened.examined.head.base);
        return Ok(opened);
    };
    match Memory::map_file_at(&looked_at.file, looked_at.identity.size as usize, base) {
        Ok(memory) => go_on_mapped(path, looked_at, memory, base, deps, options),
        Err(missed) => {
            let mut opened = go_on(path, looked_at, deps, options)?;
            let is_there = opened.examined.head.base == base;
            foreseen::note(is_there);
            opened.placed = is_there.then_some(Err(missed));
            Ok(opened)
        }
    }
}

/// Whether nothing speaks against a look at the header where it is mapped.
#[inline(always)]
fn may_be_mapped_at_once(file: &LookedAt, options: &ReadOptions<'_>) -> bool {
    let is_untouched = options.copy_root || options.force_relocate;
    !is_untouched && file.identity.size >= HEADER_SIZE as u64 && ahead::is_in_memory()
}

/// The same as `go_on` with a file that is mapped at `base`, where it is thought to want to lie. If it does not, it does
/// not stay there. While header and root come from memory the file is closed.
#[inline(always)]
fn go_on_mapped<'a>(
    path: &'a CStr,
    file: LookedAt,
    memory: Memory,
    base: u64,
    deps: &Dependencies,
    options: &ReadOptions<'_>,
) -> Result<Opened<'a>, ReadError> {
    let LookedAt { mut file, identity } = file;
    if memory.size() > TINY && !memory.bring_first_page() {
        // A read tells what has become of it.
        return go_on(path, LookedAt { file, identity }, deps, options);
    }
    both_ends(memory.bytes(), MODULE_ROOT);
    file.close();
    let examined =
        described(path, memory.bytes(), identity, deps, options).map_err(|e| told_width(path, e))?;
    let is_there = examined.head.base == base;
    foreseen::note(is_there);
    if !is_there {
        return go_on_elsewhere(path, deps, options);
    }
    ahead::pass(path, true);
    Ok(Opened {
        path,
        file,
        examined,
        placed: Some(Ok(memory)),
    })
}

/// The same with a file that wants to lie elsewhere than was foreseen. It is opened once more.
#[cold]
fn go_on_elsewhere<'a>(
    path: &'a CStr,
    deps: &Dependencies,
    options: &ReadOptions<'_>,
) -> Result<Opened<'a>, ReadError> {
    let opened = go_on(path, look_at(path)?, deps, options)?;
    foreseen::learn(path, deps, opened.examined.head.base);
    Ok(opened)
}

/// The same where the header is read.
#[inline(always)]
fn go_on<'a>(
    path: &'a CStr,
    file: LookedAt,
    deps: &Dependencies,
    options: &ReadOptions<'_>,
) -> Result<Opened<'a>, ReadError> {
    let LookedAt { file, identity } = file;
    let examined = examine(path, &file, identity, deps, options).map_err(|e| told_width(path, e))?;
    Ok(Opened {
        path,
        file,
        examined,
        placed: None,
    })
}

impl Opened<'_> {
    /// The file's base address and size, as a region that has not been given a place yet.
    #[must_use]
    pub fn view(&self) -> RegionView {
        let base = self.examined.head.base;
        RegionView {
            begin: base as usize,
            size: self.examined.size,
            base,
        }
    }

    /// Checks that the dependencies are those that the file was made with, as far as it remembers them.
    ///
    /// # Errors
    /// [`ReadError`].
    #[inline(always)]
    pub fn check_dependencies(&self, deps: &Dependencies, paths: Paths<'_>) -> Result<(), ReadError> {
        let Examined { head, data, size, .. } = &self.examined;
        // Eight bytes are no closures and no libraries, and nothing behind.
        match head.version != VERSION_3 || size - data.end <= 8 {
            true => Ok(()),
            false => self.check_record(deps, paths),
        }
    }

    /// The same of a file that has something behind its closures and libraries.
    #[inline(never)]
    fn check_record(&self, deps: &Dependencies, paths: Paths<'_>) -> Result<(), ReadError> {
        let Examined { data, size, .. } = &self.examined;
        let mut trailer = Vec::new();
        let bytes = size - data.end;
        trailer
            .try_reserve_exact(bytes)
            .map_err(|_| ReadError::memory(self.path, OutOfMemory { bytes }))?;
        trailer.resize(bytes, 0);
        let got = match &self.placed {
            Some(Ok(memory)) => {
                trailer.copy_from_slice(&memory.bytes()[data.end..]);
                Ok(bytes)
            }
            _ => self.file.read_at(&mut trailer, data.end as u64),
        };
        let got = got.map_err(|e| ReadError::read(self.path, e))?;
        let at = data.end as u64;
        let trailer =
            Trailer::parse(&trailer[..got], at).map_err(|e| ReadError::content(self.path, e.to_string()))?;
        freshness::check(self.path, &trailer, deps, paths)
    }
}

/// The error of a file whose content makes no sense, but that of a file of a 32-bit Lean does: the header is the same
/// but for the width of its last field.
#[cold]
pub(super) fn told_width(path: &CStr, error: ReadError) -> ReadError {
    if !matches!(error, ReadError::Content { .. }) {
        return error;
    }
    let width = || {
        let file = File::open(path).ok()?;
        let size = usize::try_from(file.stat().ok()?.st_size).ok()?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).ok()?;
        bytes.resize(size, 0);
        let read = file.read_at(&mut bytes, 0).ok()?;
        Some(olean_reader::File::parse(&bytes[..read], "", None).ok()?.width())
    };
    match width() {
        Some(Width::W32) => ReadError::content(
            path,
            "it is a file of a 32-bit Lean, and this one is a 64-bit Lean; rebuild it with this Lean, or convert it with \
             `olean widen`",
        ),
        _ => error,
    }
}
