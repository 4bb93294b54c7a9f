//! Finding a Lean runtime among the loaded objects, and telling its generation by what it exports.
//!
//! Symbols are looked up in one object at a time and never in the whole process: that finds the loader functions which
//! this library exports itself, under the names of all generations.

use super::alloc::Allocator;
use super::entries::Entries;
use super::error::HostError;
use super::generation::Generation;
use super::io;
use super::runtime::Host;
use crate::os::{elf::ElfObject, env, libraries::OpenObject, libraries::loaded_objects};
use once_cell::race::{OnceBox, OnceNonZeroUsize};
use std::ffi::CStr;
use std::path::Path;
use std::sync::atomic::AtomicU8;

/// What every runtime exports and nothing else does, this library included.
const RUNTIME_MARKS: [&CStr; 2] = [c"lean_alloc_object", c"lean_dec_ref_cold"];

static HOST: OnceBox<Host> = OnceBox::new();

impl Host {
    /// The runtime of this process, bound at the first call and the same ever after: a real one if one is
    /// loaded, else the embedded one. A runtime that is loaded later is not noticed.
    ///
    /// # Errors
    /// A runtime is loaded, but cannot be used.
    pub fn get() -> Result<&'static Host, HostError> {
        HOST.get_or_try_init(|| Ok(Box::new(find_runtime()?.unwrap_or_else(Host::embedded))))
    }

    /// As [`Host::get`], but leaves the choice open if no runtime is loaded yet.
    ///
    /// # Errors
    /// A runtime is loaded, but cannot be used, or the embedded one was bound before it was loaded.
    pub fn get_runtime() -> Result<Option<&'static Host>, HostError> {
        let host = match HOST.get() {
            Some(host) => Some(host),
            None => find_runtime()?.map(|found| HOST.get_or_init(|| Box::new(found))),
        };
        match host {
            Some(host) if host.is_embedded() => match find_runtime()? {
                // It came after the choice was made.
                Some(found) => Err(HostError::AlreadyBound {
                    bound: None,
                    wanted: found.library_path().to_owned(),
                }),
                None => Ok(None),
            },
            host => Ok(host),
        }
    }

    /// Binds this process to the runtime in the library `path`, as [`Host::open`] finds it: of several that
    /// are loaded the one to be used.
    ///
    /// # Errors
    /// As [`Host::open`], or another runtime has been bound before.
    pub fn bind_library(path: &Path) -> Result<&'static Host, HostError> {
        let wanted = Self::open(path)?;
        let base = wanted.library_base();
        let host = HOST.get_or_init(|| Box::new(wanted));
        if !host.is_embedded() && host.library_base() == base {
            return Ok(host);
        }
        Err(HostError::AlreadyBound {
            bound: host.library.as_ref().map(|l| l.object().path.clone()),
            wanted: path.to_owned(),
        })
    }

    /// The runtime in the library `path`, a path or name under which it is loaded (nothing is loaded here),
    /// beside the one that this process is bound to. Objects of one runtime are nothing to another.
    ///
    /// # Errors
    /// It is not loaded, not a runtime, or not one that can be used.
    pub fn open(path: &Path) -> Result<Host, HostError> {
        bind_object(OpenObject::find(path).ok_or_else(|| HostError::NotARuntime(path.to_owned()))?)
    }
}

/// The first loaded runtime whose loader is known, or `None` if no runtime is loaded at all.
fn find_runtime() -> Result<Option<Host>, HostError> {
    let own = find_runtime as *const () as usize;
    let mut refused = None;
    for object in loaded_objects() {
        let ours = object.contains(own);
        let Some(open) = OpenObject::open(object) else {
            continue;
        };
        if !is_runtime(&open) {
            continue;
        }
        if ours {
            return Err(HostError::SameObject(open.object().path.clone()));
        }
        match bind_object(open) {
            Ok(host) => return Ok(Some(host)),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    refused.map_or(Ok(None), Err)
}

fn is_runtime(library: &OpenObject) -> bool {
    RUNTIME_MARKS.iter().all(|mark| library.symbol(mark).is_some())
}

/// The runtime in one object.
fn bind_object(library: OpenObject) -> Result<Host, HostError> {
    if !is_runtime(&library) {
        return Err(HostError::NotARuntime(library.object().path.clone()));
    }
    let generation = match override_of("LEAN_REGION_ABI", "batch, handle or structure", generation_named)? {
        Some(generation) => generation,
        None => generation_of(&library)
            .ok_or_else(|| HostError::UnknownGeneration(library.object().path.clone()))?,
    };
    let io_fields = match override_of("LEAN_REGION_IO_FIELDS", "1 or 2", io_fields_named)? {
        Some(fields) => fields,
        None => io::known_fields(generation, &library)?,
    };
    let entries = Entries::of(&library)?;
    Ok(Host {
        generation,
        // SAFETY: the library is a runtime, whose functions have the types that lean.h declares.
        allocator: unsafe { Allocator::of(&library, &entries)? },
        entries,
        io_fields: AtomicU8::new(io_fields),
        class: OnceNonZeroUsize::new(),
        gmp: calls_gmp(&library),
        version: OnceBox::new(),
        githash: OnceBox::new(),
        library: Some(library),
    })
}

/// Whether the runtime's bignums are GMP's: it has GMP in itself, or asks for GMP's functions from another library.
fn calls_gmp(library: &OpenObject) -> bool {
    if library.symbol(c"__gmpz_init").is_some() {
        return true;
    }
    let base = library.object().base;
    // SAFETY: the library is held open during this call.
    let object = unsafe { ElfObject::loaded(|object| object.base() == base) }.pop();
    object.is_some_and(|object| object.imports(b"__gmpz_"))
}

/// The generation by the loader functions that the runtime exports.
fn generation_of(library: &OpenObject) -> Option<Generation> {
    let has = |name| library.symbol(name).is_some();
    if has(c"lean_read_module_data_parts") {
        Some(Generation::Batch)
    } else if !has(c"lean_compacted_region_read") {
        None
    } else if has(c"lean_compacted_region_size") && has(c"lean_compacted_region_is_memory_mapped") {
        Some(Generation::Handle)
    } else {
        Some(Generation::Structure)
    }
}

/// What a variable says that stands in for something found out, for tests.
fn override_of<T>(
    variable: &'static str,
    allowed: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, HostError> {
    let Some(value) = env::var(variable) else {
        return Ok(None);
    };
    let value = value.to_string_lossy();
    match parse(&value) {
        Some(meaning) => Ok(Some(meaning)),
        None => Err(HostError::BadOverride {
            variable,
            value: value.into_owned(),
            allowed,
        }),
    }
}

fn generation_named(name: &str) -> Option<Generation> {
    [Generation::Batch, Generation::Handle, Generation::Structure]
        .into_iter()
        .find(|g| g.name() == name)
}

fn io_fields_named(value: &str) -> Option<u8> {
    match value {
        "1" => Some(1),
        "2" => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_have_exactly_the_documented_values() {
        assert_eq!(generation_named("handle"), Some(Generation::Handle));
        assert_eq!(generation_named("Handle"), None);
        assert_eq!(io_fields_named("2"), Some(2));
        assert_eq!(io_fields_named("3"), None);
    }
}
