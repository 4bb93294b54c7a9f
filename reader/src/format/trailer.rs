//! What follows the data of a version 3 file: closure offsets, library table, and our
//! extension section, which the incumbent's reader never reaches. The decoder borrows from the bytes it is
//! given and allocates nothing, so that a forged count costs nothing.

use super::room::{NoMemory, room};
use thiserror::Error;

/// Bytes before the data of a version 3 file: the 88-byte header and `data_size`.
pub const DATA_OFFSET: u64 = 96;

/// The first bytes of the extension section; its payload's length (u64) and the payload follow, to the end of
/// the file.
pub const EXTENSION_MAGIC: &[u8; 8] = b"LREGEXT1";

/// What is wrong with a trailer. `at` counts bytes from the start of the file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TrailerError {
    /// The file ends inside a field.
    #[error("at file offset {at:#x}: the file ends inside {field}")]
    Truncated {
        /// Where the field begins.
        at: u64,
        /// The field's name.
        field: &'static str,
    },
    /// A count promises more than the file holds.
    #[error("at file offset {at:#x}: {count} {what} do not fit in the {left} bytes that follow")]
    Count {
        /// Where the count stands.
        at: u64,
        /// The count as written.
        count: u64,
        /// What is counted.
        what: &'static str,
        /// Bytes between the count and the end of the file.
        left: u64,
    },
    /// The file has an extension section, but not where the library table ends.
    #[error("at file offset {at:#x}: the library table does not end where the extension section begins")]
    Misplaced {
        /// Where the library table ends.
        at: u64,
    },
    /// The extension section does not end where the file ends.
    #[error("at file offset {at:#x}: the extension section claims {length} bytes, {left} follow")]
    Extension {
        /// Where the length stands.
        at: u64,
        /// The length as written.
        length: u64,
        /// Bytes between the length and the end of the file.
        left: u64,
    },
}

/// One entry of the library table, borrowed from the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavedLibrary<'a> {
    /// The library's load bias in the process that saved (`dlpi_addr`).
    pub base: u64,
    /// Its name there (`dlpi_name`), byte for byte; empty for the main program.
    pub id: &'a [u8],
}

/// A decoded trailer, borrowed from the bytes of a file.
#[derive(Debug, Clone, Copy)]
pub struct Trailer<'a> {
    closures: &'a [[u8; 8]],
    libraries: &'a [u8],
    library_count: u32,
    extension: Option<&'a [u8]>,
    sections: &'a [u8],
    closures_at: u64,
}

/// The number of closure offsets, which stands first in a trailer. `bytes` is what follows the data and `at`
/// its offset in the file.
///
/// # Errors
/// When there are not even four bytes.
pub fn closure_count(bytes: &[u8], at: u64) -> Result<u32, TrailerError> {
    let mut rest = Cursor { bytes, at };
    rest.u32("the number of closures")
}

/// Whether `bytes`, which end with the file, end with an extension section, wherever it begins.
#[must_use]
pub fn ends_with_extension(bytes: &[u8]) -> bool {
    let fixed = EXTENSION_MAGIC.len() + 8;
    // Behind no closures and no libraries it begins at once.
    if let Some(section) = bytes.get(8..8 + fixed)
        && section[..EXTENSION_MAGIC.len()] == *EXTENSION_MAGIC
        && section[EXTENSION_MAGIC.len()..] == ((bytes.len() - 8 - fixed) as u64).to_le_bytes()
    {
        return true;
    }
    let is_section = |(at, head): (usize, &[u8])| {
        let (magic, length) = head.split_at(EXTENSION_MAGIC.len());
        magic == EXTENSION_MAGIC && length == ((bytes.len() - at - fixed) as u64).to_le_bytes()
    };
    bytes.windows(fixed).enumerate().any(is_section)
}

impl<'a> Trailer<'a> {
    /// Decodes all sections of `bytes`, which is what follows the data up to the end of the file; `at` is its
    /// offset in the file and only appears in errors. Bytes after the library table that are no extension
    /// section are ignored, as the incumbent ignores them.
    ///
    /// # Errors
    /// When a count or length leads beyond the end of the file.
    pub fn parse(bytes: &'a [u8], at: u64) -> Result<Self, TrailerError> {
        let mut rest = Cursor { bytes, at };
        let count = rest.u32("the number of closures")?;
        let closures_at = rest.at;
        let left = rest.bytes.len() as u64;
        let closures = match usize::try_from(count).ok().and_then(|n| n.checked_mul(8)) {
            Some(length) if length <= rest.bytes.len() => rest.take(length, "the closure offsets")?,
            _ => {
                return Err(TrailerError::Count {
                    at,
                    count: count.into(),
                    what: "closure offsets",
                    left,
                });
            }
        };
        let (closures, _) = closures.as_chunks::<8>();

        let count_at = rest.at;
        let library_count = rest.u32("the number of libraries")?;
        let left = rest.bytes.len() as u64;
        if u64::from(library_count) * 12 > left {
            let count = library_count.into();
            return Err(TrailerError::Count {
                at: count_at,
                count,
                what: "libraries",
                left,
            });
        }
        let table = rest.bytes;
        for _ in 0..library_count {
            rest.library()?;
        }
        let libraries = &table[..table.len() - rest.bytes.len()];
        let sections = &bytes[..bytes.len() - rest.bytes.len()];
        let extension = rest.extension()?;
        Ok(Self {
            closures,
            libraries,
            library_count,
            extension,
            sections,
            closures_at,
        })
    }

    /// The bytes of the incumbent's sections: closure offsets and library table with their counts.
    #[must_use]
    pub fn sections(&self) -> &'a [u8] {
        self.sections
    }

    /// The offsets of the closures' `m_fun` fields, counted from the start of the data.
    pub fn closures(&self) -> impl ExactSizeIterator<Item = u64> + Clone + use<'a> {
        self.closures.iter().map(|b| u64::from_le_bytes(*b))
    }

    /// Where in the file the `index`-th closure offset stands, for error texts.
    #[must_use]
    pub fn closure_at(&self, index: usize) -> u64 {
        self.closures_at + 8 * index as u64
    }

    /// Number of entries of the library table; at most one per 12 bytes of the file.
    #[must_use]
    pub fn library_count(&self) -> usize {
        self.library_count as usize
    }

    /// The entries of the library table in the file's order.
    pub fn libraries(&self) -> impl Iterator<Item = SavedLibrary<'a>> + use<'a> {
        let mut rest = Cursor {
            bytes: self.libraries,
            at: 0,
        };
        // `parse` has walked the same bytes to their end, so an error is the end.
        std::iter::from_fn(move || rest.library().ok())
    }

    /// The payload of the extension section, when the file has one.
    #[must_use]
    pub fn extension(&self) -> Option<&'a [u8]> {
        self.extension
    }
}

/// The bytes not decoded yet, and the file offset of the first of them.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: u64,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize, field: &'static str) -> Result<&'a [u8], TrailerError> {
        let (head, tail) = self
            .bytes
            .split_at_checked(n)
            .ok_or(TrailerError::Truncated { at: self.at, field })?;
        self.bytes = tail;
        self.at += n as u64;
        Ok(head)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], TrailerError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N, field)?);
        Ok(out)
    }

    fn u32(&mut self, field: &'static str) -> Result<u32, TrailerError> {
        self.array(field).map(u32::from_le_bytes)
    }

    fn u64(&mut self, field: &'static str) -> Result<u64, TrailerError> {
        self.array(field).map(u64::from_le_bytes)
    }

    fn library(&mut self) -> Result<SavedLibrary<'a>, TrailerError> {
        let base = self.u64("a library's base address")?;
        let length = self.u32("the length of a library's id")?;
        let id = self.take(usize::try_from(length).unwrap_or(usize::MAX), "a library's id")?;
        Ok(SavedLibrary { base, id })
    }

    fn extension(&mut self) -> Result<Option<&'a [u8]>, TrailerError> {
        let common = self.bytes.len().min(EXTENSION_MAGIC.len());
        if common == 0 || self.bytes[..common] != EXTENSION_MAGIC[..common] {
            return match ends_with_extension(self.bytes) {
                true => Err(TrailerError::Misplaced { at: self.at }),
                false => Ok(None),
            };
        }
        self.take(EXTENSION_MAGIC.len(), "the extension section's magic")?;
        let at = self.at;
        let length = self.u64("the length of the extension section")?;
        let left = self.bytes.len() as u64;
        if length != left {
            return Err(TrailerError::Extension { at, length, left });
        }
        Ok(Some(self.bytes))
    }
}

/// A trailer to be written.
#[derive(Debug, Clone, Copy)]
pub struct NewTrailer<'a> {
    /// Offsets of the `m_fun` fields from the start of the data.
    pub closures: &'a [u64],
    /// The libraries in use, by ascending base.
    pub libraries: &'a [SavedLibrary<'a>],
}

impl NewTrailer<'_> {
    /// Bytes of the library table, its count included.
    fn table_len(&self) -> usize {
        4 + self.libraries.iter().map(|l| 12 + l.id.len()).sum::<usize>()
    }

    /// The incumbent's sections, which follow the data in the file. `None` when a count or length needs more
    /// than 32 bits.
    ///
    /// # Errors
    /// There is no memory for them.
    pub fn encode(&self) -> Result<Option<Vec<u8>>, NoMemory> {
        let size = 4 + 8 * self.closures.len() + self.table_len();
        Ok(self.encode_into(room(size, "the trailer")?))
    }

    fn encode_into(&self, mut out: Vec<u8>) -> Option<Vec<u8>> {
        out.extend(u32::try_from(self.closures.len()).ok()?.to_le_bytes());
        for offset in self.closures {
            out.extend(offset.to_le_bytes());
        }
        out.extend(u32::try_from(self.libraries.len()).ok()?.to_le_bytes());
        for library in self.libraries {
            out.extend(library.base.to_le_bytes());
            out.extend(u32::try_from(library.id.len()).ok()?.to_le_bytes());
            out.extend(library.id);
        }
        Some(out)
    }

    /// Bytes to keep free in the shared buffer behind the data, so that a following part cannot overlap: the
    /// incumbent's three reservations, each rounded up to 8, and `extension` more, the
    /// size of the extension section.
    ///
    /// Parts begin at multiples of 64 KiB. A following part therefore lies where the incumbent would put it
    /// unless the extension section itself crosses such boundaries; then it lies a step further for each. Readers take
    /// the address from the part's own header either way.
    #[must_use]
    pub fn reserved(&self, extension: usize) -> usize {
        let round = |n: usize| n.next_multiple_of(8);
        8 + 8 * self.closures.len() + round(self.table_len()) + round(extension)
    }
}

/// The extension section with this payload.
#[must_use]
pub fn extension_section(payload: &[u8]) -> Vec<u8> {
    let mut out = EXTENSION_MAGIC.to_vec();
    out.extend((payload.len() as u64).to_le_bytes());
    out.extend(payload);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Vec<u8> {
        let libraries = [
            SavedLibrary {
                base: 0x5555_0000,
                id: b"",
            },
            SavedLibrary {
                base: 0x7f00_0000_0000,
                id: b"/lib/a.so",
            },
        ];
        let new = NewTrailer {
            closures: &[16, 40, 64],
            libraries: &libraries,
        };
        let mut bytes = new.encode().unwrap().unwrap();
        bytes.extend(extension_section(b"payload"));
        bytes
    }

    #[test]
    fn what_is_written_is_read_back() {
        let bytes = sample();
        assert_eq!(bytes.len(), 4 + 24 + 4 + 12 + 12 + 9 + 16 + 7);
        let trailer = Trailer::parse(&bytes, 1000).unwrap();
        assert_eq!(trailer.closures().collect::<Vec<_>>(), [16, 40, 64]);
        assert_eq!(trailer.closure_at(2), 1020);
        assert_eq!(trailer.library_count(), 2);
        let ids: Vec<_> = trailer.libraries().map(|l| (l.base, l.id)).collect();
        assert_eq!(ids, [(0x5555_0000, &b""[..]), (0x7f00_0000_0000, b"/lib/a.so")]);
        assert_eq!(trailer.extension(), Some(&b"payload"[..]));
        assert_eq!(trailer.sections(), &bytes[..bytes.len() - 16 - 7]);
    }

    #[test]
    fn nothing_saved_is_eight_zero_bytes() {
        let empty = NewTrailer {
            closures: &[],
            libraries: &[],
        };
        assert_eq!(empty.encode().unwrap().unwrap(), [0; 8]);
        assert_eq!(empty.reserved(0), 16);
        let trailer = Trailer::parse(&[0; 8], 0).unwrap();
        assert_eq!(
            (
                trailer.closures().len(),
                trailer.library_count(),
                trailer.extension()
            ),
            (0, 0, None)
        );
    }

    #[test]
    fn every_cut_but_the_one_after_the_table_is_noticed() {
        let bytes = sample();
        let table_end = bytes.len() - 16 - 7;
        for n in 0..bytes.len() {
            let result = Trailer::parse(&bytes[..n], 0);
            assert_eq!(result.is_ok(), n == table_end, "cut to {n} bytes: {result:?}");
        }
    }

    #[test]
    fn forged_counts_are_refused() {
        let bytes = sample();
        for (at, what) in [(0, "closure offsets"), (28, "libraries")] {
            for forged in [u32::MAX, 0x2000_0000, 1000] {
                let mut bytes = bytes.clone();
                bytes[at..at + 4].copy_from_slice(&forged.to_le_bytes());
                let error = Trailer::parse(&bytes, 96).unwrap_err();
                let left = (bytes.len() - at - 4) as u64;
                assert_eq!(
                    error,
                    TrailerError::Count {
                        at: 96 + at as u64,
                        count: forged.into(),
                        what,
                        left
                    }
                );
            }
        }
        let mut length = bytes.clone();
        length[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(
            Trailer::parse(&length, 0),
            Err(TrailerError::Truncated { at: 44, .. })
        ));
        let mut extension = bytes.clone();
        let at = bytes.len() - 15;
        extension[at..at + 8].copy_from_slice(&6u64.to_le_bytes());
        assert!(matches!(
            Trailer::parse(&extension, 0),
            Err(TrailerError::Extension { length: 6, .. })
        ));
    }

    #[test]
    fn an_extension_section_is_found_from_the_end() {
        let bytes = sample();
        assert!(ends_with_extension(&bytes));
        assert!(!ends_with_extension(&bytes[..bytes.len() - 1]));
        assert!(!ends_with_extension(&bytes[..bytes.len() - 16 - 7]));
        assert!(!ends_with_extension(&[]));
    }

    #[test]
    fn a_table_that_ends_elsewhere_than_written_is_noticed() {
        let mut bytes = sample();
        let length = bytes.len() - 16 - 7 - 9 - 4;
        bytes[length] = 3;
        let at = length as u64 + 7;
        assert_eq!(
            Trailer::parse(&bytes, 0).unwrap_err(),
            TrailerError::Misplaced { at }
        );
    }

    #[test]
    fn the_number_of_closures_is_read_alone() {
        assert_eq!(closure_count(&sample(), 96), Ok(3));
        let field = "the number of closures";
        assert_eq!(
            closure_count(&[0; 3], 96),
            Err(TrailerError::Truncated { at: 96, field })
        );
        // Nothing saved, and the section at once.
        let bytes = [&[0; 8][..], &extension_section(b"payload")].concat();
        assert!(ends_with_extension(&bytes) && !ends_with_extension(&bytes[..bytes.len() - 1]));
    }

    #[test]
    fn foreign_bytes_after_the_table_are_ignored() {
        let mut bytes = vec![0; 8];
        bytes.extend(b"OTHEREXT something");
        assert_eq!(Trailer::parse(&bytes, 0).unwrap().extension(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), small in 0u8..4) {
            let mut bytes = bytes;
            if bytes.len() > 4 {
                bytes[..4].copy_from_slice(&[small, 0, 0, 0]);
            }
            if let Ok(trailer) = Trailer::parse(&bytes, 0) {
                let used: usize = trailer.libraries().map(|l| 12 + l.id.len()).sum();
                prop_assert_eq!(trailer.libraries().count(), trailer.library_count());
                prop_assert!(8 + 8 * trailer.closures().len() + used <= bytes.len());
            }
        }
    }
}
