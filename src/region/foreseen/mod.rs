//! Where a file wants to lie is mostly known before its header is read: a further part of a module behind the part before
//! it, at the next multiple of [`BASE_ALIGN`], and the first one where its name says (`roots`). So where files are in
//! memory they are mapped there at once, and their headers are looked at in the mapping: a call less for each region.
//! What turns out to want another place is unmapped again, and mapped or read as any other file.

mod roots;

use crate::dependencies::Dependencies;
use olean_reader::format::base::BASE_ALIGN;
use std::ffi::CStr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// How the files of further parts end.
const FURTHER_PARTS: [&[u8]; 3] = [b".olean.server", b".olean.private", b".ir"];

/// Parts that a module has at most before another one.
const PARTS: usize = 2;

/// So many times in a row a file may not be where it was foreseen before nobody looks ahead any more for [`PAUSE`] files.
const MISSES: u32 = 8;
const PAUSE: u32 = 4096;

/// Above [`PAUSE`]: how many more times a file may not be where it was foreseen; else for how many files nobody looks ahead.
static LEFT: AtomicU32 = AtomicU32::new(PAUSE + MISSES);

/// The base address that the file `path` will have, with these dependencies; `None` where that is not to be counted on.
#[inline]
pub(super) fn base(path: &CStr, deps: &Dependencies) -> Option<u64> {
    if !is_of_use() {
        return None;
    }
    match deps.views().is_empty() {
        true => roots::base(path.to_bytes()),
        false => behind(path, deps),
    }
}

/// The base address of a part with these parts before it. What else has dependencies, as a snapshot has, lies anywhere.
fn behind(path: &CStr, deps: &Dependencies) -> Option<u64> {
    let views = deps.views();
    let before = views.last()?;
    let is_part = || FURTHER_PARTS.iter().any(|end| path.to_bytes().ends_with(end));
    if views.len() > PARTS || !deps.landed() || !is_part() {
        return None;
    }
    let end = before.base.checked_add(before.size as u64)?;
    end.checked_next_multiple_of(BASE_ALIGN)
}

/// Learns from a file whose base address was not foreseen.
#[inline]
pub(super) fn learn(path: &CStr, deps: &Dependencies, base: u64) {
    if deps.views().is_empty() && LEFT.load(Relaxed) > PAUSE {
        roots::learn(path.to_bytes(), base);
    }
}

#[inline]
fn is_of_use() -> bool {
    let left = LEFT.load(Relaxed);
    if left > PAUSE {
        return true;
    }
    // Threads may lose counts to one another.
    LEFT.store(if left == 0 { PAUSE + MISSES } else { left - 1 }, Relaxed);
    false
}

/// Remembers whether a file was where it had been foreseen.
#[inline]
pub(super) fn note(right: bool) {
    match right {
        true => LEFT.store(PAUSE + MISSES, Relaxed),
        false => LEFT.store(LEFT.load(Relaxed).saturating_sub(1), Relaxed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dependencies::RegionView;

    fn at(base: u64, size: usize) -> RegionView {
        RegionView {
            begin: base as usize,
            size,
            base,
        }
    }

    #[test]
    fn a_part_is_foreseen_behind_the_one_before_it_until_that_was_wrong_too_often() {
        let first = at(0x5_0000, 0x1_2c38);
        let after = |views: &[RegionView]| base(c"A.olean.server", &Dependencies::new(views));
        assert_eq!(after(&[first]), Some(0x7_0000));
        assert_eq!(after(&[first, at(0x7_0000, 0x1_0000)]), Some(0x8_0000));
        assert_eq!(after(&[]), None);
        assert_eq!(base(c"snapshot", &Dependencies::new(&[first][..])), None);
        assert_eq!(after(&[first; 3]), None, "no module has so many parts");
        assert_eq!(
            after(&[RegionView { begin: 8, ..first }]),
            None,
            "it lies elsewhere"
        );
        assert_eq!(after(&[at(u64::MAX - 7, 8)]), None);
        for _ in 1..MISSES {
            note(false);
        }
        assert!(after(&[first]).is_some());
        note(true);
        for _ in 0..MISSES {
            assert!(after(&[first]).is_some(), "once it was right");
            note(false);
        }
        let missing = (0..PAUSE + 10).take_while(|_| after(&[first]).is_none()).count();
        assert_eq!(missing, PAUSE as usize + 1);
        assert!(after(&[first]).is_some());
    }
}
