//! The first page of an image, and where everything lies by it. Sizes of tables and sections are all that stands
//! there; offsets follow from them, so that they cannot contradict each other.

use super::hash::{DIGEST_LEN, Digest, SLOTS_PER, digest, u32_at, u64_at};
use super::root::ROOT_SIZE;
use std::ops::Range;
use thiserror::Error;

/// The first bytes of an image.
pub const MAGIC: [u8; 8] = *b"leanimg\n";
/// The first byte of a file that is not complete.
pub const UNFINISHED: u8 = b'!';
/// The version that is written and read.
pub const VERSION: u32 = 2;
/// Regions begin at multiples of this many bytes, the smallest page of the machines that Lean runs on.
pub const PAGE: u64 = 4096;
/// Bytes of an entry.
pub const ENTRY_SIZE: usize = 80;
/// Sections begin at multiples of this, in the file and in memory: the size of a huge page, so that the system can
/// map whole ones.
pub const SECTION: u64 = 2 << 20;
/// What stands at the mark of validity once everything else has been written.
const VALID: u64 = u64::from_le_bytes(*b"complete");

const MAGIC_AT: usize = 0;
const VERSION_AT: usize = MAGIC_AT + 8;
const PAGE_AT: usize = VERSION_AT + 4;
const SIZE_AT: usize = PAGE_AT + 4;
const BASE_AT: usize = SIZE_AT + 8;
const ENTRIES_AT: usize = BASE_AT + 8;
const CHAIN_WORDS_AT: usize = ENTRIES_AT + 4;
const PATHS_AT: usize = CHAIN_WORDS_AT + 4;
const FLAGS_AT: usize = PATHS_AT + 4;
const PATH_BYTES_AT: usize = FLAGS_AT + 4;
const CONSTANT_START_AT: usize = PATH_BYTES_AT + 8;
const CONSTANT_AT: usize = CONSTANT_START_AT + 8;
const CHANGEABLE_START_AT: usize = CONSTANT_AT + 8;
const CHANGEABLE_AT: usize = CHANGEABLE_START_AT + 8;
const GITHASH_AT: usize = CHANGEABLE_AT + 8;
const LEAN_VERSION_AT: usize = GITHASH_AT + 40;
const BUILT_AT: usize = (LEAN_VERSION_AT + 33).next_multiple_of(8);
const INDEX_DIGEST_AT: usize = BUILT_AT + 8;
const PATHS_DIGEST_AT: usize = INDEX_DIGEST_AT + DIGEST_LEN;
const DIGESTS_DIGEST_AT: usize = PATHS_DIGEST_AT + DIGEST_LEN;
const ROOTS_DIGEST_AT: usize = DIGESTS_DIGEST_AT + DIGEST_LEN;
const HEADER_DIGEST_AT: usize = ROOTS_DIGEST_AT + DIGEST_LEN;
const VALID_AT: usize = HEADER_DIGEST_AT + DIGEST_LEN;
/// Bytes of the header that mean something.
pub const HEADER_END: usize = VALID_AT + 8;
/// Bytes of the header with what fills its page.
pub const HEADER_SIZE: usize = 4096;
const _: () = assert!(HEADER_END == 264 && HEADER_END <= HEADER_SIZE && HEADER_SIZE as u64 == PAGE);

/// No address of a mapped image lies at or above this one: user space ends there.
const ADDRESSES: u64 = 1 << 47;

/// Why a file cannot be used as an image. The texts go behind the file's name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ImageError {
    /// Another kind of file.
    #[error("it is no image: it does not begin with the image's magic")]
    Magic,
    /// Its builder has not come to an end.
    #[error("it was never completed: its builder was interrupted")]
    Unfinished,
    /// Made by another release of this library.
    #[error("it has the image version {0}, and this library reads version {VERSION}")]
    Version(u32),
    /// Made for a machine with other pages.
    #[error("it was built for pages of {image} bytes, and this system has pages of {system}")]
    Page {
        /// Bytes of a page that the image was built for.
        image: u32,
        /// Bytes of a page here.
        system: u64,
    },
    /// Cut off, or with something at its end.
    #[error("it should have {should} bytes and has {has}")]
    Size {
        /// What its header says.
        should: u64,
        /// What the system says.
        has: u64,
    },
    /// The header is damaged.
    #[error("its header is damaged")]
    Header,
    /// A table is damaged.
    #[error("its {0} is damaged")]
    Table(&'static str),
}

/// Sizes of the tables and sections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Entries of the index.
    pub entries: u32,
    /// Words of the chain table.
    pub chain_words: u32,
    /// Paths; an entry has one for each name of its file that the builder met.
    pub paths: u32,
    /// Bytes of all path records.
    pub path_bytes: u64,
    /// Where the constant section begins, a multiple of [`SECTION`] behind the tables.
    pub constant_start: u64,
    /// Bytes of the constant section, a multiple of [`PAGE`].
    pub constant: u64,
    /// Where the changeable section begins, a multiple of [`SECTION`] behind the constant one.
    pub changeable_start: u64,
    /// Bytes of the changeable section, a multiple of [`PAGE`].
    pub changeable: u64,
}

/// Where the tables and sections lie: file offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Entries.
    pub entries: Range<u64>,
    /// Entry numbers by device and inode.
    pub slots: Range<u64>,
    /// The chain table.
    pub chains: Range<u64>,
    /// Copies of roots.
    pub roots: Range<u64>,
    /// Path records by digest.
    pub path_slots: Range<u64>,
    /// Path records.
    pub path_records: Range<u64>,
    /// Digests of sources and regions.
    pub digests: Range<u64>,
    /// The constant section.
    pub constant: Range<u64>,
    /// The changeable section.
    pub changeable: Range<u64>,
}

impl Layout {
    /// The layout of an image with these sizes; `None` if no file can have them.
    #[must_use]
    pub fn of(counts: &Counts) -> Option<Self> {
        let mut at = HEADER_SIZE as u64;
        let mut next = |length: u64, align: u64| -> Option<Range<u64>> {
            let start = at.checked_next_multiple_of(align)?;
            at = start.checked_add(length)?;
            Some(start..at)
        };
        let (entries, paths) = (u64::from(counts.entries), u64::from(counts.paths));
        let slots = u64::from(SLOTS_PER);
        let layout = Layout {
            entries: next(entries * ENTRY_SIZE as u64, 8)?,
            slots: next(entries * slots * 4, 4)?,
            chains: next(u64::from(counts.chain_words) * 4, 4)?,
            roots: next(entries * ROOT_SIZE as u64, ROOT_SIZE as u64)?,
            path_slots: next(paths * slots * 4, 8)?,
            path_records: next(counts.path_bytes, 4)?,
            digests: next(entries * 2 * DIGEST_LEN as u64, 8)?,
            constant: counts.constant_start..counts.constant_start.checked_add(counts.constant)?,
            changeable: counts.changeable_start..counts.changeable_start.checked_add(counts.changeable)?,
        };
        let follow =
            layout.digests.end <= layout.constant.start && layout.constant.end <= layout.changeable.start;
        let whole = [counts.constant, counts.changeable]
            .iter()
            .all(|n| n.is_multiple_of(PAGE))
            && [counts.constant_start, counts.changeable_start]
                .iter()
                .all(|n| n.is_multiple_of(SECTION));
        let slots_fit = entries * slots < u64::from(u32::MAX) && paths * slots < u64::from(u32::MAX);
        (follow && whole && slots_fit && counts.path_bytes < u64::from(u32::MAX)).then_some(layout)
    }

    /// What a loader reads besides the header.
    #[must_use]
    pub fn index(&self) -> Range<u64> {
        self.entries.start..self.chains.end
    }

    /// What a loader reads that trusts paths.
    #[must_use]
    pub fn paths(&self) -> Range<u64> {
        self.path_slots.start..self.path_records.end
    }

    /// Where the tables end.
    #[must_use]
    pub fn tables_end(&self) -> u64 {
        self.digests.end
    }

    /// Bytes of the file: it ends with the last section that holds something.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self.changeable.is_empty() {
            true => self.constant.end,
            false => self.changeable.end,
        }
    }
}

impl Counts {
    /// Where the first section can begin.
    #[must_use]
    pub fn first_section(&self) -> Option<u64> {
        let high = u64::MAX / SECTION * SECTION;
        let tables = Self {
            constant_start: high,
            constant: 0,
            changeable_start: high,
            changeable: 0,
            ..*self
        };
        Layout::of(&tables)?
            .tables_end()
            .checked_next_multiple_of(SECTION)
    }
}

/// What the first page says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The address that file offset 0 is mapped at, a multiple of [`SECTION`].
    pub base: u64,
    /// Sizes of tables and sections.
    pub counts: Counts,
    /// Flags of every region file in it.
    pub flags: u8,
    /// Git hash of every region file in it, zero padded.
    pub githash: [u8; 40],
    /// Version of the Lean that wrote most of them, zero padded.
    pub lean_version: [u8; 33],
    /// When it was built: seconds since 1970.
    pub built: i64,
    /// Digest of the index.
    pub index: Digest,
    /// Digest of the paths.
    pub paths: Digest,
    /// Digest of the digests.
    pub digests: Digest,
    /// Digest of the copies of roots.
    pub roots: Digest,
}

impl Header {
    /// The page of a file that is not complete: the magic is not there yet, nor the mark of validity.
    #[must_use]
    pub fn encode_unfinished(&self) -> [u8; HEADER_SIZE] {
        let mut page = self.encode();
        page[MAGIC_AT] = UNFINISHED;
        page[VALID_AT..VALID_AT + 8].fill(0);
        page
    }

    /// The page of a complete file.
    ///
    /// # Panics
    /// When no file can have such sizes, which [`Layout::of`] tells.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_SIZE] {
        let layout = Layout::of(&self.counts).expect("sizes of a file");
        let mut out = [0; HEADER_SIZE];
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(MAGIC_AT, &MAGIC);
        put(VERSION_AT, &VERSION.to_le_bytes());
        put(PAGE_AT, &(PAGE as u32).to_le_bytes());
        put(SIZE_AT, &layout.size().to_le_bytes());
        put(BASE_AT, &self.base.to_le_bytes());
        put(ENTRIES_AT, &self.counts.entries.to_le_bytes());
        put(CHAIN_WORDS_AT, &self.counts.chain_words.to_le_bytes());
        put(PATHS_AT, &self.counts.paths.to_le_bytes());
        put(FLAGS_AT, &[self.flags]);
        put(PATH_BYTES_AT, &self.counts.path_bytes.to_le_bytes());
        put(CONSTANT_START_AT, &self.counts.constant_start.to_le_bytes());
        put(CONSTANT_AT, &self.counts.constant.to_le_bytes());
        put(CHANGEABLE_START_AT, &self.counts.changeable_start.to_le_bytes());
        put(CHANGEABLE_AT, &self.counts.changeable.to_le_bytes());
        put(GITHASH_AT, &self.githash);
        put(LEAN_VERSION_AT, &self.lean_version);
        put(BUILT_AT, &self.built.to_le_bytes());
        put(INDEX_DIGEST_AT, &self.index);
        put(PATHS_DIGEST_AT, &self.paths);
        put(DIGESTS_DIGEST_AT, &self.digests);
        put(ROOTS_DIGEST_AT, &self.roots);
        put(VALID_AT, &VALID.to_le_bytes());
        let sum = digest(&out[..HEADER_DIGEST_AT]);
        out[HEADER_DIGEST_AT..HEADER_DIGEST_AT + DIGEST_LEN].copy_from_slice(&sum);
        out
    }

    /// Reads the header from the beginning of a file of `size` bytes; at least [`HEADER_END`] bytes of it are needed.
    /// `page` is the size of a page of this system.
    ///
    /// # Errors
    /// [`ImageError`].
    pub fn decode(bytes: &[u8], size: u64, page: u64) -> Result<(Self, Layout), ImageError> {
        if bytes.first() == Some(&UNFINISHED) && bytes.get(1..8) == Some(&MAGIC[1..]) {
            return Err(ImageError::Unfinished);
        }
        if bytes.get(..8) != Some(&MAGIC[..]) {
            return Err(ImageError::Magic);
        }
        let version = u32_at(bytes, VERSION_AT).ok_or(ImageError::Header)?;
        if version != VERSION {
            return Err(ImageError::Version(version));
        }
        Self::fields(bytes)
            .ok_or(ImageError::Header)
            .and_then(|(header, layout, said, image_page)| {
                if u64::from(image_page) != page {
                    return Err(ImageError::Page {
                        image: image_page,
                        system: page,
                    });
                }
                if said != size {
                    return Err(ImageError::Size {
                        should: said,
                        has: size,
                    });
                }
                Ok((header, layout))
            })
    }

    /// The fields, if the digest and the mark of validity are right and they go together.
    fn fields(bytes: &[u8]) -> Option<(Self, Layout, u64, u32)> {
        let array = |at: usize| -> Option<Digest> { Some(*bytes.get(at..)?.first_chunk()?) };
        if array(HEADER_DIGEST_AT)? != digest(bytes.get(..HEADER_DIGEST_AT)?)
            || u64_at(bytes, VALID_AT)? != VALID
        {
            return None;
        }
        let counts = Counts {
            entries: u32_at(bytes, ENTRIES_AT)?,
            chain_words: u32_at(bytes, CHAIN_WORDS_AT)?,
            paths: u32_at(bytes, PATHS_AT)?,
            path_bytes: u64_at(bytes, PATH_BYTES_AT)?,
            constant_start: u64_at(bytes, CONSTANT_START_AT)?,
            constant: u64_at(bytes, CONSTANT_AT)?,
            changeable_start: u64_at(bytes, CHANGEABLE_START_AT)?,
            changeable: u64_at(bytes, CHANGEABLE_AT)?,
        };
        let header = Header {
            base: u64_at(bytes, BASE_AT)?,
            counts,
            flags: *bytes.get(FLAGS_AT)?,
            githash: *bytes.get(GITHASH_AT..)?.first_chunk()?,
            lean_version: *bytes.get(LEAN_VERSION_AT..)?.first_chunk()?,
            built: u64_at(bytes, BUILT_AT)? as i64,
            index: array(INDEX_DIGEST_AT)?,
            paths: array(PATHS_DIGEST_AT)?,
            digests: array(DIGESTS_DIGEST_AT)?,
            roots: array(ROOTS_DIGEST_AT)?,
        };
        let layout = Layout::of(&counts)?;
        let said = u64_at(bytes, SIZE_AT)?;
        let end = header.base.checked_add(layout.size())?;
        let lies = header.base != 0 && header.base.is_multiple_of(SECTION) && end <= ADDRESSES;
        (lies && said == layout.size()).then_some((header, layout, said, u32_at(bytes, PAGE_AT)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn header() -> Header {
        Header {
            base: 0x0900_0000_0000,
            counts: Counts {
                entries: 3,
                chain_words: 5,
                paths: 4,
                path_bytes: 100,
                constant_start: SECTION,
                constant: 5 * PAGE,
                changeable_start: 2 * SECTION,
                changeable: PAGE,
            },
            flags: 1,
            githash: [b'a'; 40],
            lean_version: [b'4'; 33],
            built: 1_700_000_000,
            index: [1; 16],
            paths: [2; 16],
            digests: [3; 16],
            roots: [4; 16],
        }
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let header = header();
        let layout = Layout::of(&header.counts).unwrap();
        let page = header.encode();
        assert_eq!(
            Header::decode(&page, layout.size(), 4096),
            Ok((header, layout.clone()))
        );
        assert_eq!(layout.constant, 2 << 20..(2 << 20) + 5 * PAGE);
        assert_eq!(layout.changeable, 4 << 20..(4 << 20) + PAGE);
        let sizes = ImageError::Size {
            should: layout.size(),
            has: layout.size() - 1,
        };
        assert_eq!(Header::decode(&page, layout.size() - 1, 4096), Err(sizes));
        let pages = ImageError::Page {
            image: 4096,
            system: 16384,
        };
        assert_eq!(Header::decode(&page, layout.size(), 16384), Err(pages));
    }

    #[test]
    fn a_file_under_construction_is_told_from_a_damaged_one() {
        let header = header();
        let size = Layout::of(&header.counts).unwrap().size();
        assert_eq!(
            Header::decode(&header.encode_unfinished(), size, 4096),
            Err(ImageError::Unfinished)
        );
        // The magic is there, the mark is not.
        let mut page = header.encode_unfinished();
        page[0] = MAGIC[0];
        assert_eq!(Header::decode(&page, size, 4096), Err(ImageError::Header));
        assert_eq!(Header::decode(b"olean", 5, 4096), Err(ImageError::Magic));
        assert_eq!(Header::decode(b"", 0, 4096), Err(ImageError::Magic));
        let mut other = header.encode();
        other[VERSION_AT] = 1;
        assert_eq!(Header::decode(&other, size, 4096), Err(ImageError::Version(1)));
    }

    #[test]
    fn every_flip_of_a_bit_in_the_header_is_noticed() {
        let header = header();
        let size = Layout::of(&header.counts).unwrap().size();
        let page = header.encode();
        for bit in 0..HEADER_END * 8 {
            let mut other = page;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&other, size, 4096).is_err(), "bit {bit}");
        }
        for cut in 0..HEADER_END {
            assert!(Header::decode(&page[..cut], size, 4096).is_err(), "cut to {cut}");
        }
    }

    #[test]
    fn sizes_that_no_file_can_have_are_refused() {
        let counts = header().counts;
        for wrong in [
            Counts {
                constant: PAGE + 8,
                ..counts
            },
            Counts {
                constant_start: 0,
                ..counts
            },
            Counts {
                constant_start: SECTION + PAGE,
                ..counts
            },
            Counts {
                changeable_start: SECTION,
                ..counts
            },
            Counts {
                constant: SECTION + PAGE,
                ..counts
            },
            Counts {
                changeable: 1,
                ..counts
            },
            Counts {
                constant: !(PAGE - 1),
                ..counts
            },
            Counts {
                path_bytes: u64::MAX,
                ..counts
            },
            Counts {
                entries: u32::MAX,
                ..counts
            },
            Counts {
                paths: 1 << 31,
                ..counts
            },
        ] {
            assert_eq!(Layout::of(&wrong), None, "{wrong:?}");
        }
    }
}
