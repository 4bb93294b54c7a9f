//! Copies of roots of regions in this process, for hosts that look at the root of a region and at nothing else in it:
//! they lie together, so that no page of the region need be touched. Each stays where it is as long as its region
//! lives.

use crate::os::reserved::Reserved;
use olean_reader::format::image::{ROOT_SIZE, RootCopy};
use std::mem;
use std::num::NonZeroU16;

/// Regions that can have a copy: more than Mathlib's 52,490, and no more than the usual limit of mappings allows. They
/// take 5 MB of addresses.
const MOST: usize = u16::MAX as usize;

/// The number of a copy, counted from 1.
pub(super) type RootIndex = NonZeroU16;

/// Its place among all.
fn place_of(index: RootIndex) -> usize {
    usize::from(index.get()) - 1
}

/// The words of a copy.
type Words = [u64; ROOT_SIZE / 8];

/// Addresses for all copies.
struct Area {
    copies: Reserved<Words>,
    /// What stands in files for each root; of a place that is free, the number of the next one.
    in_files: Reserved<u64>,
}

/// See the module. One after the other takes the first free place, so they lie close together.
pub(super) struct RootCopies {
    area: Option<Area>,
    /// There are no addresses for them, and they are not asked for again.
    refused: bool,
    /// How many places have ever been taken.
    used: u16,
    /// How many are.
    taken: u16,
    /// The number of the place that was given back last, 0 if all are taken.
    free: u16,
}

impl RootCopies {
    pub(super) const fn new() -> Self {
        RootCopies {
            area: None,
            refused: false,
            used: 0,
            taken: 0,
            free: 0,
        }
    }

    /// Whether no region has a copy.
    pub(super) fn is_empty(&self) -> bool {
        self.taken == 0
    }

    /// Places a copy of the root that `in_files` stands for; answers its number and its address. None if there is no
    /// room.
    pub(super) fn place(&mut self, copy: &RootCopy, in_files: u64) -> Option<(RootIndex, usize)> {
        let number = match self.free {
            0 => self.used.checked_add(1)?,
            free => free,
        };
        let index = RootIndex::new(number)?;
        let area = self.area()?;
        let (copies, in_file) = (area.copies.elements_mut(), area.in_files.elements_mut());
        let place = place_of(index);
        for (word, bytes) in copies[place].iter_mut().zip(copy.as_chunks::<8>().0) {
            *word = u64::from_ne_bytes(*bytes);
        }
        let next = mem::replace(&mut in_file[place], in_files);
        if self.free == 0 {
            self.used = number;
        } else {
            self.free = next as u16;
        }
        self.taken += 1;
        Some((index, self.address(index)))
    }

    fn area(&mut self) -> Option<&mut Area> {
        if self.area.is_none() && !self.refused {
            let area = || {
                Some(Area {
                    copies: Reserved::new(MOST)?,
                    in_files: Reserved::new(MOST)?,
                })
            };
            self.area = area();
            self.refused = self.area.is_none();
        }
        self.area.as_mut()
    }

    /// Where a copy lies.
    pub(super) fn address(&self, index: RootIndex) -> usize {
        let copies = self.area.as_ref().map(|area| area.copies.elements().as_ptr());
        copies.map_or(0, |start| start.wrapping_add(place_of(index)) as usize)
    }

    /// What stands in files for the root that this is a copy of.
    pub(super) fn in_files(&self, index: RootIndex) -> u64 {
        let area = self.area.as_ref();
        area.map_or(0, |area| area.in_files.elements()[place_of(index)])
    }

    /// Lets another copy have this one's place.
    pub(super) fn give_back(&mut self, index: RootIndex) {
        if let Some(area) = &mut self.area {
            area.in_files.elements_mut()[place_of(index)] = self.free.into();
            self.free = index.get();
            self.taken -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(n: u8) -> RootCopy {
        [n; ROOT_SIZE]
    }

    #[test]
    fn copies_lie_together_and_places_that_are_given_back_are_taken_again() {
        let mut roots = RootCopies::new();
        assert!(roots.is_empty());
        let placed: Vec<_> = (0..5)
            .map(|n| roots.place(&copy(n), 100 + u64::from(n)).unwrap())
            .collect();
        for (n, &(index, address)) in placed.iter().enumerate() {
            assert_eq!(address, placed[0].1 + ROOT_SIZE * n);
            assert_eq!(
                (roots.address(index), roots.in_files(index)),
                (address, 100 + n as u64)
            );
            // SAFETY: a copy of this test, which nobody writes to meanwhile.
            assert_eq!(unsafe { *(address as *const RootCopy) }, copy(n as u8));
        }
        roots.give_back(placed[3].0);
        roots.give_back(placed[1].0);
        assert_eq!(roots.place(&copy(9), 7), Some(placed[1]));
        assert_eq!(roots.place(&copy(8), 8), Some(placed[3]));
        assert_eq!(
            (roots.in_files(placed[1].0), roots.in_files(placed[2].0)),
            (7, 102)
        );
        assert_eq!(roots.place(&copy(0), 0).unwrap().1, placed[4].1 + ROOT_SIZE);
        assert!(!roots.is_empty());
        let last = roots.place(&copy(0), 0).unwrap().0;
        let all = placed
            .iter()
            .map(|&(index, _)| index)
            .chain([last.get() - 1].map(|n| RootIndex::new(n).unwrap()));
        all.chain([last]).for_each(|index| roots.give_back(index));
        assert!(roots.is_empty());
    }

    #[test]
    fn those_for_whom_there_is_no_room_have_none() {
        let mut roots = RootCopies::new();
        for _ in 0..MOST {
            assert!(roots.place(&copy(1), 1).is_some());
        }
        assert_eq!(roots.place(&copy(1), 1), None);
        roots.give_back(RootIndex::MIN);
        assert_eq!(
            roots.place(&copy(1), 1).map(|(index, _)| index),
            Some(RootIndex::MIN)
        );
        assert_eq!(roots.place(&copy(1), 1), None);
    }
}
