//! Which dependency region holds an address. With dependencies this is asked for every pointer of a graph, before the
//! object is read, so that a save touches no page of a dependency.

use crate::dependencies::{Dependencies, RegionView};
use olean_reader::format::room::{NoMemory, collected, filled};

/// Regions by where they lie, with an index over their addresses: base addresses are hashes, so regions that
/// lie at them are spread evenly, and one step of the index leads to one or two candidates.
pub struct RegionIndex {
    sorted: Box<[RegionView]>,
    /// Of each bucket of `1 << shift` addresses from `begin` on, the first region that begins in it or behind.
    buckets: Box<[u32]>,
    begin: usize,
    /// From `begin` to the end of the last region.
    span: usize,
    shift: u32,
}

impl RegionIndex {
    /// The index over `deps`.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn new(deps: &Dependencies) -> Result<Self, NoMemory> {
        const WHAT: &str = "the index of dependency regions";
        let sorted = collected(deps.by_begin()?.iter().copied(), WHAT)?.into_boxed_slice();
        let Some(first) = sorted.first() else {
            return Ok(RegionIndex {
                sorted,
                buckets: Box::default(),
                begin: 0,
                span: 0,
                shift: 0,
            });
        };
        let begin = first.begin;
        let ends = sorted.iter().map(|v| v.begin.saturating_add(v.size));
        let span = ends.max().unwrap_or(begin) - begin;
        let wanted = sorted.len().next_power_of_two() * 2;
        let shift = (span / wanted).checked_ilog2().map_or(0, |bits| bits + 1);
        let count = (span >> shift) + 2;
        let mut buckets = filled(sorted.len() as u32, count, WHAT)?.into_boxed_slice();
        let mut next = 0;
        for (bucket, first) in buckets.iter_mut().enumerate() {
            while next < sorted.len() && (sorted[next].begin - begin) >> shift < bucket {
                next += 1;
            }
            *first = next as u32;
        }
        Ok(RegionIndex {
            sorted,
            buckets,
            begin,
            span,
            shift,
        })
    }

    /// Whether there are no regions.
    #[must_use]
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.span == 0
    }

    /// What stands in files for `address`, if a region holds it.
    #[must_use]
    #[inline]
    pub fn word(&self, address: usize) -> Option<usize> {
        let at = address.wrapping_sub(self.begin);
        if at >= self.span {
            return None;
        }
        let bucket = at >> self.shift;
        let (from, to) = (self.buckets[bucket] as usize, self.buckets[bucket + 1] as usize);
        // The last region that begins at or before the address: one of this bucket, or the last one before it.
        let mut after = from + self.sorted[from..to].partition_point(|v| v.begin <= address);
        // Dependencies may be given twice, and regions of no size hold nothing.
        while let Some(i) = after.checked_sub(1) {
            let view = &self.sorted[i];
            let inside = address - view.begin;
            if inside < view.size {
                return Some((view.base as usize).wrapping_add(inside));
            }
            if view.size > 0 {
                return None;
            }
            after = i;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(views: &[RegionView], address: usize) -> Option<usize> {
        let inside = |v: &&RegionView| address.wrapping_sub(v.begin) < v.size;
        let view = views.iter().find(inside)?;
        Some(view.base as usize + (address - view.begin))
    }

    proptest! {
        #[test]
        fn finds_what_a_search_finds(
            gaps in prop::collection::vec((0..5_usize, 0..3_usize, any::<bool>()), 0..60),
            probes in prop::collection::vec(any::<prop::sample::Index>(), 50),
        ) {
            let mut views = Vec::new();
            let mut at = 0x1_0000;
            for (i, &(gap, pages, far)) in gaps.iter().enumerate() {
                at += gap * 0x1_0000 + if far { 0x70_0000_0000 } else { 0 };
                let size = pages * 0x1000 + 8 * i;
                views.push(RegionView { begin: at, size, base: (i as u64 + 1) << 40 });
                at += size.next_multiple_of(0x1_0000);
            }
            let end = at + 0x2_0000;
            let index = RegionIndex::new(&Dependencies::new(views.iter().rev().copied().collect())).unwrap();
            let edges = views.iter().flat_map(|v| [v.begin.wrapping_sub(1), v.begin, v.begin + v.size]);
            for address in edges.chain(probes.iter().map(|p| p.index(end))) {
                prop_assert_eq!(index.word(address), naive(&views, address), "{:#x}", address);
            }
        }
    }
}
