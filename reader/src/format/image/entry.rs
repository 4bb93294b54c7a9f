//! An entry of the index: the identity of a source file, and where its region lies in the image.

use super::hash::{u32_at, u64_at};
use super::header::{ENTRY_SIZE, Layout, PAGE};
use crate::format::header::ROOT_SLOT_V2;
use crate::format::identity::Identity;

/// Which part of the image a region lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Section {
    /// Nothing writes to it, so all processes and all readers in one share it.
    Constant,
    /// Something may write to it: each process has its own, and gives it to one reader.
    Changeable,
}

const DEVICE_AT: usize = 0;
const INODE_AT: usize = DEVICE_AT + 8;
const FILE_SIZE_AT: usize = INODE_AT + 8;
const MODIFIED_AT: usize = FILE_SIZE_AT + 8;
const CHANGED_AT: usize = MODIFIED_AT + 8;
const MODIFIED_NS_AT: usize = CHANGED_AT + 8;
const CHANGED_NS_AT: usize = MODIFIED_NS_AT + 4;
const OFFSET_AT: usize = CHANGED_NS_AT + 4;
const BASE_AT: usize = OFFSET_AT + 8;
const ROOT_AT: usize = BASE_AT + 8;
const CHAIN_AT: usize = ROOT_AT + 8;
const FLAGS_AT: usize = CHAIN_AT + 4;
const _: () = assert!(FLAGS_AT + 4 == ENTRY_SIZE);

/// Bit of the flags: the region lies in the changeable section.
const CHANGEABLE: u32 = 1;
/// Bit of the flags: the region has closures, whose code addresses are those of the process that saved them.
const CLOSURES: u32 = 2;
/// Bit of the flags: there is a copy of the root.
const COPIED: u32 = 4;

/// Bit of the chain: the rest is the word of the chain table where the dependencies are listed. Without it the chain
/// is how many of the entries before this one are its dependencies.
pub(super) const LISTED: u32 = 1 << 31;

/// What the index says of one region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The source file; its size is that of the region.
    pub identity: Identity,
    /// Where the region begins in the image.
    pub offset: u64,
    /// The base address of the source file.
    pub base: u64,
    /// The root: a boxed scalar, or an address in the region as it lies in the mapped image.
    pub root: u64,
    /// What the region points into, as [`super::Tables::chain`] reads it.
    pub(super) chain: u32,
    /// Where it lies.
    pub section: Section,
    /// Whether it has closures.
    pub closures: bool,
    /// Whether readers are given a copy of the root.
    pub copied: bool,
}

impl Entry {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; ENTRY_SIZE] {
        let mut out = [0; ENTRY_SIZE];
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        let i = &self.identity;
        put(DEVICE_AT, &i.device.to_le_bytes());
        put(INODE_AT, &i.inode.to_le_bytes());
        put(FILE_SIZE_AT, &i.size.to_le_bytes());
        put(MODIFIED_AT, &i.modified.to_le_bytes());
        put(CHANGED_AT, &i.changed.to_le_bytes());
        put(MODIFIED_NS_AT, &i.modified_ns.to_le_bytes());
        put(CHANGED_NS_AT, &i.changed_ns.to_le_bytes());
        put(OFFSET_AT, &self.offset.to_le_bytes());
        put(BASE_AT, &self.base.to_le_bytes());
        put(ROOT_AT, &self.root.to_le_bytes());
        put(CHAIN_AT, &self.chain.to_le_bytes());
        let flags = (CHANGEABLE * u32::from(self.section == Section::Changeable))
            | (CLOSURES * u32::from(self.closures))
            | (COPIED * u32::from(self.copied));
        put(FLAGS_AT, &flags.to_le_bytes());
        out
    }

    /// Reads an entry; `None` if there are too few bytes. What it says is not checked: see [`Entry::fits`].
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let b: &[u8; ENTRY_SIZE] = bytes.first_chunk()?;
        let flags = u32_at(b, FLAGS_AT)?;
        Some(Entry {
            identity: Identity {
                device: u64_at(b, DEVICE_AT)?,
                inode: u64_at(b, INODE_AT)?,
                size: u64_at(b, FILE_SIZE_AT)?,
                modified: u64_at(b, MODIFIED_AT)? as i64,
                modified_ns: u32_at(b, MODIFIED_NS_AT)?,
                changed: u64_at(b, CHANGED_AT)? as i64,
                changed_ns: u32_at(b, CHANGED_NS_AT)?,
            },
            offset: u64_at(b, OFFSET_AT)?,
            base: u64_at(b, BASE_AT)?,
            root: u64_at(b, ROOT_AT)?,
            chain: u32_at(b, CHAIN_AT)?,
            section: if flags & CHANGEABLE != 0 {
                Section::Changeable
            } else {
                Section::Constant
            },
            closures: flags & CLOSURES != 0,
            copied: flags & COPIED != 0,
        })
    }

    /// Device and inode alone, without the rest of the entry.
    pub(super) fn file_of(bytes: &[u8]) -> Option<(u64, u64)> {
        Some((u64_at(bytes, DEVICE_AT)?, u64_at(bytes, INODE_AT)?))
    }

    /// The offset alone.
    pub(super) fn offset_of(bytes: &[u8]) -> Option<u64> {
        u64_at(bytes, OFFSET_AT)
    }

    /// Whether the region lies in its section of an image that is mapped at `image_base`, and its root in the
    /// region.
    #[must_use]
    pub fn fits(&self, layout: &Layout, image_base: u64) -> bool {
        let section = match self.section {
            Section::Constant => &layout.constant,
            Section::Changeable => &layout.changeable,
        };
        let size = self.identity.size;
        let end = self.offset.checked_add(size);
        let lies = self.offset.is_multiple_of(PAGE)
            && self.offset >= section.start
            && end.is_some_and(|end| end <= section.end)
            && size > ROOT_SLOT_V2 as u64;
        let inside = self.root.wrapping_sub(image_base).wrapping_sub(self.offset);
        let root = self.root & 1 == 1
            || self.root.is_multiple_of(8)
                && inside > ROOT_SLOT_V2 as u64
                && inside <= size.saturating_sub(8);
        lies && root && self.base.is_multiple_of(8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn entries()(w in any::<[u64; 8]>(), n in any::<[u32; 3]>(), changeable: bool, closures: bool, copied: bool) -> Entry {
            Entry {
                identity: Identity {
                    device: w[0], inode: w[1], size: w[2], modified: w[3] as i64, modified_ns: n[0],
                    changed: w[4] as i64, changed_ns: n[1],
                },
                offset: w[5], base: w[6], root: w[7], chain: n[2],
                section: if changeable { Section::Changeable } else { Section::Constant },
                closures,
                copied,
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: proptest::test_runner::RngSeed::Fixed(15), ..ProptestConfig::default() })]
        #[test]
        fn an_entry_is_read_as_it_was_written(entry in entries()) {
            let bytes = entry.encode();
            prop_assert_eq!(Entry::decode(&bytes), Some(entry));
            prop_assert_eq!(Entry::file_of(&bytes), Some((entry.identity.device, entry.identity.inode)));
            prop_assert_eq!(Entry::offset_of(&bytes), Some(entry.offset));
            prop_assert_eq!(Entry::decode(&bytes[..ENTRY_SIZE - 1]), None);
        }
    }
}
