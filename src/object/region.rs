//! The structure that stands for a region in Lean v4.32 and later (`CompactedRegion`): a constructor with the tag 0, two
//! objects, three words and a byte.

use olean_reader::format::object::ObjectHeader;

/// Bytes of the structure, rounded up.
pub const REGION_SIZE: u16 = 56;
/// The same before rounding, which is what plain malloc builds record.
pub const REGION_SIZE_EXACT: u16 = 49;
/// The string that names the file.
pub const FILE_PATH: usize = 8;
/// The root.
pub const ROOT: usize = 16;
/// Bytes of the buffer.
pub const SIZE: usize = 24;
/// The base address of the file.
pub const BASE_ADDR: usize = 32;
/// How far the root lies behind the beginning of the buffer.
pub const BUFFER_OFFSET: usize = 40;
/// Whether the buffer is a mapping.
pub const IS_MEMORY_MAPPED: usize = 48;
/// Bytes after the objects.
pub const REGION_SCALARS: usize = 3 * 8 + 1;

/// Whether an object with this header has the shape of a region's structure. What else has it is taken for one.
#[must_use]
pub fn is_region_structure(header: ObjectHeader) -> bool {
    header.tag == 0 && header.other == 2 && (REGION_SIZE_EXACT..=REGION_SIZE).contains(&header.cs_sz)
}
