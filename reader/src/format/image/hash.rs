//! Digests, where look-ups begin, and numbers as they stand in the tables.

use twox_hash::{XxHash3_64, XxHash3_128};

/// Bytes of a digest.
pub const DIGEST_LEN: usize = 16;
/// A digest of content: XXH3 with 128 bits. It finds damage and changed files, not forgery.
pub type Digest = [u8; DIGEST_LEN];

/// The digest of `bytes`.
#[must_use]
pub fn digest(bytes: &[u8]) -> Digest {
    XxHash3_128::oneshot(bytes).to_le_bytes()
}

/// Where a path is looked for first among `slots` slots.
pub(super) fn path_slot(path: &[u8], slots: u32) -> u32 {
    spread(XxHash3_64::oneshot(path), slots)
}

/// Where a file is looked for first among `slots` slots.
pub(super) fn file_slot(device: u64, inode: u64, slots: u32) -> u32 {
    // Inodes of one folder follow each other: the product of two words spreads them over all bits.
    let mixed = u128::from(inode ^ 0x9e37_79b9_7f4a_7c15) * u128::from(device ^ 0xd1b5_4a32_d192_ed03);
    let mixed = (mixed as u64 ^ (mixed >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    spread(mixed, slots)
}

fn spread(hash: u64, slots: u32) -> u32 {
    ((u128::from(hash) * u128::from(slots)) >> 64) as u32
}

/// A slot that holds nothing.
pub(super) const EMPTY: u32 = u32::MAX;
/// Slots per entry or path: half of them stay empty, so that a search ends soon.
pub(super) const SLOTS_PER: u32 = 2;

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
