//! The Lean runtime of this process as one interface: a real one found by its symbols, or the embedded one
//! where there is none.
//!
//! * [`Host`] is bound once and answers everything the loader needs of a runtime. It knows the runtime by a
//!   table of functions (`entries`) and an allocation scheme (`alloc`); which runtime it is makes no other
//!   difference, so objects are laid out (`construct`, `count`) by one piece of code for all.
//! * `bind` finds the runtime among the loaded objects and tells its generation; `identity` says what it
//!   writes into files; `io` and `regions` build results and regions in its shapes; `external` is the class
//!   of compactor objects.
//! * [`embedded`] is the runtime that serves where there is no other.

use crate::os::libraries::OpenObject;
use once_cell::sync::OnceCell;
use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU8;

mod alloc;
mod bind;
mod construct;
mod count;
pub mod embedded;
mod entries;
mod external;
mod identity;
mod io;
mod regions;
mod sizes;

pub use external::Finalizer;
pub use identity::FileIdentity;
pub use regions::RegionFacts;

/// How the loader functions of a runtime are called and how they represent a region (spec section 4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Generation {
    /// v4.20 to v4.30: `lean_{save,read}_module_data_parts`, a region is a `USize` handle.
    Batch,
    /// v4.31: `lean_compacted_region_{save,read}`, a region is a `USize` handle.
    Handle,
    /// v4.32 and later: as `Handle`, but a region is a Lean structure.
    Structure,
}

impl Generation {
    /// The generation as reports and `LEAN_REGION_ABI` name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Handle => "handle",
            Self::Structure => "structure",
        }
    }
}

/// Why the Lean runtime of this process cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// There is a runtime, but its loader functions are of no generation that is known.
    #[error(
        "the Lean runtime in {} has a loader of an unknown generation: it exports neither \
         lean_read_module_data_parts nor lean_compacted_region_read; this library serves Lean 4.20 and later",
        place(.0)
    )]
    UnknownGeneration(PathBuf),
    /// The runtime lies in the same object as this library, so that loader functions cannot be told apart.
    #[error(
        "this library and a Lean runtime are linked together into {}, where their loader functions have the \
         same names; use the shared library",
        place(.0)
    )]
    SameObject(PathBuf),
    /// A function that every served runtime exports is not there.
    #[error("the Lean runtime in {} does not export {symbol}, without which it cannot be used", place(.library))]
    MissingSymbol {
        /// The runtime's library, empty for the main program.
        library: PathBuf,
        /// What it lacks.
        symbol: &'static str,
    },
    /// Nothing of that name is loaded, or it is not a Lean runtime.
    #[error("'{}' is not a Lean runtime that is loaded into this process; load it first", .0.display())]
    NotARuntime(PathBuf),
    /// Another runtime has been bound before.
    #[error(
        "the loader is already bound to {}, it cannot be bound to '{}' as well; bind before the first use",
        .bound.as_ref().map_or("the embedded runtime".to_owned(), |path| place(path)),
        .wanted.display()
    )]
    AlreadyBound {
        /// The bound runtime's library, empty for the main program; `None` for the embedded runtime.
        bound: Option<PathBuf>,
        /// The runtime that was asked for.
        wanted: PathBuf,
    },
    /// A variable that overrides what is found has a value without meaning.
    #[error("{variable} is '{value}', but must be {allowed}; correct it or unset it")]
    BadOverride {
        /// The environment variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
}

/// Where a runtime lies, in words.
fn place(library: &Path) -> String {
    if library.as_os_str().is_empty() {
        "the program itself".to_owned()
    } else {
        format!("'{}'", library.display())
    }
}

/// The Lean runtime that objects of this process belong to.
#[derive(Debug)]
pub struct Host {
    /// Where a real runtime lies, held open; `None` for the embedded one.
    library: Option<OpenObject>,
    generation: Generation,
    allocator: alloc::Allocator,
    entries: entries::Entries,
    /// Fields of an IO result, or 0 while that is not known.
    io_fields: AtomicU8,
    /// The class of compactor objects once it is registered, as the runtime's class pointer.
    class: OnceCell<usize>,
    /// Whether bignums are GMP's.
    gmp: bool,
    version: OnceCell<[u8; 33]>,
    githash: OnceCell<Option<[u8; 40]>>,
}

static HOST: OnceCell<Host> = OnceCell::new();

impl Host {
    /// The runtime of this process, bound at the first call and the same ever after: a real one if one is
    /// loaded, else the embedded one. A runtime that is loaded later is not noticed.
    ///
    /// # Errors
    /// A runtime is loaded, but cannot be used.
    pub fn get() -> Result<&'static Host, HostError> {
        HOST.get_or_try_init(|| Ok(bind::find_runtime()?.unwrap_or_else(Host::embedded)))
    }

    /// As [`Host::get`], but leaves the choice open if no runtime is loaded yet.
    ///
    /// # Errors
    /// A runtime is loaded, but cannot be used.
    pub fn get_runtime() -> Result<Option<&'static Host>, HostError> {
        let host = match HOST.get() {
            Some(host) => Some(host),
            None => bind::find_runtime()?.map(|found| HOST.get_or_init(|| found)),
        };
        Ok(host.filter(|host| !host.is_embedded()))
    }

    /// Binds this process to the runtime in the library `path`, as [`Host::open`] finds it: of several that
    /// are loaded the one to be used.
    ///
    /// # Errors
    /// As [`Host::open`], or another runtime has been bound before.
    pub fn bind_library(path: &Path) -> Result<&'static Host, HostError> {
        let wanted = Self::open(path)?;
        let base = wanted.library_base();
        let host = HOST.get_or_init(|| wanted);
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
        bind::bind_object(OpenObject::find(path).ok_or_else(|| HostError::NotARuntime(path.to_owned()))?)
    }

    /// The embedded runtime as a host.
    fn embedded() -> Host {
        Host {
            library: None,
            generation: Generation::Structure,
            allocator: alloc::Allocator::Embedded,
            entries: embedded::entries(),
            io_fields: AtomicU8::new(1),
            class: OnceCell::new(),
            gmp: true,
            version: OnceCell::new(),
            githash: OnceCell::new(),
        }
    }

    /// How the runtime's loader functions are called and what a region is to it.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Whether this is the embedded runtime.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        self.library.is_none()
    }

    /// The path of the runtime's library as the dynamic linker knows it; empty for the main program and for
    /// the embedded runtime.
    #[must_use]
    pub fn library_path(&self) -> &Path {
        self.library.as_ref().map_or(Path::new(""), |l| &l.object().path)
    }

    /// The load address of the runtime's library (`dlpi_addr`), 0 for the embedded runtime.
    #[must_use]
    pub fn library_base(&self) -> usize {
        self.library.as_ref().map_or(0, |l| l.object().base)
    }

    /// The name of the allocation scheme, for reports.
    #[must_use]
    pub fn allocator_name(&self) -> &'static str {
        self.allocator.name()
    }

    /// Whether bignums are laid out as GMP's (`mpz_t`), else as Lean's own.
    #[must_use]
    pub fn uses_gmp(&self) -> bool {
        self.gmp
    }

    /// The address of an exported symbol in the runtime's own object, never in another one. `None` if it
    /// does not export it, and for the embedded runtime.
    #[must_use]
    pub fn symbol(&self, name: &CStr) -> Option<usize> {
        self.library.as_ref()?.symbol(name)
    }
}
