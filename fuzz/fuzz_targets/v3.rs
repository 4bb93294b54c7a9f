//! Files of version 3: a byte that chooses width and bignum layout, then the file, whose header is made good.
#![no_main]

use lean_region_fuzz::{alter, exercise, with_header};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_target!(|data: &[u8]| {
    if let Some((bytes, width)) = with_header(data, 3, 0x1234_0000) {
        exercise(&bytes, Some(width), &[]);
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    alter(data, size, max_size, seed)
});
