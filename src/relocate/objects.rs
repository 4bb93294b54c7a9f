//! From object to object: which words of a region are pointers. One window of words is marked at a time; translating
//! what is marked is the matter of `pointers`. Only the way from one object's header to the next has to be gone step
//! by step, because each header says where the next object is, so as little as possible is done on that way.
#![forbid(unsafe_code)]

use super::fault::{Fault, Wrong};
use super::lanes::GROUP;
use super::placement::Placement;
use olean_reader::format::object::{Kind, Layout, MAX_CTOR_TAG, OBJECT_HEADER, ObjectHeader, align8};
use std::ops::Range;

/// Words marked at a time: 16 KB, which stay in the first cache until they are translated.
const WINDOW: usize = 2048;
/// Constructors of fewer fields than this are marked by one store.
const FEW: usize = 8;
/// Bits of a header word that are all clear in a constructor of fewer than [`FEW`] fields as every known writer
/// leaves it: the reference count (0 in a file), the lower three bits of the size (a multiple of 8), and the bits of
/// the number of fields from 8 on. A constructor with one of them set is no error, only left to the slower way.
const RARE: u64 = 0xf8 << ObjectHeader::OTHER_SHIFT | 7 << ObjectHeader::CS_SZ_SHIFT | 0xffff_ffff;

/// Sizes and counts of an object stand in its first words, no more than these.
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
    pub(super) fn new(placement: &Placement, objects: u64, length: u64) -> Self {
        Walk {
            marks: [0; WINDOW + FEW],
            window: 0..0,
            at: 0,
            pending: 0..0,
            skew: (placement.address + placement.data.start + 8) / 8 % GROUP,
            gmp: placement.gmp,
            closures: placement.closures,
            objects,
            length,
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
        let left = 8 * (words.len() - start);
        let mut at = self.at * 8 - start * 8;
        while at < count {
            // A load of its own before that of the whole header; else the compiler derives the size from the header,
            // which makes the way to the next object longer.
            let size = usize::from(u16::from_le_bytes([here[at + 4], here[at + 5]]));
            let next = at + size;
            let header = u64::from_le_bytes(here[at..at + 8].try_into().expect("8 bytes"));
            let fields = (header >> (ObjectHeader::OTHER_SHIFT - 3) & 0x38) as usize;
            if (header & RARE == 0)
                & (header < (MAX_CTOR_TAG as u64 + 1) << ObjectHeader::TAG_SHIFT)
                & (size >= OBJECT_HEADER + fields)
                & (next <= left)
            {
                // This unmarks words behind the fields as well; objects that begin there are marked when it is their
                // turn.
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
        if words[0] as u32 != 0 {
            return Err((0, Fault::Counted(words[0] as i32)));
        }
        let header = ObjectHeader::of_word(words[0]);
        // An arm for each kind, so that the compiler works out the rules of each.
        match header.kind() {
            Some(Kind::Ctor) => self.object_of(Kind::Ctor, header, words),
            Some(Kind::Closure) if self.closures => self.object_of(Kind::Closure, header, words),
            Some(Kind::Array) => self.object_of(Kind::Array, header, words),
            Some(Kind::Sarray) => self.object_of(Kind::Sarray, header, words),
            Some(Kind::String) => self.object_of(Kind::String, header, words),
            Some(Kind::Mpz) => self.object_of(Kind::Mpz, header, words),
            // These have one field each, and differ in size alone.
            Some(kind @ (Kind::Thunk | Kind::Task | Kind::Ref | Kind::Promise)) => {
                self.object_of(kind, header, words)
            }
            Some(Kind::Closure) | None => Err((0, Fault::BadTag(header.tag))),
        }
    }

    /// The object of this kind and header that `words` begins with.
    #[inline(always)]
    fn object_of(&self, kind: Kind, header: ObjectHeader, words: &[u64]) -> Result<Object, Wrong> {
        let layout = Layout::wide(self.gmp);
        let tag = header.tag;
        let field = |at: usize| {
            let size = at as u64 + 8;
            words
                .get(at / 8)
                .copied()
                .ok_or((0, Fault::TooLong { tag, size }))
        };
        // What there is of elements, digits and arguments, and what there is room for.
        let count = match layout.count_word(kind) {
            Some(at) => layout.count_in(kind, field(at)?),
            None => 0,
        };
        let room = match layout.capacity_word(kind) {
            Some(at) => field(at)?,
            None => count,
        };
        let too_full = Err((1, Fault::TooLong { tag, size: count }));
        if count > room && kind != Kind::Array {
            return too_full;
        }
        let bytes = layout.bytes(kind, header, room);
        let bytes = bytes.ok_or((0, Fault::TooLong { tag, size: u64::MAX }))?;
        let (first, pointers) = layout.pointers(kind, header, count);
        let size = header.cs_sz;
        let bad_size = Err((0, Fault::BadSize { tag, size }));
        match kind {
            Kind::Ctor if bytes < first as u64 + 8 * pointers => return bad_size,
            Kind::Closure if size != Layout::cs_sz(kind, bytes) => return bad_size,
            _ => {}
        }
        if bytes > words.len() as u64 * 8 {
            return Err((0, Fault::TooLong { tag, size: bytes }));
        }
        if count > room {
            return too_full;
        }
        let mut fields = first / 8..first / 8 + pointers as usize;
        if kind == Kind::Mpz {
            // The digits lie in this file, whatever a pointer of another object may lead to.
            let at = layout.digit_pointer();
            let pointer = field(at)?;
            let inside = pointer.wrapping_sub(self.objects);
            let digits = bytes - layout.fixed(kind) as u64;
            if pointer & 7 != 0 || inside >= self.length || digits > self.length - inside {
                return Err((at / 8, Fault::Pointer(pointer)));
            }
            fields = at / 8..at / 8 + 1;
        }
        Ok(Object {
            pointers: fields,
            length: align8(bytes as usize) / 8,
        })
    }
}

#[cfg(test)]
mod tests;
