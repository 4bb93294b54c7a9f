//! Results of IO functions as the runtime expects them: a constructor of one field since v4.26, of two (value and world)
//! before.
//!
//! Handle and structure runtimes are newer than that. Batch runtimes are of both kinds; which one this is
//! shows in the result of a function of its own. That call is made when the first result is needed, because
//! a runtime cannot always allocate yet when it is bound.

use super::error::HostError;
use super::generation::Generation;
use super::runtime::Host;
use crate::object::Obj;
use crate::os::libraries::OpenObject;
use std::ffi::CStr;
use std::sync::atomic::Ordering;

const TAG_OK: u8 = 0;
const TAG_ERROR: u8 = 1;

/// `lean_io_metadata`: fails for the empty path without doing anything. It borrows the path; in runtimes
/// with two fields it has a second argument, the world.
const PROBE: &CStr = c"lean_io_metadata";

/// The fields of a result if the generation tells, 0 if that has to be found out by the probe.
pub(super) fn known_fields(generation: Generation, library: &OpenObject) -> Result<u8, HostError> {
    match generation {
        Generation::Handle | Generation::Structure => Ok(1),
        Generation::Batch if library.symbol(PROBE).is_some() => Ok(0),
        Generation::Batch => Err(HostError::MissingSymbol {
            library: library.object().path.clone(),
            symbol: "lean_io_metadata",
        }),
    }
}

impl Host {
    /// A successful result with `value` (consumed).
    ///
    /// # Safety
    /// The runtime can allocate on this thread; the caller owns `value`.
    #[must_use]
    #[inline]
    pub unsafe fn io_ok(&self, value: Obj) -> Obj {
        // SAFETY: the contract is the same.
        unsafe { self.io_result(TAG_OK, value) }
    }

    /// A failed result: `IO.userError` with `text`.
    ///
    /// # Safety
    /// The runtime can allocate on this thread.
    #[must_use]
    pub unsafe fn io_error(&self, text: &str) -> Obj {
        // SAFETY: the runtime can allocate; the string is consumed by the error, the error by the result.
        unsafe { self.io_result(TAG_ERROR, (self.entries.mk_io_user_error)(self.mk_string(text))) }
    }

    /// # Safety
    /// As [`Host::io_ok`].
    #[inline]
    unsafe fn io_result(&self, tag: u8, value: Obj) -> Obj {
        // SAFETY: the runtime can allocate, and every field is set.
        unsafe {
            if self.io_fields() == 1 {
                self.mk_ctor(tag, &[value], &[])
            } else {
                self.mk_ctor(tag, &[value, Obj::UNIT], &[])
            }
        }
    }

    /// How many fields the runtime's IO results have.
    ///
    /// # Safety
    /// The runtime can allocate on this thread.
    #[must_use]
    #[inline]
    pub unsafe fn io_fields(&self) -> u8 {
        match self.io_fields.load(Ordering::Relaxed) {
            0 => {
                // SAFETY: the contract is the same.
                let fields = unsafe { self.probe_io_fields() };
                self.io_fields.store(fields, Ordering::Relaxed);
                fields
            }
            known => known,
        }
    }

    /// # Safety
    /// As [`Host::io_fields`].
    #[cold]
    pub(super) unsafe fn probe_io_fields(&self) -> u8 {
        let Some(address) = self.symbol(PROBE) else {
            return 1;
        };
        // SAFETY: the address is that of the function, whose two arguments are words; a runtime that takes
        // one does not look at the second. The path is ours, borrowed by the call, as is the result.
        unsafe {
            let probe: unsafe extern "C" fn(Obj, Obj) -> Obj = std::mem::transmute(address);
            let path = self.mk_string("");
            let result = probe(path, Obj::UNIT);
            let fields = result.kind().other;
            self.dec(result);
            self.dec(path);
            fields
        }
    }
}
