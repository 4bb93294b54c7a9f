//! A file that is proved before anything is done with it, beside dependency regions that are alive: what the reading half
//! proves of bytes alone, with copies of those regions that the file points into.

use super::error::ReadError;
use crate::dependencies::{Dependencies, RegionView};
use olean_reader::DepBytes;
use olean_reader::format::room::{NoMemory, collected, push, room};
use std::ffi::CStr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Proves the whole file, of the dependencies that pointers lead to exact objects. Of these it looks at copies, for
/// Lean writes into references in live regions, and into reference counts.
///
/// # Errors
/// What is wrong with the file, or there is no memory for the copies.
///
/// # Safety
/// `deps` describes live regions, which nobody changes meanwhile except Lean the references in them.
pub(super) unsafe fn verify(path: &CStr, bytes: &[u8], deps: &Dependencies) -> Result<(), ReadError> {
    let refused = |e| ReadError::refused(path, e);
    let used = used(bytes, deps.views()).map_err(refused)?;
    let mut copies = room(used.len(), DEPENDENCIES).map_err(refused)?;
    for view in used {
        // SAFETY: each view is that of a live region of this size, by the contract.
        copies.push(unsafe { copy_of_live(&view) }.map_err(refused)?);
    }
    let dep_bytes = |bytes| DepBytes { bytes, name: "" };
    let deps = collected(
        copies.iter().map(|bytes: &Vec<u8>| dep_bytes(bytes)),
        DEPENDENCIES,
    )
    .map_err(refused)?;
    olean_reader::verify_region(bytes, &deps, &olean_reader::Options::default())
        .map(|_| ())
        .map_err(|e| ReadError::content(path, e.to_string()))
}

/// What memory for dependencies is asked for.
const DEPENDENCIES: &str = "the list of dependency regions";

/// Those of `views` that a word of the file in `bytes` could be a pointer into, by base address.
fn used(bytes: &[u8], views: &[RegionView]) -> Result<Vec<RegionView>, NoMemory> {
    let mut sorted = collected(views.iter().map(|&view| (view, false)), DEPENDENCIES)?;
    sorted.sort_unstable_by_key(|(view, _)| view.base);
    for word in bytes.as_chunks::<8>().0 {
        let word = u64::from_le_bytes(*word);
        // Of regions that overlap, which no writer makes, the last one that could be meant.
        let after = sorted.partition_point(|(view, _)| view.base <= word);
        if let Some((view, used)) = sorted[..after].last_mut() {
            *used |= word - view.base < view.size as u64;
        }
    }
    let mut found = Vec::new();
    for (view, used) in sorted {
        if used {
            push(&mut found, view, DEPENDENCIES)?;
        }
    }
    Ok(found)
}

/// A copy of a region in which threads may be writing words meanwhile: each word as it was at some moment.
///
/// # Errors
/// There is no memory for it.
///
/// # Safety
/// The region is alive.
unsafe fn copy_of_live(view: &RegionView) -> Result<Vec<u8>, NoMemory> {
    let mut copy = room(view.size, "a copy of a dependency region")?;
    let words = view.size / 8;
    for i in 0..words {
        // SAFETY: a word of the region, aligned as regions begin at multiples of 8, and only accessed atomically.
        let word = unsafe { &*((view.begin + 8 * i) as *const AtomicU64) };
        copy.extend(word.load(Ordering::Relaxed).to_le_bytes());
    }
    for i in 8 * words..view.size {
        // SAFETY: a byte of the region's trailer, only accessed atomically.
        copy.push(unsafe { &*((view.begin + i) as *const AtomicU8) }.load(Ordering::Relaxed));
    }
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(base: u64, size: usize) -> RegionView {
        RegionView {
            begin: 0x10_0000,
            size,
            base,
        }
    }

    #[test]
    fn only_dependencies_that_a_word_leads_into_are_looked_at() {
        let views = [view(0x3000, 0x100), view(0x1000, 0x100), view(0x5000, 0x100)];
        let found = |words: &[u64]| -> Vec<u64> {
            let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
            used(&bytes, &views)
                .expect("memory")
                .iter()
                .map(|v| v.base)
                .collect()
        };
        assert!(found(&[]).is_empty());
        assert!(found(&[0xff8, 0x1100, 0x2fff, 0x4000, u64::MAX]).is_empty());
        assert_eq!(found(&[0x50ff, 7, 0x1000]), [0x1000, 0x5000]);
    }

    #[test]
    fn a_live_region_is_copied_byte_for_byte() {
        let words: Vec<u64> = (0..5).map(|i| i * 0x0101_0101_0101_0101).collect();
        for size in [0, 8, 33, 39, 40] {
            let view = RegionView {
                begin: words.as_ptr() as usize,
                size,
                base: 0,
            };
            // SAFETY: memory of this test.
            let copy = unsafe { copy_of_live(&view) }.expect("memory");
            assert_eq!(copy, &bytemuck::cast_slice::<u64, u8>(&words)[..size]);
        }
    }
}
