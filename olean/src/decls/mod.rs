//! Modules as Lean developers see them: all parts of a module as one list of declarations.
//!
//! * `axioms`: what declarations rest on;
//! * `compare`, `entries`, `show`: what differs between two builds of a module, and how that looks;
//! * `digest`: equal values of two modules told without looking at them again;
//! * `find`: declarations by the names that people type;
//! * `fold`: auxiliary declarations and whose they are;
//! * `load`: arguments to modules with all their parts, proved;
//! * `module`: imports and declarations of a module, kinds and attributes;
//! * `kind`: kinds and attributes as words;
//! * `sizes`: how many bytes each declaration takes, alone and together with others;
//! * `uses`: what declarations mention.

pub mod axioms;
pub mod compare;
pub mod digest;
pub mod entries;
pub mod find;
pub mod fold;
pub mod kind;
pub mod load;
pub mod module;
pub mod show;
pub mod sizes;
pub mod uses;
