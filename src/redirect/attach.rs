//! Attaching to the Lean runtime of this process and letting go of it again: which functions are
//! redirected in which generation, and where calls of this library's own exported names go meanwhile.

use std::ffi::CStr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::mode::{Mode, UnknownMode};
use super::patch::{self, PatchError, Redirected, Redirection};
use super::{exit, exit_code, got, preload};
use crate::host::{Generation, Host, HostError};
use crate::os::elf::ElfObject;
use crate::os::image_use;
use crate::os::libraries::{self, OpenObject};
use crate::os::stderr::complain;

/// A loader function by its exported name, and the address of what stands in for it.
pub type Entry = (&'static CStr, usize);

/// `lean_compacted_region_save`.
pub const SAVE: &CStr = c"lean_compacted_region_save";
/// `lean_compacted_region_read`.
pub const READ: &CStr = c"lean_compacted_region_read";
/// `lean_compacted_region_free`.
pub const FREE: &CStr = c"lean_compacted_region_free";
/// `lean_compacted_region_size`.
pub const SIZE: &CStr = c"lean_compacted_region_size";
/// `lean_compacted_region_is_memory_mapped`.
pub const IS_MEMORY_MAPPED: &CStr = c"lean_compacted_region_is_memory_mapped";
/// `lean_save_module_data_parts`.
pub const SAVE_PARTS: &CStr = c"lean_save_module_data_parts";
/// `lean_read_module_data_parts`.
pub const READ_PARTS: &CStr = c"lean_read_module_data_parts";

/// Every function of every generation.
const ALL: [&CStr; 7] = [SAVE, READ, FREE, SIZE, IS_MEMORY_MAPPED, SAVE_PARTS, READ_PARTS];

/// What a runtime older than those served exports.
const TOO_OLD: &CStr = c"lean_read_module_data";

/// Marks another copy of this library, which exports the loader's names too and is no host.
const OURSELVES: &CStr = c"lean_region_version";

/// The functions of a generation, each with whether it is always there.
fn functions(generation: Generation) -> &'static [(&'static CStr, bool)] {
    match generation {
        Generation::Batch => &[
            (SAVE_PARTS, true),
            (READ_PARTS, true),
            (FREE, true),
            (IS_MEMORY_MAPPED, true),
            (SIZE, false),
        ],
        Generation::Handle => &[
            (SAVE, true),
            (READ, true),
            (FREE, true),
            (IS_MEMORY_MAPPED, false),
            (SIZE, false),
        ],
        Generation::Structure => &[(SAVE, true), (READ, true), (FREE, true)],
    }
}

/// Why the loader was not attached. The host is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// Nothing to attach to.
    #[error("no Lean runtime is loaded into this process; load it first")]
    NoHost,
    /// There is a runtime, but it cannot be used.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The mode has no meaning.
    #[error(transparent)]
    Mode(#[from] UnknownMode),
    /// A function that the generation needs has no stand-in in this mode.
    #[error(
        "mode {} has no {} for the {} generation of the Lean runtime; use mode replace",
        .mode.name(), .function.to_string_lossy(), .generation.name()
    )]
    NotServed {
        /// The mode asked for.
        mode: Mode,
        /// The host's generation.
        generation: Generation,
        /// The function.
        function: &'static CStr,
    },
    /// Regions are compared as structures only: a host cannot be given handles of ours as dependencies.
    #[error(
        "mode compare is for Lean 4.32 and later, whose regions are structures, and this Lean runtime is of the {} \
         generation; use mode replace", .0.name()
    )]
    NotCompared(Generation),
    /// A function cannot be redirected.
    #[error("the Lean runtime in '{}' cannot be redirected: {source}", .library.display())]
    Patch {
        /// The runtime's library, empty for the main program.
        library: PathBuf,
        /// Which and why.
        source: PatchError,
    },
    /// Attached already, in another mode.
    #[error("already attached in mode {}; detach first", .0.name())]
    AlreadyAttached(Mode),
}

/// Why the loader stays attached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DetachError {
    /// There is nothing to undo.
    #[error("not attached")]
    NotAttached,
    /// The host could not free them.
    #[error("{0} regions of this library are still in use; free them first")]
    RegionsLive(usize),
    /// An entry cannot be put back.
    #[error(transparent)]
    Patch(#[from] PatchError),
}

/// What is redirected while attached.
#[derive(Debug)]
struct Attached {
    mode: Mode,
    redirected: Redirected,
    exits: Vec<got::Slot>,
}

/// Held while attaching, which takes long and uses locks of its own: no call of the loader asks for it.
static ATTACHED: Mutex<Option<Attached>> = Mutex::new(None);

fn attached() -> MutexGuard<'static, Option<Attached>> {
    ATTACHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where calls of this library's own exported names go, by the order of [`ALL`]; 0 where they are served
/// here.
static FORWARDS: [AtomicUsize; ALL.len()] = [const { AtomicUsize::new(0) }; ALL.len()];
static FORWARDING: AtomicBool = AtomicBool::new(false);

/// Where to call the host's functions as they were, by the order of [`ALL`], once a mode that does so was
/// attached. The copied entries work whether or not the functions are still redirected.
static ORIGINALS: [AtomicUsize; ALL.len()] = [const { AtomicUsize::new(0) }; ALL.len()];

fn index(name: &CStr) -> Option<usize> {
    ALL.iter().position(|&known| known == name)
}

/// Where a call of this library's own export `name` has to go in place of being served here: to the host's
/// function where this library is off or could not be attached, to its observer in mode observe.
#[must_use]
pub fn forward_target(name: &CStr) -> Option<usize> {
    if !FORWARDING.load(Ordering::Acquire) {
        return None;
    }
    Some(FORWARDS[index(name)?].load(Ordering::Relaxed)).filter(|&address| address != 0)
}

/// Whether calls of this library's own exported names go elsewhere.
#[must_use]
pub fn is_forwarding() -> bool {
    FORWARDING.load(Ordering::Acquire)
}

/// The host's function `name` as it was, callable while it is redirected; `None` unless a mode that calls
/// the originals was attached.
#[must_use]
pub fn original(name: &CStr) -> Option<usize> {
    Some(ORIGINALS[index(name)?].load(Ordering::Acquire)).filter(|&address| address != 0)
}

fn set_forwards(target: impl Fn(&CStr) -> Option<usize>) {
    for (name, forward) in ALL.iter().zip(&FORWARDS) {
        forward.store(target(name).unwrap_or(0), Ordering::Relaxed);
    }
    let any = FORWARDS
        .iter()
        .any(|forward| forward.load(Ordering::Relaxed) != 0);
    FORWARDING.store(any, Ordering::Release);
}

/// Redirects the loader functions of this process's Lean runtime to the stand-ins that `table` gives for the mode in
/// `LEAN_REGION_MODE`, all of its generation or none. Attaching again in the same mode changes nothing. [`Mode::Off`]
/// only lets calls of our exported names go to the host.
///
/// # Errors
/// [`AttachError`]; then the host is untouched, and calls of our exported names go to its loader, whatever the cause,
/// unless this library was attached before.
///
/// # Safety
/// Every stand-in can be called like the function it is named after, in the generation of this process's
/// runtime, for the rest of the process. No other thread is entering the loader meanwhile.
pub unsafe fn attach(table: impl Fn(Mode) -> Vec<Entry>) -> Result<(), AttachError> {
    let mut attached = self::attached();
    let attach = |attached: &Option<Attached>| {
        let mode = Mode::from_environment()?;
        match attached {
            Some(now) if now.mode == mode => return Ok(None),
            Some(now) => return Err(AttachError::AlreadyAttached(now.mode)),
            None => {}
        }
        // SAFETY: the contract is the same.
        unsafe { attach_to_host(mode, &table(mode)) }
    };
    let done = attach(&attached);
    let refused = done.as_ref().is_err_and(|e| !matches!(e, AttachError::NoHost));
    if refused && attached.is_none() {
        forward_to_host();
    }
    if let Some(done) = done? {
        *attached = Some(done);
    }
    Ok(())
}

/// What is redirected afterwards; nothing in mode off.
///
/// # Safety
/// As for [`attach`].
unsafe fn attach_to_host(mode: Mode, table: &[Entry]) -> Result<Option<Attached>, AttachError> {
    let host = Host::get_runtime()?.ok_or(AttachError::NoHost)?;
    // SAFETY: the host's library is held open for the rest of the process.
    let object = unsafe { ElfObject::loaded(|object| object.base() == host.library_base()) }.pop();
    let object = object.ok_or(AttachError::NoHost)?;
    if mode == Mode::Off {
        forward_to(&object);
        return Ok(None);
    }
    stay_loaded();
    // SAFETY: the contract is the same; the object is the host's, which stays.
    let done = unsafe { redirect(mode, table, host, &object)? };
    set_forwards(|name| {
        table
            .iter()
            .find(|e| mode == Mode::Observe && e.0 == name)
            .map(|e| e.1)
    });
    Ok(Some(done))
}

/// Lets calls of our exported names go to `host`.
fn forward_to(host: &ElfObject) {
    set_forwards(|name| host.function(name).map(|function| function.entry));
}

/// Lets calls of our exported names go to the loader of this process, if there is one: that of the runtime which we
/// failed to attach to, and which may not even be known well enough to be bound.
fn forward_to_host() {
    let here = functions as *const () as usize;
    // SAFETY: the object found is used while it is being held open.
    let hosts = unsafe { ElfObject::loaded(|object| !object.contains(here) && has_loader(object)) };
    let Some(host) = hosts.first() else { return };
    // Its functions may be called from now on, so it must not be unloaded.
    if let Some(open) = OpenObject::find_at(host.base()) {
        forward_to(host);
        open.keep();
    }
}

/// Whether an object has a loader of Lean's, and is no other copy of this library.
fn has_loader(object: &ElfObject) -> bool {
    ALL.iter().chain([&TOO_OLD]).any(|name| object.defines(name)) && !object.defines(OURSELVES)
}

/// Keeps the object that this code lies in loaded for the rest of the process: the host's functions lead into it. Our
/// own shared library is linked so; one that somebody made of our static library need not be.
fn stay_loaded() {
    let here = functions as *const () as usize;
    let own = libraries::loaded_objects()
        .into_iter()
        .find(|object| object.contains(here));
    // The main program stays anyway.
    if let Some(own) = own.and_then(OpenObject::open) {
        own.keep();
    }
}

/// # Safety
/// As for [`attach`]; `object` is the host's.
unsafe fn redirect(
    mode: Mode,
    table: &[Entry],
    host: &Host,
    object: &ElfObject,
) -> Result<Attached, AttachError> {
    let generation = host.generation();
    if mode == Mode::Compare && generation != Generation::Structure {
        return Err(AttachError::NotCompared(generation));
    }
    let mut wanted = Vec::new();
    for &(function, always) in functions(generation) {
        if !always && object.function(function).is_none() {
            continue;
        }
        match table.iter().find(|&&(name, _)| name == function) {
            Some(&(name, replacement)) => wanted.push(Redirection { name, replacement }),
            None => {
                return Err(AttachError::NotServed {
                    mode,
                    generation,
                    function,
                });
            }
        }
    }
    // SAFETY: no thread is in the functions or enters them, and the replacements are made to be called in their
    // place, by the contract; the host's library is held open.
    let redirected =
        unsafe { patch::redirect(object, &wanted, mode.calls_originals()) }.map_err(|source| {
            AttachError::Patch {
                library: host.library_path().into(),
                source,
            }
        })?;
    for (name, original) in ALL.iter().zip(&ORIGINALS) {
        if let Some(address) = redirected.original(name) {
            original.store(address, Ordering::Release);
        }
    }
    image_use::set_all_saves(mode == Mode::Replace);
    let names = wanted.iter().map(|w| w.name).collect();
    let mut exits = Vec::new();
    if exit::begin(mode, names) {
        // SAFETY: the host stays loaded.
        match unsafe { redirect_exits(object) } {
            Ok(slots) => exits = slots,
            Err(error) => complain(&format!(
                "a process that ends by _exit will leave no report and no verdict: {error}"
            )),
        }
    }
    Ok(Attached {
        mode,
        redirected,
        exits,
    })
}

/// Has the host's calls of `_exit` and `_Exit` lead here.
///
/// # Safety
/// `object` stays loaded.
unsafe fn redirect_exits(object: &ElfObject) -> std::io::Result<Vec<got::Slot>> {
    let leave = exit::leave as extern "C" fn(i32) -> ! as usize;
    // SAFETY: it stays loaded, by the caller's word, and `leave` takes and does what both functions do.
    unsafe { got::redirect(object, &[c"_exit", c"_Exit"], leave) }
}

/// Puts the host's functions back. Our exported names are served here again.
///
/// # Errors
/// [`DetachError`]; then everything stays attached. `live_regions` says how many regions were handed out
/// by this library and not freed, which the host could not free.
///
/// # Safety
/// No other thread is in the loader or entering it meanwhile.
pub unsafe fn detach(live_regions: impl FnOnce() -> usize) -> Result<(), DetachError> {
    let mut attached = self::attached();
    let Some(now) = attached.take() else {
        return Err(DetachError::NotAttached);
    };
    let live = live_regions();
    if live > 0 {
        *attached = Some(now);
        return Err(DetachError::RegionsLive(live));
    }
    let Attached {
        mode,
        redirected,
        exits,
    } = now;
    // SAFETY: the host stays loaded, as the runtime in use is never let go of. No other thread is entering the
    // loader, by the contract.
    if let Err((redirected, error)) = unsafe { redirected.undo() } {
        *attached = Some(Attached {
            mode,
            redirected,
            exits,
        });
        return Err(error.into());
    }
    image_use::set_all_saves(false);
    // SAFETY: the host stays loaded.
    unsafe { got::restore(&exits) };
    exit::end();
    set_forwards(|_| None);
    Ok(())
}

/// What the constructor does: attaches if `LD_PRELOAD` names this library and the process has a Lean
/// runtime with a loader; otherwise nothing. `table` says what stands in for the host's functions in a mode.
///
/// # Safety
/// As for [`attach`], and called before other threads are started.
pub unsafe fn attach_if_preloaded(table: impl Fn(Mode) -> Vec<Entry>) {
    if std::env::var_os("LD_PRELOAD").is_none() {
        return;
    }
    let here = functions as *const () as usize;
    // SAFETY: the objects are used during this call only, at the start of the process.
    let objects = unsafe { ElfObject::loaded(|object| object.contains(here) || has_loader(object)) };
    let (own, hosts): (Vec<_>, Vec<_>) = objects.iter().partition(|object| object.contains(here));
    let named = own.first().is_some_and(|own| preload::names(own.path()));
    let Some(host) = hosts.first().filter(|_| named) else {
        return;
    };
    // SAFETY: the contract is the same.
    match unsafe { attach(table) } {
        Ok(()) => host.let_go_of_tables(),
        Err(AttachError::NoHost) => {}
        Err(error) => {
            complain(&format!("not attached, Lean's own loader serves: {error}"));
            if exit_code::not_attached() {
                // SAFETY: the host stays loaded, as the program needs it.
                let _ = unsafe { redirect_exits(host) };
            }
        }
    }
}
