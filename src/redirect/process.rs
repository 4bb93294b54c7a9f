//! Which process the counts and the verdict belong to: what everything else here stands on.

use std::sync::atomic::{AtomicI32, Ordering};

/// The process that the counters belong to. A child that shares memory with it (vfork) has another id.
static OWNER: AtomicI32 = AtomicI32::new(0);

/// The id of this process.
pub(super) fn process_id() -> i32 {
    // SAFETY: has no requirements.
    unsafe { libc::getpid() }
}

/// Makes this process the one that the counters belong to. A store only, which a forked child may do.
pub(super) fn own_process() {
    OWNER.store(process_id(), Ordering::Relaxed);
}

/// Whether this is the process that attached or a forked child, and no child that shares its memory.
pub(super) fn owns_process() -> bool {
    OWNER.load(Ordering::Relaxed) == process_id()
}
