//! A bound runtime: what is known of it, and the questions that this alone answers.

use super::alloc::Allocator;
use super::embedded;
use super::entries::Entries;
use super::generation::Generation;
use crate::os::libraries::OpenObject;
use once_cell::race::{OnceBox, OnceNonZeroUsize};
use std::ffi::CStr;
use std::path::Path;
use std::sync::atomic::AtomicU8;

/// The Lean runtime that objects of this process belong to.
#[derive(Debug)]
pub struct Host {
    /// Where a real runtime lies, held open; `None` for the embedded one.
    pub(super) library: Option<OpenObject>,
    pub(super) generation: Generation,
    pub(super) allocator: Allocator,
    pub(super) entries: Entries,
    /// Fields of an IO result, or 0 while that is not known.
    pub(super) io_fields: AtomicU8,
    /// The class of compactor objects once it is registered, as the runtime's class pointer.
    pub(super) class: OnceNonZeroUsize,
    /// Whether bignums are GMP's.
    pub(super) gmp: bool,
    pub(super) version: OnceBox<[u8; 33]>,
    pub(super) githash: OnceBox<Option<[u8; 40]>>,
}

impl Host {
    /// The embedded runtime as a host.
    pub(super) fn embedded() -> Host {
        Host {
            library: None,
            generation: Generation::Structure,
            allocator: Allocator::Embedded,
            entries: embedded::entries(),
            io_fields: AtomicU8::new(1),
            class: OnceNonZeroUsize::new(),
            gmp: true,
            version: OnceBox::new(),
            githash: OnceBox::new(),
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
