//! Which dependency region holds an address. With dependencies this is asked for every pointer of a graph, before the
//! object is read, so that a save touches no page of a dependency.

use crate::dependencies::{Dependencies, RegionView};
use olean_reader::format::room::{NoMemory, filled, room};
use std::ops::Range;

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
    /// Where copies of roots lie, and nothing else that is in a region.
    roots: Range<usize>,
}

impl RegionIndex {
    /// The index over `deps`, and over `roots`, copies of roots of theirs that lie together, each as a view of what it
    /// is a copy of.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn new(deps: &Dependencies, roots: &[RegionView]) -> Result<Self, NoMemory> {
        const WHAT: &str = "the index of dependency regions";
        let begins = deps.by_begin()?;
        let mut sorted: Vec<RegionView> = room(begins.len() + roots.len(), WHAT)?;
        sorted.extend(begins);
        sorted.extend(roots);
        if !roots.is_empty() {
            sorted.sort_unstable_by_key(|v| v.begin);
        }
        let sorted = sorted.into_boxed_slice();
        let begins = || roots.iter().map(|v| v.begin);
        let roots = begins().min().unwrap_or(0)..begins().max().map_or(0, |last| last + 1);
        let Some(first) = sorted.first() else {
            return Ok(RegionIndex {
                sorted,
                buckets: Box::default(),
                begin: 0,
                span: 0,
                shift: 0,
                roots,
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
            roots,
        })
    }

    /// Whether there are no regions.
    #[must_use]
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.span == 0
    }

    /// Whether `address`, which a region holds, is that of a copy of a root.
    #[must_use]
    #[inline(always)]
    pub fn is_root_copy(&self, address: usize) -> bool {
        self.roots.contains(&address)
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

    #[test]
    fn copies_of_roots_stand_for_the_roots() {
        let view = |begin, size, base| RegionView { begin, size, base };
        let deps = [view(0x40_0000, 0x1000, 7 << 20), view(0x90_0000, 0x2000, 8 << 20)];
        let roots = [
            view(0x50_0040, 8, (8 << 20) + 0x1f00),
            view(0x50_0000, 8, (7 << 20) + 0xf00),
        ];
        let index = RegionIndex::new(&Dependencies::new(deps.to_vec()), &roots).unwrap();
        for (address, word, copy) in [
            (0x40_0f00, Some((7 << 20) + 0xf00), false),
            (0x50_0000, Some((7 << 20) + 0xf00), true),
            (0x50_0008, None, true),
            (0x50_0040, Some((8 << 20) + 0x1f00), true),
            (0x50_0048, None, false),
            (0x90_1ff8, Some((8 << 20) + 0x1ff8), false),
        ] {
            assert_eq!(index.word(address), word, "{address:#x}");
            assert_eq!(index.is_root_copy(address), copy, "{address:#x}");
        }
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
            let index = RegionIndex::new(&Dependencies::new(views.iter().rev().copied().collect()), &[]).unwrap();
            let edges = views.iter().flat_map(|v| [v.begin.wrapping_sub(1), v.begin, v.begin + v.size]);
            for address in edges.chain(probes.iter().map(|p| p.index(end))) {
                prop_assert_eq!(index.word(address), naive(&views, address), "{:#x}", address);
            }
        }
    }
}
