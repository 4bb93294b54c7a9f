//! Copies of roots of regions in this process, for hosts that look at the root of a region and at nothing else in it:
//! they lie together, so that no page of the region need be touched. Each stays where it is as long as its region
//! lives.
//!
//! A compactor that the host keeps knows objects by their addresses. The place of a copy whose region has gone could be
//! taken by the copy of another one, which it would take for the first; so no place is taken again as long as there is
//! such a compactor.

use crate::compactor::RootCopyAt;
use crate::os::reserved::Reserved;
use olean_reader::format::image::{ROOT_SIZE, RootCopy};
use std::mem;
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Regions that can have a copy: more than Mathlib's 52,490. They take 5 MB of addresses.
const MOST: usize = u16::MAX as usize;

/// Compactors that the host keeps.
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// The host keeps a compactor from now on.
pub fn compactor_stays() {
    KEPT.fetch_add(1, Ordering::AcqRel);
}

/// A compactor that the host kept is gone.
pub fn compactor_goes() {
    KEPT.fetch_sub(1, Ordering::AcqRel);
}

/// The number of a copy, counted from 1.
pub(super) type RootIndex = NonZeroU16;

/// The words of a copy.
type Words = [u64; ROOT_SIZE / 8];

/// Copies by their numbers.
pub(super) struct RootCopies {
    copies: Option<Reserved<Words>>,
    /// There are no addresses for them, and they are not asked for again.
    refused: bool,
    /// What stands in files for each root; of a place that is free, the number of the next one.
    in_files: Vec<usize>,
    /// How many places are taken.
    taken: usize,
    /// The first of the places that may be taken again, 0 if there is none.
    free: usize,
    /// The first of those that were given back since, which a compactor may know.
    given_back: usize,
}

impl RootCopies {
    pub(super) const fn new() -> Self {
        RootCopies {
            copies: None,
            refused: false,
            in_files: Vec::new(),
            taken: 0,
            free: 0,
            given_back: 0,
        }
    }

    /// Whether no region has a copy.
    pub(super) fn is_empty(&self) -> bool {
        self.taken == 0
    }

    /// Places a copy of the root that `in_files` stands for. None if there is no room.
    pub(super) fn place(&mut self, copy: &RootCopy, in_files: usize) -> Option<RootIndex> {
        if self.copies.is_none() && !self.refused {
            self.copies = Reserved::new(MOST);
            self.refused = self.copies.is_none();
        }
        let copies = self.copies.as_mut()?;
        if self.free == 0 && KEPT.load(Ordering::Acquire) == 0 {
            self.free = mem::take(&mut self.given_back);
        }
        let place = match self.free.checked_sub(1) {
            Some(place) => {
                self.free = mem::replace(self.in_files.get_mut(place)?, in_files);
                place
            }
            None => {
                if self.in_files.len() == MOST || self.in_files.try_reserve(1).is_err() {
                    return None;
                }
                self.in_files.push(in_files);
                self.in_files.len() - 1
            }
        };
        let mut words = [0; ROOT_SIZE / 8];
        for (word, bytes) in words.iter_mut().zip(copy.as_chunks::<8>().0) {
            *word = u64::from_ne_bytes(*bytes);
        }
        // SAFETY: the place was free, so nobody has its address.
        unsafe { copies.set(place, words) };
        self.taken += 1;
        RootIndex::new(u16::try_from(place + 1).ok()?)
    }

    /// Where a copy lies, and what it is a copy of.
    pub(super) fn at(&self, index: RootIndex) -> RootCopyAt {
        let place = usize::from(index.get()) - 1;
        RootCopyAt {
            address: self.copies.as_ref().map_or(0, |copies| copies.address(place)),
            in_files: self.in_files.get(place).copied().unwrap_or_default(),
        }
    }

    /// Lets another copy have this one's place.
    pub(super) fn give_back(&mut self, index: Option<RootIndex>) {
        let Some(index) = index.map(|index| usize::from(index.get())) else {
            return;
        };
        if let Some(next) = self.in_files.get_mut(index - 1) {
            *next = mem::replace(&mut self.given_back, index);
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
        let mut place = |n: u8| roots.place(&copy(n), 100 + usize::from(n));
        let placed: Vec<_> = (0..5).map(|n| place(n).unwrap()).collect();
        let first = roots.at(placed[0]).address;
        for (n, &index) in placed.iter().enumerate() {
            let expected = RootCopyAt {
                address: first + ROOT_SIZE * n,
                in_files: 100 + n,
            };
            assert_eq!(roots.at(index), expected);
            // SAFETY: a copy of this test, which nobody writes to meanwhile.
            assert_eq!(unsafe { *(expected.address as *const RootCopy) }, copy(n as u8));
        }
        roots.give_back(Some(placed[3]));
        roots.give_back(None);
        roots.give_back(Some(placed[1]));
        assert_eq!(roots.place(&copy(9), 7), Some(placed[1]));
        assert_eq!(roots.place(&copy(8), 8), Some(placed[3]));
        assert_eq!(
            (roots.at(placed[1]).in_files, roots.at(placed[2]).in_files),
            (7, 102)
        );
        let last = roots.place(&copy(0), 0).unwrap();
        assert_eq!(roots.at(last).address, first + 5 * ROOT_SIZE);
        for index in placed.into_iter().chain([last]) {
            assert!(!roots.is_empty());
            roots.give_back(Some(index));
        }
        assert!(roots.is_empty());
    }

    #[test]
    fn those_for_whom_there_is_no_room_have_none() {
        let mut roots = RootCopies::new();
        for _ in 0..MOST {
            assert!(roots.place(&copy(1), 1).is_some());
        }
        assert_eq!(roots.place(&copy(1), 1), None);
        roots.give_back(Some(RootIndex::MIN));
        roots.give_back(Some(RootIndex::MAX));
        let mut again = [roots.place(&copy(1), 1), roots.place(&copy(1), 1)];
        again.sort();
        assert_eq!(again, [Some(RootIndex::MIN), Some(RootIndex::MAX)]);
        assert_eq!(roots.place(&copy(1), 1), None);
    }
}
