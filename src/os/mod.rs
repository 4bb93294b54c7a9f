//! What the operating system gives: files, mappings, the list of loaded libraries, environment variables.

pub mod env;
pub mod libraries;
