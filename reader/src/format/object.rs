//! What an object is: its kind, and the widths and bignum layouts that decide how it lies in a file.

use super::layout;
use std::fmt;

/// Bytes of a pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Width {
    /// 32-bit pointers (wasm32).
    W32,
    /// 64-bit pointers.
    W64,
}

impl Width {
    /// Bytes of a word: 4 or 8.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::W32 => 4,
            Self::W64 => 8,
        }
    }

    /// Bits of a word: 32 or 64.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.bytes() as u8 * 8
    }

    /// The largest word.
    #[must_use]
    pub const fn max(self) -> u64 {
        match self {
            Self::W32 => u32::MAX as u64,
            Self::W64 => u64::MAX,
        }
    }
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
            0..=layout::MAX_CTOR_TAG => Self::Ctor,
            layout::TAG_PROMISE => Self::Promise,
            layout::TAG_CLOSURE => Self::Closure,
            layout::TAG_ARRAY => Self::Array,
            layout::TAG_SARRAY => Self::Sarray,
            layout::TAG_STRING => Self::String,
            layout::TAG_MPZ => Self::Mpz,
            layout::TAG_THUNK => Self::Thunk,
            layout::TAG_TASK => Self::Task,
            layout::TAG_REF => Self::Ref,
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

#[inline]
pub(crate) fn word(bytes: &[u8], at: usize, width: Width) -> u64 {
    match width {
        Width::W32 => u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))),
        Width::W64 => u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes")),
    }
}

#[inline]
pub(crate) fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("2 bytes"))
}

#[inline]
pub(crate) fn int32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}
