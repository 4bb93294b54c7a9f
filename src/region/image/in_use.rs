//! The image of this process: named by the user, mapped at the first read, there to the end.

use super::facts::Facts;
use super::mapped::Mapped;
use crate::compactor::RootCopyAt;
use crate::host::{Generation, Host};
use crate::os::image_use::{self, Named};
use crate::os::lock::Lock;
use crate::os::stderr::complain;
use crate::os::{env, notes};
use crate::region::wishes::githash;
use olean_reader::format::identity::Identity;
use olean_reader::format::image::Digest;
use std::path::PathBuf;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// The image to be used.
const VARIABLE: &str = "LEAN_REGION_IMAGE";
/// Switched on, files are known by their paths alone.
const TRUST: &str = "LEAN_REGION_IMAGE_TRUST";

/// The image in use; null as long as nobody has looked for it, and if there is none.
static IN_USE: AtomicPtr<Mapped> = AtomicPtr::new(ptr::null_mut());
/// Whether somebody has looked for it.
static LOOKED: AtomicBool = AtomicBool::new(false);
/// Held by who looks for it. Nothing else is locked meanwhile.
static LOOKING: Lock<()> = Lock::new(());

/// The image of this process, if the user named one that can be used. The first call maps it.
///
/// # Safety
/// The host can allocate on this thread, as in a call of its loader.
#[inline]
pub unsafe fn in_use(host: &Host) -> Option<&'static Mapped> {
    if !LOOKED.load(Ordering::Acquire) {
        // SAFETY: the contract is the same.
        unsafe { look(host) };
    }
    current()
}

/// The image, if it has been looked for and found.
fn current() -> Option<&'static Mapped> {
    // SAFETY: null, or leaked complete by `look` before `LOOKED` was set, and never changed or freed.
    unsafe { IN_USE.load(Ordering::Acquire).as_ref() }
}

/// # Safety
/// As [`in_use`].
#[cold]
unsafe fn look(host: &Host) {
    // Asked before the lock is taken: the host may have to be called for it.
    // SAFETY: the host can allocate, by the contract.
    let (flags, githash) = (host.flags(), unsafe { githash(host) });
    let shares = host.generation() == Generation::Structure;
    let _alone = LOOKING.lock();
    if LOOKED.load(Ordering::Acquire) {
        return;
    }
    if let Some(file) = env::var(VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from) {
        // The process may change its directory.
        let file = std::path::absolute(&file).unwrap_or(file);
        let trust = env::switch(TRUST, false);
        match Mapped::open(&file, flags, githash, trust, shares, host.is_embedded()) {
            Ok(mapped) => {
                image_use::set(Named {
                    file,
                    regions: mapped.len().into(),
                    reason: None,
                });
                IN_USE.store(Box::into_raw(Box::new(mapped)), Ordering::Release);
            }
            Err(reason) => {
                complain(&format!(
                    "the image '{}' is not used: {reason}; files are read instead",
                    file.display()
                ));
                notes::add(&file, format!("the image is not used: {reason}"));
                image_use::set(Named {
                    file,
                    regions: 0,
                    reason: Some(reason),
                });
            }
        }
    }
    LOOKED.store(true, Ordering::Release);
}

/// The live region of the image that begins at `address`.
#[must_use]
pub fn facts(address: usize) -> Option<Facts> {
    current()?.facts_at(address)
}

/// The file that the live region of the image at `address` came from.
#[must_use]
pub fn identity(address: usize) -> Option<Identity> {
    current()?.identity_at(address)
}

/// The digest of the file that the live region of the image at `address` came from.
#[must_use]
pub fn source_digest(address: usize) -> Option<Digest> {
    current()?.source_digest_at(address)
}

/// The copy of the root that the image gives out for the region at `address`.
#[must_use]
pub fn root_copy(address: usize) -> Option<RootCopyAt> {
    current()?.root_copy_at(address)
}

/// Whether `address` lies in the image, where a look may cost a page fault.
#[must_use]
pub fn holds(address: usize) -> bool {
    current().is_some_and(|image| image.holds(address))
}

/// Lets go of the region of the image at `address`, whose memory stays; false if there is none, or it is not alive.
#[must_use]
pub fn release(address: usize) -> bool {
    current().is_some_and(|image| image.release(address))
}

/// How many regions of the image were handed out and not freed.
#[must_use]
pub fn live() -> usize {
    current().map_or(0, Mapped::live)
}
