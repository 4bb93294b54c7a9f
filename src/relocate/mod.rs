//! Pointers of a region rewritten for where it and its dependencies really lie. Works on slices, checking every
//! pointer and every size, without `unsafe` but for the choice of vector instructions in [`lanes`].

pub mod closures;
mod deps;
mod lanes;
mod objects;
mod pointers;
mod walk;

pub use deps::{Dependencies, OverlapError, RegionView, meant_by};
pub use walk::{AHEAD, Fault, Target, WalkError, relocate};
