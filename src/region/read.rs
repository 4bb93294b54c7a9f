//! Reading a region file: open, check cheaply, map at the base address or relocate.
//!
//! On the fast path the header is read, and of the mapping the root object is looked at, which the host uses next:
//! its page is in memory then, and no further call is made. Where the base address of a file is known before
//! (see `foreseen`), the header is looked at in the mapping as well. Of a file that was shortened since it
//! was asked for its size these pages may be gone. The first one is brought in by a call that says so; touching another one
//! ends the process by SIGBUS, as touching any page of a mapped file does. Where the host does not use the regions that it reads (see `use_of_regions`), the root object is read
//! too, and a copy of it given out, so that nothing of the mapping is touched.

use super::ahead;
use super::closures::load::relocate_closures;
use super::error::{ReadError, shown};
use super::examine::{Examined, LookedAt, ReadOptions, described, examine, identity, root_is_last};
use super::foreseen;
use super::freshness::{self, Paths};
use super::image::in_use as image;
use super::registry::Claim;
use super::unchanging::UnchangingClaim;
use crate::dependencies::{Dependencies, RegionView};
use crate::os::file::{File, errno_text};
use crate::os::limits::mapping_counts;
use crate::os::map::{Filling, Memory, Missed, OutOfMemory};
use crate::os::mapping_room;
use crate::os::notes;
use crate::os::page::LOWEST_ADDRESS;
use crate::os::prefetch::both_ends;
use crate::relocate::{self, AHEAD, Heads, Placement};
use olean_reader::format::header::{HEADER_SIZE, VERSION_3};
use olean_reader::format::identity::Identity;
use olean_reader::format::image::{RootCopy, root_copy};
use olean_reader::format::room::{NoMemory, collected, push, room};
use olean_reader::format::trailer::Trailer;
use olean_reader::{DepBytes, Width};
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// From this size on a file whose dependencies do not lie where it wants them is copied even if it could be mapped. Its
/// pointers into them are rewritten then, which copies page after page of a mapping, by a fault each: huge pages take
/// less. The pages of a smaller one that hold no such pointer stay the file's.
const COPIED: usize = 2 << 20;

/// Up to this size header and root lie in so few cache lines that there is nothing to wait for at once: a page fault when they
/// are looked at takes no longer than a call that brings the page before.
const TINY: usize = 256;

/// Bytes of the root of a module, which lies at the end of its file: seven words.
const MODULE_ROOT: usize = 56;

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

/// A file that passed the cheap checks, not yet in memory.
pub struct Opened<'a> {
    path: &'a CStr,
    /// Closed where it is mapped already.
    file: File,
    examined: Examined,
    /// What became of mapping it where it wants to lie, if that was tried already.
    placed: Option<Result<Memory, Missed>>,
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
    if memory.size() > TINY && memory.bring_first_page().is_err() {
        // It was shortened: what a read says of it tells more.
        return go_on(path, LookedAt { file, identity }, deps, options);
    }
    both_ends(memory.bytes(), MODULE_ROOT);
    file.close();
    let examined =
        described(path, memory.bytes(), identity, deps, options).map_err(|e| told_width(path, e))?;
    let is_there = examined.head.base == base;
    foreseen::note(is_there);
    ahead::pass(path, true);
    match is_there {
        true => Ok(Opened {
            path,
            file,
            examined,
            placed: Some(Ok(memory)),
        }),
        false => go_on_elsewhere(path, deps, options),
    }
}

/// The same with a file that wants to lie elsewhere than was foreseen.
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
        let missed = match self.placed.take() {
            // It stays there, however many of its pages have to be copied: the file is closed.
            Some(Ok(memory)) => return Ok(memory),
            Some(Err(missed)) => Some(missed),
            None => None,
        };
        let is_better_copied = self.examined.size >= COPIED && !deps.landed();
        if options.force_relocate || is_better_copied {
            return Err(None);
        }
        if missed.is_some() {
            return Err(missed);
        }
        Memory::map_file_at(&self.file, self.examined.size, self.examined.head.base).map_err(Some)
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

/// Proves the whole file, of the dependencies that pointers lead to exact objects. Of these it looks at copies, for
/// Lean writes into references in live regions, and into reference counts.
///
/// # Safety
/// As [`Opened::load`].
unsafe fn verify(path: &CStr, bytes: &[u8], deps: &Dependencies) -> Result<(), ReadError> {
    let refused = |e| ReadError::refused(path, e);
    let used = used(bytes, deps.views()).map_err(refused)?;
    let mut copies = room(used.len(), DEPENDENCIES).map_err(refused)?;
    for view in used {
        // SAFETY: each view is that of a live region of this size, by the contract.
        copies.push(unsafe { copy_of_live(&view) }.map_err(refused)?);
    }
    let dep_bytes = |bytes| DepBytes { bytes, name: "" };
    let deps = collected(
        copies.iter().map(|bytes: &Vec<u8>| dep_bytes(bytes)),
        DEPENDENCIES,
    )
    .map_err(refused)?;
    olean_reader::verify_region(bytes, &deps, &olean_reader::Options::default())
        .map(|_| ())
        .map_err(|e| ReadError::content(path, e.to_string()))
}

/// What memory for dependencies is asked for.
const DEPENDENCIES: &str = "the list of dependency regions";

/// Those of `views` that a word of the file in `bytes` could be a pointer into, by base address.
fn used(bytes: &[u8], views: &[RegionView]) -> Result<Vec<RegionView>, NoMemory> {
    let mut sorted = collected(views.iter().map(|&view| (view, false)), DEPENDENCIES)?;
    sorted.sort_unstable_by_key(|(view, _)| view.base);
    for word in bytes.as_chunks::<8>().0 {
        let word = u64::from_le_bytes(*word);
        // Of regions that overlap, which no writer makes, the last one that could be meant.
        let after = sorted.partition_point(|(view, _)| view.base <= word);
        if let Some((view, used)) = sorted[..after].last_mut() {
            *used |= word - view.base < view.size as u64;
        }
    }
    let mut found = Vec::new();
    for (view, used) in sorted {
        if used {
            push(&mut found, view, DEPENDENCIES)?;
        }
    }
    Ok(found)
}

/// A copy of a region in which threads may be writing words meanwhile: each word as it was at some moment.
///
/// # Errors
/// There is no memory for it.
///
/// # Safety
/// The region is alive.
unsafe fn copy_of_live(view: &RegionView) -> Result<Vec<u8>, NoMemory> {
    let mut copy = room(view.size, "a copy of a dependency region")?;
    let words = view.size / 8;
    for i in 0..words {
        // SAFETY: a word of the region, aligned as regions begin at multiples of 8, and only accessed atomically.
        let word = unsafe { &*((view.begin + 8 * i) as *const AtomicU64) };
        copy.extend(word.load(Ordering::Relaxed).to_le_bytes());
    }
    for i in 8 * words..view.size {
        // SAFETY: a byte of the region's trailer, only accessed atomically.
        copy.push(unsafe { &*((view.begin + i) as *const AtomicU8) }.load(Ordering::Relaxed));
    }
    Ok(copy)
}

/// The error of a file whose content makes no sense, but that of a file of a 32-bit Lean does: the header is the same
/// but for the width of its last field.
#[cold]
fn told_width(path: &CStr, error: ReadError) -> ReadError {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn view(base: u64, size: usize) -> RegionView {
        RegionView {
            begin: 0x10_0000,
            size,
            base,
        }
    }

    #[test]
    fn only_dependencies_that_a_word_leads_into_are_looked_at() {
        let views = [view(0x3000, 0x100), view(0x1000, 0x100), view(0x5000, 0x100)];
        let found = |words: &[u64]| -> Vec<u64> {
            let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
            used(&bytes, &views)
                .expect("memory")
                .iter()
                .map(|v| v.base)
                .collect()
        };
        assert!(found(&[]).is_empty());
        assert!(found(&[0xff8, 0x1100, 0x2fff, 0x4000, u64::MAX]).is_empty());
        assert_eq!(found(&[0x50ff, 7, 0x1000]), [0x1000, 0x5000]);
    }

    #[test]
    fn a_live_region_is_copied_byte_for_byte() {
        let words: Vec<u64> = (0..5).map(|i| i * 0x0101_0101_0101_0101).collect();
        for size in [0, 8, 33, 39, 40] {
            let view = RegionView {
                begin: words.as_ptr() as usize,
                size,
                base: 0,
            };
            // SAFETY: memory of this test.
            let copy = unsafe { copy_of_live(&view) }.expect("memory");
            assert_eq!(copy, &bytemuck::cast_slice::<u64, u8>(&words)[..size]);
        }
    }
}
