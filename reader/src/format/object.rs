//! The rules of objects, stated once: their kinds, the header word, how many bytes an object has and which of its
//! words are pointers, for either pointer width and either bignum layout (upstream `src/include/lean/lean.h`).
//!
//! A live object of a 64-bit Lean and one in a 64-bit file lie alike, bignums aside: their digits are elsewhere in a
//! live object. So the constants of this module, which are those of 64 bits, serve for both.
//!
//! An object of no fixed size says itself how many elements, digits or arguments it has: [`Layout::count_word`] says
//! where, [`Layout::count_in`] what the word there means, and with it [`Layout::bytes`] and [`Layout::pointers`]
//! answer the rest. Nothing here looks at bytes, so every reader stays in charge of what it trusts:
//!
//! ```
//! use olean_reader::format::object::{Bignums, Kind, Layout, ObjectHeader};
//! use olean_reader::format::word::Width;
//!
//! // A closure with two arguments, as its first words lie in a 64-bit file.
//! let words = [0xf5_00_0028_0000_0000, 0x40_1000, 2 << 16 | 5, 0x1_0000, 0x1_0040];
//! let header = ObjectHeader::of_word(words[0]);
//! let kind = header.kind().expect("a tag that is written");
//! assert_eq!(kind, Kind::Closure);
//! let layout = Layout::new(Width::W64, Bignums::Gmp);
//! let at = layout.count_word(kind).expect("closures count their arguments");
//! let count = layout.count_in(kind, words[at / 8]);
//! assert_eq!(layout.bytes(kind, header, count), Some(40));
//! assert_eq!(layout.pointers(kind, header, count), (24, 2));
//! ```

use super::word::Width;
use std::fmt;

/// Largest tag of a constructor (`LeanMaxCtorTag`).
pub const MAX_CTOR_TAG: u8 = 243;
/// Tag of a promise: one pointer, to a task.
pub const TAG_PROMISE: u8 = 244;
/// Tag of a closure: code address, arity, number of fixed arguments, arguments.
pub const TAG_CLOSURE: u8 = 245;
/// Tag of an array of objects.
pub const TAG_ARRAY: u8 = 246;
/// Tag of a struct array, which is never produced.
pub const TAG_STRUCT_ARRAY: u8 = 247;
/// Tag of an array of scalars.
pub const TAG_SARRAY: u8 = 248;
/// Tag of a string.
pub const TAG_STRING: u8 = 249;
/// Tag of a bignum.
pub const TAG_MPZ: u8 = 250;
/// Tag of a thunk.
pub const TAG_THUNK: u8 = 251;
/// Tag of a task.
pub const TAG_TASK: u8 = 252;
/// Tag of a mutable reference.
pub const TAG_REF: u8 = 253;
/// Tag of an external object: a class pointer and a foreign pointer; never in a file.
pub const TAG_EXTERNAL: u8 = 254;
/// Reserved tag; never in a file.
pub const TAG_RESERVED: u8 = 255;

/// Bytes of the header word of every object, whatever the width.
pub const OBJECT_HEADER: usize = 8;
/// `m_cs_sz` of objects whose size comes from their own size field (array, scalar array, string).
pub const BIG_CS_SZ: u16 = 1;

/// What live 64-bit objects and those of 64-bit files share, which is all but bignums.
const WIDE: Layout = Layout::new(Width::W64, Bignums::Gmp);
/// Bytes of a 64-bit array or scalar array before its elements: header, size, capacity.
pub const ARRAY_HEADER: usize = WIDE.fixed(Kind::Array);
/// Bytes of a 64-bit string before its bytes: header, size, capacity, length.
pub const STRING_HEADER: usize = WIDE.fixed(Kind::String);
/// Bytes of a 64-bit closure before its arguments: header, code, arity, fixed, padding.
pub const CLOSURE_HEADER: usize = WIDE.fixed(Kind::Closure);
/// Bytes of a 64-bit thunk: header, value, closure.
pub const THUNK_SIZE: usize = WIDE.fixed(Kind::Thunk);
/// Bytes of a 64-bit task: header, value, implementation pointer.
pub const TASK_SIZE: usize = WIDE.fixed(Kind::Task);
/// Bytes of a 64-bit promise: header, task.
pub const PROMISE_SIZE: usize = WIDE.fixed(Kind::Promise);
/// Bytes of a 64-bit reference: header, value.
pub const REF_SIZE: usize = WIDE.fixed(Kind::Ref);
/// Bytes of a 64-bit GMP bignum before its limbs: header, alloc and signed size (i32 each), limb pointer.
pub const MPZ_GMP_SIZE: usize = WIDE.fixed(Kind::Mpz);
/// Bytes of a 64-bit native bignum before its digits: header, sign and padding, size, digit pointer.
pub const MPZ_NATIVE_SIZE: usize = Layout::new(Width::W64, Bignums::Native).fixed(Kind::Mpz);

/// Rounds a byte count up to the alignment of 64-bit objects.
#[must_use]
#[inline(always)]
pub const fn align8(n: usize) -> usize {
    (n + 7) & !7
}

/// How bignums are laid out; bit 0 of the header's flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bignums {
    /// Sign, size, digits of 32 bits (flags 0).
    Native,
    /// GMP's struct and limbs of one word (flags 1).
    Gmp,
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Constructor, tags 0 to 243.
    Ctor,
    /// Closure.
    Closure,
    /// Array of objects.
    Array,
    /// Array of scalars.
    Sarray,
    /// String.
    String,
    /// Bignum.
    Mpz,
    /// Evaluated thunk.
    Thunk,
    /// Finished task.
    Task,
    /// Mutable reference.
    Ref,
    /// Resolved promise.
    Promise,
}

impl Kind {
    /// All kinds, in the order of their numbers (`kind as usize`).
    pub const ALL: [Self; 10] = [
        Self::Ctor,
        Self::Closure,
        Self::Array,
        Self::Sarray,
        Self::String,
        Self::Mpz,
        Self::Thunk,
        Self::Task,
        Self::Ref,
        Self::Promise,
    ];

    /// The kind of objects with this tag, `None` for tags that are never written.
    #[inline]
    #[must_use]
    pub const fn of_tag(tag: u8) -> Option<Self> {
        Some(match tag {
            0..=MAX_CTOR_TAG => Self::Ctor,
            TAG_PROMISE => Self::Promise,
            TAG_CLOSURE => Self::Closure,
            TAG_ARRAY => Self::Array,
            TAG_SARRAY => Self::Sarray,
            TAG_STRING => Self::String,
            TAG_MPZ => Self::Mpz,
            TAG_THUNK => Self::Thunk,
            TAG_TASK => Self::Task,
            TAG_REF => Self::Ref,
            _ => return None,
        })
    }

    /// A lower-case word for it: `ctor`, `closure`, `array`, …
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ctor => "ctor",
            Self::Closure => "closure",
            Self::Array => "array",
            Self::Sarray => "sarray",
            Self::String => "string",
            Self::Mpz => "mpz",
            Self::Thunk => "thunk",
            Self::Task => "task",
            Self::Ref => "ref",
            Self::Promise => "promise",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What stands in the header word of an object, its reference count aside, which is 0 in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectHeader {
    /// `m_cs_sz`: bytes of a constructor, and a copy of the low bits of what the rules say of others. In a live
    /// object 0 where only the allocator knows the size.
    pub cs_sz: u16,
    /// `m_other`: pointer fields of a constructor, element size of a scalar array.
    pub other: u8,
    /// `m_tag`.
    pub tag: u8,
}

impl ObjectHeader {
    /// Where [`ObjectHeader::cs_sz`] begins in the header word, in bits.
    pub const CS_SZ_SHIFT: u32 = 32;
    /// Where [`ObjectHeader::other`] begins in the header word, in bits.
    pub const OTHER_SHIFT: u32 = 48;
    /// Where [`ObjectHeader::tag`] begins in the header word, in bits.
    pub const TAG_SHIFT: u32 = 56;

    /// The header that a word holds; the lower half of the word, the reference count, is not looked at.
    #[must_use]
    #[inline(always)]
    pub const fn of_word(word: u64) -> Self {
        Self {
            cs_sz: (word >> Self::CS_SZ_SHIFT) as u16,
            other: (word >> Self::OTHER_SHIFT) as u8,
            tag: (word >> Self::TAG_SHIFT) as u8,
        }
    }

    /// The header whose upper half this is.
    #[must_use]
    #[inline(always)]
    pub const fn of_upper(upper: u32) -> Self {
        Self::of_word((upper as u64) << 32)
    }

    /// The header word of an object that is not counted, as in a file.
    #[must_use]
    #[inline(always)]
    pub const fn word(self) -> u64 {
        (self.cs_sz as u64) << Self::CS_SZ_SHIFT
            | (self.other as u64) << Self::OTHER_SHIFT
            | (self.tag as u64) << Self::TAG_SHIFT
    }

    /// The kind of the object; `None` for a tag that is never written.
    #[must_use]
    #[inline(always)]
    pub const fn kind(self) -> Option<Kind> {
        Kind::of_tag(self.tag)
    }
}

/// What decides how objects lie: pointer width and bignum layout. Offsets and sizes are in bytes from the start of
/// the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Pointer width.
    pub width: Width,
    /// How bignums are laid out.
    pub bignums: Bignums,
}

impl Layout {
    /// The layout of this width with these bignums.
    #[must_use]
    #[inline(always)]
    pub const fn new(width: Width, bignums: Bignums) -> Self {
        Self { width, bignums }
    }

    /// The layout of 64-bit files whose bignums are GMP's, or else native.
    #[must_use]
    #[inline(always)]
    pub const fn wide(gmp: bool) -> Self {
        Self::new(Width::W64, if gmp { Bignums::Gmp } else { Bignums::Native })
    }

    /// Bytes of an object before what it has a varying number of: fields, elements, text, digits or arguments. All
    /// bytes of a thunk, task, reference or promise.
    #[must_use]
    #[inline(always)]
    pub const fn fixed(self, kind: Kind) -> usize {
        let w = self.width.bytes();
        match kind {
            Kind::Ctor => OBJECT_HEADER,
            // Size, capacity.
            Kind::Array | Kind::Sarray => OBJECT_HEADER + 2 * w,
            // Size, capacity, number of characters.
            Kind::String => OBJECT_HEADER + 3 * w,
            // Code, arity and number of arguments (2 bytes each), padding to a word.
            Kind::Closure => OBJECT_HEADER + w + if w == 4 { 4 } else { 8 },
            Kind::Mpz => match self.bignums {
                // Limbs allocated and in use (4 bytes each), pointer to the limbs.
                Bignums::Gmp => OBJECT_HEADER + 8 + w,
                // Sign, number of digits, pointer to the digits.
                Bignums::Native => OBJECT_HEADER + 3 * w,
            },
            // The value, and what would make it: a closure or a running task, none in a file.
            Kind::Thunk | Kind::Task => OBJECT_HEADER + 2 * w,
            Kind::Ref | Kind::Promise => OBJECT_HEADER + w,
        }
    }

    /// Bytes of a digit of a bignum.
    #[must_use]
    #[inline(always)]
    pub const fn digit(self) -> usize {
        match self.bignums {
            Bignums::Gmp => self.width.bytes(),
            Bignums::Native => 4,
        }
    }

    /// Bytes of one of the things that an object has a varying number of; 0 for kinds that have none or, as
    /// constructors, tell their size otherwise. `other` is the header's.
    #[must_use]
    #[inline(always)]
    pub const fn unit(self, kind: Kind, other: u8) -> usize {
        match kind {
            Kind::Array | Kind::Closure => self.width.bytes(),
            Kind::Sarray => element_size(other) as usize,
            Kind::String => 1,
            Kind::Mpz => self.digit(),
            Kind::Ctor | Kind::Thunk | Kind::Task | Kind::Ref | Kind::Promise => 0,
        }
    }

    /// Where the word lies in which an object says how many elements (bytes of a string, its end included), digits or
    /// arguments it has; `None` for kinds that do not.
    #[must_use]
    #[inline(always)]
    pub const fn count_word(self, kind: Kind) -> Option<usize> {
        let w = self.width.bytes();
        Some(match kind {
            Kind::Array | Kind::Sarray | Kind::String => OBJECT_HEADER,
            Kind::Closure => OBJECT_HEADER + w,
            Kind::Mpz => match self.bignums {
                // The second of two halves of 4 bytes.
                Bignums::Gmp => OBJECT_HEADER + 4 / w * 4,
                Bignums::Native => OBJECT_HEADER + w,
            },
            Kind::Ctor | Kind::Thunk | Kind::Task | Kind::Ref | Kind::Promise => return None,
        })
    }

    /// What the word at [`Layout::count_word`] says.
    #[must_use]
    #[inline(always)]
    pub const fn count_in(self, kind: Kind, word: u64) -> u64 {
        match kind {
            Kind::Closure => word >> 16 & 0xffff,
            Kind::Mpz => match (self.bignums, self.width) {
                // Negative for a number below zero.
                (Bignums::Gmp, Width::W64) => ((word >> 32) as i32).unsigned_abs() as u64,
                (Bignums::Gmp, Width::W32) => (word as i32).unsigned_abs() as u64,
                (Bignums::Native, _) => word,
            },
            _ => word,
        }
    }

    /// Where the word lies that says for how many elements or bytes there is room. It is what a walk goes by; in a
    /// file it equals the number of those that are used.
    #[must_use]
    #[inline(always)]
    pub const fn capacity_word(self, kind: Kind) -> Option<usize> {
        match kind {
            Kind::Array | Kind::Sarray | Kind::String => Some(OBJECT_HEADER + self.width.bytes()),
            _ => None,
        }
    }

    /// Where the number of characters of a string lies, a word.
    #[must_use]
    #[inline(always)]
    pub const fn length_word(self) -> usize {
        OBJECT_HEADER + 2 * self.width.bytes()
    }

    /// Where the arity of a closure lies, 2 bytes, and behind it the number of arguments, 2 bytes. The code address
    /// is the word behind the header.
    #[must_use]
    #[inline(always)]
    pub const fn arity(self) -> usize {
        OBJECT_HEADER + self.width.bytes()
    }

    /// Where the pointer to a bignum's digits lies. In a file the digits follow it.
    #[must_use]
    #[inline(always)]
    pub const fn digit_pointer(self) -> usize {
        self.fixed(Kind::Mpz) - self.width.bytes()
    }

    /// Bytes of an object without the padding to a word; `None` if they are more than can be counted. `count` is what
    /// [`Layout::count_in`] or the capacity says, 0 for kinds without.
    ///
    /// Of a closure `m_cs_sz` holds this modulo 65,536, as of a bignum: from 8,189 arguments on it cannot tell. So a
    /// closure's size is that of its arguments, and `m_cs_sz` can be checked against [`Layout::cs_sz`]. In a 32-bit
    /// file a closure may have up to 7 bytes more, which `m_cs_sz` counts.
    #[must_use]
    #[inline(always)]
    pub const fn bytes(self, kind: Kind, header: ObjectHeader, count: u64) -> Option<u64> {
        match kind {
            Kind::Ctor => Some(header.cs_sz as u64),
            Kind::Thunk | Kind::Task | Kind::Ref | Kind::Promise => Some(self.fixed(kind) as u64),
            Kind::Array | Kind::Sarray | Kind::String | Kind::Mpz | Kind::Closure => {
                match count.checked_mul(self.unit(kind, header.other) as u64) {
                    Some(n) => n.checked_add(self.fixed(kind) as u64),
                    None => None,
                }
            }
        }
    }

    /// `m_cs_sz` of an object of `bytes` bytes, in a file: 1 where the object's own size field tells, and the low 16
    /// bits otherwise.
    #[must_use]
    #[inline(always)]
    pub const fn cs_sz(kind: Kind, bytes: u64) -> u16 {
        match kind {
            Kind::Array | Kind::Sarray | Kind::String => BIG_CS_SZ,
            _ => bytes as u16,
        }
    }

    /// Where the pointer fields of an object begin and how many there are: fields of a constructor, elements of an
    /// array, arguments of a closure, the value of a thunk, task, reference or promise. They lie side by side. The
    /// digit pointer of a bignum is none of them.
    #[must_use]
    #[inline(always)]
    pub const fn pointers(self, kind: Kind, header: ObjectHeader, count: u64) -> (usize, u64) {
        match kind {
            Kind::Ctor => (OBJECT_HEADER, header.other as u64),
            Kind::Array | Kind::Closure => (self.fixed(kind), count),
            Kind::Thunk | Kind::Task | Kind::Ref | Kind::Promise => (OBJECT_HEADER, 1),
            Kind::Sarray | Kind::String | Kind::Mpz => (self.fixed(kind), 0),
        }
    }
}

/// Bytes of an element of a scalar array, of which the header's `m_other` is `other`; the top bit is no part of it.
#[must_use]
#[inline(always)]
pub const fn element_size(other: u8) -> u8 {
    other & 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUTS: [Layout; 4] = [
        Layout::new(Width::W32, Bignums::Native),
        Layout::new(Width::W32, Bignums::Gmp),
        Layout::new(Width::W64, Bignums::Native),
        Layout::new(Width::W64, Bignums::Gmp),
    ];

    #[test]
    fn fixed_sizes_are_those_of_the_structs() {
        // Ctor, Closure, Array, Sarray, String, Mpz, Thunk, Task, Ref, Promise.
        let expected = [
            [8, 16, 16, 16, 20, 20, 16, 16, 12, 12],
            [8, 16, 16, 16, 20, 20, 16, 16, 12, 12],
            [8, 24, 24, 24, 32, 32, 24, 24, 16, 16],
            [8, 24, 24, 24, 32, 24, 24, 24, 16, 16],
        ];
        for (layout, expected) in LAYOUTS.into_iter().zip(expected) {
            assert_eq!(Kind::ALL.map(|k| layout.fixed(k)), expected, "{layout:?}");
        }
        let constants = [ARRAY_HEADER, STRING_HEADER, CLOSURE_HEADER, THUNK_SIZE, TASK_SIZE];
        assert_eq!(constants, [24, 32, 24, 24, 24]);
        assert_eq!(
            [PROMISE_SIZE, REF_SIZE, MPZ_GMP_SIZE, MPZ_NATIVE_SIZE],
            [16, 16, 24, 32]
        );
    }

    #[test]
    fn sizes_are_rounded_up_to_words_and_the_wide_layouts_are_those_of_64_bits() {
        let rounded = [0, 1, 7, 8, 9, 16].map(align8);
        assert_eq!(rounded, [0, 8, 8, 8, 16, 16]);
        assert_eq!([Layout::wide(false), Layout::wide(true)], LAYOUTS[2..]);
    }

    #[test]
    fn every_kind_has_a_number_a_name_and_a_tag() {
        let names = "ctor closure array sarray string mpz thunk task ref promise";
        assert!(
            Kind::ALL
                .iter()
                .map(Kind::to_string)
                .eq(names.split(' ').map(str::to_owned))
        );
        assert!((0..).zip(Kind::ALL).all(|(i, kind)| kind as usize == i));
        let tags = [0, 245, 246, 248, 249, 250, 251, 252, 253, 244];
        assert_eq!(tags.map(Kind::of_tag), Kind::ALL.map(Some));
        assert_eq!(Kind::of_tag(243), Some(Kind::Ctor));
    }

    #[test]
    fn a_header_is_what_its_word_says() {
        let header = ObjectHeader {
            cs_sz: 0x1234,
            other: 0x56,
            tag: 0xf5,
        };
        assert_eq!(header.word(), 0xf556_1234_0000_0000);
        assert_eq!(ObjectHeader::of_word(header.word() | 0xffff_ffff), header);
        assert_eq!(ObjectHeader::of_upper(0xf556_1234), header);
        assert_eq!(header.kind(), Some(Kind::Closure));
        let tags = [TAG_STRUCT_ARRAY, TAG_EXTERNAL, TAG_RESERVED];
        assert!(tags.into_iter().all(|tag| Kind::of_tag(tag).is_none()));
    }

    #[test]
    fn an_object_counts_where_its_struct_says() {
        for layout in LAYOUTS {
            let w = layout.width.bytes();
            let gmp = layout.bignums == Bignums::Gmp;
            for kind in [Kind::Array, Kind::Sarray, Kind::String] {
                assert_eq!(layout.count_word(kind), Some(8));
                assert_eq!(layout.capacity_word(kind), Some(8 + w));
                assert_eq!(layout.count_in(kind, 77), 77);
            }
            assert_eq!(layout.count_word(Kind::Closure), Some(8 + w));
            assert_eq!(layout.count_in(Kind::Closure, 0xdead_0003_0005), 3);
            let digits = match (gmp, w) {
                (true, 4) => (12, 0xffff_fffe, 2),
                (true, _) => (8, 0xffff_fffe_0000_0009, 2),
                _ => (8 + w, 2, 2),
            };
            assert_eq!(layout.count_word(Kind::Mpz), Some(digits.0));
            assert_eq!(layout.count_in(Kind::Mpz, digits.1), digits.2);
            for kind in [Kind::Ctor, Kind::Thunk, Kind::Task, Kind::Ref, Kind::Promise] {
                assert_eq!(layout.count_word(kind), None);
                assert_eq!(layout.capacity_word(kind), None);
            }
        }
    }

    #[test]
    fn sizes_and_pointers_follow_from_header_and_count() {
        let header = ObjectHeader {
            cs_sz: 41,
            other: 4,
            tag: 0,
        };
        for layout in LAYOUTS {
            let w = layout.width.bytes();
            let bytes = |kind, n| layout.bytes(kind, header, n);
            let fixed = |kind| layout.fixed(kind) as u64;
            assert_eq!(bytes(Kind::Ctor, 0), Some(41));
            assert_eq!(bytes(Kind::Array, 3), Some(fixed(Kind::Array) + 3 * w as u64));
            assert_eq!(bytes(Kind::Sarray, 3), Some(fixed(Kind::Sarray) + 12));
            assert_eq!(bytes(Kind::String, 3), Some(fixed(Kind::String) + 3));
            let digit = layout.digit() as u64;
            assert_eq!(bytes(Kind::Mpz, 3), Some(fixed(Kind::Mpz) + 3 * digit));
            assert_eq!(bytes(Kind::Array, u64::MAX / w as u64), None);
            assert_eq!(bytes(Kind::Array, u64::MAX), None);
            assert_eq!(bytes(Kind::Task, 9), Some(fixed(Kind::Task)));
            assert_eq!(layout.pointers(Kind::Ctor, header, 9), (8, 4));
            let closure = layout.fixed(Kind::Closure);
            assert_eq!(layout.pointers(Kind::Closure, header, 9), (closure, 9));
            assert_eq!(layout.pointers(Kind::Promise, header, 9), (8, 1));
            assert_eq!(layout.pointers(Kind::String, header, 9).1, 0);
        }
    }

    #[test]
    fn the_size_of_a_large_closure_is_exact_and_its_field_is_not() {
        let wide = LAYOUTS[3];
        let header = ObjectHeader {
            cs_sz: 24,
            other: 0,
            tag: TAG_CLOSURE,
        };
        assert_eq!(wide.bytes(Kind::Closure, header, 8189), Some(65_536));
        assert_eq!(Layout::cs_sz(Kind::Closure, 65_536), 0);
        assert_eq!(Layout::cs_sz(Kind::Closure, 65_560), 24);
        assert_eq!(Layout::cs_sz(Kind::String, 65_560), BIG_CS_SZ);
        assert_eq!((element_size(0x88), element_size(4)), (8, 4));
    }
}
