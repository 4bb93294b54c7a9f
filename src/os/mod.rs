//! What the operating system gives: files, mappings, the list of loaded libraries, environment variables.

pub mod arena;
pub mod code;
pub mod counters;
pub mod env;
pub mod file;
pub mod identity;
pub mod libraries;
pub mod map;
pub mod originals;
