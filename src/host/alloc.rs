//! Memory for objects. Which allocator compiled Lean code calls, and where an object's size stands, was settled when the
//! runtime was built (lean.h, `lean_alloc_small_object`); the symbols that a runtime exports tell the schemes apart. An
//! object can be released only by the runtime whose scheme it was made by.

use super::embedded;
use super::entries::{Entries, function};
use super::error::HostError;
use crate::object::Obj;
use crate::os::libraries::OpenObject;
use crate::os::page::page_size;
use olean_reader::format::object::{OBJECT_HEADER, align8};
use std::alloc::{Layout, handle_alloc_error};

/// Largest object for which mimalloc builds use the path for small ones (`MI_SMALL_SIZE_MAX`).
const MI_SMALL_SIZE_MAX: usize = 1024;

/// `lean_alloc_object`.
type AllocObject = unsafe extern "C" fn(usize) -> *mut u8;
/// `lean_alloc_small`.
type AllocSmall = unsafe extern "C" fn(u32, u32) -> *mut u8;
/// `lean_inc_heartbeat`.
type Heartbeat = unsafe extern "C" fn();

/// Where the memory of objects comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Allocator {
    /// mimalloc behind `lean_alloc_small_object_core`, which counts the heartbeat and sets the size field.
    Fused {
        core: unsafe extern "C" fn(u32) -> *mut u8,
        object: AllocObject,
        heartbeat: Option<Heartbeat>,
    },
    /// mimalloc called by compiled code itself.
    Mimalloc {
        small: AllocObject,
        object: AllocObject,
        heartbeat: Option<Heartbeat>,
    },
    /// `lean_alloc_small`, which counts the heartbeat; objects keep no size.
    Small { small: AllocSmall, object: AllocObject },
    /// The C library's malloc, the size in front of small objects.
    Plain {
        object: AllocObject,
        heartbeat: Option<Heartbeat>,
    },
    /// The embedded runtime's.
    Embedded,
}

impl Allocator {
    /// The scheme of the runtime in `library`: by what it exports itself, or else by an object that it makes.
    ///
    /// # Safety
    /// `library` is a runtime, and `entries` are its functions.
    pub(super) unsafe fn of(library: &OpenObject, entries: &Entries) -> Result<Self, HostError> {
        // SAFETY: each result is stored in a field whose type is the function's signature in lean.h or mimalloc.h.
        unsafe {
            let object = function(library, c"lean_alloc_object").ok_or_else(|| HostError::MissingSymbol {
                library: library.object().path.clone(),
                symbol: "lean_alloc_object",
            })?;
            let heartbeat = function(library, c"lean_inc_heartbeat");
            if let Some(core) = function(library, c"lean_alloc_small_object_core") {
                return Ok(Self::Fused {
                    core,
                    object,
                    heartbeat,
                });
            }
            if let Some(small) = function(library, c"mi_malloc_small") {
                return Ok(Self::Mimalloc {
                    small,
                    object,
                    heartbeat,
                });
            }
            if let Some(small) = function(library, c"lean_alloc_small") {
                return Ok(Self::Small { small, object });
            }
            match told_by_object(entries, library) {
                // Which mimalloc it calls is the host's affair: its own function gives that one's memory.
                Some(Told::Mimalloc) => Ok(Self::Mimalloc {
                    small: object,
                    object,
                    heartbeat,
                }),
                Some(Told::Small(address)) => Ok(Self::Small {
                    small: std::mem::transmute::<usize, AllocSmall>(address),
                    object,
                }),
                Some(Told::Plain) => Ok(Self::Plain { object, heartbeat }),
                None => Err(HostError::UnknownAllocator(library.object().path.clone())),
            }
        }
    }

    /// The scheme's name in reports.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Fused { .. } => "mimalloc-fused",
            Self::Mimalloc { .. } => "mimalloc",
            Self::Small { .. } => "small",
            Self::Plain { .. } => "malloc",
            Self::Embedded => "embedded",
        }
    }

    /// Whether closures are allocated like arrays. They have been since the fused entry point exists.
    pub(super) fn closures_are_big(&self) -> bool {
        matches!(self, Self::Fused { .. })
    }

    /// Whether a small object's memory is a whole number of words.
    pub(super) fn rounds_up(&self) -> bool {
        !matches!(self, Self::Plain { .. })
    }

    /// Memory for a small object of `bytes` bytes, at most 4096. Its size field (`m_cs_sz`, bytes 4 and 5)
    /// is set as the runtime wants it; nothing else is. Counts one heartbeat where the runtime counts them.
    ///
    /// # Safety
    /// The runtime that the scheme belongs to is initialised so far that it can allocate on this thread.
    pub(super) unsafe fn small(&self, bytes: usize) -> *mut u8 {
        let rounded = align8(bytes);
        // SAFETY: sizes are in the range each function accepts: a positive multiple of 8 up to 1024 for the
        // small paths of mimalloc, up to 4096 for lean_alloc_small; the runtime can allocate.
        unsafe {
            match *self {
                Self::Fused { core, .. } if rounded <= MI_SMALL_SIZE_MAX => {
                    checked(core(rounded as u32), rounded)
                }
                Self::Mimalloc { small, heartbeat, .. } if rounded <= MI_SMALL_SIZE_MAX => {
                    count(heartbeat);
                    with_size(checked(small(rounded), rounded), rounded)
                }
                Self::Fused {
                    object, heartbeat, ..
                }
                | Self::Mimalloc {
                    object, heartbeat, ..
                } => {
                    count(heartbeat);
                    with_size(checked(object(rounded), rounded), rounded)
                }
                Self::Small { small, .. } => with_size(
                    checked(small(rounded as u32, (rounded / 8 - 1) as u32), rounded),
                    0,
                ),
                Self::Plain { heartbeat, .. } => {
                    count(heartbeat);
                    let block = checked(libc::malloc(bytes + 8).cast::<u8>(), bytes + 8);
                    // malloc aligns to 16, so the size fits in front of an 8-aligned object.
                    block.cast::<usize>().write(bytes);
                    with_size(block.add(8), 0)
                }
                Self::Embedded => with_size(embedded::alloc(rounded), rounded),
            }
        }
    }

    /// Memory for an object of any size that knows its own size: array, scalar array, string. The size
    /// field is 0, nothing else is set, no heartbeat counted.
    ///
    /// # Safety
    /// As [`Allocator::small`].
    pub(super) unsafe fn big(&self, bytes: usize) -> *mut u8 {
        // SAFETY: lean_alloc_object takes any size; the runtime can allocate.
        unsafe {
            match *self {
                Self::Fused { object, .. }
                | Self::Mimalloc { object, .. }
                | Self::Small { object, .. }
                | Self::Plain { object, .. } => with_size(checked(object(bytes), bytes), 0),
                Self::Embedded => with_size(embedded::alloc(bytes), 0),
            }
        }
    }
}

/// A scheme as an object shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    Mimalloc,
    /// With the address of `lean_alloc_small`.
    Small(usize),
    Plain,
}

/// Bytes of an object with one field.
const PROBE_BYTES: usize = OBJECT_HEADER + 8;

/// What an object of [`PROBE_BYTES`] bytes tells that the runtime made: the size in its header, the word in front of it,
/// and where `lean_alloc_small` is in the runtime's scope. `None` if that fits no scheme, or is not certain.
fn told(recorded: u16, in_front: Option<usize>, alloc_small: Option<usize>) -> Option<Told> {
    match (usize::from(recorded), alloc_small) {
        (PROBE_BYTES, _) => Some(Told::Mimalloc),
        (0, Some(address)) => Some(Told::Small(address)),
        (0, None) if in_front == Some(PROBE_BYTES) => Some(Told::Plain),
        _ => None,
    }
}

/// Has the runtime make an error, looks at it, and gives it back.
///
/// # Safety
/// As [`Allocator::of`]. The functions called need nothing of the runtime but its memory, which every scheme has from the
/// start.
unsafe fn told_by_object(entries: &Entries, library: &OpenObject) -> Option<Told> {
    // SAFETY: the error consumes a scalar, and is released by the runtime that made it. The word in front of an object
    // that does not begin a page lies in the same page.
    unsafe {
        let probe = (entries.mk_io_user_error)(Obj::UNIT);
        let in_front =
            (!probe.0.is_multiple_of(page_size())).then(|| probe.ptr().cast::<usize>().sub(1).read());
        let found = told(
            probe.kind().cs_sz,
            in_front,
            library.symbol_in_scope(c"lean_alloc_small"),
        );
        (entries.dec_ref_cold)(probe);
        found
    }
}

/// Sets the size field.
///
/// # Safety
/// `object` is fresh memory of at least 8 bytes, 8-aligned.
unsafe fn with_size(object: *mut u8, size: usize) -> *mut u8 {
    // SAFETY: bytes 4 and 5 of 8 or more bytes of fresh memory, by the contract, aligned to 2.
    unsafe { object.add(4).cast::<u16>().write(size as u16) };
    object
}

/// The runtimes end the process when there is no memory; so do we where they leave the check to the caller.
fn checked(memory: *mut u8, bytes: usize) -> *mut u8 {
    if memory.is_null() {
        handle_alloc_error(Layout::from_size_align(bytes, 8).unwrap_or(Layout::new::<u64>()));
    }
    memory
}

/// # Safety
/// The function, if given, is `lean_inc_heartbeat`.
unsafe fn count(heartbeat: Option<Heartbeat>) {
    if let Some(beat) = heartbeat {
        // SAFETY: it takes nothing and adds to a counter of the thread.
        unsafe { beat() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_tells_its_scheme_or_nothing_is_guessed() {
        assert_eq!(told(16, None, None), Some(Told::Mimalloc));
        assert_eq!(told(16, Some(16), Some(8)), Some(Told::Mimalloc));
        assert_eq!(told(0, Some(16), None), Some(Told::Plain));
        assert_eq!(told(0, Some(3), Some(0x1000)), Some(Told::Small(0x1000)));
        assert_eq!(told(0, Some(3), None), None, "no size in front");
        assert_eq!(told(0, None, None), None, "nothing in front");
        assert_eq!(told(1, Some(16), None), None, "a size that it does not have");
    }
}
