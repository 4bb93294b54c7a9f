//! The walk over the objects of a region from the first to the last, which rewrites every pointer. Every size is
//! checked against the end of the data and every pointer against the region and its dependencies, so a damaged file
//! ends in an error that names the place.
#![forbid(unsafe_code)]

use super::fault::WalkError;
use super::objects::{HEADER_WORDS, Walk};
use super::placement::Placement;
use super::pointers::{Heads, Pointers};
use crate::dependencies::{Dependencies, DependencyError, RegionView};

/// Bytes that the walk announces at once (see [`relocate`]): few enough to be in the cache still when it gets there.
pub const AHEAD: usize = 256 << 10;

/// Rewrites every pointer of the region in `words`, which holds the whole file, for where it and `deps` lie.
/// Answers the root: a scalar, or the live address of an object.
///
/// Code addresses of closures stay as they are. `ahead` is called with each multiple of [`AHEAD`] up to the end of the
/// data, an offset in the file, and the words from there on, so many bytes or to the end of `words`, before any of
/// them is touched: it may be what brings the file's content there. `heads` shows where objects of dependencies begin.
///
/// # Errors
/// [`WalkError`]; the words are half rewritten then and good for nothing.
pub fn relocate(
    words: &mut [u64],
    placement: &Placement,
    deps: &Dependencies,
    heads: impl Heads,
    mut ahead: impl FnMut(usize, &mut [u64]),
) -> Result<u64, WalkError> {
    let sorted = deps.by_base()?;
    let size = words.len() as u64 * 8;
    let after = sorted.partition_point(|v| v.base < placement.base.saturating_add(size));
    if let Some(dep) = after.checked_sub(1).map(|i| &sorted[i])
        && placement.base < dep.base.saturating_add(dep.size as u64)
    {
        return Err(DependencyError::Own {
            own: placement.base,
            dep: dep.base,
        }
        .into());
    }
    let first = placement.data.start + 8;
    let mut pointers = Pointers::new(
        placement.base.wrapping_add(first as u64),
        placement.data.end - first,
        (placement.address as u64).wrapping_sub(placement.base),
        sorted,
        heads,
    );
    let data_end = placement.data.end;
    let mut announced = 0;
    let mut announce = |until: usize, words: &mut [u64]| {
        while announced < until.min(data_end) {
            let end = words.len().min((announced + AHEAD) / 8);
            ahead(announced, &mut words[announced / 8..end]);
            announced += AHEAD;
        }
    };
    announce(first, words);
    let root_at = placement.data.start / 8;
    pointers
        .translate(&mut words[root_at..=root_at], &[u8::MAX])
        .map_err(|(_, fault)| WalkError::At {
            offset: placement.data.start,
            fault,
        })?;
    let fault_at = |(i, fault)| WalkError::At {
        offset: first + i * 8,
        fault,
    };
    let mut walk = Walk::new(placement, pointers.objects(), pointers.length());
    while let Some(window) = walk.window(data_end / 8 - first / 8) {
        announce(first + (window.end + HEADER_WORDS) * 8, words);
        let objects = &mut words[first / 8..data_end / 8];
        let found = walk.mark(objects, window.clone());
        // What is wrong before the object that cannot be understood comes first.
        let end = found
            .as_ref()
            .map_or_else(|&(at, _)| at.min(window.end), |()| window.end);
        let window = window.start..end;
        let marks = walk.marks(window.len());
        pointers
            .translate(&mut objects[window.clone()], marks)
            .map_err(|(i, fault)| fault_at((window.start + i, fault)))?;
        found.map_err(fault_at)?;
    }
    Ok(words[root_at])
}

/// Of dependencies nothing is looked at.
pub struct Unseen;

impl Heads for Unseen {
    fn are_seen(&self, _: &RegionView) -> bool {
        false
    }

    fn word(&self, _: u64) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relocate::Fault;

    const BASE: u64 = 0x10_0000;

    fn header(cs_sz: u64, other: u64, tag: u64) -> u64 {
        cs_sz << 32 | other << 48 | tag << 56
    }

    /// A file of one string and a constructor with two fields: the string and a dependency's object.
    fn file() -> Vec<u64> {
        let mut w = vec![0; 11];
        w.push(BASE + 0x88); // root, at 0x58
        w.extend([header(1, 0, 249), 3, 3, 2, 0x6968]); // 0x60: "hi"
        w.extend([header(24, 2, 0), BASE + 0x60, 0x5_0010]); // 0x88
        w
    }

    fn placement(words: &[u64], address: usize) -> Placement {
        Placement {
            base: BASE,
            address,
            data: 0x58..words.len() * 8,
            gmp: true,
            closures: false,
        }
    }

    fn deps() -> Dependencies {
        Dependencies::new(vec![RegionView {
            begin: 0x9_0000,
            size: 0x20,
            base: 0x5_0000,
        }])
    }

    #[test]
    fn pointers_move_with_the_region_and_its_dependencies() {
        let mut w = file();
        let t = placement(&w, 0x70_0000);
        assert_eq!(relocate(&mut w, &t, &deps(), Unseen, |_, _| ()), Ok(0x70_0088));
        assert_eq!(w[18..], [0x70_0060, 0x9_0010]);
    }

    #[test]
    fn every_fault_is_named_with_its_place() {
        let cases: [(usize, u64, usize, Fault); 7] = [
            (18, BASE + 8, 0x90, Fault::Pointer(BASE + 8)),
            (18, BASE + 0xa0, 0x90, Fault::Pointer(BASE + 0xa0)),
            (19, 0x5_0020, 0x98, Fault::Pointer(0x5_0020)),
            (19, BASE + 0x62, 0x98, Fault::Unaligned(BASE + 0x62)),
            (17, header(16, 2, 0), 0x88, Fault::BadSize { tag: 0, size: 16 }),
            (
                14,
                u64::MAX,
                0x60,
                Fault::TooLong {
                    tag: 249,
                    size: u64::MAX,
                },
            ),
            (17, header(24, 2, 254), 0x88, Fault::BadTag(254)),
        ];
        for (at, word, offset, fault) in cases {
            let mut w = file();
            w[at] = word;
            let t = placement(&w, 0x70_0000);
            assert_eq!(
                relocate(&mut w, &t, &deps(), Unseen, |_, _| ()),
                Err(WalkError::At { offset, fault })
            );
        }
    }

    /// A dependency's words, which lie at this address.
    struct Seen<'a>(u64, &'a [u64]);

    impl Heads for Seen<'_> {
        fn are_seen(&self, dep: &RegionView) -> bool {
            dep.begin as u64 == self.0
        }

        fn word(&self, at: u64) -> u64 {
            self.1[(at - self.0) as usize / 8]
        }
    }

    #[test]
    fn where_a_dependency_is_seen_pointers_into_it_lead_to_what_an_object_begins_with() {
        let no_object = |word: u64| {
            let mut w = file();
            let t = placement(&w, 0x70_0000);
            let dep = [1, 1, word, 1];
            match relocate(&mut w, &t, &deps(), Seen(0x9_0000, &dep), |_, _| ()) {
                Ok(_) => false,
                Err(e) => {
                    let fault = Fault::NoObject(0x5_0010);
                    assert_eq!(e, WalkError::At { offset: 0x98, fault });
                    true
                }
            }
        };
        for object in [
            header(24, 2, 0),
            header(8, 0, 3),
            header(1, 0, 249),
            header(0, 8, 248),
            header(0, 0, 245),
        ] {
            assert!(!no_object(object), "{object:#x}");
        }
        // A scalar, a pointer, a small constructor, text, a tag of none, a count, nothing.
        let strange = [
            3,
            0x5_0000,
            header(16, 2, 0),
            0x6f6c_6c65_6820_6568,
            header(8, 0, 254),
            1 << 32,
            0,
        ];
        for word in strange.into_iter().chain([header(24, 2, 0) | 1]) {
            assert!(no_object(word), "{word:#x}");
        }
        // A version 3 file need not end with a whole word.
        let mut w = file();
        w[19] = 0x5_0018;
        let cut = Dependencies::new(vec![RegionView {
            size: 0x1b,
            ..deps().views()[0]
        }]);
        let t = placement(&w, 0x70_0000);
        let fault = Fault::NoObject(0x5_0018);
        assert_eq!(
            relocate(&mut w, &t, &cut, Seen(0x9_0000, &[0; 3]), |_, _| ()),
            Err(WalkError::At { offset: 0x98, fault })
        );
    }

    #[test]
    fn a_dependency_in_the_way_is_refused() {
        let mut w = file();
        let t = placement(&w, 0x70_0000);
        for base in [BASE - 0x10, BASE + 0x98] {
            let deps = Dependencies::new(vec![RegionView {
                begin: 0x9_0000,
                size: 0x20,
                base,
            }]);
            assert_eq!(
                relocate(&mut w, &t, &deps, Unseen, |_, _| ()),
                Err(WalkError::Dependencies(DependencyError::Own {
                    own: BASE,
                    dep: base
                }))
            );
        }
    }
}
