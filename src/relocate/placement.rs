//! What relocation has to know of a region: how its file is laid out, and where the region lies now.
#![forbid(unsafe_code)]

use olean_reader::format::header::{FLAG_GMP, Head, VERSION_3};
use std::ops::Range;

/// A region to be relocated: how its file is laid out and where it lies now.
#[derive(Clone, Debug)]
pub struct Placement {
    /// What pointers in the file mean by its first byte.
    pub base: u64,
    /// Where its first byte lies now.
    pub address: usize,
    /// Offsets of root slot and end of data, both multiples of 8.
    pub data: Range<usize>,
    /// Whether bignums have GMP's layout.
    pub gmp: bool,
    /// Whether closures may occur (version 3).
    pub closures: bool,
}

impl Placement {
    /// Of the file with this header, whose root slot and data are at the offsets `data`, and which lies at `address` now.
    #[must_use]
    pub fn of(header: &Head, data: Range<usize>, address: usize) -> Self {
        Placement {
            base: header.base,
            address,
            data,
            gmp: header.flags & FLAG_GMP != 0,
            closures: header.version == VERSION_3,
        }
    }
}
