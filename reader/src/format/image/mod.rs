//! An image: one file that holds the regions of many files, their pointers rewritten so that the whole file can be
//! mapped once at one address. It is a cache: an entry tells of which file it was made and is used only as long as
//! that file is the same. All numbers are little-endian; no byte here is trusted.
//!
//! ```text
//! header       one page ([`header`]): magic, sizes, address, which Lean, digests of the tables, mark of validity
//! index        entries, ENTRY_SIZE bytes each, in the order of their regions ([`entry`])
//!              slots: entry numbers by device and inode, u32 each, two per entry
//!              chains: u32 words, for regions with other dependencies than the parts before them
//!              roots: a copy of each small root of the constant section, 64 bytes each ([`root`])
//! paths        slots: offsets of path records by the path's digest, u32 each, two per path
//!              records: entry (u32), length (u32), the path's bytes
//! digests      of each entry's source file and of its region in the image, 16 bytes each
//! constant     from a multiple of 2 MiB on: regions that nothing writes to, each at a multiple of 4 KiB
//! changeable   from a multiple of 2 MiB on: regions with closures, references, tasks and the like
//! ```
//!
//! The file lies at the header's base address as a whole, so a region's address is that base plus its offset. A
//! region is its file byte for byte, except for pointers; its header keeps the base address of its own file.
//! A loader reads header and index; the paths are for loaders that look at no source file, and the digests for tools.

pub mod entry;
pub mod hash;
pub mod header;
pub mod path;
pub mod root;
pub mod tables;
#[cfg(test)]
mod tests;
pub mod writer;

pub use entry::{Entry, Section};
pub use hash::{DIGEST_LEN, Digest, digest};
pub use header::{Counts, Header, ImageError, Layout, MAGIC};
pub use root::{ROOT_SIZE, RootCopy, root_copy};
pub use tables::{Chain, Tables};
pub use writer::{NewEntry, NewTables};
