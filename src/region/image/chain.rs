//! Whether a region was linked against the very regions that a call gives: compared as sets, for snapshots get theirs
//! in the order in which threads come to their ends.

use olean_reader::format::image::header::PAGE;
use olean_reader::format::image::{Entry, Tables};

/// Up to so many dependencies each is looked for among all: parts of modules have four at most.
const FEW: usize = 8;

/// Whether `begins`, `count` addresses of regions, are those of the dependencies of entry `index`, each once.
/// `size` is that of the image.
pub(super) fn is_linked_against(
    tables: &Tables<'_>,
    size: u64,
    (index, entry): (u32, &Entry),
    count: usize,
    mut begins: impl Iterator<Item = Option<usize>>,
) -> bool {
    let Some(chain) = tables.chain(index, entry) else {
        return false;
    };
    if chain.clone().map(|range| range.len()).sum::<usize>() != count {
        return false;
    }
    let base = tables.header().base;
    let offset_of = |begin: Option<usize>| Some((begin? as u64).wrapping_sub(base)).filter(|&o| o < size);
    if count <= FEW {
        let mut seen = 0u32;
        return begins.all(|begin| {
            let Some(offset) = offset_of(begin) else {
                return false;
            };
            let place = chain
                .clone()
                .flatten()
                .position(|i| tables.offset(i) == Some(offset));
            place.is_some_and(|place| {
                let new = seen & 1 << place == 0;
                seen |= 1 << place;
                new
            })
        });
    }
    // A bit for each page of the image where a dependency begins, cleared when that is met.
    let mut pages = vec![0u64; (size / PAGE / 64) as usize + 1];
    for i in chain.flatten() {
        let Some(offset) = tables.offset(i).filter(|&o| o < size && o % PAGE == 0) else {
            return false;
        };
        pages[(offset / PAGE / 64) as usize] |= 1 << (offset / PAGE % 64);
    }
    begins.all(|begin| {
        let Some(offset) = offset_of(begin).filter(|o| o % PAGE == 0) else {
            return false;
        };
        let (word, bit) = (
            &mut pages[(offset / PAGE / 64) as usize],
            1 << (offset / PAGE % 64),
        );
        let met = *word & bit != 0;
        *word &= !bit;
        met
    })
}
