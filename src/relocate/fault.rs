//! What can be wrong with a region that is to be relocated.
#![forbid(unsafe_code)]

use crate::dependencies::DependencyError;
use thiserror::Error;

/// What is wrong with an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Fault {
    /// A pointer leads nowhere.
    #[error(
        "the pointer {0:#x} leads neither into this file nor into a dependency: the file is damaged, or a dependency is missing"
    )]
    Pointer(u64),
    /// A pointer into a dependency, to where no object begins.
    #[error(
        "the pointer {0:#x} leads into a dependency, but no object begins there: the two are of different builds, or one is \
         damaged; build both again"
    )]
    NoObject(u64),
    /// A pointer into the middle of a word.
    #[error("the pointer {0:#x} is not aligned to 8 bytes")]
    Unaligned(u64),
    /// The object reaches behind the end of the data.
    #[error("an object with tag {tag} says that it has {size} bytes, which is more than the file holds")]
    TooLong {
        /// The object's tag.
        tag: u8,
        /// Its size.
        size: u64,
    },
    /// The size in the header does not fit the object.
    #[error("an object with tag {tag} has the size {size} in its header, which does not fit its fields")]
    BadSize {
        /// The object's tag.
        tag: u8,
        /// The size in the header.
        size: u16,
    },
    /// An object of a kind that a file cannot hold.
    #[error("an object with tag {0} cannot be in a file of this version")]
    BadTag(u8),
    /// The reference count of an object in a region is always 0.
    #[error("an object has the reference count {0}, which is always 0 in a file")]
    Counted(i32),
}

/// Why a region cannot be relocated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum WalkError {
    /// The dependencies cannot be used with the region.
    #[error(transparent)]
    Dependencies(#[from] DependencyError),
    /// Something is wrong at an offset of the file.
    #[error("'unreachable' code was reached: at offset {offset:#x}: {fault}")]
    At {
        /// Offset from the start of the file, in bytes.
        offset: usize,
        /// What is wrong there.
        fault: Fault,
    },
}

/// The index of a word, and what is wrong there.
pub(super) type Wrong = (usize, Fault);
