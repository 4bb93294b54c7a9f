//! Reading a region file: open, check cheaply, map at the base address or relocate. On the fast path no byte of the
//! mapping is touched.

use super::closures::load::relocate_closures;
use super::error::{ReadError, shown};
use super::examine::{Examined, ReadOptions, examine};
use super::freshness::{self, Paths};
use super::registry::Claim;
use super::unchanging::UnchangingClaim;
use crate::dependencies::{Dependencies, RegionView};
use crate::os::file::{File, errno_text};
use crate::os::limits::mapping_counts;
use crate::os::map::{Filling, Memory, Missed, OutOfMemory};
use crate::os::notes;
use crate::relocate::{self, AHEAD, Placement};
use olean_reader::DepBytes;
use olean_reader::format::header::{FLAG_GMP, VERSION_3};
use olean_reader::format::identity::Identity;
use olean_reader::format::room::collected;
use olean_reader::format::trailer::Trailer;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// A region that was read.
pub struct Loaded {
    /// Its bytes, which it owns.
    pub memory: Memory,
    /// The root: a boxed scalar or a live address.
    pub root: usize,
    /// Base address of the file.
    pub base: u64,
    /// The file.
    pub identity: Identity,
    /// Whether it lies at its base address, mapped.
    pub mapped: bool,
    /// Whether its pointers went through relocation.
    pub relocated: bool,
}

/// Where a region lies after [`Opened::load_once`].
pub enum Placed {
    /// In memory of its own.
    Own(Loaded),
    /// In memory that others hold too, mapped at its base address.
    Shared {
        /// What keeps it there until its new holder is entered.
        claim: UnchangingClaim,
        /// The root: a boxed scalar or a live address.
        root: usize,
        /// Base address of the file.
        base: u64,
        /// Bytes of the file.
        size: usize,
    },
}

/// A file that passed the cheap checks, not yet in memory.
pub struct Opened<'a> {
    path: &'a CStr,
    file: File,
    examined: Examined,
}

/// Opens the file `path` and checks header, sizes and root. Of the dependencies only base address and size matter.
///
/// # Errors
/// [`ReadError`]; nothing stays open.
pub fn open<'a>(path: &'a CStr, deps: &Dependencies, options: &ReadOptions) -> Result<Opened<'a>, ReadError> {
    let file = File::open(path).map_err(|cause| ReadError::Open {
        file: shown(path),
        cause,
    })?;
    let examined = examine(path, &file, deps, options)?;
    Ok(Opened { path, file, examined })
}

/// Reads the region in the file `path`, whose pointers may lead into `deps`.
///
/// # Errors
/// [`ReadError`]; nothing stays mapped or open.
///
/// # Safety
/// As [`Opened::load`].
pub unsafe fn read(path: &CStr, deps: &Dependencies, options: &ReadOptions) -> Result<Loaded, ReadError> {
    // SAFETY: the contract is the same.
    unsafe { open(path, deps, options)?.load(deps, options) }
}

impl Opened<'_> {
    /// The file's base address and size, as a region that has not been given a place yet.
    #[must_use]
    pub fn view(&self) -> RegionView {
        let base = self.examined.header.base;
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
    pub fn check_dependencies(&self, deps: &Dependencies, paths: Paths<'_>) -> Result<(), ReadError> {
        let Examined {
            header, data, size, ..
        } = &self.examined;
        // Eight bytes are no closures and no libraries, and nothing behind.
        if header.version != VERSION_3 || deps.views().is_empty() || size - data.end <= 8 {
            return Ok(());
        }
        let mut trailer = Vec::new();
        let bytes = size - data.end;
        trailer
            .try_reserve_exact(bytes)
            .map_err(|_| ReadError::memory(self.path, OutOfMemory { bytes }))?;
        trailer.resize(bytes, 0);
        let got = self.file.read_at(&mut trailer, data.end as u64);
        let got = got.map_err(|e| ReadError::read(self.path, e))?;
        let at = data.end as u64;
        let trailer =
            Trailer::parse(&trailer[..got], at).map_err(|e| ReadError::content(self.path, e.to_string()))?;
        freshness::check(self.path, &trailer, deps, paths)
    }

    /// Maps the file at its base address, or reads and relocates it.
    ///
    /// # Errors
    /// [`ReadError`]; nothing stays mapped.
    ///
    /// # Safety
    /// `deps` describes live regions, whose bytes nobody changes meanwhile.
    pub unsafe fn load(self, deps: &Dependencies, options: &ReadOptions) -> Result<Loaded, ReadError> {
        let landed = self.map(options);
        // SAFETY: the contract is the same.
        unsafe { self.finish(landed, deps, options) }
    }

    /// The same, but where this very file lies at its base address already, in memory that nothing changes, that is
    /// answered instead of a copy.
    ///
    /// # Errors
    /// As [`Opened::load`].
    ///
    /// # Safety
    /// As [`Opened::load`].
    pub unsafe fn load_once(self, deps: &Dependencies, options: &ReadOptions) -> Result<Placed, ReadError> {
        let landed = self.map(options);
        if matches!(landed, Err(Some(Missed::Taken)))
            && let Some(claim) = self.claim(deps)
        {
            if options.verify || !self.examined.regular {
                // SAFETY: the contract is the same.
                unsafe { verify(self.path, claim.bytes(), deps)? };
            }
            return Ok(Placed::Shared {
                claim,
                root: self.examined.root as usize,
                base: self.examined.header.base,
                size: self.examined.size,
            });
        }
        // SAFETY: the contract is the same.
        unsafe { self.finish(landed, deps, options) }.map(Placed::Own)
    }

    /// The file at its base address, or what keeps it from there, if that was tried.
    fn map(&self, options: &ReadOptions) -> Result<Memory, Option<Missed>> {
        if options.force_relocate {
            return Err(None);
        }
        Memory::map_file_at(&self.file, self.examined.size, self.examined.header.base).map_err(Some)
    }

    /// What lies at the base address, if it is this very file as it is on disk and nothing in it changes. With all
    /// dependencies at their base addresses a mapping would be no different.
    fn claim(&self, deps: &Dependencies) -> Option<UnchangingClaim> {
        if !deps.landed() {
            return None;
        }
        let base = usize::try_from(self.examined.header.base).ok()?;
        UnchangingClaim::new(Claim::of(base, &self.examined.identity)?)
    }

    /// # Safety
    /// As [`Opened::load`].
    unsafe fn finish(
        self,
        landed: Result<Memory, Option<Missed>>,
        deps: &Dependencies,
        options: &ReadOptions,
    ) -> Result<Loaded, ReadError> {
        let Opened { path, file, examined } = self;
        let base = examined.header.base;
        // Whatever refuses a mapping, the content can still be read; if memory is short, that will say so.
        let landed = match landed {
            Ok(memory) => Some(memory),
            Err(missed) => {
                missed.iter().for_each(|missed| note_missed(path, base, missed));
                None
            }
        };
        let mapped = landed.is_some();
        let (mut memory, mut filling) = match landed {
            Some(memory) => (memory, Filling::Done),
            None => Memory::for_copy(&file, examined.size)
                .map_err(|e| ReadError::memory(path, e))?
                .map_err(|e| ReadError::read(path, e))?,
        };
        if options.verify || !examined.regular {
            let filled = std::mem::replace(&mut filling, Filling::Done).fill(0, memory.bytes_mut());
            filled.map_err(|e| ReadError::read(path, e))?;
            // SAFETY: the contract is the same.
            unsafe { verify(path, memory.bytes(), deps)? };
        }
        let relocated = !mapped || !deps.landed();
        let root = match relocated {
            true => rewrite(path, &examined, &mut memory, deps, filling)?,
            false => examined.root as usize,
        };
        drop(file);
        if examined.header.version == VERSION_3 {
            relocate_closures(path, memory.bytes_mut(), examined.data.clone())?;
        }
        #[cfg(feature = "fault-injection")]
        super::fault::inject("read", memory.bytes_mut());
        Ok(Loaded {
            memory,
            root,
            base,
            identity: examined.identity,
            mapped,
            relocated,
        })
    }
}

/// Brings the file's content into the memory and rewrites its pointers for where it and `deps` lie; answers the root.
fn rewrite(
    path: &CStr,
    examined: &Examined,
    memory: &mut Memory,
    deps: &Dependencies,
    filling: Filling<'_>,
) -> Result<usize, ReadError> {
    let placement = Placement {
        base: examined.header.base,
        address: memory.address(),
        data: examined.data.clone(),
        gmp: examined.header.flags & FLAG_GMP != 0,
        closures: examined.header.version == VERSION_3,
    };
    let mut filled = Ok(());
    let ahead = |from, words: &mut [u64]| {
        if filled.is_ok() {
            filled = filling.fill(from, bytemuck::cast_slice_mut(words));
        }
    };
    let root = relocate::relocate(memory.words_mut(), &placement, deps, ahead);
    // A failed read comes first: what it did not bring is still zero, and whatever relocation says of zeros is not the
    // cause.
    filled.map_err(|e| ReadError::read(path, e))?;
    let root = root.map_err(|e| ReadError::walk(path, &e))?;
    // What follows the last piece that relocation asked for: sections behind the data, and a last word that is not whole.
    let rest = examined.data.end.next_multiple_of(AHEAD).min(examined.size & !7);
    let filled = filling.fill(rest, &mut memory.bytes_mut()[rest..]);
    filled.map_err(|e| ReadError::read(path, e))?;
    Ok(root as usize)
}

/// Proves the whole file, of the dependencies that pointers lead to exact objects.
///
/// # Safety
/// As [`Opened::load`].
unsafe fn verify(path: &CStr, bytes: &[u8], deps: &Dependencies) -> Result<(), ReadError> {
    let dep_bytes = |v: &RegionView| DepBytes {
        // SAFETY: each view is that of a live region of this size, whose bytes nobody changes, by the contract.
        bytes: unsafe { std::slice::from_raw_parts(v.begin as *const u8, v.size) },
        name: "",
    };
    let deps = collected(
        deps.views().iter().map(dep_bytes),
        "the list of dependency regions",
    )
    .map_err(|e| ReadError::refused(path, e))?;
    olean_reader::verify_region(bytes, &deps, &olean_reader::Options::default())
        .map(|_| ())
        .map_err(|e| ReadError::content(path, e.to_string()))
}

/// Says in the report why a file does not lie at its base address.
fn note_missed(path: &CStr, base: u64, missed: &Missed) {
    static COUNTED: AtomicBool = AtomicBool::new(false);
    let why = match missed {
        Missed::Taken => "is taken by something else".to_owned(),
        Missed::Refused(e) => {
            let mut why = format!("was refused: {}", errno_text(e));
            // Counting mappings takes long where there are many.
            if e.raw_os_error() == Some(libc::ENOMEM)
                && !COUNTED.swap(true, Ordering::Relaxed)
                && let (Some(current), Some(limit)) = mapping_counts()
            {
                why += &format!(" (this process has {current} mappings, vm.max_map_count is {limit})");
            }
            why
        }
    };
    let file = Path::new(OsStr::from_bytes(path.to_bytes()));
    notes::add(
        file,
        format!("the base address {base:#x} {why}; read and relocated"),
    );
}
