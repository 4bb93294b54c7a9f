//! Bringing a region file that was opened into memory: mapped at its base address, or relocated.
//!
//! On the fast path the root object is looked at in the mapping, which the host uses next: its page is in memory then, and no
//! further call is made. Whoever shortens a mapped file may end the process by SIGBUS here, as at any other page. Where the host
//! does not use the regions that it reads (see `use_of_regions`), the root object is read, and a copy of it given out, so
//! that nothing of the mapping is touched.

use super::closures::load::relocate_closures;
use super::error::ReadError;
use super::examine::{Examined, ReadOptions, root_is_last};
use super::image::in_use as image;
use super::open::{Opened, open, told_width};
use super::prove::verify;
use super::registry::Claim;
use super::unchanging::UnchangingClaim;
use crate::dependencies::{Dependencies, RegionView};
use crate::os::file::errno_text;
use crate::os::limits::mapping_counts;
use crate::os::map::{Filling, Memory, Missed};
use crate::os::mapping_room;
use crate::os::notes;
use crate::os::page::LOWEST_ADDRESS;
use crate::relocate::{self, AHEAD, Heads, Placement};
use olean_reader::format::header::VERSION_3;
use olean_reader::format::identity::Identity;
use olean_reader::format::image::{RootCopy, root_copy};
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// From this size on a file whose dependencies do not lie where it wants them is copied even if it could be mapped. Its
/// pointers into them are rewritten then, which copies page after page of a mapping, by a fault each: huge pages take
/// less. The pages of a smaller one that hold no such pointer stay the file's.
const COPIED: usize = 2 << 20;

/// A region that was read.
pub struct Loaded {
    /// Its bytes, which it owns.
    pub memory: Memory,
    /// The root: a boxed scalar or a live address.
    pub root: usize,
    /// What can be given out in its place.
    pub root_copy: Option<Box<RootCopy>>,
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

/// Reads the region in the file `path`, whose pointers may lead into `deps`.
///
/// # Errors
/// [`ReadError`]; nothing stays mapped or open.
///
/// # Safety
/// As [`Opened::load`].
pub unsafe fn read(path: &CStr, deps: &Dependencies, options: &ReadOptions<'_>) -> Result<Loaded, ReadError> {
    // SAFETY: the contract is the same.
    unsafe { open(path, deps, options)?.load(deps, options) }
}

impl Opened<'_> {
    /// Maps the file at its base address, or reads and relocates it. The options are those that it was opened with.
    ///
    /// # Errors
    /// [`ReadError`]; nothing stays mapped.
    ///
    /// # Safety
    /// `deps` describes live regions, which nobody changes meanwhile except Lean the references in them.
    pub unsafe fn load(
        mut self,
        deps: &Dependencies,
        options: &ReadOptions<'_>,
    ) -> Result<Loaded, ReadError> {
        let landed = self.map(deps, options);
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
    #[inline(always)]
    pub unsafe fn load_once(
        mut self,
        deps: &Dependencies,
        options: &ReadOptions<'_>,
    ) -> Result<Placed, ReadError> {
        let landed = self.map(deps, options);
        if matches!(landed, Err(Some(Missed::Taken | Missed::Scarce)))
            && let Some(claim) = self.claim(deps)
        {
            // SAFETY: the contract is the same.
            return unsafe { self.shared(claim, deps, options) };
        }
        // SAFETY: the contract is the same.
        unsafe { self.finish(landed, deps, options) }.map(Placed::Own)
    }

    /// The region that this very file is already.
    ///
    /// # Safety
    /// As [`Opened::load`].
    #[inline(never)]
    unsafe fn shared(
        &self,
        claim: UnchangingClaim,
        deps: &Dependencies,
        options: &ReadOptions<'_>,
    ) -> Result<Placed, ReadError> {
        let regular = self.root_is_last(self.examined.root_in(claim.bytes()))?;
        if options.verify || !regular {
            // SAFETY: the contract is the same.
            unsafe { verify(self.path, claim.bytes(), deps)? };
        }
        let copy = claim.root_copy();
        Ok(Placed::Shared {
            claim,
            root: copy.unwrap_or(self.examined.root as usize),
            base: self.examined.head.base,
            size: self.examined.size,
        })
    }

    /// The file at its base address, or what keeps it from there, if that was tried.
    #[inline(always)]
    fn map(&mut self, deps: &Dependencies, options: &ReadOptions<'_>) -> Result<Memory, Option<Missed>> {
        let is_better_copied = self.examined.size >= COPIED && !deps.landed();
        match self.placed.take() {
            // It stays there, however many of its pages have to be copied: the file is closed.
            Some(Ok(memory)) => Ok(memory),
            _ if options.force_relocate || is_better_copied => Err(None),
            Some(Err(missed)) => Err(Some(missed)),
            None => {
                Memory::map_file_at(&self.file, self.examined.size, self.examined.head.base).map_err(Some)
            }
        }
    }

    /// Whether the root is where every known writer puts it; `object` is the root, if it lies in memory.
    #[inline(always)]
    fn root_is_last(&self, object: Option<&[u8]>) -> Result<bool, ReadError> {
        root_is_last(self.path, &self.file, &self.examined, object)
    }

    /// What lies at the base address, if it is this very file as it is on disk and nothing in it changes. With all
    /// dependencies at their base addresses a mapping would be no different.
    #[inline(never)]
    fn claim(&self, deps: &Dependencies) -> Option<UnchangingClaim> {
        if !deps.landed() {
            return None;
        }
        let base = usize::try_from(self.examined.head.base).ok()?;
        UnchangingClaim::new(Claim::of(base, &self.examined.identity)?)
    }

    /// # Safety
    /// As [`Opened::load`].
    #[inline(always)]
    unsafe fn finish(
        &mut self,
        landed: Result<Memory, Option<Missed>>,
        deps: &Dependencies,
        options: &ReadOptions<'_>,
    ) -> Result<Loaded, ReadError> {
        let is_usual = landed.is_ok() && deps.landed() && self.is_used_as_it_is(options);
        let loaded = match landed {
            // Nothing of it is changed or looked at but the root.
            Ok(memory) if is_usual => match self.root_is_last(self.examined.root_in(memory.bytes())) {
                Ok(true) => {
                    return Ok(Loaded {
                        memory,
                        root: self.examined.root as usize,
                        root_copy: None,
                        base: self.examined.head.base,
                        identity: self.examined.identity,
                        mapped: true,
                        relocated: false,
                    });
                }
                // SAFETY: passed on from the caller.
                Ok(false) => unsafe { self.fill(Ok(memory), deps, options) },
                Err(e) => Err(e),
            },
            // SAFETY: passed on from the caller.
            landed => unsafe { self.fill(landed, deps, options) },
        };
        loaded.map_err(|e| told_width(self.path, e))
    }

    /// Whether the file is handed out as it is mapped, and its root as it lies there, if it and its dependencies are where
    /// they are to be.
    #[inline(always)]
    fn is_used_as_it_is(&self, options: &ReadOptions<'_>) -> bool {
        let is_changed = self.examined.head.version == VERSION_3 || cfg!(feature = "fault-injection");
        !options.copy_root && !options.verify && !is_changed
    }

    /// # Safety
    /// As [`Opened::load`].
    #[inline(never)]
    unsafe fn fill(
        &mut self,
        landed: Result<Memory, Option<Missed>>,
        deps: &Dependencies,
        options: &ReadOptions<'_>,
    ) -> Result<Loaded, ReadError> {
        let relocated = landed.is_err() || !deps.landed();
        // Closures are looked for in the mapping, which is touched then.
        let is_touched = options.verify || relocated || self.examined.head.version == VERSION_3;
        let object = match options.copy_root && !is_touched {
            true => self.examined.root_object(self.path, &self.file)?,
            false => None,
        };
        let Opened {
            path, file, examined, ..
        } = &*self;
        let base = examined.head.base;
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
            None => Memory::for_copy(file, examined.size)
                .map_err(|e| ReadError::memory(path, e))?
                .map_err(|e| ReadError::read(path, e))?,
        };
        let regular = self.root_is_last(match &object {
            Some(object) => Some(object.bytes()),
            None if mapped => examined.root_in(memory.bytes()),
            None => None,
        })?;
        if options.verify || !regular {
            let filled = std::mem::replace(&mut filling, Filling::Done).fill(0, memory.bytes_mut());
            filled.map_err(|e| ReadError::read(path, e))?;
            // SAFETY: the contract is the same.
            unsafe { verify(path, memory.bytes(), deps)? };
        }
        let root = match relocated {
            // SAFETY: the contract is the same.
            true => unsafe { rewrite(path, examined, &mut memory, deps, filling)? },
            false => examined.root as usize,
        };
        if examined.head.version == VERSION_3 {
            let data = examined.data.clone();
            relocate_closures(path, memory.bytes_mut(), data, options.missing_code)?;
        }
        #[cfg(feature = "fault-injection")]
        super::fault::inject("read", memory.bytes_mut());
        Ok(Loaded {
            memory,
            root,
            root_copy: object
                .filter(|_| regular)
                .and_then(|object| root_copy(object.bytes(), 0))
                .map(Box::new),
            base,
            identity: examined.identity,
            mapped,
            relocated,
        })
    }
}

/// The dependencies of a call, of which copies are looked at: they are in memory. A look into a mapped file may cost
/// a page fault for each pointer.
struct Copies;

impl Heads for Copies {
    fn are_seen(&self, dep: &RegionView) -> bool {
        !dep.landed() && !image::holds(dep.begin)
    }

    fn word(&self, at: u64) -> u64 {
        // SAFETY: relocation asks for whole words in dependencies alone, which begin at multiples of 8, and which are
        // alive where this is handed over (`rewrite`). Lean may write to them meanwhile, so the word is accessed
        // atomically.
        unsafe { &*(at as *const AtomicU64) }.load(Ordering::Relaxed)
    }
}

/// Brings the file's content into the memory and rewrites its pointers for where it and `deps` lie; answers the root.
///
/// # Safety
/// As [`Opened::load`].
unsafe fn rewrite(
    path: &CStr,
    examined: &Examined,
    memory: &mut Memory,
    deps: &Dependencies,
    filling: Filling<'_>,
) -> Result<usize, ReadError> {
    let placement = Placement::of(&examined.head, examined.data.clone(), memory.address());
    let mut filled = Ok(());
    let ahead = |from, words: &mut [u64]| {
        if filled.is_ok() {
            filled = filling.fill(from, bytemuck::cast_slice_mut(words));
        }
    };
    let root = relocate::relocate(memory.words_mut(), &placement, deps, Copies, ahead);
    // A failed read comes first: what it did not bring is still zero, and whatever relocation says of zeros is not the
    // cause.
    filled.map_err(|e| ReadError::read(path, e))?;
    let root = root.map_err(|e| ReadError::walk(path, &e))?;
    // What follows the last piece that relocation asked for: sections behind the data, and a last word that is not
    // whole.
    let rest = examined.data.end.next_multiple_of(AHEAD).min(examined.size & !7);
    let filled = filling.fill(rest, &mut memory.bytes_mut()[rest..]);
    filled.map_err(|e| ReadError::read(path, e))?;
    Ok(root as usize)
}

/// Says in the report why a file does not lie at its base address.
fn note_missed(path: &CStr, base: u64, missed: &Missed) {
    static COUNTED: AtomicBool = AtomicBool::new(false);
    let why = match missed {
        Missed::Taken => "is taken by something else".to_owned(),
        Missed::Scarce => return note_scarce(path),
        Missed::Low => format!("is below {LOWEST_ADDRESS:#x}, where nothing may lie"),
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

/// Says in the report that this file and all that follow are copied, once.
fn note_scarce(path: &CStr) {
    static NOTED: AtomicBool = AtomicBool::new(false);
    if NOTED.swap(true, Ordering::Relaxed) {
        return;
    }
    let limit = mapping_room::limit();
    notes::add(
        Path::new(OsStr::from_bytes(path.to_bytes())),
        format!(
            "this process has nearly all of the {limit} mappings that vm.max_map_count allows it: this file, and those that \
             follow, are read and relocated, which takes longer; raise it (sysctl -w vm.max_map_count={}), or have all \
             files in one mapping (`olean image build`, LEAN_REGION_IMAGE)",
            limit.saturating_mul(4)
        ),
    );
}
