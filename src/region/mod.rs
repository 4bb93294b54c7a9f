//! Saving and reading region files: the flow over format, compactor, relocation and operating system.
//!
//! * [`read`] and [`save`] work on one file and know no host;
//! * [`closures`] is what version 3 adds to both;
//! * [`registry`] knows which regions are alive;
//! * [`chain`] is a compactor as the host carries it; [`serve`] is what the loader's functions do, in terms
//!   of the host's objects.

pub mod chain;
pub mod closures;
mod deps;
pub mod error;
#[cfg(feature = "fault-injection")]
mod fault;
pub mod read;
pub mod registry;
pub mod save;
pub mod serve;
