//! Which dependency region holds an address. With dependencies this is asked for every pointer of a graph, before the
//! object is read, so that a save touches no page of a dependency.

use super::granules::Granules;
use crate::dependencies::{Dependencies, RegionView};
use olean_reader::format::room::{NoMemory, filled, push, room};
use std::cell::Cell;
use std::ops::Range;

/// Regions by where they lie, with an index over their addresses: base addresses are hashes, so regions that
/// lie at them are spread evenly, and one step of the index leads to one or two candidates.
pub struct RegionIndex {
    sorted: Box<[RegionView]>,
    /// What answers for most addresses in them.
    granules: Granules,
    /// Of each bucket of `1 << shift` addresses from `begin` on, the first region that begins in it or behind.
    buckets: Box<[u32]>,
    begin: usize,
    /// From `begin` to the end of the last region.
    span: usize,
    shift: u32,
    /// Copies of roots, by where they lie.
    roots: Box<[RootCopyAt]>,
    /// Where they lie, and little else: few places for all of them, as those of an image lie together, and so do the others.
    /// So an address that is none of theirs mostly costs a comparison or two.
    places: Box<[Range<usize>]>,
    /// The addresses around the last one that was found in no region, nor at a copy of a root, of which that is true as
    /// well. What is saved lies together elsewhere, so most addresses that are in no region are among them.
    outside: Cell<Span>,
    /// The addresses of the last region that was asked for, as far as they are in no other and at no copy of a root.
    inside: Cell<Span>,
    /// What is to be added to them.
    to_file: Cell<usize>,
}

/// Addresses that lie one behind the other.
#[derive(Clone, Copy, Debug)]
struct Span {
    begin: usize,
    len: usize,
}

impl Span {
    const NONE: Self = Span { begin: 0, len: 0 };

    #[inline(always)]
    fn holds(self, address: usize) -> bool {
        address.wrapping_sub(self.begin) < self.len
    }
}

/// A copy of the root of a region, which lies elsewhere than the region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RootCopyAt {
    /// Where it lies.
    pub address: usize,
    /// What stands in files for the root itself.
    pub in_files: usize,
}

/// Copies of roots that lie further apart than this lie in different places.
const APART: usize = 1 << 20;

impl RegionIndex {
    /// The index over `deps`, and over `roots`, copies of roots of theirs, which may be given more than once.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn new(deps: &Dependencies, roots: &[RootCopyAt]) -> Result<Self, NoMemory> {
        const WHAT: &str = "the index of dependency regions";
        let begins = deps.by_begin()?;
        let mut sorted: Vec<RegionView> = room(begins.len(), WHAT)?;
        sorted.extend(begins);
        let sorted = sorted.into_boxed_slice();
        let mut copies: Vec<RootCopyAt> = room(roots.len(), WHAT)?;
        copies.extend(roots);
        copies.sort_unstable_by_key(|copy| copy.address);
        copies.dedup_by_key(|copy| copy.address);
        let mut places: Vec<Range<usize>> = Vec::new();
        for &RootCopyAt { address, .. } in &copies {
            match places.last_mut() {
                Some(place) if address - place.end <= APART => place.end = address + 1,
                _ => push(&mut places, address..address + 1, WHAT)?,
            }
        }
        let (roots, places) = (copies.into_boxed_slice(), places.into_boxed_slice());
        let granules = Granules::new(&sorted, &places)?;
        let Some(first) = sorted.first() else {
            return Ok(RegionIndex {
                sorted,
                granules,
                buckets: Box::default(),
                begin: 0,
                span: 0,
                shift: 0,
                roots,
                places,
                outside: Cell::new(Span::NONE),
                inside: Cell::new(Span::NONE),
                to_file: Cell::new(0),
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
            granules,
            buckets,
            begin,
            span,
            shift,
            roots,
            places,
            outside: Cell::new(Span::NONE),
            inside: Cell::new(Span::NONE),
            to_file: Cell::new(0),
        })
    }

    /// Whether there are no regions.
    #[must_use]
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.span == 0
    }

    /// Whether `address` lies among those that were looked for in vain last: it is in no region then, and no copy of a
    /// root. Where it does not, it may be either.
    #[must_use]
    #[inline(always)]
    pub fn surely_outside(&self, address: usize) -> bool {
        self.outside.get().holds(address)
    }

    /// What stands in files for `address`, if a region holds it or it is that of a copy of a region's root.
    #[must_use]
    #[inline(always)]
    pub fn in_file(&self, address: usize) -> Option<usize> {
        if self.surely_outside(address) {
            None
        } else if self.inside.get().holds(address) {
            Some(address.wrapping_add(self.to_file.get()))
        } else if let Some(around) = self.granules.find(address) {
            self.to_file.set(0);
            self.inside.set(Span {
                begin: around.start,
                len: around.len(),
            });
            Some(address)
        } else {
            self.look(address)
        }
    }

    /// The same, looked for.
    #[inline(never)]
    fn look(&self, address: usize) -> Option<usize> {
        let (found, around) = self.word(address);
        if self.places.iter().any(|place| place.contains(&address)) {
            return self.root_at(address).or(found);
        }
        let around = self.without_places(around, address);
        match found {
            Some(word) => {
                self.to_file.set(word.wrapping_sub(address));
                self.inside.set(around);
            }
            None => self.outside.set(around),
        }
        found
    }

    /// Of the addresses `around` one, which is in none of the places, those that are between the places next to it.
    #[inline]
    fn without_places(&self, around: Range<usize>, address: usize) -> Span {
        let Range { mut start, mut end } = around;
        for place in &self.places {
            if place.end <= address {
                start = start.max(place.end);
            } else {
                end = end.min(place.start);
            }
        }
        let len = end.saturating_sub(start);
        Span { begin: start, len }
    }

    /// What stands in files for the root of which a copy lies at `address`.
    #[cold]
    fn root_at(&self, address: usize) -> Option<usize> {
        let found = self.roots.binary_search_by_key(&address, |copy| copy.address);
        found.ok().map(|i| self.roots[i].in_files)
    }

    /// What stands in files for `address`, if a region holds it, and addresses around it of which the same is true: they
    /// are in no region either, or in the same one.
    #[inline]
    fn word(&self, address: usize) -> (Option<usize>, Range<usize>) {
        let at = address.wrapping_sub(self.begin);
        if at >= self.span {
            let end = self.begin + self.span;
            return (
                None,
                if address < end {
                    0..self.begin
                } else {
                    end..usize::MAX
                },
            );
        }
        let bucket = at >> self.shift;
        let (from, to) = (self.buckets[bucket] as usize, self.buckets[bucket + 1] as usize);
        // The last region that begins at or before the address: one of this bucket, or the last one before it.
        let behind = from + self.sorted[from..to].partition_point(|v| v.begin <= address);
        let next = self.sorted.get(behind).map_or(usize::MAX, |view| view.begin);
        // Dependencies may be given twice, and regions of no size hold nothing.
        let Some(view) = self.sorted[..behind].iter().rfind(|view| view.size > 0) else {
            return (None, self.begin..next);
        };
        let end = view.begin.saturating_add(view.size);
        if address < end {
            let word = (view.base as usize).wrapping_add(address - view.begin);
            return (Some(word), view.begin..end.min(next));
        }
        (None, end..next)
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
        let copy = |address, in_files| RootCopyAt { address, in_files };
        let deps = [view(0x40_0000, 0x1000, 7 << 20), view(0x90_0000, 0x2000, 8 << 20)];
        let roots = [
            copy(0x50_0040, (8 << 20) + 0x1f00),
            copy(0x50_0000, (7 << 20) + 0xf00),
            copy(0xf0_0000, (7 << 20) + 0xf00),
            copy(0x50_0040, (8 << 20) + 0x1f00),
        ];
        let index = RegionIndex::new(&Dependencies::new(deps.to_vec()), &roots).unwrap();
        for (address, expected) in [
            (0x40_0f00, Some((7 << 20) + 0xf00)),
            (0x50_0000, Some((7 << 20) + 0xf00)),
            (0x50_0008, None),
            (0x50_0040, Some((8 << 20) + 0x1f00)),
            (0x50_0048, None),
            (0x90_1ff8, Some((8 << 20) + 0x1ff8)),
            (0xf0_0000, Some((7 << 20) + 0xf00)),
            (0xf0_0040, None),
        ] {
            // What is remembered of its neighbours must not be taken for it.
            for before in [
                0x40_0ff8, 0x4f_fff8, 0x50_0008, 0x50_0048, 0x90_0000, 0xf1_0000, 0,
            ] {
                let _ = index.in_file(before);
                assert_eq!(index.in_file(address), expected, "{address:#x} after {before:#x}");
            }
        }
        assert_eq!(index.places.len(), 2, "what lies far apart is looked for apart");
    }

    proptest! {
        #[test]
        fn finds_what_a_search_finds(
            gaps in prop::collection::vec((0..5_usize, 0..35_usize, any::<bool>(), any::<bool>()), 0..60),
            probes in prop::collection::vec(any::<prop::sample::Index>(), 50),
        ) {
            let mut views = Vec::new();
            let mut at = 0x1_0000;
            for (i, &(gap, pages, far, in_place)) in gaps.iter().enumerate() {
                at += gap * 0x1_0000 + if far { 0x70_0000_0000 } else { 0 };
                let size = pages * 0x1000 + 8 * i;
                let base = if in_place { at as u64 } else { (i as u64 + 1) << 40 };
                views.push(RegionView { begin: at, size, base });
                at += size.next_multiple_of(0x1_0000);
            }
            let end = at + 0x2_0000;
            let index = RegionIndex::new(&Dependencies::new(views.iter().rev().copied().collect::<Vec<_>>()), &[]).unwrap();
            let edges = views.iter().flat_map(|v| [v.begin.wrapping_sub(1), v.begin, v.begin + v.size]);
            let asked: Vec<usize> = edges.chain(probes.iter().map(|p| p.index(end))).collect();
            for &address in &asked {
                prop_assert_eq!(index.in_file(address), naive(&views, address), "{:#x}", address);
                // What is remembered of one address is true of others.
                for &other in &asked {
                    let outside = index.surely_outside(other);
                    prop_assert!(!outside || naive(&views, other).is_none(), "{:#x} after {:#x}", other, address);
                    if index.inside.get().holds(other) {
                        prop_assert_eq!(index.in_file(other), naive(&views, other), "{:#x} after {:#x}", other, address);
                    }
                }
            }
        }
    }
}
