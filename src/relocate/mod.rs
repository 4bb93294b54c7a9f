//! Relocation: a region's file asks for a base address, at which its pointers are right as they stand. Where the region
//! must lie elsewhere, or one of its dependencies does, every pointer in it is rewritten. Works on slices, checking every
//! pointer and every size, without `unsafe` but for the choice of vector instructions in `lanes`.
//!
//! * [`relocate`], in `walk`, goes through a region window by window: `objects` marks which words are pointers, `pointers`
//!   translates them, most of them by `lanes`;
//! * [`closures`] does the same for code addresses, by the list that a file has of them.

pub mod closures;
mod fault;
mod finder;
mod lanes;
mod objects;
mod placement;
mod pointers;
mod walk;

pub use fault::{Fault, WalkError};
pub use placement::Placement;
pub use pointers::Heads;
pub use walk::{AHEAD, Unseen, relocate};

#[cfg(test)]
mod tests;
