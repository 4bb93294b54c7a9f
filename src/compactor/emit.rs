//! One object written behind the others, or found among them (spec sections 1.5, 1.6 and 6.3).

use super::error::CompactError;
use super::hash::WordHash;
use super::tables::Probe;
use super::{Compactor, Values};
use crate::format::layout::{
    ARRAY_HEADER, BIG_CS_SZ, CLOSURE_HEADER, MAX_CTOR_TAG, MPZ_GMP_SIZE, MPZ_NATIVE_SIZE, OBJECT_HEADER,
    PROMISE_SIZE, REF_SIZE, STRING_HEADER, TAG_ARRAY, TAG_CLOSURE, TAG_MPZ, TAG_PROMISE, TAG_REF, TAG_SARRAY,
    TAG_STRING, TAG_TASK, TAG_THUNK, THUNK_SIZE, align8,
};
use crate::object::{Kind, Obj};

/// The header word of a compacted object: no counting, size, other, tag.
#[inline(always)]
fn header(cs_sz: u16, other: u8, tag: u8) -> u64 {
    u64::from(cs_sz) << 32 | u64::from(other) << 48 | u64::from(tag) << 56
}

impl Compactor {
    /// Writes `object`, whose children's words are the stack from `children` on, and answers the word that
    /// stands for it: its own address, or that of an equal object written earlier.
    ///
    /// # Safety
    /// `object` is a live object of kind `kind`, and its children are on the stack as said.
    #[inline(always)]
    pub(super) unsafe fn emit(
        &mut self,
        object: Obj,
        kind: Kind,
        children: usize,
        values: &impl Values,
    ) -> Result<usize, CompactError> {
        // SAFETY: each branch passes on a live object of the kind it was told apart as.
        unsafe {
            if kind.tag <= MAX_CTOR_TAG {
                return self.emit_ctor(object, kind, children, values);
            }
            match kind.tag {
                TAG_ARRAY => self.emit_array(children),
                TAG_STRING => self.emit_bytes(
                    object,
                    STRING_HEADER,
                    object.size(),
                    header(BIG_CS_SZ, 0, TAG_STRING),
                ),
                TAG_SARRAY => {
                    let element = kind.other & 0x7f;
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
                TAG_CLOSURE => self.emit_closure(object, kind, children),
                TAG_THUNK | TAG_TASK => self.emit_cell(kind, THUNK_SIZE, children),
                TAG_PROMISE | TAG_REF => self.emit_cell(kind, PROMISE_SIZE, children),
                tag => Err(CompactError::Tag {
                    address: object.0,
                    tag,
                }),
            }
        }
    }

    /// # Safety
    /// As [`Compactor::emit`], for a constructor.
    #[inline(always)]
    unsafe fn emit_ctor(
        &mut self,
        object: Obj,
        kind: Kind,
        children: usize,
        values: &impl Values,
    ) -> Result<usize, CompactError> {
        let fields = usize::from(kind.other);
        let size = match kind.cs_sz {
            // SAFETY: a live object of the host.
            0 => unsafe { values.byte_size(object) },
            n => n.into(),
        };
        let own = OBJECT_HEADER + 8 * fields;
        if size < own || size > usize::from(u16::MAX) {
            return Err(CompactError::Tag {
                address: object.0,
                tag: kind.tag,
            });
        }
        let bytes = align8(size);
        self.scratch.buffer.reserve(bytes)?;
        let start = self.scratch.buffer.len();
        let word0 = header(size as u16, kind.other, kind.tag);
        let mut hash = WordHash::new(word0);
        // SAFETY: `bytes` were reserved at `start` and are all written: header, fields, scalars, the tail
        // word zeroed before a partial copy. The stack holds `fields` words from `children` on. The source
        // object has `size` bytes.
        unsafe {
            let out = self.scratch.buffer.at(start).cast::<u64>();
            out.write(word0);
            let words = self.scratch.stack.as_ptr().add(children);
            for i in 0..fields {
                let w = words.add(i).read() as u64;
                out.add(1 + i).write(w);
                hash.word(w);
            }
            let scalars = size - own;
            let to = out.add(1 + fields);
            let from = object.ptr().add(own).cast::<u64>();
            for i in 0..scalars / 8 {
                let w = from.add(i).read();
                to.add(i).write(w);
                hash.word(w);
            }
            if !scalars.is_multiple_of(8) {
                let last = to.add(scalars / 8);
                last.write(0);
                last.cast::<u8>()
                    .copy_from_nonoverlapping(from.add(scalars / 8).cast(), scalars % 8);
                hash.word(last.read());
            }
            self.buffer_commit(bytes);
        }
        self.share(start, hash.finish())
    }

    /// # Safety
    /// The words of the array's elements are the stack from `children` on.
    unsafe fn emit_array(&mut self, children: usize) -> Result<usize, CompactError> {
        let count = self.scratch.stack.len() - children;
        let bytes = ARRAY_HEADER + 8 * count;
        self.scratch.buffer.reserve(bytes)?;
        let start = self.scratch.buffer.len();
        // SAFETY: `bytes` were reserved and are all written; the stack holds `count` words.
        unsafe {
            let out = self.scratch.buffer.at(start).cast::<u64>();
            out.write(header(BIG_CS_SZ, 0, TAG_ARRAY));
            out.add(1).write(count as u64);
            out.add(2).write(count as u64);
            let words = self.scratch.stack.as_ptr().add(children).cast::<u64>();
            out.add(3).copy_from_nonoverlapping(words, count);
            self.buffer_commit(bytes);
        }
        self.share_hashed(start)
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
    ) -> Result<usize, CompactError> {
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
        self.share_hashed(start)
    }

    /// # Safety
    /// `object` is a live bignum in the layout the compactor was told.
    unsafe fn emit_mpz(&mut self, object: Obj) -> Result<usize, CompactError> {
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
        Ok(address)
    }

    /// # Safety
    /// As [`Compactor::emit`], for a closure.
    unsafe fn emit_closure(
        &mut self,
        object: Obj,
        kind: Kind,
        children: usize,
    ) -> Result<usize, CompactError> {
        let fixed = self.scratch.stack.len() - children;
        let bytes = CLOSURE_HEADER + 8 * fixed;
        self.scratch.buffer.reserve(bytes)?;
        let start = self.scratch.buffer.len();
        // SAFETY: `bytes` were reserved and are all written; a live closure has its code address at 8 and
        // arity and number of fixed arguments in the lower half of the word at 16.
        unsafe {
            let out = self.scratch.buffer.at(start).cast::<u64>();
            out.write(header(bytes as u16, kind.other, TAG_CLOSURE));
            out.add(1).write(object.word(8) as u64);
            out.add(2).write(object.word(16) as u64 & 0xffff_ffff);
            let words = self.scratch.stack.as_ptr().add(children).cast::<u64>();
            out.add(3).copy_from_nonoverlapping(words, fixed);
            self.buffer_commit(bytes);
        }
        self.closures.push(start + 8);
        Ok(self.address(start))
    }

    /// Thunks, tasks, promises and references: one child, and for the first two a word that is null once the
    /// value is there.
    ///
    /// # Safety
    /// The child's word is on the stack at `children`.
    unsafe fn emit_cell(&mut self, kind: Kind, size: usize, children: usize) -> Result<usize, CompactError> {
        self.scratch.buffer.reserve(size)?;
        let start = self.scratch.buffer.len();
        // SAFETY: `size` bytes, 16 or 24, were reserved and are all written.
        unsafe {
            let out = self.scratch.buffer.at(start).cast::<u64>();
            out.write(header(size as u16, kind.other, kind.tag));
            out.add(1).write(self.scratch.stack[children] as u64);
            if size > REF_SIZE {
                out.add(2).write(0);
            }
            self.buffer_commit(size);
        }
        if kind.tag == TAG_REF {
            return Ok(self.address(start));
        }
        self.share_hashed(start)
    }

    /// # Safety
    /// As `Buffer::commit`.
    #[inline(always)]
    unsafe fn buffer_commit(&mut self, bytes: usize) {
        // SAFETY: passed on from the caller.
        unsafe { self.scratch.buffer.commit(bytes) }
    }

    /// The address that the byte at `offset` of the buffer has in files.
    #[inline(always)]
    fn address(&self, offset: usize) -> usize {
        (self.base as usize).wrapping_add(offset)
    }

    /// Hashes the object from `start` to the end of the buffer and shares it.
    fn share_hashed(&mut self, start: usize) -> Result<usize, CompactError> {
        let bytes = &self.scratch.buffer.bytes()[start..];
        let (words, _) = bytes.as_chunks::<8>();
        let mut hash = WordHash::new(u64::from_ne_bytes(words[0]));
        let mut pairs = words[1..].chunks_exact(2);
        for pair in &mut pairs {
            hash.pair(u64::from_ne_bytes(pair[0]), u64::from_ne_bytes(pair[1]));
        }
        for word in pairs.remainder() {
            hash.word(u64::from_ne_bytes(*word));
        }
        self.share(start, hash.finish())
    }

    /// Looks for an object equal to the one from `start` to the end: drops the new copy if there is one,
    /// enters it otherwise. Equality of whole words is equality of exact sizes: sizes stand in the objects,
    /// and tails are zero.
    #[inline(always)]
    fn share(&mut self, start: usize, hash: u32) -> Result<usize, CompactError> {
        let buffer = &self.scratch.buffer;
        let length = buffer.len() - start;
        // SAFETY: an earlier object begins at `other`, a multiple of 8 below `start`, so `length` bytes from
        // there lie inside the buffer, as do the `length` bytes at `start`.
        let equal = |other: usize| unsafe {
            let (a, b) = (buffer.at(start).cast::<u64>(), buffer.at(other).cast::<u64>());
            if length <= 64 {
                (0..length / 8).all(|i| a.add(i).read() == b.add(i).read())
            } else {
                std::slice::from_raw_parts(a, length / 8) == std::slice::from_raw_parts(b, length / 8)
            }
        };
        let offset = match self.scratch.sharing.probe(hash, equal)? {
            Probe::Found(offset) => {
                self.scratch.buffer.truncate(start);
                offset
            }
            Probe::Vacant(slot) => {
                self.scratch.sharing.fill(slot, hash, start);
                start
            }
        };
        Ok(self.address(offset))
    }
}
