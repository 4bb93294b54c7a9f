//! Words: how many bytes they have, and reading them and smaller numbers. All numbers of a file are little endian.

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

/// The word at offset `at`, which is there.
#[inline]
pub(crate) fn word(bytes: &[u8], at: usize, width: Width) -> u64 {
    match width {
        Width::W32 => u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))),
        Width::W64 => u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes")),
    }
}

/// The 2-byte number at offset `at`, which is there.
#[inline]
pub(crate) fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("2 bytes"))
}

/// The 4-byte number at offset `at`, which is there.
#[inline]
pub(crate) fn int32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}
