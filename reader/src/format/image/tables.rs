//! The tables of an image, read where they lie. Every look-up checks its bounds, so damaged tables lead to other
//! answers at worst.

use super::entry::{Entry, LISTED};
use super::hash::{DIGEST_LEN, Digest, EMPTY, SLOTS_PER, digest, file_slot, path_slot, u32_at};
use super::header::ENTRY_SIZE;
use super::header::{Header, ImageError, Layout};
use super::root::{ROOT_SIZE, RootCopy};
use crate::format::identity::Identity;
use std::ops::Range;

/// The tables of an image, borrowed from its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Tables<'a> {
    header: &'a Header,
    layout: &'a Layout,
    entries: &'a [u8],
    slots: &'a [u8],
    chains: &'a [u8],
    roots: &'a [u8],
    path_slots: &'a [u8],
    path_records: &'a [u8],
    digests: &'a [u8],
    index: &'a [u8],
    paths: &'a [u8],
}

/// What the index knows of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Absent,
    /// The file of this entry was another one when the image was built, in some respect.
    Stale(u32),
    /// This entry is that of the very file.
    Same(u32, Entry),
}

/// The dependencies of a region: ascending ranges of entries.
#[derive(Debug, Clone)]
pub struct Chain<'a> {
    first: Option<Range<u32>>,
    listed: &'a [u8],
}

impl Iterator for Chain<'_> {
    type Item = Range<u32>;

    fn next(&mut self) -> Option<Range<u32>> {
        self.first.take().or_else(|| {
            let (start, length) = (u32_at(self.listed, 0)?, u32_at(self.listed, 4)?);
            self.listed = &self.listed[8..];
            // `Tables::chain` has added the same numbers.
            Some(start..start + length)
        })
    }
}

impl<'a> Tables<'a> {
    /// The tables in `bytes`, which begin where the file does and reach at least to the end of its tables.
    ///
    /// # Errors
    /// There are fewer bytes.
    pub fn new(header: &'a Header, layout: &'a Layout, bytes: &'a [u8]) -> Result<Self, ImageError> {
        let part = |range: &Range<u64>| {
            let range = usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?;
            bytes.get(range)
        };
        let tables = || {
            Some(Tables {
                header,
                layout,
                entries: part(&layout.entries)?,
                slots: part(&layout.slots)?,
                chains: part(&layout.chains)?,
                roots: part(&layout.roots)?,
                path_slots: part(&layout.path_slots)?,
                path_records: part(&layout.path_records)?,
                digests: part(&layout.digests)?,
                index: part(&layout.index())?,
                paths: part(&layout.paths())?,
            })
        };
        tables().ok_or(ImageError::Size {
            should: layout.size(),
            has: bytes.len() as u64,
        })
    }

    /// Whether the index is what was written.
    ///
    /// # Errors
    /// It is not.
    pub fn check_index(&self) -> Result<(), ImageError> {
        (digest(self.index) == self.header.index)
            .then_some(())
            .ok_or(ImageError::Table("index"))
    }

    /// Whether the copies of roots are what was written.
    ///
    /// # Errors
    /// They are not.
    pub fn check_roots(&self) -> Result<(), ImageError> {
        (digest(self.roots) == self.header.roots)
            .then_some(())
            .ok_or(ImageError::Table("table of roots"))
    }

    /// Whether the paths are what was written.
    ///
    /// # Errors
    /// They are not.
    pub fn check_paths(&self) -> Result<(), ImageError> {
        (digest(self.paths) == self.header.paths)
            .then_some(())
            .ok_or(ImageError::Table("table of paths"))
    }

    /// Whether the digests are what was written.
    ///
    /// # Errors
    /// They are not.
    pub fn check_digests(&self) -> Result<(), ImageError> {
        (digest(self.digests) == self.header.digests)
            .then_some(())
            .ok_or(ImageError::Table("table of digests"))
    }

    /// The header that these tables belong to.
    #[must_use]
    pub fn header(&self) -> &'a Header {
        self.header
    }

    /// Where everything lies.
    #[must_use]
    pub fn layout(&self) -> &'a Layout {
        self.layout
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.header.counts.entries
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn entry_bytes(&self, index: u32) -> Option<&'a [u8]> {
        let at = (index as usize).checked_mul(ENTRY_SIZE)?;
        self.entries.get(at..at + ENTRY_SIZE)
    }

    /// An entry whose region and root lie where they can; `None` if there is none of this number, or a damaged one.
    #[must_use]
    pub fn entry(&self, index: u32) -> Option<Entry> {
        Entry::decode(self.entry_bytes(index)?).filter(|e| e.fits(self.layout, self.header.base))
    }

    /// The entry of the file `now`.
    #[must_use]
    pub fn find(&self, now: &Identity) -> Found {
        let slots = self.header.counts.entries * SLOTS_PER;
        let found = probe(
            self.slots,
            file_slot(now.device, now.inode, slots),
            slots,
            |index| self.entry_bytes(index).and_then(Entry::file_of) == Some((now.device, now.inode)),
        );
        match found.map(|index| (index, self.entry(index))) {
            Some((index, Some(entry))) if entry.identity == *now => Found::Same(index, entry),
            Some((index, Some(_))) => Found::Stale(index),
            Some((_, None)) | None => Found::Absent,
        }
    }

    /// The entry of the file with this absolute path.
    #[must_use]
    pub fn find_path(&self, path: &[u8]) -> Option<(u32, Entry)> {
        let slots = self.header.counts.paths * SLOTS_PER;
        let at = probe(self.path_slots, path_slot(path, slots), slots, |at| {
            self.path_record(at).is_some_and(|(_, p)| p == path)
        })?;
        let (index, _) = self.path_record(at)?;
        Some((index, self.entry(index)?))
    }

    /// Entry and path of the record at offset `at` of the records.
    fn path_record(&self, at: u32) -> Option<(u32, &'a [u8])> {
        let record = self.path_records.get(at as usize..)?;
        let length = u32_at(record, 4)? as usize;
        Some((u32_at(record, 0)?, record.get(8..8_usize.checked_add(length)?)?))
    }

    /// All paths with the numbers of their entries, those of one entry in the order the builder met them.
    pub fn all_paths(&self) -> impl Iterator<Item = (u32, &'a [u8])> + use<'a> {
        let tables = *self;
        let mut at = 0u32;
        std::iter::from_fn(move || {
            let record = tables.path_record(at)?;
            at = at.checked_add(u32::try_from(record_size(record.1)).ok()?)?;
            Some(record)
        })
    }

    /// The dependencies of the entry `index`; `None` if the table is damaged there.
    #[must_use]
    pub fn chain(&self, index: u32, entry: &Entry) -> Option<Chain<'a>> {
        if entry.chain & LISTED == 0 {
            let before = index.checked_sub(entry.chain)?..index;
            return Some(Chain {
                first: (!before.is_empty()).then_some(before),
                listed: &[],
            });
        }
        let at = ((entry.chain & !LISTED) as usize).checked_mul(4)?;
        let count = u32_at(self.chains, at)? as usize;
        let listed = self.chains.get(at + 4..)?.get(..count.checked_mul(8)?)?;
        let mut end = 0;
        for range in listed.as_chunks::<8>().0 {
            let (start, length) = (u32_at(range, 0)?, u32_at(range, 4)?);
            if start < end {
                return None;
            }
            end = start.checked_add(length).filter(|&end| end <= self.len())?;
        }
        Some(Chain { first: None, listed })
    }

    /// Where the region of an entry begins, without a look at the rest of the entry.
    #[must_use]
    pub fn offset(&self, index: u32) -> Option<u64> {
        Entry::offset_of(self.entry_bytes(index)?)
    }

    /// The entry whose region begins at `offset`.
    #[must_use]
    pub fn at_offset(&self, offset: u64) -> Option<u32> {
        let (chunks, _) = self.entries.as_chunks::<ENTRY_SIZE>();
        let found = chunks.binary_search_by_key(&Some(offset), |bytes| Entry::offset_of(bytes));
        found.ok().map(|i| i as u32)
    }

    /// The copy of an entry's root, if it has one.
    #[must_use]
    pub fn root_copy(&self, index: u32, entry: &Entry) -> Option<&'a RootCopy> {
        let at = (index as usize).checked_mul(ROOT_SIZE)?;
        self.roots.get(at..)?.first_chunk().filter(|_| entry.copied)
    }

    /// The root that a reader of an entry is given: the address of its copy, or what the entry says.
    #[must_use]
    pub fn root(&self, index: u32, entry: &Entry) -> u64 {
        match self.root_copy(index, entry) {
            Some(_) => self.header.base + self.layout.roots.start + u64::from(index) * ROOT_SIZE as u64,
            None => entry.root,
        }
    }

    /// The digests of an entry's source file and of its region in the image.
    #[must_use]
    pub fn digests(&self, index: u32) -> Option<(Digest, Digest)> {
        let at = (index as usize).checked_mul(2 * DIGEST_LEN)?;
        let both: &[u8; 2 * DIGEST_LEN] = self.digests.get(at..)?.first_chunk()?;
        let (source, region) = both.split_at(DIGEST_LEN);
        Some((source.try_into().ok()?, region.try_into().ok()?))
    }
}

/// Bytes of the record of a path: entry, length, path, up to a multiple of 4.
pub(super) fn record_size(path: &[u8]) -> usize {
    (8 + path.len()).next_multiple_of(4)
}

/// Goes through `slots` from slot `first` on; what stands in the first that `is_it` likes.
fn probe(slots: &[u8], first: u32, count: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
    let mut slot = first;
    for _ in 0..count {
        match u32_at(slots, slot as usize * 4)? {
            EMPTY => return None,
            value if is_it(value) => return Some(value),
            _ => slot = if slot + 1 == count { 0 } else { slot + 1 },
        }
    }
    None
}
