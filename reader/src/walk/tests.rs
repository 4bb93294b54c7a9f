//! The pass over the objects held against a plain one that is written here from the format's description and shares no
//! code with it: files with every kind of object, altered in every byte and cut off at every word.

use super::{Object, walk};
use crate::File;
use crate::format::object::{Bignums, Kind, Layout};
use crate::format::word::Width;
use crate::parse::parse_as;
use testkit::olean::{Node, Spec, Val};

/// Offset of the first violation and the field that it is in, which may have no name.
type Wrong = (usize, &'static str);
/// Tag, offset and number of the pointer fields, end.
type Found = (u8, usize, usize, usize);

struct Plain<'a> {
    bytes: &'a [u8],
    w: usize,
    gmp: bool,
    closures: bool,
    base: u64,
    end: usize,
    strict: bool,
}

impl Plain<'_> {
    fn number(&self, at: usize, bytes: usize) -> u64 {
        let digits = self.bytes[at..at + bytes].iter().rev();
        digits.fold(0, |n, &b| n << 8 | u64::from(b))
    }

    fn word(&self, at: usize) -> u64 {
        self.number(at, self.w)
    }

    fn must(&self, holds: bool, at: usize, field: &'static str) -> Result<(), Wrong> {
        if holds { Ok(()) } else { Err((at, field)) }
    }

    /// As [`Self::must`], of what is looked at in the strict pass alone.
    fn should(&self, holds: bool, at: usize, field: &'static str) -> Result<(), Wrong> {
        self.must(holds || !self.strict, at, field)
    }

    /// The next word behind an object's last byte.
    fn padded(&self, at: usize, last: usize) -> Result<usize, Wrong> {
        let next = last.next_multiple_of(self.w);
        self.must(next <= self.end, at, "")?;
        self.should(self.bytes[last..next].iter().all(|&b| b == 0), last, "")?;
        Ok(next)
    }

    fn objects(&self, mut at: usize) -> Result<Vec<Found>, Wrong> {
        let mut found = Vec::new();
        while at < self.end {
            let object = self.object(at)?;
            at = object.3;
            found.push(object);
        }
        Ok(found)
    }

    fn object(&self, at: usize) -> Result<Found, Wrong> {
        let (w, left) = (self.w, self.end - at);
        self.must(left >= 8, at, "")?;
        self.must(self.number(at, 4) == 0, at, "m_rc")?;
        let (size, other) = (self.number(at + 4, 2) as usize, usize::from(self.bytes[at + 6]));
        let tag = self.bytes[at + 7];
        let body = at + 8;
        Ok(match tag {
            0..=243 => {
                let scalars = size.checked_sub(8 + w * other).filter(|&n| n <= 1031);
                self.must(scalars.is_some(), at + 4, "m_cs_sz")?;
                (tag, body, other, self.padded(at, at + size)?)
            }
            244 | 253 | 251 | 252 => {
                let words = if tag > 250 && tag < 253 { 2 } else { 1 };
                let fixed = 8 + words * w;
                self.must(size == fixed, at + 4, "m_cs_sz")?;
                self.must(other == 0, at + 6, "m_other")?;
                self.must(left >= fixed, at, "")?;
                if words == 2 {
                    let name = if tag == 251 { "m_closure" } else { "m_imp" };
                    self.should(self.word(body + w) == 0, body + w, name)?;
                }
                (tag, body, 1, at + fixed)
            }
            245 => {
                self.must(self.closures, at + 7, "m_tag")?;
                let fixed = if w == 8 { 24 } else { 16 };
                self.must(left >= fixed, at, "")?;
                let (arity, n) = (self.number(body + w, 2), self.number(body + w + 2, 2) as usize);
                self.must(other == 0, at + 6, "m_other")?;
                self.must((n as u64) < arity, body + w, "m_arity")?;
                let bytes = fixed + n * w;
                // A closure of 32 bits may have a few bytes more.
                let (agrees, end) = match w {
                    8 => (size == bytes % 65_536, at + bytes),
                    _ => (
                        (bytes..bytes + 8).contains(&size),
                        (at + size).next_multiple_of(4),
                    ),
                };
                self.must(agrees, at + 4, "m_cs_sz")?;
                self.must(self.word(body) != 0, body, "m_fun")?;
                self.must(end <= self.end, at, "")?;
                (tag, at + fixed, n, end)
            }
            246 | 248 | 249 => {
                let fixed = 8 + w * if tag == 249 { 3 } else { 2 };
                self.should(size == 1, at + 4, "m_cs_sz")?;
                self.must(left >= fixed, at, "")?;
                let n = self.word(body);
                self.must(self.word(body + w) == n, body + w, "m_capacity")?;
                let unit = match tag {
                    246 => w,
                    248 => other,
                    _ => 1,
                };
                match tag {
                    248 => self.must([1, 2, 4, 8].contains(&other), at + 6, "m_other")?,
                    _ => self.should(other == 0, at + 6, "m_other")?,
                }
                self.must(
                    u128::from(n) * unit as u128 <= (left - fixed) as u128,
                    body,
                    "m_size",
                )?;
                let (first, n) = (at + fixed, n as usize);
                if tag == 249 {
                    self.must(n > 0, body, "m_size")?;
                    self.text(at, first, n)?;
                }
                let end = match tag {
                    246 => first + n * w,
                    _ => self.padded(at, first + n * unit)?,
                };
                (tag, first, if tag == 246 { n } else { 0 }, end)
            }
            250 => self.bignum(at)?,
            _ => return Err((at + 7, "m_tag")),
        })
    }

    fn text(&self, at: usize, first: usize, n: usize) -> Result<(), Wrong> {
        let (text, last) = (&self.bytes[first..first + n - 1], first + n - 1);
        self.should(self.bytes[last] == 0, last, "m_data")?;
        let length = at + 8 + 2 * self.w;
        match std::str::from_utf8(text) {
            Ok(text) => self.should(
                self.word(length) == text.chars().count() as u64,
                length,
                "m_length",
            ),
            Err(e) => self.should(false, first + e.valid_up_to(), "m_data"),
        }
    }

    fn bignum(&self, at: usize) -> Result<Found, Wrong> {
        let (w, body) = (self.w, at + 8);
        let (fixed, digit) = if self.gmp { (16 + w, w) } else { (8 + 3 * w, 4) };
        self.must(self.end - at >= fixed, at, "")?;
        let (negative, n, count) = if self.gmp {
            let room = self.number(body, 4) as u32 as i32;
            let signed = self.number(body + 4, 4) as u32 as i32;
            self.must(i64::from(room) == i64::from(signed).abs(), body, "_mp_alloc")?;
            (signed < 0, u64::from(signed.unsigned_abs()), body + 4)
        } else {
            let sign = self.word(body);
            self.must(sign < 2, body, "m_sign")?;
            (sign == 1, self.word(body + w), body + w)
        };
        self.must(n > 0, count, "size")?;
        self.must(n <= ((self.end - at - fixed) / digit) as u64, count, "size")?;
        let (first, bytes) = (at + fixed, n as usize * digit);
        let end = self.padded(at, first + bytes)?;
        let pointer = first - w;
        self.should(self.word(pointer) == self.base + first as u64, pointer, "digits")?;
        let size = (fixed + bytes) as u64;
        self.should(self.number(at + 4, 2) == size % 65_536, at + 4, "m_cs_sz")?;
        self.should(self.bytes[at + 6] == 0, at + 6, "m_other")?;
        let top = first + bytes - digit;
        self.should(self.number(top, digit) != 0, top, "digits")?;
        let high = self.bytes[first..first + bytes]
            .iter()
            .rposition(|&b| b != 0)
            .unwrap_or(0);
        let limit = if w == 4 { 1 << 30 } else { 1 << 31 } + u64::from(negative);
        let is_small = high < 8 && self.number(first, high + 1) < limit;
        self.should(!is_small, at, "digits")?;
        Ok((250, body, 0, end))
    }
}

/// What [`walk`] says of the file, in the words of [`Plain`].
fn walked(file: &File<'_>, strict: bool) -> Result<Vec<Found>, Wrong> {
    let mut found = Vec::new();
    let sink = |o: &Object| {
        assert_eq!(o.index as usize, found.len());
        assert_eq!(Kind::of_tag(o.tag), Some(o.kind));
        let fields = if o.kind == Kind::Mpz { o.at + 8 } else { o.fields };
        found.push((o.tag, fields, o.count, o.end));
        Ok(())
    };
    let result = match (file.width, strict) {
        (Width::W32, true) => walk::<4, true>(file, sink),
        (Width::W32, false) => walk::<4, false>(file, sink),
        (Width::W64, true) => walk::<8, true>(file, sink),
        (Width::W64, false) => walk::<8, false>(file, sink),
    };
    match result {
        Ok(seen) => {
            assert_eq!(seen.objects as usize, found.len());
            Ok(found)
        }
        Err(e) => {
            let at = e.object_ref().expect("an object is named");
            assert_eq!(at.index as usize, found.len());
            Err((
                e.offset().expect("a place") as usize,
                e.field_ref().map_or("", |f| f.name),
            ))
        }
    }
}

fn compare(bytes: &[u8], width: Width) {
    let file = parse_as(bytes, width).expect("header and sections are sound");
    for strict in [true, false] {
        let plain = Plain {
            bytes,
            w: width.bytes(),
            gmp: file.bignums == Bignums::Gmp,
            closures: file.version == 3,
            base: file.base,
            end: file.objects.end,
            strict,
        };
        let mut expected = plain.objects(file.objects.start);
        // Where the fields of an object without fields would begin is nobody's matter.
        let mut got = walked(&file, strict);
        for list in [&mut expected, &mut got].into_iter().flatten() {
            list.iter_mut().filter(|f| f.2 == 0).for_each(|f| f.1 = 0);
        }
        assert_eq!(got, expected, "strict: {strict}, {bytes:02x?}");
    }
}

/// Small objects of every kind, each with padding behind it where its kind has some.
fn sample(wide: bool, gmp: bool, version: u8) -> Spec {
    let mut spec = Spec::new(wide, gmp, version);
    let a = spec.push(Node::Ctor(243, vec![], vec![]));
    let b = spec.push(Node::Ctor(1, vec![a, Val::Box(3)], vec![1, 2, 3, 4, 5]));
    if version == 3 {
        spec.libraries.push((0x10_0000, b"l".to_vec()));
        spec.push(Node::Closure(0, 0x40, 3, vec![a, b]));
    }
    spec.push(Node::Array(vec![a, b, Val::Box(0)]));
    spec.push(Node::Sarray(1, vec![9; 5]));
    spec.push(Node::Sarray(4, vec![9; 12]));
    spec.push(Node::Str("aé→".to_owned()));
    spec.push(Node::Str(String::new()));
    spec.push(Node::Big(true, vec![1, 0, 0, 0x80]));
    spec.push(Node::Big(false, vec![0, 0, 0, 0, 0, 0, 0, 0, 1]));
    spec.push(Node::Thunk(a));
    let task = spec.push(Node::Task(b));
    spec.push(Node::Promise(task));
    spec.root = spec.push(Node::Ref(task));
    spec
}

fn shapes() -> impl Iterator<Item = (bool, bool, u8)> {
    (0..8).map(|i| (i & 1 != 0, i & 2 != 0, 2 + (i >> 2)))
}

#[test]
fn every_altered_byte_is_found_where_the_rules_say() {
    for (wide, gmp, version) in shapes() {
        let width = if wide { Width::W64 } else { Width::W32 };
        let bytes = sample(wide, gmp, version).write().bytes;
        let range = parse_as(&bytes, width).expect("sound").objects;
        for at in range {
            let flips = (0..8).map(|bit| bytes[at] ^ 1 << bit);
            let near = [bytes[at].wrapping_add(1), bytes[at].wrapping_sub(1), 0, 0xff];
            for value in flips.chain(near) {
                let mut altered = bytes.clone();
                altered[at] = value;
                compare(&altered, width);
            }
        }
    }
}

#[test]
fn a_file_cut_off_ends_in_an_error_at_the_object_that_is_cut() {
    for (wide, gmp, _) in shapes().take(4) {
        let width = if wide { Width::W64 } else { Width::W32 };
        let bytes = sample(wide, gmp, 2).write().bytes;
        let range = parse_as(&bytes, width).expect("sound").objects;
        for end in range.step_by(width.bytes()) {
            compare(&bytes[..end], width);
        }
    }
}

#[test]
fn sizes_at_the_ends_of_their_ranges() {
    for (wide, gmp, version) in shapes() {
        let width = if wide { Width::W64 } else { Width::W32 };
        let mut specs = vec![];
        // What a constructor may have of scalars, and one byte more.
        for scalars in [1031, 1032] {
            let mut spec = Spec::new(wide, gmp, version);
            spec.push(Node::Ctor(0, vec![Val::Box(1)], vec![7; scalars]));
            specs.push(spec);
        }
        // The least bignums that are none of the scalars, and the greatest that are.
        for (negative, high) in [
            (false, 0x40),
            (true, 0x40),
            (false, 0x80),
            (true, 0x80),
            (false, 0x3f),
            (false, 0x7f),
        ] {
            for low in [0, 1, 0xff] {
                let mut spec = Spec::new(wide, gmp, version);
                spec.push(Node::Big(
                    negative,
                    vec![low, low.min(1) * 0xff, low.min(1) * 0xff, high],
                ));
                specs.push(spec);
            }
        }
        for bytes in [9, 16, 17] {
            let mut spec = Spec::new(wide, gmp, version);
            spec.push(Node::Big(
                false,
                vec![0; bytes - 1].into_iter().chain([1]).collect(),
            ));
            specs.push(spec);
        }
        for spec in specs {
            compare(&spec.write().bytes, width);
        }
    }
}

#[test]
fn the_least_object_of_each_kind_may_be_the_last() {
    for (wide, gmp, version) in shapes() {
        let width = if wide { Width::W64 } else { Width::W32 };
        let mut least = vec![
            Node::Ctor(0, vec![], vec![]),
            Node::Array(vec![]),
            Node::Sarray(1, vec![]),
            Node::Str(String::new()),
            Node::Big(false, vec![0, 0, 0, 0, 0, 0, 0, 1]),
            Node::Thunk(Val::Box(0)),
            Node::Task(Val::Box(0)),
            Node::Ref(Val::Box(0)),
        ];
        if version == 3 {
            least.push(Node::Closure(0, 0x40, 1, vec![]));
        }
        for node in least {
            let mut spec = Spec::new(wide, gmp, version);
            spec.libraries.push((0x10_0000, b"l".to_vec()));
            spec.push(node);
            let bytes = spec.write().bytes;
            compare(&bytes, width);
            let file = parse_as(&bytes, width).expect("sound");
            assert_eq!(walked(&file, true).map(|found| found.len()), Ok(1));
        }
    }
}

#[test]
fn a_closure_without_code_is_found() {
    for wide in [false, true] {
        let width = if wide { Width::W64 } else { Width::W32 };
        let mut spec = Spec::new(wide, true, 3);
        spec.libraries.push((0, b"l".to_vec()));
        spec.push(Node::Closure(0, 0, 1, vec![]));
        let bytes = spec.write().bytes;
        compare(&bytes, width);
        let file = parse_as(&bytes, width).expect("sound");
        assert_eq!(walked(&file, true), Err((file.objects.start + 8, "m_fun")));
    }
}

#[test]
fn neighbouring_words_altered_alike_are_found_where_the_rules_say() {
    // Sizes that agree with the room that is claimed.
    for (wide, gmp, version) in shapes() {
        let width = if wide { Width::W64 } else { Width::W32 };
        let w = width.bytes();
        let bytes = sample(wide, gmp, version).write().bytes;
        let range = parse_as(&bytes, width).expect("sound").objects;
        for at in (range.start..range.end - w).step_by(4) {
            for value in [0u64, 1, 2, 5, 1 << 16, 1 << 31, 1 << 61, u64::MAX / 8, u64::MAX] {
                let mut altered = bytes.clone();
                for word in altered[at..].chunks_exact_mut(w).take(2) {
                    word.copy_from_slice(&value.to_le_bytes()[..w]);
                }
                if parse_as(&altered, width).is_ok() {
                    compare(&altered, width);
                }
            }
        }
    }
}

#[test]
fn what_is_too_large_for_its_size_field_is_counted() {
    for (wide, gmp, _) in shapes().take(4) {
        let width = if wide { Width::W64 } else { Width::W32 };
        for (length, truncated) in [(65_400, 0), (65_536, 1), (70_000, 1)] {
            let mut spec = Spec::new(wide, gmp, 2);
            spec.push(Node::Big(false, vec![0x55; length]));
            spec.push(Node::Ctor(0, vec![], vec![1, 2, 3]));
            let bytes = spec.write().bytes;
            compare(&bytes, width);
            let file = parse_as(&bytes, width).expect("sound");
            let seen = match width {
                Width::W32 => walk::<4, true>(&file, |_| Ok(())),
                Width::W64 => walk::<8, true>(&file, |_| Ok(())),
            };
            let seen = seen.expect("sound");
            assert_eq!((seen.objects, seen.truncated, seen.unrounded), (2, truncated, 1));
        }
    }
}

#[test]
fn a_closure_is_as_long_as_its_arguments_say() {
    for arguments in [8188, 8189, 8192] {
        let mut spec = Spec::new(true, true, 3);
        spec.libraries.push((0x10_0000, b"l".to_vec()));
        spec.push(Node::Closure(0, 0x40, 9000, vec![Val::Box(1); arguments]));
        spec.push(Node::Ref(Val::Node(0)));
        let bytes = spec.write().bytes;
        compare(&bytes, Width::W64);
        let file = parse_as(&bytes, Width::W64).expect("sound");
        assert_eq!(walked(&file, true).expect("sound").len(), 2);
    }
    // With 32 bits the size field is what tells, and has to hold it all.
    let mut spec = Spec::new(false, true, 3);
    spec.libraries.push((0x10_0000, b"l".to_vec()));
    spec.push(Node::Closure(0, 0x40, 20_000, vec![Val::Box(1); 16_384]));
    let bytes = spec.write().bytes;
    let file = parse_as(&bytes, Width::W32).expect("sound");
    let error = walk::<4, true>(&file, |_| Ok(()))
        .expect_err("the size wraps")
        .to_string();
    let size = Layout::new(Width::W32, file.bignums()).fixed(Kind::Closure) + 4 * 16_384;
    assert!(error.contains(&size.to_string()), "{error}");
}
