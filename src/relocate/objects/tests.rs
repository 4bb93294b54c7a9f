//! Which words are pointers and which objects are none, held against a plain walk that is written here and shares no
//! code with the other: small regions of every kind of object, altered in every byte, cut off at every word, and
//! moved in front of the end of a window.

use super::super::{Fault, Placement, Unseen, WalkError, relocate};
use crate::dependencies::{Dependencies, RegionView};
use testkit::olean::{Node, Spec, Val};

const ADDRESS: u64 = 0x7f55_0001_0000;
/// Base, size and place of the dependency.
const DEP: (u64, u64, u64) = (0x4000_0000, 0x1000, 0x5_0000_0000);

/// The word, counted from the start of the file, and what is wrong there.
type Wrong = (usize, Fault);

/// A region's words, relocated one by one.
struct Plain<'a> {
    words: &'a [u64],
    out: Vec<u64>,
    base: u64,
    /// First word of the objects.
    first: usize,
    gmp: bool,
    closures: bool,
}

impl Plain<'_> {
    fn run(mut self) -> Result<Vec<u64>, Wrong> {
        self.pointer(self.first - 1)?;
        let mut at = self.first;
        while at < self.words.len() {
            at += self.object(at)?;
        }
        Ok(self.out)
    }

    fn pointer(&mut self, at: usize) -> Result<(), Wrong> {
        let p = self.words[at];
        let own = self.base + 8 * self.first as u64..self.base + 8 * self.words.len() as u64;
        self.out[at] = if p % 2 == 1 {
            p
        } else if own.contains(&p) && p.is_multiple_of(8) {
            p - self.base + ADDRESS
        } else if !p.is_multiple_of(8) {
            return Err((at, Fault::Unaligned(p)));
        } else if (DEP.0..DEP.0 + DEP.1).contains(&p) {
            p - DEP.0 + DEP.2
        } else {
            return Err((at, Fault::Pointer(p)));
        };
        Ok(())
    }

    /// The object at a word: how many words it has.
    fn object(&mut self, at: usize) -> Result<usize, Wrong> {
        let words = &self.words[at..];
        let left = 8 * words.len() as u64;
        let [size, other, tag] = [words[0] >> 32 & 0xffff, words[0] >> 48 & 0xff, words[0] >> 56];
        let (size, tag) = (size as u16, tag as u8);
        if words[0] << 32 != 0 {
            return Err((at, Fault::Counted(words[0] as u32 as i32)));
        }
        let word = |i: usize| {
            let size = 8 * i as u64 + 8;
            let missing = (at, Fault::TooLong { tag, size });
            words.get(i).copied().ok_or(missing)
        };
        let bytes = |fixed: u64, count: u64, unit: u64| {
            let bytes = u128::from(fixed) + u128::from(count) * u128::from(unit);
            let size = u64::try_from(bytes).unwrap_or(u64::MAX);
            let fits = bytes <= left.into();
            if fits {
                Ok(size)
            } else {
                Err((at, Fault::TooLong { tag, size }))
            }
        };
        let bad_size = Err((at, Fault::BadSize { tag, size }));
        let (fields, bytes) = match tag {
            0..=243 => {
                if u64::from(size) < 8 + 8 * other {
                    return bad_size;
                }
                (1..1 + other as usize, bytes(size.into(), 0, 0)?)
            }
            245 if self.closures => {
                let count = word(2)? >> 16 & 0xffff;
                if (24 + 8 * count) as u16 != size {
                    return bad_size;
                }
                (3..3 + count as usize, bytes(24, count, 8)?)
            }
            246 | 248 | 249 => {
                let (used, room) = (word(1)?, word(2)?);
                let too_full = Err((at + 1, Fault::TooLong { tag, size: used }));
                if used > room && tag != 246 {
                    return too_full;
                }
                let all = match tag {
                    246 => bytes(24, room, 8)?,
                    248 => bytes(24, room, other & 0x7f)?,
                    _ => bytes(32, room, 1)?,
                };
                if used > room {
                    return too_full;
                }
                (3..3 + if tag == 246 { used as usize } else { 0 }, all)
            }
            250 => {
                let (fixed, count, unit) = match self.gmp {
                    true => (24, ((word(1)? >> 32) as i32).unsigned_abs().into(), 8),
                    false => (32, word(2)?, 4),
                };
                let all = bytes(fixed, count, unit)?;
                let digits = all - fixed;
                let field = at + fixed as usize / 8 - 1;
                let (p, end) = (self.words[field], self.base + 8 * self.words.len() as u64);
                let first = self.base + 8 * self.first as u64;
                if p % 8 != 0 || p < first || p >= end || digits > end - p {
                    return Err((field, Fault::Pointer(p)));
                }
                (field - at..field - at + 1, all)
            }
            251 | 252 => (1..2, bytes(24, 0, 0)?),
            244 | 253 => (1..2, bytes(16, 0, 0)?),
            _ => return Err((at, Fault::BadTag(tag))),
        };
        fields.into_iter().try_for_each(|i| self.pointer(at + i))?;
        Ok(bytes.div_ceil(8) as usize)
    }
}

/// Relocates in both ways. Where several things are wrong, the first in the file is named.
fn compare(words: &[u64], spec: &Spec) {
    let first = if spec.version == 3 { 13 } else { 12 };
    let placement = Placement {
        base: spec.base,
        address: ADDRESS as usize,
        data: 8 * (first - 1)..8 * words.len(),
        gmp: spec.gmp,
        closures: spec.version == 3,
    };
    let deps = Dependencies::new(vec![RegionView {
        begin: DEP.2 as usize,
        size: DEP.1 as usize,
        base: DEP.0,
    }]);
    let plain = Plain {
        words,
        out: words.to_vec(),
        base: spec.base,
        first,
        gmp: spec.gmp,
        closures: spec.version == 3,
    };
    let mut moved = words.to_vec();
    let result = relocate(&mut moved, &placement, &deps, Unseen, |_, _| ());
    match (result, plain.run()) {
        (Ok(root), Ok(expected)) => {
            assert_eq!(root, expected[first - 1]);
            let differing = moved.iter().zip(&expected).position(|(a, b)| a != b);
            assert_eq!(differing, None);
        }
        (result, expected) => {
            let expected = expected.map(|_| 0).map_err(|(word, fault)| WalkError::At {
                offset: 8 * word,
                fault,
            });
            assert_eq!(result, expected);
        }
    }
}

/// The words of a file up to the end of its data.
fn words(spec: &Spec) -> Vec<u64> {
    let bytes = spec.write().bytes;
    let (words, _) = bytes.as_chunks();
    let mut words: Vec<u64> = words.iter().map(|w| u64::from_le_bytes(*w)).collect();
    if spec.version == 3 {
        words.truncate(12 + words[11] as usize / 8);
    }
    words
}

/// Small objects of every kind; constructors of as many fields as are marked at once, one less and one more.
fn sample(gmp: bool, version: u8) -> Spec {
    let mut spec = Spec::new(true, gmp, version);
    let a = spec.push(Node::Ctor(243, vec![], vec![]));
    let dep = Val::Word(DEP.0 + 0x58);
    for fields in [1, 2, 6, 7, 8, 9] {
        spec.push(Node::Ctor(1, vec![a; fields], vec![7; fields % 3 * 4]));
    }
    if version == 3 {
        spec.libraries.push((0x10_0000, b"l".to_vec()));
        spec.push(Node::Closure(0, 0x40, 3, vec![a, dep]));
    }
    spec.push(Node::Array(vec![a, dep, Val::Box(0)]));
    spec.push(Node::Array(vec![]));
    spec.push(Node::Sarray(1, vec![9; 5]));
    spec.push(Node::Sarray(4, vec![9; 12]));
    spec.push(Node::Str("abc".to_owned()));
    spec.push(Node::Big(true, vec![1, 0, 0, 0x80]));
    spec.push(Node::Big(false, vec![1; 24]));
    spec.push(Node::Thunk(a));
    let task = spec.push(Node::Task(dep));
    spec.push(Node::Promise(task));
    spec.root = spec.push(Node::Ref(task));
    spec
}

fn shapes() -> [(bool, u8); 4] {
    [(false, 2), (true, 2), (false, 3), (true, 3)]
}

#[test]
fn every_altered_byte_moves_or_is_refused_as_the_rules_say() {
    for (gmp, version) in shapes() {
        let spec = sample(gmp, version);
        let words = words(&spec);
        compare(&words, &spec);
        for at in 11..words.len() {
            for byte in 0..8 {
                let old = words[at].to_le_bytes()[byte];
                let flips = (0..8).map(|bit| old ^ 1 << bit);
                for value in flips.chain([old.wrapping_add(1), old.wrapping_sub(1), 0, 0xff]) {
                    let mut altered = words.clone();
                    let mut bytes = altered[at].to_le_bytes();
                    bytes[byte] = value;
                    altered[at] = u64::from_le_bytes(bytes);
                    compare(&altered, &spec);
                }
            }
        }
    }
}

/// Cuts a file off at every word from `from` words behind its first object on. Its root is a scalar: it would lead to
/// what is cut off.
fn cut_off(spec: &Spec, from: usize) {
    let mut words = words(spec);
    let first = if spec.version == 3 { 13 } else { 12 };
    words[first - 1] = 1;
    for end in first + from..words.len() {
        compare(&words[..end], spec);
    }
}

#[test]
fn what_is_cut_off_is_refused_where_it_is_cut() {
    for (gmp, version) in shapes() {
        cut_off(&sample(gmp, version), 1);
    }
}

#[test]
fn counts_that_cannot_be_multiplied_are_refused() {
    for (gmp, version) in shapes() {
        let spec = sample(gmp, version);
        let words = words(&spec);
        for at in 12..words.len() {
            for value in [
                u64::MAX,
                u64::MAX / 4,
                u64::MAX / 4 + 1,
                u64::MAX / 8,
                1 << 63,
                1 << 61,
                u64::MAX - 23,
            ] {
                let mut altered = words.clone();
                altered[at] = value;
                compare(&altered, &spec);
                // Both what there is and what there is room for.
                if let Some(next) = altered.get_mut(at + 1) {
                    *next = value;
                    compare(&altered, &spec);
                }
            }
        }
    }
}

/// The sample behind a string of so many words, which is first.
fn behind(lead: usize, gmp: bool, version: u8) -> Spec {
    let mut spec = sample(gmp, version);
    spec.put_first(Node::Str("x".repeat(8 * lead - 33)));
    spec
}

#[test]
fn objects_of_every_kind_lie_across_the_end_of_a_window() {
    let sizes = words(&sample(true, 3)).len();
    for lead in 2048 - 12 - sizes..2048 + 4 {
        for (gmp, version) in shapes() {
            let spec = behind(lead, gmp, version);
            compare(&words(&spec), &spec);
        }
    }
}

#[test]
fn what_is_cut_off_in_a_later_window_is_refused_where_it_is_cut() {
    for (gmp, version) in shapes() {
        cut_off(&behind(2100, gmp, version), 2100);
    }
}
