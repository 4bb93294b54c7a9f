//! Tags, fixed sizes and field offsets of objects as they lie in a 64-bit file and in memory (spec
//! sections 1.1 to 1.4; upstream `src/include/lean/lean.h`).

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

/// Bytes of the header word of every object.
pub const OBJECT_HEADER: usize = 8;
/// Bytes of an array or scalar array before its elements: header, size, capacity.
pub const ARRAY_HEADER: usize = 24;
/// Bytes of a string before its bytes: header, size, capacity, length.
pub const STRING_HEADER: usize = 32;
/// Bytes of a closure before its arguments: header, code, arity, fixed, padding.
pub const CLOSURE_HEADER: usize = 24;
/// Bytes of a thunk: header, value, closure.
pub const THUNK_SIZE: usize = 24;
/// Bytes of a task: header, value, implementation pointer.
pub const TASK_SIZE: usize = 24;
/// Bytes of a promise: header, task.
pub const PROMISE_SIZE: usize = 16;
/// Bytes of a reference: header, value.
pub const REF_SIZE: usize = 16;
/// Bytes of a GMP bignum before its limbs: header, alloc and signed size (i32 each), limb pointer.
pub const MPZ_GMP_SIZE: usize = 24;
/// Bytes of a native bignum before its digits: header, sign and padding, size, digit pointer.
pub const MPZ_NATIVE_SIZE: usize = 32;

/// `m_cs_sz` of objects whose size comes from their own size field (array, scalar array, string).
pub const BIG_CS_SZ: u16 = 1;

/// Rounds a byte count up to the alignment of objects.
#[must_use]
pub const fn align8(n: usize) -> usize {
    (n + 7) & !7
}
