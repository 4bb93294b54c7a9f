//! Which pieces of 64 KB of the address space lie in dependency regions: base addresses are multiples of that, so where
//! regions lie at their base addresses one look into this table mostly answers for a pointer, and touches one cache line.

use crate::dependencies::RegionView;
use olean_reader::format::base::BASE_ALIGN;
use olean_reader::format::room::{NoMemory, filled};
use std::ops::Range;

/// So many pieces at most: 16 GB of dependencies. Where there are more, the table would not stay in a cache.
const MOST: usize = 1 << 18;

/// One piece.
#[derive(Clone, Copy)]
struct Granule {
    /// Its number in the address space; 0 where the place is empty, for nothing lies in that piece.
    number: u32,
    /// Bytes from its beginning on that one region has, which lies where its file wants to; 0 if that is not all that there
    /// is to say of the piece.
    bytes: u32,
}

const EMPTY: Granule = Granule { number: 0, bytes: 0 };

/// The table: open addressing, at most two thirds full.
pub struct Granules {
    places: Box<[Granule]>,
    /// How far a hash has to be shifted to the right to be a place.
    shift: u32,
}

impl Granules {
    /// The table of the regions in `views`, none of whose pieces is taken to be clear that is touched by one of `places`.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn new(views: &[RegionView], places: &[Range<usize>]) -> Result<Self, NoMemory> {
        let pieces = |range: Range<usize>| range.start / PIECE..range.end.div_ceil(PIECE);
        let range = |view: &RegionView| view.begin..view.begin.saturating_add(view.size);
        let count = views
            .iter()
            .map(range)
            .chain(places.iter().cloned())
            .map(|range| pieces(range).len())
            .fold(0, usize::saturating_add);
        if count > MOST || views.iter().any(|view| number(range(view).end / PIECE).is_none()) {
            return Self::of(0);
        }
        let mut table = Self::of(count)?;
        for view in views {
            let range = range(view);
            let is_in_place = view.base == view.begin as u64 && view.begin.is_multiple_of(PIECE);
            for piece in pieces(range.clone()) {
                let bytes = (range.end - piece * PIECE).min(PIECE) as u32;
                table.enter(piece, if is_in_place { bytes } else { 0 });
            }
        }
        for piece in places.iter().cloned().flat_map(pieces) {
            table.enter(piece, 0);
        }
        Ok(table)
    }

    /// An empty table with room for `count` pieces; without room if there are none to be entered.
    fn of(count: usize) -> Result<Self, NoMemory> {
        let places = match count {
            0 => 0,
            // Two at least, for a hash can be shifted by 31 bits at most.
            _ => (count + count / 2 + 1).next_power_of_two().max(2),
        };
        Ok(Granules {
            places: filled(EMPTY, places, "the index of dependency regions")?.into_boxed_slice(),
            shift: 32 - places.max(2).ilog2(),
        })
    }

    fn enter(&mut self, piece: usize, bytes: u32) {
        let Some(number) = number(piece).filter(|&number| number != EMPTY.number) else {
            return;
        };
        let mut i = self.home(number);
        loop {
            let place = &mut self.places[i];
            if place.number == EMPTY.number {
                *place = Granule { number, bytes };
                return;
            }
            if place.number == number {
                // Of two regions, or of one that was given twice.
                place.bytes = 0;
                return;
            }
            i = (i + 1) & (self.places.len() - 1);
        }
    }

    #[inline(always)]
    fn home(&self, number: u32) -> usize {
        (number.wrapping_mul(0x9e37_79b1) >> self.shift) as usize
    }

    /// Addresses around `address` that are in the same region, which lies where its file wants to, as all of them do; `None`
    /// where the table does not say so.
    #[inline(always)]
    pub fn find(&self, address: usize) -> Option<Range<usize>> {
        let piece = address / PIECE;
        let number = number(piece)?;
        let mut i = self.home(number);
        loop {
            // Without a table there is no place.
            let place = self.places.get(i)?;
            if place.number == number {
                let begin = piece * PIECE;
                let around = begin..begin + place.bytes as usize;
                return around.contains(&address).then_some(around);
            }
            if place.number == EMPTY.number {
                return None;
            }
            i = (i + 1) & (self.places.len() - 1);
        }
    }
}

/// Bytes of a piece.
const PIECE: usize = BASE_ALIGN as usize;

/// The number of a piece as it is kept; none for one that no process can have (addresses of more than 48 bits).
#[inline(always)]
fn number(piece: usize) -> Option<u32> {
    u32::try_from(piece).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(begin: usize, size: usize, base: usize) -> RegionView {
        let base = base as u64;
        RegionView { begin, size, base }
    }

    #[test]
    fn only_regions_that_lie_where_their_files_want_to_are_clear() {
        let at = |piece: usize| piece * PIECE;
        let regions = [
            view(at(3), 3 * PIECE / 2, at(3)),
            view(at(7), 800, at(8)),
            view(at(9) + 8, 800, at(9) + 8),
            view(at(11), PIECE, at(11)),
            view(at(13), 800, at(13)),
            view(at(13), 800, at(13)),
            view(at(1 << 31), 800, at(1 << 31)),
        ];
        let table = Granules::new(&regions, &[at(11) + 8..at(11) + 9, at(20)..at(20) + 1]).expect("memory");
        for (address, expected) in [
            (0, None),
            (at(3) - 1, None),
            (at(3), Some(at(3)..at(4))),
            (at(4) + PIECE / 2 - 1, Some(at(4)..at(4) + PIECE / 2)),
            (at(4) + PIECE / 2, None),
            (at(7), None),
            (at(7) + 800, None),
            (at(9) + 8, None),
            (at(11) + 800, None),
            (at(13), None),
            (at(20) + 800, None),
            (at(1 << 31) + 799, Some(at(1 << 31)..at(1 << 31) + 800)),
            (usize::MAX, None),
        ] {
            assert_eq!(table.find(address), expected, "{address:#x}");
        }
    }

    #[test]
    fn what_has_too_many_pieces_or_none_has_no_table() {
        for regions in [
            &[][..],
            &[view(0, (MOST + 1) * PIECE, 0)],
            &[view(usize::MAX - PIECE, 800, usize::MAX - PIECE)],
        ] {
            let table = Granules::new(regions, &[]).expect("memory");
            assert_eq!(table.find(800), None);
        }
    }

    #[test]
    fn one_piece_has_a_table() {
        let table = Granules::new(&[view(PIECE, 8, PIECE)], &[]).expect("memory");
        assert_eq!(table.find(PIECE), Some(PIECE..PIECE + 8));
        assert_eq!(table.find(PIECE + 8), None);
        assert_eq!(table.find(2 * PIECE), None);
    }
}
