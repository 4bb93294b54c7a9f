//! Pointers of a region rewritten for where it and its dependencies really lie. Works on slices, checking every
//! pointer and every size, without `unsafe` but for the choice of vector instructions in [`lanes`].

pub mod closures;
mod fault;
mod lanes;
mod objects;
mod placement;
mod pointers;
mod walk;

pub use fault::{Fault, WalkError};
pub use placement::Placement;
pub use walk::{AHEAD, relocate};
