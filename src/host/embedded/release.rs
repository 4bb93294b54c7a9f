//! Releasing objects of the embedded runtime, and marking them for use by several threads. Neither recurses,
//! so a list may be as long as it likes.

use super::external::ExternalClass;
use super::memory;
use crate::object::Obj;
use olean_reader::format::object::{TAG_EXTERNAL, TAG_MPZ};
use std::ffi::c_void;
use std::sync::atomic::{AtomicI32, Ordering};

/// Counts at or below this are never changed: their objects live for ever.
const STICKY: i32 = i32::MIN + 0x2000_0000;

/// Bits of an object's first word that stay while it waits for its release; the others link the list.
const KIND_BITS: u64 = 0xffff << 48;

/// `lean_dec_ref_cold`.
///
/// # Safety
/// `o` is a live object whose count is 1 or negative; one reference is the caller's.
pub(super) unsafe extern "C-unwind" fn dec_ref_cold(o: Obj) {
    let mut waiting = Waiting(0);
    // SAFETY: the caller's reference is given up here, and each released object gives up its own.
    unsafe {
        waiting.drop_reference(o);
        while let Some(dead) = waiting.pop() {
            each_child(dead, |child| waiting.drop_reference(child));
            free(dead);
        }
    }
}

/// The list of objects whose last reference is gone, linked through their headers: the first address, or 0.
struct Waiting(u64);

impl Waiting {
    /// Gives up one reference of `o`.
    ///
    /// # Safety
    /// `o` is a live object with a reference to give.
    unsafe fn drop_reference(&mut self, o: Obj) {
        // SAFETY: a live object begins with its count and is not touched after its last reference is gone.
        unsafe {
            let count = &*o.ptr().cast::<AtomicI32>();
            let rc = count.load(Ordering::Relaxed);
            let last = match rc {
                2.. => {
                    count.store(rc - 1, Ordering::Relaxed);
                    false
                }
                1 => true,
                0 => false,
                _ if rc <= STICKY => false,
                // Threads that had references have written before they gave them up.
                _ => count.fetch_add(1, Ordering::AcqRel) == -1,
            };
            if last {
                let word = o.ptr().cast::<u64>();
                word.write(word.read() & KIND_BITS | self.0);
                self.0 = o.0 as u64;
            }
        }
    }

    /// # Safety
    /// The objects on the list are still there.
    unsafe fn pop(&mut self) -> Option<Obj> {
        if self.0 == 0 {
            return None;
        }
        let first = Obj(self.0 as usize);
        // SAFETY: an object on the list, whose first word holds the rest of the list.
        self.0 = unsafe { first.ptr().cast::<u64>().read() } & !KIND_BITS;
        Some(first)
    }
}

/// Calls `visit` with every object that `o` refers to, scalars and absent ones left out.
///
/// # Safety
/// `o` is an object of this runtime, of which the count and the size field may be gone.
unsafe fn each_child(o: Obj, mut visit: impl FnMut(Obj)) {
    // SAFETY: the object is there, and its header and its count of elements or arguments are whole; the fields are as
    // many words as they say.
    unsafe {
        let Some((first, count)) = o.pointers(o.kind()) else {
            return;
        };
        for i in 0..count {
            let child = Obj(o.word(first + 8 * i));
            if !child.is_scalar() && child.0 != 0 {
                visit(child);
            }
        }
    }
}

/// Gives back the memory of `o` and what it owns besides objects.
///
/// # Safety
/// `o` is an object of this runtime without references, not on the list any more.
unsafe fn free(o: Obj) {
    // SAFETY: limbs and object come from malloc; class and data are an external object's words.
    unsafe {
        match o.kind().tag {
            TAG_MPZ => libc::free(o.word(16) as *mut c_void),
            TAG_EXTERNAL => {
                let class = o.word(8) as *const ExternalClass;
                ((*class).finalize)(o.word(16) as *mut c_void);
            }
            _ => {}
        }
        memory::free(o.ptr());
    }
}

/// `lean_mark_mt`: turns the counts of everything that `o` reaches negative. What is negative or uncounted
/// already only reaches such objects.
///
/// # Safety
/// `o` is a live object (borrowed); no other thread uses what it reaches and is not marked yet.
pub(super) unsafe extern "C-unwind" fn mark_mt(o: Obj) {
    let mut open = vec![o];
    while let Some(o) = open.pop() {
        // SAFETY: everything reachable from a live object is alive.
        unsafe {
            let count = &*o.ptr().cast::<AtomicI32>();
            let rc = count.load(Ordering::Relaxed);
            if rc > 0 {
                count.store(-rc, Ordering::Relaxed);
                if o.kind().tag == TAG_EXTERNAL {
                    let class = o.word(8) as *const ExternalClass;
                    ((*class).foreach)(o.word(16) as *mut c_void, Obj::UNIT);
                }
                each_child(o, |child| open.push(child));
            }
        }
    }
}
