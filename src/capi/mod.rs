//! The C entry points. They only translate: C arguments into Rust values, results and errors back into what C
//! expects. No panic leaves them (`guarded`).
//!
//! * [`loader`]: the functions of Lean's loader, under the names of all releases;
//! * [`objects`]: objects for programs without Lean;
//! * [`inspect`]: what objects are and hold: tags, numbers, results of reads;
//! * [`set`]: a snapshot with all its modules in one call;
//! * [`files`]: region files proved and hashed, without loading them;
//! * [`version`]: the version, for programs to compare;
//! * [`control`]: this library's own affairs.

pub mod control;
mod ctor;
pub mod files;
pub mod inspect;
pub mod loader;
pub mod objects;
pub mod set;
pub mod version;

use crate::host::Host;
use crate::object::Obj;
use crate::os::{panics, stderr::complain, thread_text};

/// Any object of the Lean runtime, or a boxed scalar.
///
/// cbindgen:ignore
#[allow(non_camel_case_types)]
pub enum lean_object {}

fn obj(p: *mut lean_object) -> Obj {
    Obj(p as usize)
}

fn raw(o: Obj) -> *mut lean_object {
    o.ptr().cast()
}

/// Runs `f` so that no panic leaves it; what it says on failure is remembered.
fn guarded<T>(f: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let result = panics::caught(f).and_then(|result| result);
    if let Err(text) = &result {
        thread_text::set(text);
    }
    result
}

/// The host, or a line on stderr: without a host there is no object to carry an error.
fn host() -> Option<&'static Host> {
    // Remembered first: it must not be lost to a stderr that takes nothing.
    let found = guarded(|| Host::get().map_err(|e| e.to_string()));
    found.inspect_err(|text| complain(text)).ok()
}

/// Runs `f` and makes an IO result of its outcome, in the host's shape. NULL only without a host.
fn io_result(f: impl FnOnce(&Host) -> Result<Obj, String>) -> *mut lean_object {
    let Some(host) = host() else {
        return std::ptr::null_mut();
    };
    let result = guarded(|| f(host));
    // SAFETY: the host calls its loader where it can allocate; `f` gave up the value it answered.
    raw(unsafe {
        match result {
            Ok(value) => host.io_ok(value),
            Err(text) => host.io_error(&text),
        }
    })
}
