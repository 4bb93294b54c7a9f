//! One object written behind the others in the buffer, as it stands in a file: reference count 0, capacity equal to size,
//! words of children instead of pointers, padding zero.

use super::error::CompactError;
use super::hash::ShortHash;
use super::stack::MIN_IMAGE;
use super::state::Compactor;
use crate::object::Obj;
use olean_reader::format::object::{
    ARRAY_HEADER, BIG_CS_SZ, CLOSURE_HEADER, MPZ_GMP_SIZE, MPZ_NATIVE_SIZE, ObjectHeader, PROMISE_SIZE,
    REF_SIZE, STRING_HEADER, TAG_ARRAY, TAG_CLOSURE, TAG_MPZ, TAG_PROMISE, TAG_REF, TAG_SARRAY, TAG_STRING,
    TAG_TASK, TAG_THUNK, THUNK_SIZE, align8, element_size,
};
use olean_reader::format::room::push;

/// The header word of a compacted object: no counting, size, other, tag.
#[inline(always)]
fn header(cs_sz: u16, other: u8, tag: u8) -> u64 {
    ObjectHeader { cs_sz, other, tag }.word()
}

/// Strings of more bytes than this are copied by the C library.
const SHORT_STRING: usize = 64;

/// An object that was written at the end of the buffer.
pub(super) enum Written {
    /// Of a kind that is shared with equal objects written earlier.
    Shareable {
        /// Where it begins.
        start: usize,
    },
    /// Of a kind that never is.
    Apart {
        /// Where it begins.
        start: usize,
    },
}

impl Compactor {
    /// Writes `object`, no constructor and no string, whose `count` children stand as `words`, behind everything else.
    ///
    /// # Safety
    /// `object` is a live object, and `words` points to the words of its `count` children, on the stack or, where
    /// all are scalars, in the object itself.
    #[inline(never)]
    pub(super) unsafe fn emit(
        &mut self,
        object: Obj,
        words: *const usize,
        count: usize,
    ) -> Result<Written, CompactError> {
        // SAFETY: the object is live, so its kind may be read. Each branch hands it on as the kind that its tag says, and
        // `words` with the number of children, as the contract has them.
        unsafe {
            let kind = object.kind();
            match kind.tag {
                TAG_ARRAY => self.emit_array(words, count),
                TAG_SARRAY => {
                    let element = element_size(kind.other);
                    let bytes = object.size().checked_mul(element.into());
                    let bytes = bytes.ok_or(CompactError::TooLarge {
                        limit: super::buffer::MAX_BYTES,
                    })?;
                    self.emit_bytes(
                        object,
                        ARRAY_HEADER,
                        bytes,
                        header(BIG_CS_SZ, element, TAG_SARRAY),
                    )
                }
                TAG_MPZ => self.emit_mpz(object),
                TAG_CLOSURE => self.emit_closure(object, kind, words, count),
                TAG_THUNK | TAG_TASK => self.emit_cell(kind, THUNK_SIZE, words),
                TAG_PROMISE | TAG_REF => self.emit_cell(kind, PROMISE_SIZE, words),
                tag => Err(CompactError::Tag {
                    address: object.0,
                    tag,
                }),
            }
        }
    }

    /// Writes the constructor whose finished image of `words` words is at `image`; answers where it begins, and
    /// its hash if that is asked for.
    ///
    /// # Safety
    /// `image` has `words` initialised words, and [`MIN_IMAGE`] in any case.
    #[inline(always)]
    pub(super) unsafe fn emit_ctor<const HASH: bool>(
        &mut self,
        image: *const u64,
        words: usize,
    ) -> Result<(usize, u32), CompactError> {
        // SAFETY: so many bytes are reserved at `start`, and are written as far as they are committed.
        unsafe {
            if words > MIN_IMAGE {
                return self.emit_large_ctor::<HASH>(image, words);
            }
            self.scratch.buffer.reserve(8 * MIN_IMAGE)?;
            let start = self.scratch.buffer.len();
            let out = self.scratch.buffer.at(start).cast::<u64>();
            // Words that are too many are zero, and are overwritten by the next object. The words were written one by one
            // just now, and are read one by one: a wider read cannot be served from several stores that are still on
            // their way to the cache.
            let header = image.read_volatile();
            out.write(header);
            let mut hash = ShortHash::new(header);
            for i in 1..MIN_IMAGE {
                let word = image.add(i).read_volatile();
                out.add(i).write(word);
                if HASH {
                    hash.word(word);
                }
            }
            self.buffer_commit(8 * words);
            Ok((start, hash.finish()))
        }
    }

    /// The same for one of `words` words, more than [`MIN_IMAGE`].
    ///
    /// # Safety
    /// As [`Compactor::emit_ctor`].
    #[inline(never)]
    unsafe fn emit_large_ctor<const HASH: bool>(
        &mut self,
        image: *const u64,
        words: usize,
    ) -> Result<(usize, u32), CompactError> {
        self.scratch.buffer.reserve(8 * words)?;
        let start = self.scratch.buffer.len();
        // SAFETY: so many bytes were reserved at `start`, and are all written.
        let hash = unsafe {
            let out = self.scratch.buffer.at(start).cast::<u64>();
            let mut hash = ShortHash::new(image.read());
            out.write(image.read());
            for i in 1..words {
                let word = image.add(i).read_volatile();
                out.add(i).write(word);
                if HASH {
                    hash.word(word);
                }
            }
            self.buffer_commit(8 * words);
            hash.finish()
        };
        Ok((start, hash))
    }

    /// # Safety
    /// `words` points to the words of the array's `count` elements.
    unsafe fn emit_array(&mut self, words: *const usize, count: usize) -> Result<Written, CompactError> {
        let bytes = ARRAY_HEADER + 8 * count;
        self.scratch.buffer.reserve(bytes)?;
        let start = self.scratch.buffer.len();
        // SAFETY: `bytes` were reserved and are all written.
        unsafe {
            let out = self.scratch.buffer.at(start).cast::<u64>();
            out.write(header(BIG_CS_SZ, 0, TAG_ARRAY));
            out.add(1).write(count as u64);
            out.add(2).write(count as u64);
            out.add(3).copy_from_nonoverlapping(words.cast(), count);
            self.buffer_commit(bytes);
        }
        Ok(Written::Shareable { start })
    }

    /// Writes a string; answers where it begins.
    ///
    /// # Safety
    /// `object` is a live string.
    #[inline(always)]
    pub(super) unsafe fn emit_string(&mut self, object: Obj) -> Result<usize, CompactError> {
        let word0 = header(BIG_CS_SZ, 0, TAG_STRING);
        // SAFETY: a live string has that header, and as many bytes as its size says, one at least. A word that ends
        // where they end begins behind the string's own header. So many bytes are reserved and written.
        unsafe {
            let size = object.size();
            if size > SHORT_STRING || size == 0 {
                let start = self.scratch.buffer.len();
                self.emit_bytes(object, STRING_HEADER, size, word0)?;
                return Ok(start);
            }
            let total = align8(STRING_HEADER + size);
            self.scratch.buffer.reserve(total)?;
            let start = self.scratch.buffer.len();
            let out = self.scratch.buffer.at(start).cast::<u64>();
            let from = object.ptr().cast::<u64>();
            out.write(word0);
            out.add(1).write(size as u64);
            out.add(2).write(size as u64);
            out.add(3).write(from.add(3).read());
            let whole = size / 8;
            for i in 4..4 + whole {
                // One by one: most are few.
                out.add(i).write(from.add(i).read_volatile());
            }
            let rest = size % 8;
            if rest > 0 {
                let last = object
                    .ptr()
                    .add(STRING_HEADER + size - 8)
                    .cast::<u64>()
                    .read_unaligned();
                out.add(4 + whole).write(last >> (64 - 8 * rest));
            }
            self.buffer_commit(total);
            Ok(start)
        }
    }

    /// Strings and scalar arrays: size, capacity := size, for strings the length, then `bytes` bytes.
    ///
    /// # Safety
    /// `object` is a live string or scalar array with a header of `fixed` bytes and `bytes` bytes of content.
    unsafe fn emit_bytes(
        &mut self,
        object: Obj,
        fixed: usize,
        bytes: usize,
        word0: u64,
    ) -> Result<Written, CompactError> {
        let total = bytes.checked_add(fixed + 7).map(|n| n & !7);
        let total = total.ok_or(CompactError::TooLarge {
            limit: super::buffer::MAX_BYTES,
        })?;
        self.scratch.buffer.reserve(total)?;
        let start = self.scratch.buffer.len();
        // SAFETY: `total` bytes were reserved; header words, the zeroed last word and then the content cover
        // them. The object has its size word at 8, for strings the length at 24, and `bytes` bytes at `fixed`.
        unsafe {
            let out = self.scratch.buffer.at(start);
            out.add(total - 8).cast::<u64>().write(0);
            out.cast::<u64>().write(word0);
            let size = object.size() as u64;
            out.add(8).cast::<u64>().write(size);
            out.add(16).cast::<u64>().write(size);
            if fixed == STRING_HEADER {
                out.add(24).cast::<u64>().write(object.word(24) as u64);
            }
            out.add(fixed)
                .copy_from_nonoverlapping(object.ptr().add(fixed), bytes);
            self.buffer_commit(total);
        }
        Ok(Written::Shareable { start })
    }

    /// # Safety
    /// `object` is a live bignum in the layout the compactor was told.
    unsafe fn emit_mpz(&mut self, object: Obj) -> Result<Written, CompactError> {
        let too_large = CompactError::TooLarge {
            limit: super::buffer::MAX_BYTES,
        };
        // SAFETY: the fields of a live bignum in either layout: count, digits; the digit pointer is valid for
        // the count, which is not 0 in a bignum, or nothing is read through it.
        let (fixed, digits, digit_bytes, field) = unsafe {
            if self.gmp {
                let sizes = object.word(8);
                let limbs = (sizes >> 32) as u32 as i32;
                let count = limbs.unsigned_abs() as usize;
                // `_mp_alloc` becomes the number of limbs in use.
                let field = (sizes & 0xffff_ffff_0000_0000) | count;
                (MPZ_GMP_SIZE, object.word(16), count * 8, field)
            } else {
                let count = object.word(16).checked_mul(4).ok_or(too_large.clone())?;
                (MPZ_NATIVE_SIZE, object.word(24), count, object.word(8) & 0xff)
            }
        };
        let size = digit_bytes.checked_add(fixed).ok_or(too_large.clone())?;
        let total = size.checked_add(7).ok_or(too_large)? & !7;
        self.scratch.buffer.reserve(total)?;
        let start = self.scratch.buffer.len();
        let address = self.address(start);
        // SAFETY: `total` bytes were reserved and are all written, the last word first so that the tail is
        // zero; `digits` is valid for `digit_bytes` bytes.
        unsafe {
            let out = self.scratch.buffer.at(start);
            out.add(total - 8).cast::<u64>().write(0);
            // The size is kept modulo 65536, as the incumbent's 16-bit field does.
            out.cast::<u64>().write(header(size as u16, 0, TAG_MPZ));
            out.add(8).cast::<usize>().write(field);
            if !self.gmp {
                out.add(16).cast::<usize>().write(digit_bytes / 4);
            }
            out.add(fixed - 8).cast::<usize>().write(address + fixed);
            if digit_bytes > 0 {
                out.add(fixed)
                    .copy_from_nonoverlapping(digits as *const u8, digit_bytes);
            }
            self.buffer_commit(total);
        }
        Ok(Written::Apart { start })
    }

    /// # Safety
    /// As [`Compactor::emit`], for a closure.
    unsafe fn emit_closure(
        &mut self,
        object: Obj,
        kind: ObjectHeader,
        words: *const usize,
        count: usize,
    ) -> Result<Written, CompactError> {
        let bytes = CLOSURE_HEADER + 8 * count;
        self.scratch.buffer.reserve(bytes)?;
        let start = self.scratch.buffer.len();
        // SAFETY: `bytes` were reserved and are all written; a live closure has its code address at 8 and
        // arity and number of fixed arguments in the lower half of the word at 16.
        unsafe {
            let out = self.scratch.buffer.at(start).cast::<u64>();
            out.write(header(bytes as u16, kind.other, TAG_CLOSURE));
            out.add(1).write(object.word(8) as u64);
            out.add(2).write(object.word(16) as u64 & 0xffff_ffff);
            out.add(3).copy_from_nonoverlapping(words.cast(), count);
            self.buffer_commit(bytes);
        }
        push(&mut self.closures, start + 8, "the offsets of closures")?;
        Ok(Written::Apart { start })
    }

    /// Thunks, tasks, promises and references: one child, and for the first two a word that is null once the
    /// value is there.
    ///
    /// # Safety
    /// `words` points to the child's word.
    unsafe fn emit_cell(
        &mut self,
        kind: ObjectHeader,
        size: usize,
        words: *const usize,
    ) -> Result<Written, CompactError> {
        self.scratch.buffer.reserve(size)?;
        let start = self.scratch.buffer.len();
        // SAFETY: `size` bytes, 16 or 24, were reserved and are all written.
        unsafe {
            let out = self.scratch.buffer.at(start).cast::<u64>();
            out.write(header(size as u16, kind.other, kind.tag));
            out.add(1).write(words.read() as u64);
            if size > REF_SIZE {
                out.add(2).write(0);
            }
            self.buffer_commit(size);
        }
        if kind.tag == TAG_REF {
            return Ok(Written::Apart { start });
        }
        Ok(Written::Shareable { start })
    }

    /// # Safety
    /// As `Buffer::commit`.
    #[inline(always)]
    unsafe fn buffer_commit(&mut self, bytes: usize) {
        // SAFETY: the contract is that of `Buffer::commit`.
        unsafe { self.scratch.buffer.commit(bytes) }
    }
}
