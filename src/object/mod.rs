//! Live objects of Lean: what their words are (lean.h, `lean_object` and the structures that begin with one), and raw
//! accessors for them. Knows nothing of where an object was allocated or who owns it.

pub mod region;

use olean_reader::format::object::{
    ARRAY_HEADER, Bignums, Kind, Layout, OBJECT_HEADER, ObjectHeader, STRING_HEADER,
};
use olean_reader::format::word::Width;
use std::sync::atomic::{AtomicI32, Ordering};

/// How live objects lie. What the rules say of bignums is not asked: the digits of live ones lie elsewhere.
const LIVE: Layout = Layout::new(Width::W64, Bignums::Gmp);

/// An object pointer or a boxed scalar (low bit set), as compiled Lean code passes it around.
///
/// A plain word: it may dangle, and reading through it is up to the unsafe accessors of this module.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(transparent)]
pub struct Obj(pub usize);

impl Obj {
    /// `lean_box(0)`: unit, `Option.none`, the empty list, `Name.anonymous`.
    pub const UNIT: Obj = Obj(1);

    /// The boxed scalar `n` (`lean_box`). The top bit of `n` is lost.
    #[must_use]
    pub const fn boxed(n: usize) -> Obj {
        Obj(n << 1 | 1)
    }

    /// Whether this is a boxed scalar and not a pointer.
    #[must_use]
    pub const fn is_scalar(self) -> bool {
        self.0 & 1 == 1
    }

    /// The scalar's value (`lean_unbox`).
    #[must_use]
    pub const fn unbox(self) -> usize {
        self.0 >> 1
    }

    /// The address as a pointer to read from.
    #[must_use]
    pub const fn ptr(self) -> *mut u8 {
        self.0 as *mut u8
    }

    /// The reference count: positive for one thread, negative for many, 0 for objects that are not counted.
    ///
    /// # Safety
    /// `self` points to a live object.
    #[must_use]
    #[inline(always)]
    pub unsafe fn rc(self) -> i32 {
        // SAFETY: a live object begins with its 4-byte, 8-aligned count, which other threads change only
        // by atomic operations.
        unsafe { (*self.ptr().cast::<AtomicI32>()).load(Ordering::Relaxed) }
    }

    /// Size field, `m_other` and tag.
    ///
    /// # Safety
    /// `self` points to a live object.
    #[must_use]
    #[inline(always)]
    pub unsafe fn kind(self) -> ObjectHeader {
        // SAFETY: `self` points to a live object, as `upper_header` asks too.
        ObjectHeader::of_upper(unsafe { self.upper_header() })
    }

    /// The same as they stand in the upper half of the header word.
    ///
    /// # Safety
    /// `self` points to a live object.
    #[must_use]
    #[inline(always)]
    pub unsafe fn upper_header(self) -> u32 {
        // SAFETY: a live object has 8 header bytes; the upper four are written before it is shared.
        unsafe { self.ptr().add(4).cast::<u32>().read() }
    }

    /// The word at byte offset `at`.
    ///
    /// # Safety
    /// `self` points to a live object that has 8 bytes at `at`, a multiple of 8, and nobody writes them
    /// meanwhile.
    #[must_use]
    #[inline(always)]
    pub unsafe fn word(self, at: usize) -> usize {
        // SAFETY: the object has 8 bytes at `at`, by the contract; objects and `at` are multiples of 8, so the word
        // is aligned; nobody writes it meanwhile.
        unsafe { self.ptr().add(at).cast::<usize>().read() }
    }

    /// Overwrites the word at byte offset `at`.
    ///
    /// # Safety
    /// As [`Obj::word`], and the caller may write the object.
    #[inline(always)]
    pub unsafe fn set_word(self, at: usize, value: usize) {
        // SAFETY: as in `word`, and the object may be written, by the contract.
        unsafe { self.ptr().add(at).cast::<usize>().write(value) }
    }

    /// Field `i` of a constructor.
    ///
    /// # Safety
    /// `self` is a live constructor with more than `i` pointer fields.
    #[must_use]
    #[inline(always)]
    pub unsafe fn field(self, i: usize) -> Obj {
        // SAFETY: fields stand behind the header, one word each, and there are more than `i`.
        Obj(unsafe { self.word(OBJECT_HEADER + 8 * i) })
    }

    /// Elements in an array or scalar array, bytes with the terminator in a string (`m_size`).
    ///
    /// # Safety
    /// `self` is a live array, scalar array or string.
    #[must_use]
    #[inline(always)]
    pub unsafe fn size(self) -> usize {
        // SAFETY: these objects keep their size in the word after the header.
        unsafe { self.word(OBJECT_HEADER) }
    }

    /// Element `i` of an array.
    ///
    /// # Safety
    /// `self` is a live array of more than `i` elements.
    #[must_use]
    #[inline(always)]
    pub unsafe fn element(self, i: usize) -> Obj {
        // SAFETY: elements stand behind the array's header, one word each, and there are more than `i`.
        Obj(unsafe { self.word(ARRAY_HEADER + 8 * i) })
    }

    /// The bytes of a string, its terminator included.
    ///
    /// # Safety
    /// `self` is a live string, which lives and does not change as long as the result is used.
    #[must_use]
    pub unsafe fn string_bytes<'a>(self) -> &'a [u8] {
        // SAFETY: a live string has `m_size` initialised bytes behind its header. It lives and does not change as
        // long as the result is used, by the contract.
        unsafe { std::slice::from_raw_parts(self.ptr().add(STRING_HEADER), self.size()) }
    }

    /// Where the pointer fields of an object with this header begin, in bytes from its start, and how many there are;
    /// `None` for kinds that are in no file. An object still thought or computed has a null field.
    ///
    /// # Safety
    /// `self` points to a live object, `header` is its header; its size and its reference count do not matter.
    #[must_use]
    #[inline(always)]
    pub unsafe fn pointers(self, header: ObjectHeader) -> Option<(usize, usize)> {
        let kind = header.kind()?;
        let count = match kind {
            Kind::Array | Kind::Closure => match LIVE.count_word(kind) {
                // SAFETY: a live array or closure has the word that says its number of elements or arguments.
                Some(at) => LIVE.count_in(kind, unsafe { self.word(at) } as u64),
                None => 0,
            },
            _ => 0,
        };
        let (first, count) = LIVE.pointers(kind, header, count);
        Some((first, count as usize))
    }
}
