//! Reference counts, changed as the inline functions of lean.h change them (`lean_inc`, `lean_dec`), and the values of
//! thunks and tasks.

use super::runtime::Host;
use crate::object::Obj;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

/// Counts at or below this belong to objects that are never released. lean.h stops counting up half way to the
/// threshold below which it stops counting down, so that counts of several threads cannot overrun it.
const STICKY: i32 = i32::MIN + 0x1000_0000;

/// The count of an object.
///
/// # Safety
/// `o` points to an object that lives as long as the result is used.
unsafe fn count_of<'a>(o: Obj) -> &'a AtomicI32 {
    // SAFETY: the object lives long enough, by the contract, and begins with its 4-byte count, which is 8-aligned and which
    // other threads change by atomic operations only.
    unsafe { &*o.ptr().cast::<AtomicI32>() }
}

impl Host {
    /// Takes one more reference (`lean_inc`). A scalar, an uncounted object and a sticky one stay as they are.
    ///
    /// # Safety
    /// `o` is a scalar or points to a live object of this runtime or in a region, which this thread may use.
    #[inline]
    pub unsafe fn inc(&self, o: Obj) {
        if o.is_scalar() {
            return;
        }
        // SAFETY: no scalar, so a live object by the contract.
        let count = unsafe { count_of(o) };
        let rc = count.load(Ordering::Relaxed);
        if rc > 0 {
            // Only one thread knows this object.
            count.store(rc.wrapping_add(1), Ordering::Relaxed);
        } else if rc < 0 && rc > STICKY {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Gives back one reference (`lean_dec`); the last one releases the object.
    ///
    /// # Safety
    /// As [`Host::inc`], and the caller owns a reference, which is gone afterwards.
    #[inline]
    pub unsafe fn dec(&self, o: Obj) {
        if o.is_scalar() {
            return;
        }
        // SAFETY: no scalar, so a live object by the contract.
        let count = unsafe { count_of(o) };
        let rc = count.load(Ordering::Relaxed);
        if rc > 1 {
            count.store(rc - 1, Ordering::Relaxed);
        } else if rc != 0 {
            // SAFETY: the count is 1 or negative, as the cold path expects, and the reference is the
            // caller's to give.
            unsafe { (self.entries.dec_ref_cold)(o) };
        }
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
unsafe fn value_or(o: Obj, wait: unsafe extern "C" fn(Obj) -> Obj) -> Obj {
    // SAFETY: both kinds keep their value in the word after the header, which threads access atomically.
    let value = unsafe { (*o.ptr().add(8).cast::<AtomicUsize>()).load(Ordering::Acquire) };
    if value != 0 {
        Obj(value)
    } else {
        // SAFETY: `wait` accepts this object, by the contract.
        unsafe { wait(o) }
    }
}
