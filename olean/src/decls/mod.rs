//! Modules as Lean developers see them: all parts of a module as one list of declarations.
//!
//! * `compare`, `entries`, `show`: what differs between two builds of a module, and how that looks;
//! * `digest`: equal values of two modules told without looking at them again;
//! * `fold`: auxiliary declarations and whose they are;
//! * `load`: arguments to modules with all their parts, proved;
//! * `module`: imports and declarations of a module, kinds and attributes;
//! * `kind`: kinds and attributes as words;
//! * `sizes`: how many bytes each declaration takes, alone and together with others.

pub mod compare;
pub mod digest;
pub mod entries;
pub mod fold;
pub mod kind;
pub mod load;
pub mod module;
pub mod show;
pub mod sizes;
