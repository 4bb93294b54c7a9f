//! The results of two loaders, ours and the host's, held against each other object by object: two files that were
//! written of the same data, or two regions in memory that were read from the same file. Addresses are compared by what
//! they lead to, since each loader may have put it elsewhere. No `unsafe` here.
//!
//! * [`files`] compares files, [`regions`] regions; both walk objects side by side with [`objects`];
//! * [`errors`] says whether two failures are the same failure.
#![forbid(unsafe_code)]

pub mod errors;
pub mod files;
pub mod objects;
pub mod regions;
