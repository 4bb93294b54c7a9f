//! A compactor as the host carries it from one save to the next: inside an external object.

use super::registry;
use super::twin::{Twin, release_twin};
use crate::compactor::Compactor;
use crate::host::Host;
use crate::object::Obj;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};

/// What our external objects hold.
pub struct Chain {
    compactor: Mutex<Compactor>,
    /// The record of the files that the parts depend on.
    dependencies: Vec<u8>,
    /// In mode compare: a boxed [`Twin`], or null.
    twin: AtomicPtr<Twin>,
}

/// Why an object given as `prev` cannot be gone on with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadChain {
    /// It is no compactor of this library.
    Foreign,
    /// Another thread is saving with it.
    Busy,
}

impl Chain {
    /// A new external object that owns `compactor`.
    ///
    /// # Safety
    /// The host can allocate on this thread.
    pub unsafe fn into_object(compactor: Compactor, dependencies: Vec<u8>, host: &Host) -> Obj {
        Host::set_compactor_finalizer(release);
        registry::compactor_stays();
        let chain = Box::new(Chain {
            compactor: Mutex::new(compactor),
            dependencies,
            twin: AtomicPtr::new(ptr::null_mut()),
        });
        // SAFETY: the box goes to `release`, which takes it back once, on whatever thread.
        unsafe { host.alloc_external(Box::into_raw(chain).cast()) }
    }

    /// The compactor in `object` (borrowed), for this thread alone.
    ///
    /// # Errors
    /// [`BadChain`].
    ///
    /// # Safety
    /// `object` is a scalar or a live object of `host`, and stays alive as long as the guard.
    pub unsafe fn lock<'a>(object: Obj, host: &Host) -> Result<MutexGuard<'a, Compactor>, BadChain> {
        // SAFETY: the contract is the same.
        let chain = unsafe { Self::of(object, host) }.ok_or(BadChain::Foreign)?;
        match chain.compactor.try_lock() {
            Ok(compactor) => Ok(compactor),
            // Whatever a save left that ended in a panic, it refuses the next one by itself.
            Err(TryLockError::Poisoned(left)) => Ok(left.into_inner()),
            Err(TryLockError::WouldBlock) => Err(BadChain::Busy),
        }
    }

    /// The record of dependencies that the compactor in `object` (borrowed) was made with.
    ///
    /// # Safety
    /// As [`Chain::lock`]; the object outlives the result.
    pub unsafe fn dependencies<'a>(object: Obj, host: &Host) -> &'a [u8] {
        // SAFETY: passed on from the caller.
        unsafe { Self::of(object, host) }.map_or(&[], |chain| &chain.dependencies)
    }

    /// Whether the compactor in `object` (borrowed) has met references that other threads may change.
    ///
    /// # Safety
    /// As [`Chain::lock`].
    #[must_use]
    pub unsafe fn met_shared_references(object: Obj, host: &Host) -> bool {
        // SAFETY: passed on from the caller; the guard ends here.
        unsafe { Self::lock(object, host) }.is_ok_and(|compactor| compactor.met_shared_references())
    }

    /// # Safety
    /// As [`Chain::lock`].
    unsafe fn of<'a>(object: Obj, host: &Host) -> Option<&'a Chain> {
        // SAFETY: `object` is a scalar or live as long as the result is used, by the contract. `external_data`
        // answers only for objects of our class, whose data is the `Chain` that `into_object` put there, until they
        // are released.
        unsafe { Some(&*host.external_data(object)?.cast::<Chain>()) }
    }

    /// Takes the twin out of the compactor in `object` (borrowed), if it has one.
    ///
    /// # Safety
    /// As [`Chain::lock`].
    #[must_use]
    pub unsafe fn take_twin(object: Obj, host: &Host) -> Option<Twin> {
        // SAFETY: the contract is the same.
        let twin = unsafe { Self::of(object, host) }?
            .twin
            .swap(ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: not null, so boxed by `set_twin`, and taken out by this thread alone.
        (!twin.is_null()).then(|| *unsafe { Box::from_raw(twin) })
    }

    /// Gives the compactor in `object` (borrowed) a twin, in the place of one that it had; it is released with it.
    ///
    /// # Safety
    /// As [`Chain::lock`]. The twin's compactor belongs to `host`, which is the process's own runtime.
    pub unsafe fn set_twin(object: Obj, host: &Host, twin: Twin) {
        // SAFETY: the contract is the same.
        let Some(chain) = (unsafe { Self::of(object, host) }) else {
            return;
        };
        let before = chain.twin.swap(Box::into_raw(Box::new(twin)), Ordering::AcqRel);
        // SAFETY: null or boxed by an earlier call, and taken out by this thread alone.
        unsafe { release_twin(before) };
    }
}

/// # Safety
/// `data` came from [`Chain::into_object`], and is not used again.
unsafe extern "C" fn release(data: *mut c_void) {
    // SAFETY: by the caller's word a box that nobody owns any more, and with it the twin.
    unsafe {
        let chain = Box::from_raw(data.cast::<Chain>());
        release_twin(chain.twin.load(Ordering::Acquire));
    }
    registry::compactor_goes();
}
