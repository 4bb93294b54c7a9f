//! Any bytes at all, with the width detected and with either forced.
#![no_main]

use lean_region_fuzz::{cut, exercise};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use olean_reader::Width;

fuzz_target!(|data: &[u8]| {
    for width in [None, Some(Width::W32), Some(Width::W64)] {
        exercise(data, width, &[]);
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| { cut(data, size, max_size, seed) });
