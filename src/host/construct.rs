//! Objects made as compiled Lean code makes them: their layout is fixed by inline functions of lean.h, so that one piece
//! of code serves every runtime, over its allocation scheme.

use super::embedded;
use super::entries::MpzStruct;
use super::runtime::Host;
use crate::object::Obj;
use olean_reader::format::name;
use olean_reader::format::object::{
    ARRAY_HEADER, CLOSURE_HEADER, MPZ_GMP_SIZE, OBJECT_HEADER, PROMISE_SIZE, REF_SIZE, STRING_HEADER,
    TAG_ARRAY, TAG_CLOSURE, TAG_MPZ, TAG_PROMISE, TAG_REF, TAG_SARRAY, TAG_STRING, TAG_TASK, TAG_THUNK,
    TASK_SIZE, THUNK_SIZE, align8,
};
use std::ffi::c_void;

/// Tags of `Name.str` and `Name.num`, and where their hash lies: behind the two fields.
const TAG_NAME_STR: u8 = 1;
const TAG_NAME_NUM: u8 = 2;
const NAME_HASH: usize = 24;

/// Bytes of a small object at most (`LEAN_MAX_SMALL_OBJECT_SIZE`).
const MAX_SMALL: usize = 4096;

/// Naturals below this are scalars.
const FIRST_BIG_NAT: u64 = 1 << 63;

/// All functions here need a runtime that can allocate on the calling thread, take ownership of the objects
/// they are given and give an owned object with count 1.
impl Host {
    /// A small object with count 1; only its header is set.
    ///
    /// # Safety
    /// The runtime can allocate on this thread; `bytes` is from 8 to 4096.
    #[inline(never)]
    pub(super) unsafe fn new_small(&self, bytes: usize, tag: u8, other: u8) -> Obj {
        // SAFETY: `small` may be called and takes so many bytes, by the contract; it answers fresh memory of that size.
        unsafe { with_header(self.allocator.small(bytes), tag, other) }
    }

    /// An array, scalar array or string with count 1; only its header is set.
    ///
    /// # Safety
    /// The runtime can allocate on this thread; `bytes` is at least 8.
    unsafe fn new_big(&self, bytes: usize, tag: u8, other: u8) -> Obj {
        // SAFETY: `big` may be called, by the contract; it answers fresh memory of 8 bytes or more.
        unsafe { with_header(self.allocator.big(bytes), tag, other) }
    }

    /// A constructor with `num_objs` fields and `scalar_bytes` bytes after them (`lean_alloc_ctor`), fewer
    /// than 1024. Fields are not set; the last word is zero if the scalars do not fill it, except in runtimes
    /// on plain malloc, which have no memory there.
    ///
    /// # Safety
    /// The runtime can allocate on this thread; `tag` is at most 243; fields are set before anyone reads them.
    #[must_use]
    #[inline]
    pub unsafe fn alloc_ctor(&self, tag: u8, num_objs: u8, scalar_bytes: usize) -> Obj {
        let bytes = OBJECT_HEADER + 8 * usize::from(num_objs) + scalar_bytes;
        // SAFETY: at most 8 + 8 * 255 + 1023 bytes; the last word lies in the object's memory, which is a
        // whole number of words.
        unsafe {
            let o = self.new_small(bytes, tag, num_objs);
            if !bytes.is_multiple_of(8) && self.allocator.rounds_up() {
                o.set_word(align8(bytes) - 8, 0);
            }
            o
        }
    }

    /// A constructor with these fields (consumed) and scalars, as the bytes that follow the fields: `USize` first, then by
    /// falling size.
    ///
    /// # Safety
    /// As [`Host::alloc_ctor`]; fewer than 256 fields and 1024 scalar bytes, not neither.
    #[must_use]
    #[inline]
    pub unsafe fn mk_ctor(&self, tag: u8, fields: &[Obj], scalars: &[u8]) -> Obj {
        // SAFETY: the object has room for the fields and the scalars behind them.
        unsafe {
            let o = self.alloc_ctor(tag, fields.len() as u8, scalars.len());
            copy_words(o, OBJECT_HEADER, fields);
            copy_bytes(o, OBJECT_HEADER + 8 * fields.len(), scalars);
            o
        }
    }

    /// The pair of `a` and `b` (both consumed).
    ///
    /// # Safety
    /// The runtime can allocate on this thread.
    #[must_use]
    #[inline]
    pub unsafe fn mk_pair(&self, a: Obj, b: Obj) -> Obj {
        // SAFETY: a constructor with two fields.
        unsafe { self.mk_ctor(0, &[a, b], &[]) }
    }

    /// `Option.some` of `value` (consumed).
    ///
    /// # Safety
    /// The runtime can allocate on this thread.
    #[must_use]
    pub unsafe fn mk_some(&self, value: Obj) -> Obj {
        // SAFETY: a constructor with one field.
        unsafe { self.mk_ctor(1, &[value], &[]) }
    }

    /// A string.
    ///
    /// # Safety
    /// The runtime can allocate on this thread.
    #[must_use]
    pub unsafe fn mk_string(&self, text: &str) -> Obj {
        // SAFETY: the object has room for the text and its terminator; all its words are set.
        unsafe {
            let o = self.new_big(STRING_HEADER + text.len() + 1, TAG_STRING, 0);
            o.set_word(8, text.len() + 1);
            o.set_word(16, text.len() + 1);
            o.set_word(24, text.chars().count());
            copy_bytes(o, STRING_HEADER, text.as_bytes());
            o.ptr().add(STRING_HEADER + text.len()).write(0);
            o
        }
    }

    /// Another string object with the bytes of `string` (borrowed).
    ///
    /// # Safety
    /// The runtime can allocate on this thread; `string` is a live string.
    #[must_use]
    pub unsafe fn copy_string(&self, string: Obj) -> Obj {
        // SAFETY: a live string has `size` bytes at its end; the object has room for them and all its words are set.
        unsafe {
            let bytes = std::slice::from_raw_parts(string.ptr().add(STRING_HEADER), string.size());
            let o = self.new_big(STRING_HEADER + bytes.len(), TAG_STRING, 0);
            o.set_word(8, bytes.len());
            o.set_word(16, bytes.len());
            o.set_word(24, string.word(24));
            copy_bytes(o, STRING_HEADER, bytes);
            o
        }
    }

    /// An array of `elements` (consumed).
    ///
    /// # Safety
    /// The runtime can allocate on this thread.
    #[must_use]
    pub unsafe fn mk_array(&self, elements: &[Obj]) -> Obj {
        // SAFETY: the object has room for the elements.
        unsafe {
            let o = self.new_big(ARRAY_HEADER + 8 * elements.len(), TAG_ARRAY, 0);
            o.set_word(8, elements.len());
            o.set_word(16, elements.len());
            copy_words(o, ARRAY_HEADER, elements);
            o
        }
    }

    /// An array of scalars of `element_size` bytes each (1, 2, 4 or 8), which `bytes` holds as a whole.
    ///
    /// # Safety
    /// The runtime can allocate on this thread; `element_size` is not 0 and divides the length of `bytes`.
    #[must_use]
    pub unsafe fn mk_sarray(&self, element_size: u8, bytes: &[u8]) -> Obj {
        let count = bytes.len() / usize::from(element_size);
        // SAFETY: the object has room for the bytes.
        unsafe {
            let o = self.new_big(ARRAY_HEADER + bytes.len(), TAG_SARRAY, element_size);
            o.set_word(8, count);
            o.set_word(16, count);
            copy_bytes(o, ARRAY_HEADER, bytes);
            o
        }
    }

    /// `Name.str prefix string` (both consumed), with the hash that the runtime gives it.
    ///
    /// # Safety
    /// The runtime can allocate on this thread; `prefix` is a name, `string` a string.
    #[must_use]
    pub unsafe fn mk_name_str(&self, prefix: Obj, string: Obj) -> Obj {
        // SAFETY: the arguments are what the runtime's function and the hash expect.
        unsafe {
            match self.entries.name_mk_string {
                Some(make) => make(prefix, string),
                None => {
                    let hash = name::combine(name_hash(prefix), name::bytes(string_bytes(string)));
                    self.mk_ctor(TAG_NAME_STR, &[prefix, string], &hash.to_le_bytes())
                }
            }
        }
    }

    /// `Name.num prefix number` (both consumed), with the hash that the runtime gives it.
    ///
    /// # Safety
    /// The runtime can allocate on this thread; `prefix` is a name, `number` a natural number.
    #[must_use]
    pub unsafe fn mk_name_num(&self, prefix: Obj, number: Obj) -> Obj {
        // SAFETY: the arguments are what the runtime's function and the hash expect.
        unsafe {
            match self.entries.name_mk_numeral {
                Some(make) => make(prefix, number),
                None => {
                    let value = if number.is_scalar() {
                        Some(number.unbox() as u64)
                    } else if self.gmp && mpz_len(number) == 1 {
                        Some(*(number.word(16) as *const u64))
                    } else {
                        None
                    };
                    let hash = name::combine(name_hash(prefix), name::number(value));
                    self.mk_ctor(TAG_NAME_NUM, &[prefix, number], &hash.to_le_bytes())
                }
            }
        }
    }

    /// The name with the components of `dotted`, all of them strings; the empty text is `Name.anonymous`.
    ///
    /// # Safety
    /// The runtime can allocate on this thread.
    #[must_use]
    pub unsafe fn mk_name(&self, dotted: &str) -> Obj {
        // SAFETY: each step makes a name of a name and a string.
        dotted
            .split('.')
            .filter(|component| !component.is_empty())
            .fold(Obj::UNIT, |prefix, component| unsafe {
                self.mk_name_str(prefix, self.mk_string(component))
            })
    }

    /// A natural number. `None` if it needs a bignum and the runtime exports no way to make one.
    ///
    /// # Safety
    /// The runtime can allocate on this thread.
    #[must_use]
    pub unsafe fn mk_nat(&self, value: u64) -> Option<Obj> {
        // SAFETY: the runtime can allocate, by the contract, and there is one limb.
        unsafe { self.mk_nat_from_limbs(&[value]) }
    }

    /// The natural number with these limbs, the lowest first. `None` as for [`Host::mk_nat`].
    ///
    /// # Safety
    /// The runtime can allocate on this thread; fewer than 2^31 limbs.
    #[must_use]
    pub unsafe fn mk_nat_from_limbs(&self, limbs: &[u64]) -> Option<Obj> {
        match trimmed(limbs) {
            [] => Some(Obj::boxed(0)),
            [small] if *small < FIRST_BIG_NAT => Some(Obj::boxed(*small as usize)),
            // SAFETY: the runtime can allocate and there are fewer than 2^31 limbs, by the contract; the last is not 0.
            big => unsafe { self.mk_mpz(false, big) },
        }
    }

    /// The integer with the sign `negative` and a magnitude of these limbs, the lowest first. `None` as for
    /// [`Host::mk_nat`].
    ///
    /// # Safety
    /// The runtime can allocate on this thread; fewer than 2^31 limbs.
    #[must_use]
    pub unsafe fn mk_int_from_limbs(&self, negative: bool, limbs: &[u64]) -> Option<Obj> {
        let limbs = trimmed(limbs);
        let small = match limbs {
            [] => Some(0),
            [one] => i64::try_from(*one).ok().map(|n| if negative { -n } else { n }),
            _ => None,
        };
        match small.and_then(|n| i32::try_from(n).ok()) {
            // A small integer is boxed as the 32 bits of a C int.
            Some(n) => Some(Obj::boxed(n as u32 as usize)),
            // SAFETY: the runtime can allocate and there are fewer than 2^31 limbs, by the contract; the last is not 0.
            None => unsafe { self.mk_mpz(negative, limbs) },
        }
    }

    /// A bignum; `limbs` does not end in 0.
    ///
    /// # Safety
    /// As [`Host::mk_int_from_limbs`].
    unsafe fn mk_mpz(&self, negative: bool, limbs: &[u64]) -> Option<Obj> {
        let len = i32::try_from(limbs.len()).ok()?;
        let size = if negative { -len } else { len };
        if self.is_embedded() {
            // SAFETY: a fresh object of 24 bytes, all set; the limbs are the object's own.
            return Some(unsafe {
                let o = self.new_small(MPZ_GMP_SIZE, TAG_MPZ, 0);
                o.ptr().add(8).cast::<i32>().write(len);
                o.ptr().add(12).cast::<i32>().write(size);
                o.set_word(16, embedded::alloc_limbs(limbs) as usize);
                o
            });
        }
        let make = self.entries.alloc_mpz.filter(|_| self.gmp)?;
        // SAFETY: the function reads a GMP number, which this is, and copies it.
        Some(unsafe {
            make(&MpzStruct {
                alloc: len,
                size,
                limbs: limbs.as_ptr(),
            })
        })
    }

    /// An evaluated thunk with `value` (consumed).
    ///
    /// # Safety
    /// The runtime can allocate on this thread.
    #[must_use]
    pub unsafe fn mk_thunk(&self, value: Obj) -> Obj {
        // SAFETY: 24 bytes, all set; no closure.
        unsafe { self.new_words(THUNK_SIZE, TAG_THUNK, &[value.0, 0]) }
    }

    /// A finished task with `value` (consumed).
    ///
    /// # Safety
    /// The runtime can allocate on this thread.
    #[must_use]
    pub unsafe fn mk_task(&self, value: Obj) -> Obj {
        // SAFETY: 24 bytes, all set; nothing left to run.
        unsafe { self.new_words(TASK_SIZE, TAG_TASK, &[value.0, 0]) }
    }

    /// A promise whose result is `task` (consumed).
    ///
    /// # Safety
    /// The runtime can allocate on this thread; `task` is a finished task.
    #[must_use]
    pub unsafe fn mk_promise(&self, task: Obj) -> Obj {
        // SAFETY: 16 bytes, all set.
        unsafe { self.new_words(PROMISE_SIZE, TAG_PROMISE, &[task.0]) }
    }

    /// A mutable reference to `value` (consumed).
    ///
    /// # Safety
    /// The runtime can allocate on this thread.
    #[must_use]
    pub unsafe fn mk_ref(&self, value: Obj) -> Obj {
        // SAFETY: 16 bytes, all set.
        unsafe { self.new_words(REF_SIZE, TAG_REF, &[value.0]) }
    }

    /// How many arguments a closure can hold: as many as can be counted where closures are allocated like arrays, else as
    /// many as fit into a small object, which is what the runtime's own allocator takes.
    #[must_use]
    pub fn max_closure_args(&self) -> usize {
        if self.is_embedded() || self.allocator.closures_are_big() {
            u16::MAX.into()
        } else {
            (MAX_SMALL - CLOSURE_HEADER) / 8
        }
    }

    /// A closure: `code` with its first arguments `args` (consumed) out of `arity`.
    ///
    /// # Safety
    /// The runtime can allocate on this thread; fewer arguments than `arity`, and at most
    /// [`Host::max_closure_args`].
    #[must_use]
    pub unsafe fn mk_closure(&self, code: *const c_void, arity: u16, args: &[Obj]) -> Obj {
        let bytes = CLOSURE_HEADER + 8 * args.len();
        // SAFETY: the object has room for the arguments; all its bytes are set, the padding too.
        unsafe {
            let o = if self.allocator.closures_are_big() {
                self.new_big(bytes, TAG_CLOSURE, 0)
            } else {
                self.new_small(bytes, TAG_CLOSURE, 0)
            };
            o.set_word(8, code as usize);
            o.set_word(16, usize::from(arity) | args.len() << 16);
            copy_words(o, CLOSURE_HEADER, args);
            o
        }
    }

    /// # Safety
    /// As [`Host::new_small`]; `bytes` is the header and these words.
    unsafe fn new_words(&self, bytes: usize, tag: u8, words: &[usize]) -> Obj {
        // SAFETY: the contract is that of `new_small`, and the object has room for these words behind its header.
        unsafe {
            let o = self.new_small(bytes, tag, 0);
            for (i, word) in words.iter().enumerate() {
                o.set_word(OBJECT_HEADER + 8 * i, *word);
            }
            o
        }
    }
}

/// The stored hash of a name (borrowed).
///
/// # Safety
/// `name` is a live name.
unsafe fn name_hash(name: Obj) -> u64 {
    if name.is_scalar() {
        olean_reader::format::base::ANONYMOUS_HASH
    } else {
        // SAFETY: names other than the anonymous one store their hash here.
        unsafe { name.word(NAME_HASH) as u64 }
    }
}

/// The bytes of a string without its terminator.
///
/// # Safety
/// `string` is a string that lives and does not change while the result is used.
pub(super) unsafe fn string_bytes<'a>(string: Obj) -> &'a [u8] {
    // SAFETY: the contract is the same.
    let bytes = unsafe { string.string_bytes() };
    &bytes[..bytes.len() - 1]
}

/// Limbs of a GMP bignum.
///
/// # Safety
/// `o` is a live bignum in GMP's layout.
unsafe fn mpz_len(o: Obj) -> u32 {
    // SAFETY: a live bignum of GMP's layout, by the contract, which has its signed size at 12.
    unsafe { o.ptr().add(12).cast::<i32>().read() }.unsigned_abs()
}

/// `limbs` without the zeros at its upper end.
fn trimmed(limbs: &[u64]) -> &[u64] {
    let len = limbs
        .iter()
        .rposition(|&limb| limb != 0)
        .map_or(0, |last| last + 1);
    &limbs[..len]
}

/// Sets everything in the header of a new object but the size field, which the allocation has set.
///
/// # Safety
/// `memory` is fresh, 8-aligned, and has 8 bytes at least.
unsafe fn with_header(memory: *mut u8, tag: u8, other: u8) -> Obj {
    // SAFETY: the memory begins with 8 bytes of header, by the contract.
    unsafe {
        memory.cast::<i32>().write(1);
        memory.add(6).write(other);
        memory.add(7).write(tag);
    }
    Obj(memory as usize)
}

/// # Safety
/// `o` is a fresh object with room for the words at `at`.
unsafe fn copy_words(o: Obj, at: usize, words: &[Obj]) {
    // SAFETY: fresh memory overlaps with nothing; object and offset are 8-aligned.
    unsafe {
        o.ptr()
            .add(at)
            .cast::<Obj>()
            .copy_from_nonoverlapping(words.as_ptr(), words.len())
    };
}

/// # Safety
/// `o` is a fresh object with room for the bytes at `at`.
unsafe fn copy_bytes(o: Obj, at: usize, bytes: &[u8]) {
    // SAFETY: fresh memory overlaps with nothing.
    unsafe {
        o.ptr()
            .add(at)
            .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len())
    };
}
