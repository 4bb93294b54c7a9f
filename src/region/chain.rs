//! A compactor as the host carries it from one save to the next: inside an external object.

use crate::compactor::{Compactor, Values};
use crate::host::Host;
use crate::object::Obj;
use parking_lot::{Mutex, MutexGuard};
use std::ffi::c_void;

/// What our external objects hold.
pub struct Chain {
    compactor: Mutex<Compactor>,
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
    pub unsafe fn into_object(compactor: Compactor, host: &Host) -> Obj {
        Host::set_compactor_finalizer(release);
        let chain = Box::new(Chain {
            compactor: Mutex::new(compactor),
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
        // SAFETY: the caller vouches for the object.
        let data = unsafe { host.external_data(object) }.ok_or(BadChain::Foreign)?;
        // SAFETY: objects of our class hold a `Chain` made by `into_object` until they are released.
        let chain = unsafe { &*data.cast::<Chain>() };
        chain.compactor.try_lock().ok_or(BadChain::Busy)
    }
}

/// # Safety
/// `data` came from [`Chain::into_object`], and is not used again.
unsafe extern "C" fn release(data: *mut c_void) {
    // SAFETY: by the caller's word a box that nobody owns any more.
    drop(unsafe { Box::from_raw(data.cast::<Chain>()) });
}

impl Values for Host {
    unsafe fn task_get(&self, task: Obj) -> Obj {
        // SAFETY: passed on from the caller.
        unsafe { Host::task_get(self, task) }
    }

    unsafe fn thunk_get(&self, thunk: Obj) -> Obj {
        // SAFETY: passed on from the caller.
        unsafe { Host::thunk_get(self, thunk) }
    }

    unsafe fn byte_size(&self, object: Obj) -> usize {
        // SAFETY: passed on from the caller.
        unsafe { self.small_byte_size(object) }
    }
}
