//! Pointers of a region rewritten for where it and its dependencies really lie. Works on slices, without
//! `unsafe`, checking every pointer and every size.
#![forbid(unsafe_code)]

pub mod closures;
mod deps;

pub use deps::{Dependencies, OverlapError, RegionView, meant_by};
