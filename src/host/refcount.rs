//! Reference counts of single objects, changed as the inline functions of lean.h change them, whatever the runtime.

use super::entries::ObjectFn;
use crate::object::Obj;
use std::sync::atomic::{AtomicI32, Ordering};

/// Counts at or below this belong to objects that are never released. lean.h stops counting up half way to the
/// threshold below which it stops counting down, so that counts of several threads cannot overrun it.
const STICKY: i32 = i32::MIN + 0x1000_0000;

/// The count of an object.
///
/// # Safety
/// `o` points to an object that lives as long as the result is used.
unsafe fn count_of<'a>(o: Obj) -> &'a AtomicI32 {
    // SAFETY: the object lives long enough, by the contract, and begins with its 4-byte count, which is 8-aligned and
    // which other threads change by atomic operations only.
    unsafe { &*o.ptr().cast::<AtomicI32>() }
}

/// Takes one more reference. A scalar, an uncounted object and a sticky one stay as they are.
///
/// # Safety
/// `o` is a scalar or a live object, which this thread may use.
#[inline]
pub(super) unsafe fn inc(o: Obj) {
    if o.is_scalar() {
        return;
    }
    // SAFETY: not a scalar, so a live object by the contract; it stays alive during this call, as the caller may use
    // it.
    let count = unsafe { count_of(o) };
    let rc = count.load(Ordering::Relaxed);
    if rc > 0 {
        // Only one thread knows this object.
        count.store(rc.wrapping_add(1), Ordering::Relaxed);
    } else if rc < 0 && rc > STICKY {
        count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Gives back one reference; the last one releases the object. `cold` is the runtime's `lean_dec_ref_cold`.
///
/// # Safety
/// As [`inc`], and the caller owns a reference, which is gone afterwards; the object is of that runtime.
#[inline]
pub(super) unsafe fn dec(o: Obj, cold: ObjectFn) {
    if o.is_scalar() {
        return;
    }
    // SAFETY: not a scalar, so a live object by the contract; it stays alive during this call, as the caller may use
    // it.
    let count = unsafe { count_of(o) };
    let rc = count.load(Ordering::Relaxed);
    if rc > 1 {
        count.store(rc - 1, Ordering::Relaxed);
    } else if rc != 0 {
        // SAFETY: the count is 1 or negative, as the cold path expects, and the reference is the
        // caller's to give.
        unsafe { cold(o) };
    }
}
