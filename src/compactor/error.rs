//! Why a graph of live objects cannot be compacted. Where Lean's own loader has an error message for the same failure, ours
//! begins with its words.

use olean_reader::format::room::NoMemory;
use thiserror::Error;

/// Why a save was given up. The compactor is dirty afterwards and refuses further parts.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum CompactError {
    /// A closure was reached and closures are not allowed.
    #[error(
        "Closures cannot be compacted (unless explicitly calling `CompactedRegion.save (allowClosures := true)`). \
         One possible cause of this error is trying to store a function in a persistent environment extension."
    )]
    Closure,
    /// An external object was reached.
    #[error("external objects cannot be compacted")]
    External,
    /// An object with a tag that no object has.
    #[error("object at {address:#x} has the tag {tag}, which no object has: the data is damaged in memory")]
    Tag {
        /// Where the object lies.
        address: usize,
        /// Its tag.
        tag: u8,
    },
    /// A constructor whose recorded size does not hold its fields, or is none that a file can record.
    #[error(
        "the constructor at {address:#x} (tag {tag}) has {fields} fields and {size} bytes, which cannot be: the data is \
         damaged in memory"
    )]
    Size {
        /// Where the object lies.
        address: usize,
        /// Its tag.
        tag: u8,
        /// Its number of fields.
        fields: u8,
        /// Its size in bytes, as its header or the allocator says.
        size: usize,
    },
    /// A reference, promise, task or thunk that contains itself.
    #[error(
        "the object at {address:#x} contains itself (through an IO.Ref or a promise): a region can hold no cycle"
    )]
    Cycle {
        /// Where the object lies.
        address: usize,
    },
    /// A reference that other threads may change, in a host that exports nothing to read it with.
    #[error(
        "the IO.Ref at {address:#x} is shared between threads, and this Lean runtime does not export lean_st_ref_get, \
         without which it cannot be read safely"
    )]
    SharedReference {
        /// Where the reference lies.
        address: usize,
    },
    /// Memory could not be had.
    #[error("out of memory: {bytes} bytes for {what} are not available")]
    Memory {
        /// What the memory was for.
        what: &'static str,
        /// How much was asked for.
        bytes: usize,
    },
    /// The region would be larger than the offsets of the sharing table reach, or a size overflows.
    #[error("the region would be larger than {limit} bytes")]
    TooLarge {
        /// The largest size possible.
        limit: usize,
    },
    /// The compactor was left by a failed save.
    #[error(
        "the compactor given as `prev` was left unfinished by a save that failed: start a new chain without it"
    )]
    Dirty,
    /// A closure whose code cannot be attributed to one loaded library.
    #[error("{0}")]
    Function(String),
}

impl From<NoMemory> for CompactError {
    fn from(NoMemory { what, bytes }: NoMemory) -> Self {
        CompactError::Memory { what, bytes }
    }
}
