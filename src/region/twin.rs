//! In mode compare: the host's own compactor beside ours, which is given the same parts so that both loaders save
//! a chain of files from the same state.

use crate::compare::files::PartBases;
use crate::host::Host;
use crate::object::Obj;

/// The host's compactor that was given the same parts as ours (mode compare).
#[derive(Debug)]
pub struct Twin {
    /// The host's object, owned.
    pub compactor: Obj,
    /// The parts saved so far.
    pub parts: Vec<PartBases>,
}

/// Gives the twin back with its compactor.
///
/// # Safety
/// `twin` is null or boxed, with a compactor of the process's own runtime, and not used again.
pub(super) unsafe fn release_twin(twin: *mut Twin) {
    if twin.is_null() {
        return;
    }
    // SAFETY: by the caller's word a box that nobody owns any more.
    let twin = unsafe { Box::from_raw(twin) };
    if let Ok(host) = Host::get() {
        // SAFETY: the twin owns its object.
        unsafe { host.dec(twin.compactor) };
    }
}
