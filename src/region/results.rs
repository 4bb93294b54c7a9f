//! What a read comes to: its region entered into the registry, and the host's pair of root and region.

use super::arguments::path;
use super::error::{CallError, ReadError, shown};
use super::read::{Loaded, Placed};
use super::registry::{self, NewRegion};
use super::use_of_regions;
use super::wishes::may_copy_roots;
use crate::host::{Generation, Host, RegionFacts};
use crate::object::Obj;

/// One region that was read, for the counters.
#[derive(Clone, Copy, Debug)]
pub struct ReadFacts {
    /// Bytes of its file.
    pub bytes: u64,
    /// Whether it lies mapped at its base address, or in an image.
    pub mapped: bool,
    /// Whether it went through relocation.
    pub relocated: bool,
}

/// What is counted of a region of the image.
pub(super) fn served(facts: &RegionFacts) -> ReadFacts {
    ReadFacts {
        bytes: facts.size as u64,
        mapped: true,
        relocated: false,
    }
}

/// What is counted of a region that has memory of its own.
pub(super) fn facts(loaded: &Loaded) -> ReadFacts {
    ReadFacts {
        bytes: loaded.memory.size() as u64,
        mapped: loaded.mapped,
        relocated: loaded.relocated,
    }
}

/// Enters a region into the registry and answers what its structure says.
///
/// # Errors
/// There is no memory for the entry; the region is released.
///
/// # Safety
/// `fname` is a live string of `host`.
#[inline(always)]
pub(super) unsafe fn enter(host: &Host, fname: Obj, loaded: Loaded) -> Result<RegionFacts, CallError> {
    let mut facts = RegionFacts {
        root: Obj(loaded.root),
        size: loaded.memory.size(),
        base: loaded.base,
        buffer: loaded.memory.address(),
        mapped: loaded.mapped,
    };
    let new = NewRegion {
        memory: loaded.memory,
        root: loaded.root,
        root_copy: loaded.root_copy,
        base: loaded.base,
        identity: loaded.identity,
        mapped: loaded.mapped,
        relocated: loaded.relocated,
        holder: match host.generation() {
            Generation::Structure => fname.0,
            Generation::Batch | Generation::Handle => facts.buffer,
        },
    };
    if may_copy_roots(host) {
        use_of_regions::count();
    }
    match registry::insert(new) {
        Some(entered) => {
            if let Some(copy) = entered.root_copy {
                facts.root = Obj(copy);
            }
            Ok(facts)
        }
        // SAFETY: `fname` is a live string, by the contract.
        None => Err(unsafe { no_entry(fname, facts.size) }),
    }
}

/// There is no memory for the entry of a region of `bytes` bytes.
///
/// # Safety
/// `fname` is a live string of the host.
#[cold]
unsafe fn no_entry(fname: Obj, bytes: usize) -> CallError {
    // SAFETY: `fname` is a live string, by the contract.
    match unsafe { path(fname) } {
        Ok(path) => ReadError::Memory {
            file: shown(path),
            bytes,
        }
        .into(),
        Err(e) => e,
    }
}

/// The pair of root and region, in the host's representation.
///
/// # Safety
/// `fname` is a live string of `host`, `facts` that of a live region.
#[inline(always)]
pub(super) unsafe fn hand_out(host: &Host, fname: Obj, facts: &RegionFacts) -> Obj {
    // SAFETY: the host can allocate where its loader is called; the region's string is a count of its own.
    unsafe {
        let region = match host.generation() {
            Generation::Structure => {
                host.inc(fname);
                host.mk_region(fname, facts)
            }
            Generation::Batch | Generation::Handle => host.box_usize(facts.buffer),
        };
        host.mk_pair(facts.root, region)
    }
}

/// Hands out a region that was read. `name`, the file's, is borrowed; where the region is one that others hold, it is a
/// string that none of them has.
///
/// # Errors
/// There is no memory for the entry; the region is released.
///
/// # Safety
/// `name` is a live string of `host`.
#[inline(always)]
pub(super) unsafe fn hand_out_placed(
    host: &Host,
    name: Obj,
    placed: Placed,
) -> Result<(Obj, ReadFacts), CallError> {
    // SAFETY: the string is alive, by the contract; what has been entered or shared is.
    unsafe {
        match placed {
            Placed::Own(loaded) => {
                let facts = facts(&loaded);
                let entered = enter(host, name, loaded)?;
                Ok((hand_out(host, name, &entered), facts))
            }
            Placed::Shared {
                claim,
                root,
                base,
                size,
            } => {
                let facts = RegionFacts {
                    root: Obj(root),
                    size,
                    base,
                    buffer: claim.bytes().as_ptr() as usize,
                    mapped: true,
                };
                if !claim.share(name.0) {
                    return Err(no_entry(name, size));
                }
                Ok((hand_out(host, name, &facts), served(&facts)))
            }
        }
    }
}
