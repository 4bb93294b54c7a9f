//! Saving and reading files: the flow over format, compactor, relocation and operating system; the registry of live regions.

pub mod closures;
