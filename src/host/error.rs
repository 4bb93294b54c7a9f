//! Why the Lean runtime of a process cannot be used.

use std::path::{Path, PathBuf};

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
    /// Its objects are like those of no allocator that Lean has had.
    #[error(
        "the objects of the Lean runtime in {} come from an allocator that is not known: neither mimalloc, nor Lean's \
         small allocator, nor malloc", place(.0)
    )]
    UnknownAllocator(PathBuf),
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
