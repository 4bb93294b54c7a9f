//! The layout of live objects, and raw accessors for them (spec sections 1.1 to 1.3). Knows nothing of
//! where they were allocated or who owns them.

use olean_reader::format::layout::{ARRAY_HEADER, OBJECT_HEADER};
use std::sync::atomic::{AtomicI32, Ordering};

/// An object pointer or a boxed scalar (low bit set), as compiled Lean code passes it around.
///
/// A plain word: it may dangle, and reading through it is up to the unsafe accessors of this module.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(transparent)]
pub struct Obj(pub usize);

/// The part of an object's header that does not change while the object is shared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kind {
    /// `m_cs_sz`: byte size of a small object, or 0 when only the allocator knows it.
    pub cs_sz: u16,
    /// `m_other`: pointer fields of a constructor, element size of a scalar array.
    pub other: u8,
    /// `m_tag`.
    pub tag: u8,
}

impl Kind {
    /// The kind that stands in the upper half of a header word.
    #[must_use]
    #[inline(always)]
    pub fn of_header(upper: u32) -> Kind {
        Kind {
            cs_sz: upper as u16,
            other: (upper >> 16) as u8,
            tag: (upper >> 24) as u8,
        }
    }
}

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
    pub unsafe fn kind(self) -> Kind {
        // SAFETY: passed on from the caller.
        Kind::of_header(unsafe { self.upper_header() })
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
        // SAFETY: the caller vouches for 8 readable bytes; object and offset are 8-aligned.
        unsafe { self.ptr().add(at).cast::<usize>().read() }
    }

    /// Overwrites the word at byte offset `at`.
    ///
    /// # Safety
    /// As [`Obj::word`], and the caller may write the object.
    #[inline(always)]
    pub unsafe fn set_word(self, at: usize, value: usize) {
        // SAFETY: the caller vouches for 8 writable bytes; object and offset are 8-aligned.
        unsafe { self.ptr().add(at).cast::<usize>().write(value) }
    }

    /// Field `i` of a constructor.
    ///
    /// # Safety
    /// `self` is a live constructor with more than `i` pointer fields.
    #[must_use]
    #[inline(always)]
    pub unsafe fn field(self, i: usize) -> Obj {
        // SAFETY: the field is one of the object's words.
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
        // SAFETY: the element is one of the array's words.
        Obj(unsafe { self.word(ARRAY_HEADER + 8 * i) })
    }

    /// Arguments that a closure holds (`m_num_fixed`).
    ///
    /// # Safety
    /// `self` is a live closure.
    #[must_use]
    pub unsafe fn closure_fixed(self) -> usize {
        // SAFETY: the word at 16 holds arity (low 16 bits) and number of fixed arguments (next 16 bits).
        unsafe { self.word(16) >> 16 & 0xffff }
    }
}
