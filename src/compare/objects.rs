//! The walk over two copies of the same objects, side by side: every word must be equal, except those that hold
//! addresses, which must lead to the same thing.

#[cfg(feature = "fault-injection")]
use olean_reader::format::object::STRING_HEADER;
use olean_reader::format::object::{Kind, Layout, ObjectHeader, align8};
use std::fmt;
use std::ops::Range;

/// How addresses compare.
pub trait Addresses {
    /// Whether two pointer fields mean the same object, or are the same scalar.
    fn same_pointer(&self, ours: u64, host: u64) -> bool;
    /// Whether two code addresses mean the same function.
    fn same_code(&self, ours: u64, host: u64) -> bool;
}

/// The first place at which two copies differ, in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Offset of the word from the start of the file, in bytes.
    pub offset: usize,
    /// What is there, on both sides.
    pub detail: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at offset {:#x}, {}", self.offset, self.detail)
    }
}

impl Difference {
    pub(super) fn new(offset: usize, detail: impl Into<String>) -> Self {
        Self {
            offset,
            detail: detail.into(),
        }
    }
}

/// What the words of one object are.
struct Words {
    /// Bytes, rounded up to 8.
    len: usize,
    /// Indices of the words that are pointers or scalars.
    pointers: Range<usize>,
    /// A closure has its code address in word 1, and padding in the upper half of word 2.
    kind: Kind,
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + 8)?;
    Some(u64::from_le_bytes(bytes.try_into().expect("8 bytes")))
}

/// The words of the object that `bytes` begins with; `None` if it is none or does not end in them.
fn words(bytes: &[u8], layout: Layout) -> Option<Words> {
    let header = ObjectHeader::of_word(word(bytes, 0)?);
    let kind = header.kind()?;
    let count = match layout.count_word(kind) {
        Some(at) => layout.count_in(kind, word(bytes, at)?),
        None => 0,
    };
    let room = match layout.capacity_word(kind) {
        Some(at) => word(bytes, at)?.max(if kind == Kind::Array { count } else { 0 }),
        None => count,
    };
    let len = align8(usize::try_from(layout.bytes(kind, header, room)?).ok()?);
    // Of a bignum the pointer to its digits.
    let (first, count) = match kind {
        Kind::Mpz => (layout.digit_pointer(), 1),
        _ => layout.pointers(kind, header, count),
    };
    let first = first / 8;
    let pointers = first..first.checked_add(usize::try_from(count).ok()?)?;
    let whole = len >= 8 && len <= bytes.len() && pointers.end * 8 <= len.max(8);
    whole.then_some(Words { len, pointers, kind })
}

/// The first difference between the objects in `ours` and in `host`, which begin at the offset `start` of their
/// files. `gmp`: bignums have GMP's layout.
#[must_use]
pub fn first_difference(
    ours: &[u8],
    host: &[u8],
    start: usize,
    gmp: bool,
    addresses: &impl Addresses,
) -> Option<Difference> {
    let layout = Layout::wide(gmp);
    let mut at = 0;
    while at < ours.len().min(host.len()) {
        let offset = start + at;
        let (a, b) = (&ours[at..], &host[at..]);
        if word(a, 0) != word(b, 0) {
            return Some(Difference::new(
                offset,
                format!("the object's header: {}", both(word(a, 0), word(b, 0))),
            ));
        }
        let Some(object) = words(a, layout) else {
            return Some(Difference::new(
                offset,
                format!("no object ({}) in either", value(word(a, 0))),
            ));
        };
        if b.len() < object.len {
            break;
        }
        if let Some(index) = (1..object.len / 8).find(|&i| !same_word(a, b, i, &object, addresses)) {
            let what = part(index, &object);
            let detail = format!(
                "{what} of {} at {offset:#x}: {}",
                named(object.kind, a[7]),
                both(word(a, 8 * index), word(b, 8 * index))
            );
            return Some(Difference::new(offset + 8 * index, detail));
        }
        at += object.len;
    }
    (ours.len() != host.len()).then(|| {
        let detail = format!(
            "the objects end: ours have {} bytes, the host's {}",
            ours.len(),
            host.len()
        );
        Difference::new(start + at, detail)
    })
}

fn same_word(ours: &[u8], host: &[u8], index: usize, object: &Words, addresses: &impl Addresses) -> bool {
    let (Some(a), Some(b)) = (word(ours, 8 * index), word(host, 8 * index)) else {
        return false;
    };
    match index {
        1 if object.kind == Kind::Closure => addresses.same_code(a, b),
        // Padding, which the incumbent copies from the heap as it is.
        2 if object.kind == Kind::Closure => a as u32 == b as u32,
        _ if object.pointers.contains(&index) => addresses.same_pointer(a, b),
        _ => a == b,
    }
}

fn part(index: usize, object: &Words) -> String {
    match index {
        1 if object.kind == Kind::Closure => "the function".to_owned(),
        _ if object.pointers.contains(&index)
            && matches!(object.kind, Kind::Ctor | Kind::Array | Kind::Closure) =>
        {
            format!("field {}", index - object.pointers.start)
        }
        _ if object.pointers.contains(&index) => "the pointer".to_owned(),
        _ => "a scalar word".to_owned(),
    }
}

fn named(kind: Kind, tag: u8) -> String {
    let name = match kind {
        Kind::Ctor => return format!("the constructor with tag {tag}"),
        Kind::Closure => "the closure",
        Kind::Array => "the array",
        Kind::Sarray => "the scalar array",
        Kind::String => "the string",
        Kind::Mpz => "the bignum",
        Kind::Thunk => "the thunk",
        Kind::Task => "the task",
        Kind::Promise => "the promise",
        Kind::Ref => "the reference",
    };
    name.to_owned()
}

fn value(word: Option<u64>) -> String {
    word.map_or("nothing".to_owned(), |word| format!("{word:#x}"))
}

fn both(ours: Option<u64>, host: Option<u64>) -> String {
    format!("ours {}, the host's {}", value(ours), value(host))
}

/// The offset of the first byte of the first string among the objects in `data` that begins with a small letter:
/// a place where a wrong byte changes a value and breaks no pointer.
#[cfg(feature = "fault-injection")]
#[must_use]
pub fn a_string_byte(data: &[u8], gmp: bool) -> Option<usize> {
    let layout = Layout::wide(gmp);
    let mut at = 0;
    while let Some(object) = data.get(at..).and_then(|rest| words(rest, layout)) {
        if object.kind == Kind::String && data.get(at + STRING_HEADER).is_some_and(u8::is_ascii_lowercase) {
            return Some(at + STRING_HEADER);
        }
        at += object.len;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pointers into this copy move by 0x1000; code moves by 0x20.
    struct Moved;

    impl Addresses for Moved {
        fn same_pointer(&self, ours: u64, host: u64) -> bool {
            ours == host && ours & 1 == 1 || ours.wrapping_add(0x1000) == host
        }
        fn same_code(&self, ours: u64, host: u64) -> bool {
            ours + 0x20 == host
        }
    }

    fn header(cs_sz: u64, other: u64, tag: u64) -> u64 {
        cs_sz << 32 | other << 48 | tag << 56
    }

    /// A string, a constructor with two fields and a scalar word, a closure with one argument, a bignum.
    fn objects() -> Vec<u64> {
        let mut w = vec![header(1, 0, 249), 3, 3, 2, 0x6968];
        w.extend([header(32, 2, 5), 0x9000, 15, 0xabcd]);
        w.extend([header(32, 0, 245), 0x40_0000, 2 | 1 << 16 | 0xdead << 32, 0x9028]);
        w.extend([header(32, 0, 250), 1 | 1 << 32, 0x9080, 77]);
        w
    }

    fn host_objects() -> Vec<u64> {
        let mut w = objects();
        w[6] += 0x1000;
        w[10] += 0x20;
        w[11] ^= 0xbeef << 32;
        w[12] += 0x1000;
        w[15] += 0x1000;
        w
    }

    fn compare(ours: &[u64], host: &[u64]) -> Option<Difference> {
        let bytes = |w: &[u64]| w.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>();
        first_difference(&bytes(ours), &bytes(host), 0x60, true, &Moved)
    }

    #[test]
    fn addresses_are_compared_by_what_they_mean_and_padding_is_not() {
        assert_eq!(compare(&objects(), &host_objects()), None);
    }

    #[test]
    fn every_other_word_counts_and_is_named() {
        let named = [
            (0, "the object's header"),
            (1, "a scalar word of the string"),
            (4, "a scalar word of the string"),
            (5, "the object's header"),
            (6, "field 0 of the constructor with tag 5"),
            (7, "field 1 of the constructor with tag 5"),
            (8, "a scalar word of the constructor"),
            (10, "the function of the closure"),
            (11, "a scalar word of the closure"),
            (12, "field 0 of the closure"),
            (14, "a scalar word of the bignum"),
            (15, "the pointer of the bignum"),
            (16, "a scalar word of the bignum"),
        ];
        for (index, what) in named {
            let mut host = host_objects();
            host[index] ^= 8;
            let found = compare(&objects(), &host).unwrap_or_else(|| panic!("word {index} does not count"));
            assert_eq!(found.offset, 0x60 + 8 * index, "{found}");
            assert!(found.detail.starts_with(what), "word {index}: {found}");
        }
    }

    #[test]
    fn ends_and_damage_are_differences() {
        let short = &host_objects()[..13];
        assert!(
            compare(&objects(), short)
                .unwrap()
                .detail
                .contains("the objects end")
        );
        let mut broken = objects();
        broken[0] = header(1, 0, 254);
        let found = compare(&broken, &broken).unwrap();
        assert!(found.detail.starts_with("no object"), "{found}");
    }
}
