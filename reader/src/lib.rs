//! The fully validating reader: proves over a byte slice that a file is what it claims to be, and
//! answers its graph and hashes. Trusts nothing, allocates by what is there and not by what is claimed,
//! recurses nowhere. No `unsafe` here.
//!
//! [`File::parse`] reads header and sections of a file of either pointer width; [`Region::check`] proves
//! its objects, [`Region::walk`] those of a dependency. [`verify_region`] is the short way for a loader.
#![forbid(unsafe_code)]

mod bitmap;
mod deps;
pub mod diff;
mod error;
mod file;
pub mod format;
mod graph;
mod hash;
pub mod path;
mod region;
pub mod shapes;
mod space;
pub mod stats;
pub mod transform;
mod walk;

pub use deps::DepBytes;
pub use error::{BadPointer, CheckError, Field, ObjectRef, Violation};
pub use file::{Bignums, File, Kind, Library, Sections, Width};
pub use graph::{Bignum, Closure, Graph, Value};
pub use hash::{Digests, Hash128};
pub use region::{Region, Summary};
pub use space::NodeId;

/// What a loader asks of a file besides soundness.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// The name of the file, for error texts; may be empty.
    pub name: &'a str,
}

/// Proves a 64-bit file before a loader hands out its root: header, sections, every object and pointer.
/// Dependencies were proved when they were loaded; of them only the object starts are looked at, and
/// only of those that the file points into.
///
/// # Errors
/// The first violation; also a root behind the objects, which today's loaders do not read.
pub fn verify_region(
    bytes: &[u8],
    deps: &[DepBytes<'_>],
    options: &Options<'_>,
) -> Result<Summary, CheckError> {
    let file = File::parse(bytes, options.name, Some(Width::W64))?;
    let (root_first, root_at) = (file.root_first(), file.root_at);
    let deps = deps::Deps::lazy(deps, Width::W64)?;
    let checked = Region::check_alone(file.root_at_start(), &deps).map(|r| r.summary());
    if checked.is_err() && !root_first {
        let e = CheckError::new(Violation::RootLast).at(root_at).field("root");
        return Err(e.in_file(options.name));
    }
    checked
}
