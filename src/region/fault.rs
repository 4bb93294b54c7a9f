//! A library that is wrong on purpose, in builds with the feature `fault-injection` alone: with
//! `LEAN_REGION_FAULT=save` or `read` one character of one string in every region that is saved or read is
//! another one. Tests prove with it that a wrong loader is found.

use crate::compare::objects::a_string_byte;
use crate::os::env;
use olean_reader::format::header::{FLAG_GMP, Header};

/// Makes the region in `bytes`, a whole file as the compactor left it or as it lies in memory, wrong if that is
/// wanted of the call `when`.
pub(super) fn inject(when: &str, bytes: &mut [u8]) {
    if env::var("LEAN_REGION_FAULT").is_none_or(|wanted| wanted != when) {
        return;
    }
    let Ok(header) = Header::decode(bytes) else {
        return;
    };
    let first = header.root_slot() + 8;
    let data = bytes.get(first..).unwrap_or_default();
    if let Some(at) = a_string_byte(data, header.flags & FLAG_GMP != 0) {
        bytes[first + at] ^= 1;
    }
}
