//! What the user wants of every read, by environment variables.

use super::closures::libraries::MissingCode;
use super::error::ANY_GITHASH;
use super::examine::ReadOptions;
use super::use_of_regions;
use crate::host::{Generation, Host};
use crate::os::env;
use crate::os::image_use::all_saves;
use once_cell::race::OnceNonZeroUsize;
use std::num::NonZeroUsize;

/// What the user wants of every read.
#[derive(Clone, Copy)]
pub(super) struct Wishes {
    /// `LEAN_REGION_FORCE_RELOCATE`
    pub force_relocate: bool,
    /// `LEAN_REGION_VERIFY`
    pub verify: bool,
    /// `LEAN_REGION_ANY_GITHASH`
    any_githash: bool,
}

/// Read from the environment once, where a switch that is neither on nor off counts as on, but for the one that lets
/// more files in.
pub(super) fn wishes() -> Wishes {
    const ASKED: usize = 8;
    static WISHES: OnceNonZeroUsize = OnceNonZeroUsize::new();
    let bits = WISHES.get_or_init(|| {
        let bit = |name, bit| if env::switch(name, true) { bit } else { 0 };
        let bits = ASKED
            | bit("LEAN_REGION_FORCE_RELOCATE", 1)
            | bit("LEAN_REGION_VERIFY", 2)
            | if env::switch(ANY_GITHASH, false) { 4 } else { 0 };
        NonZeroUsize::new(bits).expect("one bit is always set")
    });
    Wishes {
        force_relocate: bits.get() & 1 != 0,
        verify: bits.get() & 2 != 0,
        any_githash: bits.get() & 4 != 0,
    }
}

/// Whether roots may be given out as copies. Elsewhere they are where they lie: the host's own loader, where it may save,
/// takes a root for a part of its region only there, and what is a handle says nothing of where a root lies. Where files
/// are proved or copied they are touched anyway.
pub(super) fn may_copy_roots(host: &Host) -> bool {
    let is_touched = || {
        let wishes = wishes();
        wishes.verify || wishes.force_relocate
    };
    all_saves() && host.generation() == Generation::Structure && !is_touched()
}

/// The git hash that files and images must have; `None` where the host does not tell its own, or the user takes any.
///
/// # Safety
/// The host can allocate on this thread, as in a call of its loader.
pub(super) unsafe fn githash(host: &Host) -> Option<&[u8; 40]> {
    match wishes().any_githash {
        true => None,
        // SAFETY: the contract is the same.
        false => unsafe { host.githash() },
    }
}

/// What `host` and user want of a read.
///
/// # Safety
/// As [`githash`].
#[inline(always)]
pub(super) unsafe fn read_options(host: &Host) -> ReadOptions<'_> {
    let wishes = wishes();
    ReadOptions {
        flags: host.flags(),
        // SAFETY: the contract is the same.
        githash: unsafe { githash(host) },
        force_relocate: wishes.force_relocate,
        verify: wishes.verify,
        missing_code: MissingCode::Refuse,
        copy_root: use_of_regions::is_unseen() && may_copy_roots(host),
    }
}
