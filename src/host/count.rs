//! Reference counts, changed as the inline functions of lean.h change them (`lean_inc`, `lean_dec`), and the values of
//! thunks, tasks and references.

use super::entries::MapFn;
use super::refcount::{dec, inc};
use super::runtime::Host;
use crate::object::Obj;
use std::sync::atomic::{AtomicUsize, Ordering};

impl Host {
    /// Takes one more reference (`lean_inc`). A scalar, an uncounted object and a sticky one stay as they are.
    ///
    /// # Safety
    /// `o` is a scalar or points to a live object of this runtime or in a region, which this thread may use.
    #[inline]
    pub unsafe fn inc(&self, o: Obj) {
        // SAFETY: the contract is the same.
        unsafe { inc(o) }
    }

    /// Gives back one reference (`lean_dec`); the last one releases the object.
    ///
    /// # Safety
    /// As [`Host::inc`], and the caller owns a reference, which is gone afterwards.
    #[inline]
    pub unsafe fn dec(&self, o: Obj) {
        // SAFETY: the contract is the same; the function is this runtime's.
        unsafe { dec(o, self.entries.dec_ref_cold) }
    }

    /// The value of a reference (borrowed) that other threads may change meanwhile, owned; `None` where the runtime
    /// exports no function for that.
    ///
    /// # Safety
    /// `o` points to a live reference of this runtime, and the runtime can allocate on this thread.
    #[must_use]
    pub unsafe fn ref_get(&self, o: Obj) -> Option<Obj> {
        let get = self.entries.st_ref_get?;
        // SAFETY: a live reference, as the caller says. Where IO results have two fields, this is one, and the value gets
        // an owner of its own before it goes.
        unsafe {
            let result = get(o, Obj::UNIT);
            if self.io_fields() == 1 {
                return Some(result);
            }
            let value = result.field(0);
            self.inc(value);
            self.dec(result);
            Some(value)
        }
    }

    /// What gives back one owned reference of an object of this runtime, as [`Host::dec`] does; callable on every
    /// thread.
    #[must_use]
    pub fn releaser(&self) -> Box<dyn Fn(Obj) + Send> {
        let cold = self.entries.dec_ref_cold;
        // SAFETY: whoever calls it gives it a reference that it owns; the function is this runtime's, which stays loaded.
        Box::new(move |o| unsafe { dec(o, cold) })
    }

    /// Makes `o` (borrowed) and all it reaches countable by several threads (`lean_mark_mt`).
    ///
    /// # Safety
    /// As [`Host::inc`], and no other thread uses objects reachable from `o` that are not marked yet.
    pub unsafe fn mark_mt(&self, o: Obj) {
        if !o.is_scalar() {
            // SAFETY: no scalar, so a live object by the contract.
            unsafe { (self.entries.mark_mt)(o) };
        }
    }

    /// The value of a task (both borrowed), after waiting for it as long as it takes.
    ///
    /// # Safety
    /// `o` points to a live task of this runtime.
    #[must_use]
    pub unsafe fn task_get(&self, o: Obj) -> Obj {
        // SAFETY: a live task of this runtime, by the contract, and that is what `lean_task_get` takes.
        unsafe { value_or(o, self.entries.task_get) }
    }

    /// The value of a thunk (both borrowed), computed now if it has not been.
    ///
    /// # Safety
    /// `o` points to a live thunk of this runtime.
    #[must_use]
    pub unsafe fn thunk_get(&self, o: Obj) -> Obj {
        // SAFETY: a live thunk of this runtime, by the contract, and that is what `lean_thunk_get_core` takes.
        unsafe { value_or(o, self.entries.thunk_get_core) }
    }
}

/// The value word of a thunk or task, or what `wait` gives while there is none.
///
/// # Safety
/// `o` points to a live thunk or task that `wait` accepts.
unsafe fn value_or(o: Obj, wait: MapFn) -> Obj {
    // SAFETY: both kinds keep their value in the word after the header, which threads access atomically.
    let value = unsafe { (*o.ptr().add(8).cast::<AtomicUsize>()).load(Ordering::Acquire) };
    if value != 0 {
        Obj(value)
    } else {
        // SAFETY: `wait` accepts this object, by the contract.
        unsafe { wait(o) }
    }
}
