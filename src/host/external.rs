//! The class of external objects that hold our compactors. A runtime's class lives as long as the process,
//! so it is registered once, and its finalizer is ours for good.

use super::runtime::Host;
use crate::object::Obj;
use olean_reader::format::object::TAG_EXTERNAL;
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Releases what an external object holds.
pub type Finalizer = unsafe extern "C" fn(*mut c_void);

/// Bytes of an external object: header, class, data.
const EXTERNAL_SIZE: usize = 24;
const CLASS: usize = 8;
const DATA: usize = 16;

/// The address of a [`Finalizer`], or 0.
static FINALIZER: AtomicUsize = AtomicUsize::new(0);

/// # Safety
/// Called by a runtime with the data of an object of our class, when that object goes.
unsafe extern "C" fn finalize(data: *mut c_void) {
    let release = FINALIZER.load(Ordering::Acquire);
    if release != 0 {
        // SAFETY: not 0, so a finalizer's address; the object was made with data that it accepts (`alloc_external`), and
        // goes once.
        unsafe { std::mem::transmute::<usize, Finalizer>(release)(data) };
    }
}

/// A compactor refers to no objects that a runtime would have to visit.
unsafe extern "C" fn foreach(_data: *mut c_void, _visit: Obj) {}

impl Host {
    /// Says what releases the data of external objects, in this process for all hosts. The first call
    /// counts; data of objects that go before it is not released.
    pub fn set_compactor_finalizer(release: Finalizer) {
        let _ = FINALIZER.compare_exchange(0, release as usize, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// A new external object of our class that owns `data`.
    ///
    /// # Safety
    /// The runtime can allocate on this thread; `data` may be given to the finalizer once, on any thread.
    #[must_use]
    pub unsafe fn alloc_external(&self, data: *mut c_void) -> Obj {
        let class = self.class.get_or_init(|| {
            // SAFETY: the functions have the required types and stay in memory as long as this library does.
            let class = unsafe { (self.entries.register_external_class)(finalize, foreach) };
            NonZeroUsize::new(class as usize).expect("a class has an address")
        });
        // SAFETY: a fresh object of 24 bytes, all of which are set here.
        unsafe {
            let o = self.new_small(EXTERNAL_SIZE, TAG_EXTERNAL, 0);
            o.set_word(CLASS, class.get());
            o.set_word(DATA, data as usize);
            o
        }
    }

    /// The data of an external object (borrowed) of our class; `None` for a scalar and for any other object.
    ///
    /// # Safety
    /// `o` is a scalar or points to a live object.
    #[must_use]
    pub unsafe fn external_data(&self, o: Obj) -> Option<*mut c_void> {
        let class = self.class.get()?.get();
        // SAFETY: a live object; one with this tag has a class and a data word.
        unsafe {
            if o.is_scalar() || o.kind().tag != TAG_EXTERNAL || o.word(CLASS) != class {
                return None;
            }
            Some(o.word(DATA) as *mut c_void)
        }
    }
}
