//! Pointers of a region rewritten for where it and its dependencies really lie. Works on slices, without unsafe, checking every pointer.
#![forbid(unsafe_code)]

pub mod closures;
