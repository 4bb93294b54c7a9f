//! Where every region goes: modules one after the other, each region at a whole page, and the address of the image.

use super::collect::Collection;
use crate::error::{Failure, Result};
use olean_reader::format::image::header::{PAGE, SECTION};
use olean_reader::format::image::{Counts, digest, writer};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;

/// Images lie above this address unless the user says otherwise: programs and their heaps are elsewhere.
const LOW: u64 = 0x0800_0000_0000;
/// And below this one: above, programs, libraries, stacks and the shadows of sanitizers lie.
const HIGH: u64 = 0x5000_0000_0000;

/// The places of an image's parts.
#[derive(Debug)]
pub struct Places {
    /// The address of file offset 0.
    pub base: u64,
    /// The constant section.
    pub constant: Range<u64>,
    /// File offsets of each module's parts, as long as they lie in the constant section.
    pub modules: Vec<Vec<u64>>,
}

/// Bytes that a region takes in the image.
pub fn room(size: u64) -> u64 {
    size.next_multiple_of(PAGE)
}

impl Places {
    /// Places for `found`; `base` is the address that the user asks for.
    pub fn of(found: &Collection, base: Option<u64>) -> Result<Self> {
        let entries = found.parts().count();
        let lists: usize = found
            .snapshots
            .iter()
            .map(|s| writer::chain_words(s.deps.len()))
            .sum();
        // A module whose parts do not lie one after the other has lists as well.
        let chains: usize = found
            .modules
            .iter()
            .map(|m| m.len() * writer::chain_words(m.len()))
            .sum();
        let paths: Vec<_> = found.parts().flat_map(|p| &p.paths).collect();
        let count = |n: usize| u32::try_from(n).map_err(|_| too_many());
        let tables = Counts {
            entries: count(entries)?,
            chain_words: count(lists + chains)?,
            paths: count(paths.len())?,
            path_bytes: paths
                .iter()
                .map(|p| writer::path_bytes(p.as_os_str().as_bytes()))
                .sum(),
            ..Counts::default()
        };
        let start = tables.first_section().ok_or_else(too_many)?;
        let mut at = start;
        let mut place = |size: u64| {
            let here = at;
            at += room(size);
            here
        };
        let modules = found
            .modules
            .iter()
            .map(|m| m.iter().map(|p| place(p.identity.size)).collect());
        let modules: Vec<Vec<u64>> = modules.collect();
        let constant = start..at;
        // Every region may turn out to be one that something writes to.
        let snapshots: u64 = found.snapshots.iter().map(|s| room(s.part.identity.size)).sum();
        let most = 2 * (constant.end - start) + snapshots + start + 2 * SECTION;
        let base = match base {
            Some(base) => given(base, most, &found.bases)?,
            None => chosen(found, most)?,
        };
        Ok(Self {
            base,
            constant,
            modules,
        })
    }
}

fn too_many() -> Failure {
    Failure::Usage("there are more files than one image can hold; build several".to_owned())
}

/// The file among `bases` (base address and size) that wants some of the `size` bytes at `base`.
fn taken(base: u64, size: u64, bases: &[(u64, u64)]) -> Option<u64> {
    let end = base.saturating_add(size);
    let overlaps = |&&(other, length): &&(u64, u64)| other < end && base < other.saturating_add(length);
    bases.iter().find(overlaps).map(|&(other, _)| other)
}

fn given(base: u64, size: u64, bases: &[(u64, u64)]) -> Result<u64> {
    if base == 0 || !base.is_multiple_of(SECTION) || base.saturating_add(size) > 1 << 47 {
        return Err(Failure::Usage(format!(
            "an image cannot lie at {base:#x}: give a multiple of {SECTION:#x} with {size} bytes below {:#x}",
            1u64 << 47
        )));
    }
    match taken(base, size, bases) {
        None => Ok(base),
        Some(other) => Err(Failure::Usage(format!(
            "an image at {base:#x} would lie where a file wants to be mapped ({other:#x}); give another --base"
        ))),
    }
}

/// An address that follows from the paths, so that two images of a process rarely meet and the same image comes to
/// lie where it was.
fn chosen(found: &Collection, size: u64) -> Result<u64> {
    let mut names: Vec<u8> = Vec::new();
    for part in found.parts() {
        names.extend(part.path().as_os_str().as_bytes());
        names.push(0);
    }
    let room = (HIGH - LOW).checked_sub(size).ok_or_else(too_many)? / SECTION;
    for attempt in 0..1000_u32 {
        names.extend(attempt.to_le_bytes());
        let number = u128::from_le_bytes(digest(&names)) % u128::from(room);
        let base = LOW + number as u64 * SECTION;
        if taken(base, size, &found.bases).is_none() {
            return Ok(base);
        }
    }
    Err(Failure::Usage(
        "no range of addresses is clear of where the files want to be mapped; choose one with --base"
            .to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_a_file_wants_is_taken() {
        let bases = [(0x10_0000, 0x1000), (0x50_0000, 8)];
        assert_eq!(taken(0, 0x10_0000, &bases), None);
        assert_eq!(taken(0, 0x10_0001, &bases), Some(0x10_0000));
        assert_eq!(taken(0x10_1000, 0x3f_f000, &bases), None);
        assert_eq!(taken(0x10_0fff, 8, &bases), Some(0x10_0000));
        assert_eq!(taken(0x40_0000, u64::MAX, &bases), Some(0x50_0000));
    }

    #[test]
    fn an_address_of_the_users_is_checked() {
        assert_eq!(given(SECTION, 100, &[]).unwrap(), SECTION);
        for wrong in [0, SECTION + 4096, 1 << 47, (1 << 47) - SECTION] {
            assert!(given(wrong, SECTION + 1, &[]).is_err(), "{wrong:#x}");
        }
        assert!(given(SECTION, 100, &[(SECTION + 50, 8)]).is_err());
    }
}
