//! The stack of a walk: one frame for each object whose children are not all finished, one behind the other in memory
//! that grows as a whole. A frame is a head of fixed size and behind it the object's *image*: its header word and its
//! words as they stood in the object, in which the words of finished children replace the pointers to them one by one.
//! The finished image of a constructor is the constructor as it is written.

use super::error::CompactError;
use crate::object::Obj;
use olean_reader::format::object::{MAX_CTOR_TAG, ObjectHeader};
use std::cell::Cell;

/// What stands before a frame's image. It is small because a deep graph has many frames.
#[repr(C)]
pub struct Head {
    /// Address of the object and flags; 0 in the bottom frame.
    pub object: Cell<usize>,
    /// Words from the frame below to this one.
    pub below: Cell<u32>,
    /// Words of the image, header included.
    pub words: Cell<u32>,
    /// The first field that `mask` is about.
    pub chunk: Cell<u32>,
    /// The fields of the chunk that are not finished, the lowest bit for the first; up to date while other
    /// frames stand above this one.
    pub mask: Cell<u32>,
}

/// The most words that an image has: no larger object fits into the buffer.
pub const MAX_IMAGE: usize = super::buffer::MAX_BYTES / 8 - 64;

/// In [`Head::object`]: the object has to be remembered.
pub const SHARED: usize = 1;
/// In [`Head::object`]: the pointer table knows the object already.
pub const KNOWN: usize = 4;
/// In [`Head::object`]: there are more fields than a mask is about at a time.
pub const LONG: usize = 2;
/// All of these.
pub const FLAGS: usize = SHARED | LONG | KNOWN;
/// Fields that a mask is about at a time.
pub const CHUNK: usize = 8;

impl Head {
    /// The object.
    #[inline(always)]
    #[must_use]
    pub fn object(&self) -> Obj {
        Obj(self.object.get() & !FLAGS)
    }
}

/// Words of a head.
const HEAD: usize = size_of::<Head>() / 8;
/// The words that every image has room for, and that are all initialised, also where the object is smaller.
pub const MIN_IMAGE: usize = 4;

/// Words of a frame with an image of `words` words.
#[inline(always)]
#[must_use]
pub fn extent(words: usize) -> usize {
    HEAD + words.max(MIN_IMAGE)
}

/// A frame on the stack. It lies where it is until the stack grows.
#[derive(Clone, Copy)]
pub struct Frame(*mut usize);

impl Frame {
    /// The frame at `at`.
    #[inline(always)]
    #[must_use]
    pub fn at(at: *mut usize) -> Self {
        Frame(at)
    }

    /// Where it begins.
    #[inline(always)]
    #[must_use]
    pub fn start(self) -> *mut usize {
        self.0
    }

    /// Its head.
    ///
    /// # Safety
    /// The frame is on the stack, which does not grow as long as the answer is used.
    #[inline(always)]
    #[must_use]
    pub unsafe fn head<'a>(self) -> &'a Head {
        // SAFETY: the frame is on the stack, by the contract, and begins with its head; all fields of a head are cells,
        // so any number of references to it may live at once.
        unsafe { &*self.0.cast() }
    }

    /// Its image.
    #[inline(always)]
    #[must_use]
    pub fn image(self) -> *mut usize {
        self.0.wrapping_add(HEAD)
    }

    /// Number of the object's fields, whose words are the image's from 1 on.
    ///
    /// # Safety
    /// As [`Frame::head`].
    #[inline(always)]
    #[must_use]
    pub unsafe fn fields(self) -> usize {
        // SAFETY: the frame is on the stack, by the contract, and every image begins with a header word.
        unsafe {
            let kind = ObjectHeader::of_word(self.image().read() as u64);
            if kind.tag <= MAX_CTOR_TAG {
                kind.other.into()
            } else {
                self.head().words.get() as usize - 1
            }
        }
    }

    /// The word for field `i`.
    #[inline(always)]
    #[must_use]
    pub fn field(self, i: usize) -> *mut usize {
        self.0.wrapping_add(HEAD + 1 + i)
    }

    /// The frame below.
    ///
    /// # Safety
    /// As [`Frame::head`], and this is not the bottom frame.
    #[inline(always)]
    #[must_use]
    pub unsafe fn below(self) -> Frame {
        // SAFETY: the frame is on the stack and not the bottom one, by the contract; the head says how many words below it
        // the next frame begins, in the same memory.
        Frame(unsafe { self.0.sub(self.head().below.get() as usize) })
    }

    /// Words from this frame to one above it.
    ///
    /// # Safety
    /// As [`Frame::head`].
    #[inline(always)]
    #[must_use]
    pub unsafe fn extent(self) -> usize {
        // SAFETY: the frame is on the stack, by the contract.
        extent(unsafe { self.head() }.words.get() as usize)
    }

    /// Where a frame above this one begins.
    ///
    /// # Safety
    /// As [`Frame::head`].
    #[inline(always)]
    #[must_use]
    pub unsafe fn above(self) -> Frame {
        // SAFETY: the frame is on the stack, by the contract, so it ends inside the stack's memory or at its end.
        Frame(unsafe { self.0.add(self.extent()) })
    }
}

/// Memory for frames.
#[derive(Default)]
pub struct Stack {
    /// Its capacity is what counts; its length is 0 except while it grows.
    words: Vec<usize>,
    /// Address behind the last word.
    end: usize,
}

impl Stack {
    /// Where the bottom frame begins.
    #[must_use]
    #[inline(always)]
    pub fn bottom(&mut self) -> Frame {
        Frame(self.words.as_mut_ptr())
    }

    /// Words that there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.words.capacity()
    }

    /// Whether a frame of `words` words has room at `frame`, which is in this memory or just behind it.
    #[must_use]
    #[inline(always)]
    pub fn fits(&self, frame: Frame, words: usize) -> bool {
        // No object has so many words that this overflows: it lies in memory too, and far from its end.
        frame.0 as usize + 8 * words <= self.end
    }

    /// Makes room for a frame of `words` words behind the first `used` words, which keep their content; all
    /// frames move.
    ///
    /// # Errors
    /// [`CompactError::Memory`].
    ///
    /// # Safety
    /// The first `used` words have been written.
    #[cold]
    #[inline(never)]
    pub unsafe fn grow(&mut self, used: usize, words: usize) -> Result<(), CompactError> {
        let refused = CompactError::Memory {
            what: "the stack of the traversal",
            bytes: words.saturating_add(used).saturating_mul(8),
        };
        // SAFETY: the first `used` words have been written, by the contract, so they are within the capacity.
        unsafe { self.words.set_len(used) };
        let grown = self.words.try_reserve(words);
        self.words.clear();
        self.end = self.words.as_ptr() as usize + 8 * self.words.capacity();
        grown.map_err(|_| refused)
    }
}
