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
mod guess;
mod hash;
mod parse;
pub mod path;
mod proof;
mod region;
mod space;
pub mod stats;
pub mod transform;
pub mod types;
mod verify;
mod walk;

pub use deps::DepBytes;
pub use error::{BadPointer, CheckError, Field, ObjectRef, Violation};
pub use file::{File, Library, Sections};
pub use format::object::{Bignums, Kind};
pub use format::word::Width;
pub use graph::{Bignum, Closure, Graph, Value};
pub use hash::{Digests, Hash128};
pub use region::{Region, Summary};
pub use space::NodeId;
pub use verify::{Options, verify_region};
