//! Pointers of a region rewritten for where it and its dependencies really lie. Works on slices, without
//! `unsafe`, checking every pointer and every size.
#![forbid(unsafe_code)]

pub mod closures;
mod deps;
mod walk;

pub use deps::{Dependencies, OverlapError, RegionView, meant_by};
pub use walk::{AHEAD, Fault, Target, WalkError, relocate};
