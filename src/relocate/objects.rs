//! From object to object: which words of a region are pointers. A window of words is marked at a time; what
//! the marked words mean is the matter of [`super::pointers`]. The way from one header to the next is all
//! that has to be gone step by step, so little is done on it.
#![forbid(unsafe_code)]

use super::fault::{Fault, Wrong};
use super::lanes::GROUP;
use super::placement::Placement;
use super::pointers::Pointers;
use olean_reader::format::layout::{
    ARRAY_HEADER, CLOSURE_HEADER, MAX_CTOR_TAG, MPZ_GMP_SIZE, MPZ_NATIVE_SIZE, OBJECT_HEADER, PROMISE_SIZE,
    REF_SIZE, STRING_HEADER, TAG_ARRAY, TAG_CLOSURE, TAG_MPZ, TAG_PROMISE, TAG_REF, TAG_SARRAY, TAG_STRING,
    TAG_TASK, TAG_THUNK, TASK_SIZE, THUNK_SIZE, align8,
};
use std::ops::Range;

/// Words marked at a time: 16 KB, which stay in the first cache until they are translated.
const WINDOW: usize = 2048;
/// Constructors of fewer fields than this are marked by one store.
const FEW: usize = 8;
/// Bits of a header that are all clear in a constructor of fewer than [`FEW`] fields as every known writer leaves
/// it: reference count, what is left of the size in whole words, and the upper bits of the number of fields.
const RARE: u64 = 0xf8 << 48 | 7 << 32 | 0xffff_ffff;

/// No object says with more words than these what it holds.
pub(super) const HEADER_WORDS: usize = 4;

/// The way through the objects.
pub(super) struct Walk {
    /// `u8::MAX` for each pointer of the window, and of the [`FEW`] words behind it as far as they are known.
    marks: [u8; WINDOW + FEW],
    /// The window, in words.
    window: Range<usize>,
    /// The first object that has not been seen.
    at: usize,
    /// Words behind the window that are pointers of an object in it.
    pending: Range<usize>,
    /// How many words the first object lies behind a boundary of [`GROUP`] words in memory. Windows end at such
    /// boundaries: a vector that lies across cache lines takes longer.
    skew: usize,
    gmp: bool,
    closures: bool,
    /// Address in the file of the first object, and bytes of all.
    objects: u64,
    length: u64,
}

/// Where an object's pointers lie, in words from its start, and its length.
struct Object {
    pointers: Range<usize>,
    length: usize,
}

impl Walk {
    pub(super) fn new(placement: &Placement, pointers: &Pointers<'_>) -> Self {
        Walk {
            marks: [0; WINDOW + FEW],
            window: 0..0,
            at: 0,
            pending: 0..0,
            skew: (placement.address + placement.data.start + 8) / 8 % GROUP,
            gmp: placement.gmp,
            closures: placement.closures,
            objects: pointers.objects(),
            length: pointers.length(),
        }
    }

    /// The next window of `words` words, if there is one.
    pub(super) fn window(&self, words: usize) -> Option<Range<usize>> {
        let start = self.window.end;
        (start < words).then(|| start..words.min(start + WINDOW - (self.skew + start) % GROUP))
    }

    /// The marks of the first `words` words of the window.
    pub(super) fn marks(&self, words: usize) -> &[u8] {
        &self.marks[..words]
    }

    /// Marks the pointers among the words of the next window.
    ///
    /// # Errors
    /// The first object that begins in the window and is none; the words before it are marked.
    pub(super) fn mark(&mut self, words: &[u64], window: Range<usize>) -> Result<(), Wrong> {
        // What the last window's objects have in this one.
        let seen = self.window.len();
        self.marks.copy_within(seen..seen + FEW, 0);
        self.marks[FEW..].fill(0);
        self.window = window;
        self.run(self.pending.clone());

        let Range { start, end } = self.window;
        // In bytes from the start of the window: each step waits for the size in one header to know where the
        // next is, and this way it waits for a load and an addition alone.
        let here: &[u8] = bytemuck::cast_slice(&words[start..end]);
        let count = here.len().min(WINDOW * 8);
        let left = (words.len() - start) * 8;
        let mut at = self.at * 8 - start * 8;
        while at < count {
            // Before the whole header, or the compiler takes it from there.
            let size = usize::from(u16::from_le_bytes([here[at + 4], here[at + 5]]));
            let next = at + size;
            let header = u64::from_le_bytes(here[at..at + 8].try_into().expect("8 bytes"));
            let fields = (header >> 45 & 0x38) as usize;
            if (header & RARE == 0)
                & (header < (MAX_CTOR_TAG as u64 + 1) << 56)
                & (size >= OBJECT_HEADER + fields)
                & (next <= left)
            {
                // The words behind the fields are marked as none; objects there come later.
                let mark = !(u64::MAX << fields);
                self.marks[at / 8 + 1..][..FEW].copy_from_slice(&mark.to_le_bytes());
                at = next;
                continue;
            }
            let word = start + at / 8;
            self.at = word;
            let wrong = |(i, fault)| (word + i, fault);
            let object = self.object(&words[word..]).map_err(wrong)?;
            if !object.pointers.is_empty() {
                self.run(word + object.pointers.start..word + object.pointers.end);
            }
            at += object.length * 8;
        }
        self.at = start + at / 8;
        Ok(())
    }

    /// Marks a run of words, of which what lies behind the window is left for the next.
    fn run(&mut self, words: Range<usize>) {
        let Range { start, end } = self.window;
        let here = words.start..words.end.min(end);
        if !here.is_empty() {
            self.marks[here.start - start..here.end - start].fill(u8::MAX);
        }
        self.pending = words.start.max(end)..words.end;
    }

    /// The object that `words` begins with, of any kind.
    #[inline(never)]
    fn object(&self, words: &[u64]) -> Result<Object, Wrong> {
        let header = words[0];
        if header as u32 != 0 {
            return Err((0, Fault::Counted(header as i32)));
        }
        let (cs_sz, other, tag) = ((header >> 32) as u16, (header >> 48) as u8, (header >> 56) as u8);
        let available = words.len();
        // An object of `bytes` bytes, if that many are left.
        let fits = |bytes: u64, first: usize, count: usize| -> Result<Object, Wrong> {
            if bytes > available as u64 * 8 {
                return Err((0, Fault::TooLong { tag, size: bytes }));
            }
            Ok(Object {
                pointers: first..first + count,
                length: align8(bytes as usize) / 8,
            })
        };
        let sized = |fixed: usize, count: u64, unit: u64| {
            let bytes = count.checked_mul(unit).and_then(|n| n.checked_add(fixed as u64));
            bytes.ok_or((0, Fault::TooLong { tag, size: u64::MAX }))
        };
        let field = |i: usize| {
            let size = 8 * i as u64 + 8;
            words.get(i).copied().ok_or((0, Fault::TooLong { tag, size }))
        };
        let bad_size = Err((0, Fault::BadSize { tag, size: cs_sz }));
        match tag {
            0..=MAX_CTOR_TAG => {
                let fields = usize::from(other);
                if usize::from(cs_sz) < OBJECT_HEADER + 8 * fields {
                    return bad_size;
                }
                fits(cs_sz.into(), 1, fields)
            }
            TAG_ARRAY => {
                let (size, capacity) = (field(1)?, field(2)?);
                let bytes = sized(ARRAY_HEADER, capacity, 8)?;
                let count = size.min(capacity) as usize;
                let object = fits(bytes, 3, count)?;
                if size > capacity {
                    return Err((1, Fault::TooLong { tag, size }));
                }
                Ok(object)
            }
            TAG_STRING | TAG_SARRAY => {
                let (size, capacity) = (field(1)?, field(2)?);
                if size > capacity {
                    return Err((1, Fault::TooLong { tag, size }));
                }
                let bytes = if tag == TAG_STRING {
                    sized(STRING_HEADER, capacity, 1)?
                } else {
                    sized(ARRAY_HEADER, capacity, (other & 0x7f).into())?
                };
                fits(bytes, 0, 0)
            }
            TAG_MPZ => {
                let (fixed, digits, unit) = if self.gmp {
                    let size = (field(1)? >> 32) as i32;
                    (MPZ_GMP_SIZE, u64::from(size.unsigned_abs()), 8)
                } else {
                    (MPZ_NATIVE_SIZE, field(2)?, 4)
                };
                let at = fixed / 8 - 1;
                let object = fits(sized(fixed, digits, unit)?, at, 1)?;
                // The digits lie in this file, whatever a pointer of another object may lead to.
                let pointer = field(at)?;
                let inside = pointer.wrapping_sub(self.objects);
                if pointer & 7 != 0 || inside >= self.length || digits * unit > self.length - inside {
                    return Err((at, Fault::Pointer(pointer)));
                }
                Ok(object)
            }
            TAG_CLOSURE if self.closures => {
                let fixed = (field(2)? >> 16 & 0xffff) as usize;
                if usize::from(cs_sz) != CLOSURE_HEADER + 8 * fixed {
                    return bad_size;
                }
                fits(cs_sz.into(), 3, fixed)
            }
            TAG_THUNK => fits(THUNK_SIZE as u64, 1, 1),
            TAG_TASK => fits(TASK_SIZE as u64, 1, 1),
            TAG_PROMISE => fits(PROMISE_SIZE as u64, 1, 1),
            TAG_REF => fits(REF_SIZE as u64, 1, 1),
            tag => Err((0, Fault::BadTag(tag))),
        }
    }
}
