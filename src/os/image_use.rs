//! How an image is used in this process, for the report, and who saves in it. Atomics and no locks, so that it can be
//! read at any moment, also while the process ends.

use std::ops::Deref;
use std::path::PathBuf;
use std::ptr;
use std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};

/// What is known of the image that the user named. Leaked once it is known, and never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The image, as an absolute path.
    pub file: PathBuf,
    /// Regions in it; 0 if it is not in use.
    pub regions: u64,
    /// Why it is not in use.
    pub reason: Option<String>,
}

static NAMED: AtomicPtr<Named> = AtomicPtr::new(ptr::null_mut());

/// A count in a cache line of its own: threads that read at the same time change it, and look at what lies beside.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Alone<T>(pub T);

impl<T> Deref for Alone<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Reads answered from the image.
pub static SERVED: Alone<AtomicU64> = Alone(AtomicU64::new(0));
/// Reads that were not, because the file is not what it was, or what it points into was not read from the image.
pub static STALE: Alone<AtomicU64> = Alone(AtomicU64::new(0));
/// Reads of files that are not in the image.
pub static ABSENT: Alone<AtomicU64> = Alone(AtomicU64::new(0));

/// Whether all that the host's runtime saves is saved by this library.
static ALL_SAVES: AtomicBool = AtomicBool::new(false);

/// From now on all that the host's runtime saves is saved by this library, or no longer is.
pub fn set_all_saves(ours: bool) {
    ALL_SAVES.store(ours, Release);
}

/// Whether all that the host's runtime saves is saved by this library. Its own loader would not know a copy of a root for
/// a part of the region.
#[must_use]
pub fn all_saves() -> bool {
    ALL_SAVES.load(Acquire)
}

/// Remembers the image.
pub fn set(named: Named) {
    NAMED.store(Box::into_raw(Box::new(named)), Release);
}

/// The image, if the user named one and the first read has looked for it.
#[must_use]
pub fn named() -> Option<&'static Named> {
    // SAFETY: null, or leaked complete by `set` (whose store this load acquires) and never changed or freed.
    unsafe { NAMED.load(Acquire).as_ref() }
}

/// Sets the counts to zero: what a forked child begins with. Stores only.
pub fn reset() {
    [&SERVED, &STALE, &ABSENT]
        .iter()
        .for_each(|n| n.store(0, Relaxed));
}
