//! The dependency that an address in a file means, found fast among tens of thousands: a snapshot points into its
//! imports' regions a million times. Base addresses follow from hashes of names and so are spread evenly; a table by
//! their upper bits leads next to the one that is looked for.
#![forbid(unsafe_code)]

use crate::dependencies::{RegionView, meant_by};

/// Fewer dependencies are searched without a table.
const MANY: usize = 64;

/// Dependencies sorted by base address, and the table.
pub(super) struct Finder<'a> {
    sorted: &'a [RegionView],
    /// Base of the first.
    first: u64,
    shift: u32,
    /// For each value of the bits above `shift` of the distance from the first base, how many dependencies have a
    /// smaller one; one more at the end. Empty where there is no table.
    starts: Vec<u32>,
}

impl<'a> Finder<'a> {
    pub(super) fn new(sorted: &'a [RegionView]) -> Self {
        let mut finder = Finder {
            sorted,
            first: sorted.first().map_or(0, |v| v.base),
            shift: 0,
            starts: Vec::new(),
        };
        if sorted.len() >= MANY {
            finder.make_table();
        }
        finder
    }

    fn make_table(&mut self) {
        let span = self.sorted.last().map_or(0, |v| v.base) - self.first;
        let bits = self.sorted.len().next_power_of_two().ilog2();
        self.shift = (u64::BITS - span.leading_zeros()).saturating_sub(bits);
        let buckets = (span >> self.shift) as usize + 1;
        // Without memory for the table there is none.
        if self.starts.try_reserve_exact(buckets + 1).is_err() {
            return;
        }
        for (i, view) in self.sorted.iter().enumerate() {
            let bucket = ((view.base - self.first) >> self.shift) as usize;
            while self.starts.len() <= bucket {
                self.starts.push(i as u32);
            }
        }
        self.starts.push(self.sorted.len() as u32);
    }

    /// The dependency that the file address `address` means.
    #[inline]
    pub(super) fn meant_by(&self, address: u64) -> Option<RegionView> {
        if self.starts.is_empty() {
            return meant_by(self.sorted, address);
        }
        let bucket = (address.checked_sub(self.first)? >> self.shift) as usize;
        // What lies behind the last base belongs to the last bucket.
        let bucket = bucket.min(self.starts.len() - 2);
        let (start, end) = (self.starts[bucket] as usize, self.starts[bucket + 1] as usize);
        // The region may have begun before this bucket.
        meant_by(&self.sorted[start.saturating_sub(1)..end], address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_leads_where_the_search_does() {
        let mut seed = 1u64;
        let mut random = move || {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            seed >> 17
        };
        for count in [1, 63, 64, 65, 1000] {
            for spread in [1u64 << 16, 1 << 28, 1 << 47] {
                let mut bases: Vec<u64> = (0..count).map(|_| (random() % spread) & !0xffff).collect();
                bases.sort_unstable();
                bases.dedup();
                let views: Vec<RegionView> = bases
                    .iter()
                    .enumerate()
                    .map(|(i, &base)| {
                        let next = bases.get(i + 1).map_or(u64::MAX, |&n| n);
                        let size = (random() % (4 << 16)).min(next - base) as usize;
                        RegionView {
                            begin: i << 20,
                            size,
                            base,
                        }
                    })
                    .collect();
                let finder = Finder::new(&views);
                assert_eq!(finder.starts.is_empty(), views.len() < MANY);
                let near = views.iter().flat_map(|v| {
                    let end = v.base + v.size as u64;
                    [
                        v.base.wrapping_sub(1),
                        v.base,
                        v.base + 8,
                        end.wrapping_sub(1),
                        end,
                    ]
                });
                let far = (0..2000)
                    .map(|_| random() % (2 * spread))
                    .chain([0, u64::MAX, 1 << 63]);
                for address in near.chain(far.collect::<Vec<_>>()) {
                    assert_eq!(
                        finder.meant_by(address),
                        meant_by(&views, address),
                        "{address:#x}"
                    );
                }
            }
        }
    }
}
