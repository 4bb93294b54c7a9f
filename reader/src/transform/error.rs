//! Why a file cannot be rewritten, and which object is in the way.

use crate::error::{CheckError, ObjectRef};

/// Why a file cannot be rewritten.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransformError {
    /// The files do not fit together.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The base address is no multiple of 64 KiB.
    #[error("base address {0:#x} is not a multiple of 0x10000")]
    Unaligned(u64),
    /// The file would reach beyond the address space.
    #[error(
        "a file of {size} bytes at {base:#x} does not fit in a {bits}-bit address space; choose another base"
    )]
    AddressSpace {
        /// The base address.
        base: u64,
        /// Bytes of the rewritten file.
        size: u64,
        /// Bits of a pointer.
        bits: u8,
    },
    /// A boxed scalar is too large for the narrower word.
    #[error("{object}: the boxed scalar {value} does not fit in 31 bits, and nothing tells that it is a Nat")]
    Scalar {
        /// The object that holds it; `None` for the root.
        object: Where,
        /// The scalar.
        value: u64,
    },
    /// A code or library address is too large for the narrower word.
    #[error("the code address {0:#x} does not fit in 32 bits")]
    Code(u64),
    /// A closure has more arguments than `m_cs_sz` can tell in a 32-bit file.
    #[error("{0}: too many arguments for a 32-bit file")]
    Closure(ObjectRef),
    /// A pointer leaves all files, and the width changes.
    #[error("{object}: pointer {address:#x} leaves the file; give the dependency it goes to")]
    Outside {
        /// The object that holds it.
        object: Where,
        /// The pointer.
        address: u64,
    },
}

/// An object, or the root word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Where(pub Option<ObjectRef>);

impl std::fmt::Display for Where {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(o) => o.fmt(f),
            None => f.write_str("root"),
        }
    }
}
