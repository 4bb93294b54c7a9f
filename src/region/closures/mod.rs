//! What version 3 adds to saving and reading: closures, whose code lies in libraries that a file names.
//!
//! * [`save`] finds the libraries of a part that is saved, and writes its trailer;
//! * [`identity`] says what a loaded library is, as files name it;
//! * [`libraries`] finds the libraries that a file names among the loaded ones;
//! * [`load`] rewrites the closures of a file that was read.

pub mod identity;
pub mod libraries;
pub mod load;
pub mod save;
#[cfg(test)]
mod tests;
