//! What the user and the host want of every read.

use super::closures::libraries::MissingCode;
use super::error::ANY_GITHASH;
use super::examine::ReadOptions;
use crate::host::Host;
use crate::os::env;
use once_cell::race::OnceNonZeroUsize;
use std::num::NonZeroUsize;

/// What the user wants of every read.
#[derive(Clone, Copy)]
pub(super) struct Wishes {
    /// Go the way of relocation, for tests.
    pub force_relocate: bool,
    /// Prove every file before it is handed out.
    pub verify: bool,
    any_githash: bool,
}

/// Read from the environment once, where a switch that is neither on nor off counts as on, but for the one that lets more files in.
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

/// What [`super::read`] is asked for.
pub(super) fn read_options(host: &Host) -> ReadOptions {
    let wishes = wishes();
    ReadOptions {
        flags: host.flags(),
        githash: match wishes.any_githash {
            true => None,
            // SAFETY: a call of the loader, in which the host can allocate.
            false => unsafe { host.githash() },
        },
        force_relocate: wishes.force_relocate,
        verify: wishes.verify,
        missing_code: MissingCode::Refuse,
    }
}
