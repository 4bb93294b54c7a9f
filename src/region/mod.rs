//! Saving and reading region files: the flow over format, compactor, relocation and operating system.
//!
//! * [`calls`] is what the loader's functions do, in terms of the host's objects; `arguments` takes those apart,
//!   `deps` the dependency regions among them, [`results`] puts the answers of reads together, and `wishes` is what the
//!   user asks of all of them;
//! * [`set`] reads a snapshot with all modules that it was saved over;
//! * [`mod@open`], with the checks in [`examine`], [`mod@read`], with those in `prove` that cost more, and [`save`] work on one file
//!   and know no host;
//! * [`closures`] is what version 3 adds to both, and [`freshness`], over digests of files, finds what has changed
//!   since, for which `earlier` is what a file knew that is replaced;
//! * [`image`] answers reads from one large mapping;
//! * [`registry`] knows which regions are alive, [`unchanging`] which of them a second read of their file can share;
//! * [`chain`] is a compactor as the host carries it, [`twin`] the host's own beside it in mode compare.

mod ahead;
mod arguments;
pub mod calls;
pub mod chain;
pub mod closures;
mod content;
mod deps;
mod earlier;
pub mod error;
pub mod examine;
#[cfg(feature = "fault-injection")]
mod fault;
mod foreseen;
pub mod freshness;
pub mod image;
pub mod open;
mod prove;
pub mod read;
pub mod registry;
pub mod results;
pub mod save;
pub mod set;
pub mod twin;
pub mod unchanging;
mod use_of_regions;
mod values;
mod wishes;
