//! The linear walk over the objects of a region that rewrites every pointer (spec section 7.2). Every size
//! is checked against the end of the data and every pointer against the region and its dependencies, so a
//! damaged file ends in an error that names the place.

use super::deps::{Dependencies, OverlapError, RegionView, meant_by};
use crate::format::layout::{
    ARRAY_HEADER, CLOSURE_HEADER, MAX_CTOR_TAG, MPZ_GMP_SIZE, MPZ_NATIVE_SIZE, OBJECT_HEADER, PROMISE_SIZE,
    REF_SIZE, STRING_HEADER, TAG_ARRAY, TAG_CLOSURE, TAG_MPZ, TAG_PROMISE, TAG_REF, TAG_SARRAY, TAG_STRING,
    TAG_TASK, TAG_THUNK, TASK_SIZE, THUNK_SIZE, align8,
};
use std::ops::Range;
use thiserror::Error;

/// A region to be relocated: how its file is laid out and where it lies now.
#[derive(Clone, Debug)]
pub struct Target {
    /// What pointers in the file mean by its first byte.
    pub base: u64,
    /// Where its first byte lies now.
    pub address: usize,
    /// Offsets of root slot and end of data, both multiples of 8.
    pub data: Range<usize>,
    /// Whether bignums have GMP's layout.
    pub gmp: bool,
    /// Whether closures may occur (version 3).
    pub closures: bool,
}

/// What is wrong with an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Fault {
    /// A pointer leads nowhere.
    #[error(
        "the pointer {0:#x} leads neither into this file nor into a dependency: the file is damaged, or a dependency is missing"
    )]
    Pointer(u64),
    /// A pointer into the middle of a word.
    #[error("the pointer {0:#x} is not aligned to 8 bytes")]
    Unaligned(u64),
    /// The object reaches behind the end of the data.
    #[error("an object with tag {tag} says that it has {size} bytes, which is more than the file holds")]
    TooLong {
        /// The object's tag.
        tag: u8,
        /// Its size.
        size: u64,
    },
    /// The size in the header does not fit the object.
    #[error("an object with tag {tag} has the size {size} in its header, which does not fit its fields")]
    BadSize {
        /// The object's tag.
        tag: u8,
        /// The size in the header.
        size: u16,
    },
    /// An object of a kind that a file cannot hold.
    #[error("an object with tag {0} cannot be in a file of this version")]
    BadTag(u8),
    /// The reference count of an object in a region is always 0.
    #[error("an object has the reference count {0}, which is always 0 in a file")]
    Counted(i32),
}

/// Why a region cannot be relocated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum WalkError {
    /// The dependencies or the region claim the same addresses.
    #[error(transparent)]
    Overlap(#[from] OverlapError),
    /// Something is wrong at an offset of the file.
    #[error("'unreachable' code was reached: at offset {offset:#x}: {fault}")]
    At {
        /// Offset from the start of the file, in bytes.
        offset: usize,
        /// What is wrong there.
        fault: Fault,
    },
}

/// What pointers are translated by.
struct Translation<'a> {
    /// Address in the file of the first object, and bytes from there to the end of the data.
    objects: u64,
    length: u64,
    delta: u64,
    deps: &'a [RegionView],
    last: RegionView,
}

impl Translation<'_> {
    /// The live address for a pointer of the file.
    #[inline(always)]
    fn pointer(&mut self, pointer: u64) -> Result<u64, Fault> {
        // In range and aligned at once: low bits that are set make the rotated difference too large.
        if pointer.wrapping_sub(self.objects).rotate_right(3) < self.length / 8 {
            return Ok(pointer.wrapping_add(self.delta));
        }
        if pointer & 7 != 0 {
            return Err(Fault::Unaligned(pointer));
        }
        let inside = pointer.wrapping_sub(self.last.base);
        if inside < self.last.size as u64 {
            return Ok(self.last.begin as u64 + inside);
        }
        self.other(pointer)
    }

    #[inline(never)]
    fn other(&mut self, pointer: u64) -> Result<u64, Fault> {
        self.last = meant_by(self.deps, pointer).ok_or(Fault::Pointer(pointer))?;
        Ok(self.last.begin as u64 + (pointer - self.last.base))
    }

    /// Translates all pointers among `words`; scalars stay. Words that do not change are not written, so
    /// that a region that landed keeps its clean pages.
    #[inline(always)]
    fn all(&mut self, words: &mut [u64]) -> Result<(), (usize, Fault)> {
        for (i, word) in words.iter_mut().enumerate() {
            if *word & 1 == 0 {
                let new = self.pointer(*word).map_err(|fault| (i, fault))?;
                if new != *word {
                    *word = new;
                }
            }
        }
        Ok(())
    }
}

/// The walk announces this many bytes at once: few enough to be still in the cache when it gets there.
pub const AHEAD: usize = 256 << 10;

/// Rewrites every pointer of the region in `words`, which holds the whole file, for where it and `deps` lie.
/// Answers the root: a scalar, or the live address of an object.
///
/// Code addresses of closures stay as they are. `ahead` is called with an offset in the file before the walk
/// comes to the [`AHEAD`] bytes from there on, so that they can be brought into memory together.
///
/// # Errors
/// [`WalkError`]; the words are half rewritten then and good for nothing.
pub fn relocate(
    words: &mut [u64],
    target: &Target,
    deps: &Dependencies,
    mut ahead: impl FnMut(usize),
) -> Result<u64, WalkError> {
    let sorted = deps.by_base()?;
    let size = words.len() as u64 * 8;
    let after = sorted.partition_point(|v| v.base < target.base.saturating_add(size));
    if let Some(dep) = after.checked_sub(1).map(|i| &sorted[i])
        && target.base < dep.base.saturating_add(dep.size as u64)
    {
        return Err(OverlapError::Own {
            own: target.base,
            dep: dep.base,
        }
        .into());
    }
    let first = target.data.start + 8;
    let mut translation = Translation {
        objects: target.base.wrapping_add(first as u64),
        length: (target.data.end - first) as u64,
        delta: (target.address as u64).wrapping_sub(target.base),
        deps: sorted,
        last: RegionView {
            begin: 0,
            size: 0,
            base: 0,
        },
    };
    let (root, objects) = words[target.data.start / 8..target.data.end / 8].split_at_mut(1);
    translation.all(root).map_err(|(_, fault)| WalkError::At {
        offset: target.data.start,
        fault,
    })?;
    let mut at = 0;
    let mut announced = 0;
    while at < objects.len() {
        if at >= announced {
            ahead(first + at * 8);
            announced = at + AHEAD / 8;
        }
        let fault_at = |i: usize, fault| WalkError::At {
            offset: first + (at + i) * 8,
            fault,
        };
        let object = &mut objects[at..];
        let length = step(object, target, &mut translation).map_err(|(i, fault)| fault_at(i, fault))?;
        at += length;
    }
    Ok(root[0])
}

/// Rewrites the object that `words` begins with; answers its length in words. Errors carry the index of the
/// word that is wrong.
#[inline(always)]
fn step(words: &mut [u64], target: &Target, tr: &mut Translation<'_>) -> Result<usize, (usize, Fault)> {
    let header = words[0];
    if header as u32 != 0 {
        return Err((0, Fault::Counted(header as i32)));
    }
    let (cs_sz, other, tag) = ((header >> 32) as u16, (header >> 48) as u8, (header >> 56) as u8);
    let available = words.len();
    // The object's length in words, if that many are left.
    let fits = |bytes: u64| -> Result<usize, (usize, Fault)> {
        if bytes <= available as u64 * 8 {
            Ok(align8(bytes as usize) / 8)
        } else {
            Err((0, Fault::TooLong { tag, size: bytes }))
        }
    };
    let sized = |fixed: usize, count: u64, unit: u64| -> Result<usize, (usize, Fault)> {
        let bytes = count.checked_mul(unit).and_then(|n| n.checked_add(fixed as u64));
        fits(bytes.ok_or((0, Fault::TooLong { tag, size: u64::MAX }))?)
    };
    let field = |i: usize| {
        words.get(i).copied().ok_or((
            0,
            Fault::TooLong {
                tag,
                size: 8 * i as u64 + 8,
            },
        ))
    };
    if tag <= MAX_CTOR_TAG {
        let fields = usize::from(other);
        let size = usize::from(cs_sz);
        if size < OBJECT_HEADER + 8 * fields {
            return Err((0, Fault::BadSize { tag, size: cs_sz }));
        }
        let length = fits(size as u64)?;
        tr.all(&mut words[1..=fields]).map_err(|(i, f)| (1 + i, f))?;
        return Ok(length);
    }
    match tag {
        TAG_ARRAY => {
            let (size, capacity) = (field(1)?, field(2)?);
            let length = sized(ARRAY_HEADER, capacity, 8)?;
            if size > capacity {
                return Err((1, Fault::TooLong { tag, size }));
            }
            tr.all(&mut words[3..3 + size as usize])
                .map_err(|(i, f)| (3 + i, f))?;
            Ok(length)
        }
        TAG_STRING | TAG_SARRAY => {
            let (size, capacity) = (field(1)?, field(2)?);
            if size > capacity {
                return Err((1, Fault::TooLong { tag, size }));
            }
            if tag == TAG_STRING {
                sized(STRING_HEADER, capacity, 1)
            } else {
                sized(ARRAY_HEADER, capacity, (other & 0x7f).into())
            }
        }
        TAG_MPZ => {
            let (fixed, digits, unit) = if target.gmp {
                (
                    MPZ_GMP_SIZE,
                    u64::from(((field(1)? >> 32) as i32).unsigned_abs()),
                    8,
                )
            } else {
                (MPZ_NATIVE_SIZE, field(2)?, 4)
            };
            let length = sized(fixed, digits, unit)?;
            let at = fixed / 8 - 1;
            let pointer = field(at)?;
            let inside = pointer.wrapping_sub(tr.objects);
            // The digits' pointer leads into this file alone, and behind a bignum at the very end of the data
            // there are no digits only if there are none.
            if pointer & 7 != 0 || inside > tr.length || digits * unit > tr.length - inside {
                return Err((at, Fault::Pointer(pointer)));
            }
            let new = pointer.wrapping_add(tr.delta);
            if new != pointer {
                words[at] = new;
            }
            Ok(length)
        }
        TAG_CLOSURE if target.closures => {
            let fixed = (field(2)? >> 16 & 0xffff) as usize;
            if usize::from(cs_sz) != CLOSURE_HEADER + 8 * fixed {
                return Err((0, Fault::BadSize { tag, size: cs_sz }));
            }
            let length = fits(cs_sz.into())?;
            tr.all(&mut words[3..3 + fixed]).map_err(|(i, f)| (3 + i, f))?;
            Ok(length)
        }
        TAG_THUNK | TAG_TASK | TAG_PROMISE | TAG_REF => {
            let size = match tag {
                TAG_THUNK => THUNK_SIZE,
                TAG_TASK => TASK_SIZE,
                TAG_PROMISE => PROMISE_SIZE,
                _ => REF_SIZE,
            };
            let length = fits(size as u64)?;
            tr.all(&mut words[1..2]).map_err(|(i, f)| (1 + i, f))?;
            Ok(length)
        }
        tag => Err((0, Fault::BadTag(tag))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    fn target(words: &[u64], address: usize) -> Target {
        Target {
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
        let t = target(&w, 0x70_0000);
        assert_eq!(relocate(&mut w, &t, &deps(), |_| ()), Ok(0x70_0088));
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
            let t = target(&w, 0x70_0000);
            assert_eq!(
                relocate(&mut w, &t, &deps(), |_| ()),
                Err(WalkError::At { offset, fault })
            );
        }
    }

    #[test]
    fn a_dependency_in_the_way_is_refused() {
        let mut w = file();
        let t = target(&w, 0x70_0000);
        for base in [BASE - 0x10, BASE + 0x98] {
            let deps = Dependencies::new(vec![RegionView {
                begin: 0x9_0000,
                size: 0x20,
                base,
            }]);
            assert_eq!(
                relocate(&mut w, &t, &deps, |_| ()),
                Err(WalkError::Overlap(OverlapError::Own { own: BASE, dep: base }))
            );
        }
    }
}
