//! The payload of the extension section of a version 3 file: records that name themselves, so that a reader
//! skips what it does not know: what each library of the library table is beyond its path, a digest of the sections
//! before, and which files the regions came from that the file depends on.
//!
//! Layout, little endian: records of `u32 kind, u32 length, length bytes`. Record 1 holds for each library
//! of the table, in its order, `u8 scheme, u32 length, length bytes`: scheme 1 is the GNU build id; scheme 2 a
//! 32-byte digest followed by the offsets (u64 each, from the library's base) of the functions whose code went
//! into it. Record 2 is a 16-byte digest (BLAKE2b) of the closure offsets and the library table, counts
//! included, as they stand in the file. Record 3 is that of [`super::dependencies`].

use super::dependencies::DependencyRecord;
use std::collections::TryReserveError;
use std::fmt;
use thiserror::Error;

/// Kind of the record that holds the identities of the libraries.
const RECORD_LIBRARIES: u32 = 1;
/// Kind of the record that holds the digest of the sections before.
const RECORD_SECTIONS: u32 = 2;
/// Kind of the record that names the files which the regions came from.
const RECORD_DEPENDENCIES: u32 = 3;
/// At most this many functions of a library go into its digest, so that the cost stays bounded.
pub const MAX_SAMPLES: usize = 64;
/// Bytes of a digest (BLAKE2b).
pub const DIGEST_LEN: usize = 32;
/// A digest of the closure offsets and the library table.
pub type SectionsDigest = [u8; 16];
/// Longest build id that is accepted; linkers write 8 to 32 bytes.
const MAX_BUILD_ID: usize = 64;

/// What a library is, wherever it was loaded from and at whatever address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LibraryIdentity {
    /// The descriptor of the library's `NT_GNU_BUILD_ID` note.
    BuildId(Vec<u8>),
    /// For a library without that note.
    Sampled {
        /// Digest of program headers, dynamic section and the code at `functions`.
        digest: [u8; DIGEST_LEN],
        /// Where code was sampled: offsets from the library's base, ascending, at most [`MAX_SAMPLES`].
        functions: Vec<u64>,
    },
}

impl fmt::Display for LibraryIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, bytes) = match self {
            Self::BuildId(id) => ("build id", &id[..]),
            // Half of the digest tells two libraries apart in an error text.
            Self::Sampled { digest, .. } => ("digest", &digest[..DIGEST_LEN / 2]),
        };
        write!(f, "{name} ")?;
        bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// What is wrong with the payload of an extension section.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExtensionError {
    /// A record or an identity reaches beyond its end.
    #[error("the extension section is cut off at byte {0} of its payload")]
    Truncated(usize),
    /// The digest of the sections has another length.
    #[error("the extension section holds a digest of {0} bytes, which should have 16")]
    Digest(usize),
    /// The numbers of identities and of libraries differ.
    #[error("the extension section holds {identities} library identities for {libraries} libraries")]
    Count {
        /// Identities in the record (counted no further than one too many).
        identities: usize,
        /// Entries of the library table.
        libraries: usize,
    },
    /// An identity is of a kind that this version does not know.
    #[error("library {index} is identified by scheme {scheme}, which this version does not know")]
    Scheme {
        /// Place in the library table.
        index: usize,
        /// The scheme's number.
        scheme: u8,
    },
    /// The record of dependencies does not hold what it should.
    #[error("the record of dependencies in the extension section is malformed")]
    Dependencies,
    /// An identity is not what its scheme demands.
    #[error("the identity of library {0} is malformed")]
    Malformed(usize),
}

/// What the extension section of a file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extension {
    /// The identities of the libraries, in the order of the library table.
    pub identities: Option<Vec<LibraryIdentity>>,
    /// The digest of the sections before it.
    pub sections: Option<SectionsDigest>,
}

/// The payload for the identities of a library table, in its order, and the digest of the sections before.
#[must_use]
pub fn encode(identities: &[LibraryIdentity], sections: &SectionsDigest) -> Vec<u8> {
    let mut libraries = Vec::new();
    for identity in identities {
        let (scheme, bytes) = match identity {
            LibraryIdentity::BuildId(id) => (1u8, id.clone()),
            LibraryIdentity::Sampled { digest, functions } => {
                let offsets = functions.iter().flat_map(|f| f.to_le_bytes());
                (2, digest.iter().copied().chain(offsets).collect())
            }
        };
        libraries.push(scheme);
        // An identity has at most 64 or 32 + 8 * 64 bytes.
        libraries.extend((bytes.len() as u32).to_le_bytes());
        libraries.extend(bytes);
    }
    let mut out = Vec::with_capacity(libraries.len() + sections.len() + 16);
    for (kind, record) in [(RECORD_LIBRARIES, &libraries[..]), (RECORD_SECTIONS, sections)] {
        out.extend(kind.to_le_bytes());
        out.extend((record.len() as u32).to_le_bytes());
        out.extend(record);
    }
    out
}

/// Adds the record of dependencies to a payload. None is added if it has more than 32 bits of length.
///
/// # Errors
/// When there is no memory for it.
pub fn push_dependencies(payload: &mut Vec<u8>, record: &[u8]) -> Result<(), TryReserveError> {
    let Ok(length) = u32::try_from(record.len()) else {
        return Ok(());
    };
    payload.try_reserve_exact(8 + record.len())?;
    payload.extend(RECORD_DEPENDENCIES.to_le_bytes());
    payload.extend(length.to_le_bytes());
    payload.extend(record);
    Ok(())
}

/// The record of dependencies in `payload`, if it has one.
///
/// # Errors
/// When the payload is cut off, or the record is none.
pub fn dependencies(payload: &[u8]) -> Result<Option<DependencyRecord<'_>>, ExtensionError> {
    let mut rest = payload;
    while !rest.is_empty() {
        let at = payload.len() - rest.len();
        let (kind, record) = take_sized(&mut rest, 4).ok_or(ExtensionError::Truncated(at))?;
        if kind == RECORD_DEPENDENCIES {
            let record = DependencyRecord::parse(record).ok_or(ExtensionError::Dependencies)?;
            return Ok(Some(record));
        }
    }
    Ok(None)
}

/// What `payload` says about a table of `libraries` entries.
///
/// # Errors
/// When the payload is cut off, its identities are not one per library, or a record is unknown inside or
/// malformed.
pub fn decode(payload: &[u8], libraries: usize) -> Result<Extension, ExtensionError> {
    let mut extension = Extension::default();
    let mut rest = payload;
    while !rest.is_empty() {
        let at = payload.len() - rest.len();
        let (kind, record) = take_sized(&mut rest, 4).ok_or(ExtensionError::Truncated(at))?;
        let record_at = payload.len() - rest.len() - record.len();
        match kind {
            RECORD_LIBRARIES => {
                extension.identities = Some(decode_libraries(record, record_at, libraries)?);
            }
            RECORD_SECTIONS => {
                let digest = record
                    .try_into()
                    .map_err(|_| ExtensionError::Digest(record.len()))?;
                extension.sections = Some(digest);
            }
            _ => {}
        }
    }
    Ok(extension)
}

/// Takes a number of `width` bytes, a u32 length, and that many bytes off the front of `rest`.
fn take_sized<'a>(rest: &mut &'a [u8], width: usize) -> Option<(u32, &'a [u8])> {
    let (number, tail) = rest.split_at_checked(width)?;
    let (length, tail) = tail.split_first_chunk::<4>()?;
    let (bytes, tail) = tail.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *rest = tail;
    let mut wide = [0; 4];
    wide[..width].copy_from_slice(number);
    Some((u32::from_le_bytes(wide), bytes))
}

fn decode_libraries(
    record: &[u8],
    record_at: usize,
    libraries: usize,
) -> Result<Vec<LibraryIdentity>, ExtensionError> {
    let mut identities = Vec::new();
    let mut rest = record;
    while !rest.is_empty() && identities.len() < libraries {
        let index = identities.len();
        let at = record_at + record.len() - rest.len();
        let (scheme, bytes) = take_sized(&mut rest, 1).ok_or(ExtensionError::Truncated(at))?;
        identities.push(match scheme {
            1 if (1..=MAX_BUILD_ID).contains(&bytes.len()) => LibraryIdentity::BuildId(bytes.to_vec()),
            2 => decode_sampled(bytes).ok_or(ExtensionError::Malformed(index))?,
            1 => return Err(ExtensionError::Malformed(index)),
            // `take_sized` was asked for one byte.
            other => {
                return Err(ExtensionError::Scheme {
                    index,
                    scheme: other as u8,
                });
            }
        });
    }
    let found = identities.len() + usize::from(!rest.is_empty());
    if found != libraries {
        return Err(ExtensionError::Count {
            identities: found,
            libraries,
        });
    }
    Ok(identities)
}

fn decode_sampled(bytes: &[u8]) -> Option<LibraryIdentity> {
    let (digest, offsets) = bytes.split_first_chunk::<DIGEST_LEN>()?;
    let (offsets, tail) = offsets.as_chunks::<8>();
    let functions: Vec<u64> = offsets
        .iter()
        .take(MAX_SAMPLES + 1)
        .map(|o| u64::from_le_bytes(*o))
        .collect();
    let fits = tail.is_empty() && functions.len() <= MAX_SAMPLES && functions.is_sorted_by(|a, b| a < b);
    fits.then_some(LibraryIdentity::Sampled {
        digest: *digest,
        functions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identities() -> Vec<LibraryIdentity> {
        vec![
            LibraryIdentity::BuildId(vec![0xab; 20]),
            LibraryIdentity::Sampled {
                digest: [7; 32],
                functions: vec![16, 4096, 1 << 40],
            },
            LibraryIdentity::Sampled {
                digest: [9; 32],
                functions: vec![],
            },
        ]
    }

    fn encoded(identities: &[LibraryIdentity]) -> Vec<u8> {
        encode(identities, &[0x11; 16])
    }

    fn expected() -> Result<Extension, ExtensionError> {
        Ok(Extension {
            identities: Some(identities()),
            sections: Some([0x11; 16]),
        })
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(decode(&encoded(&identities()), 3), expected());
        assert_eq!(decode(&[], 3), Ok(Extension::default()));
    }

    #[test]
    fn unknown_records_are_skipped() {
        let mut payload = Vec::new();
        payload.extend(77u32.to_le_bytes());
        payload.extend(3u32.to_le_bytes());
        payload.extend(b"abc");
        assert_eq!(decode(&payload, 1), Ok(Extension::default()));
        payload.extend(encoded(&identities()));
        assert_eq!(decode(&payload, 3), expected());
    }

    #[test]
    fn every_cut_inside_a_record_is_refused() {
        let payload = encoded(&identities());
        let second = payload.len() - 24;
        for n in 1..payload.len() {
            assert_eq!(decode(&payload[..n], 3).is_err(), n != second, "cut to {n} bytes");
        }
    }

    #[test]
    fn a_wrong_number_of_identities_is_refused() {
        let payload = encoded(&identities());
        let count = |identities, libraries| {
            Err(ExtensionError::Count {
                identities,
                libraries,
            })
        };
        assert_eq!(decode(&payload, 2), count(3, 2));
        assert_eq!(decode(&payload, 4), count(3, 4));
        assert_eq!(decode(&payload, 0), count(1, 0));
    }

    #[test]
    fn altered_records_are_refused() {
        let payload = encoded(&identities());
        let mut scheme = payload.clone();
        scheme[8] = 9;
        assert_eq!(
            decode(&scheme, 3),
            Err(ExtensionError::Scheme { index: 0, scheme: 9 })
        );
        let mut empty = encoded(&[LibraryIdentity::BuildId(vec![])]);
        assert_eq!(decode(&empty, 1), Err(ExtensionError::Malformed(0)));
        empty[9..13].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(decode(&empty, 1), Err(ExtensionError::Truncated(8)));
        let sampled = |functions| LibraryIdentity::Sampled {
            digest: [0; 32],
            functions,
        };
        let many = sampled((0..65).collect());
        assert_eq!(decode(&encoded(&[many]), 1), Err(ExtensionError::Malformed(0)));
        let unsorted = sampled(vec![2, 2]);
        assert_eq!(
            decode(&encoded(&[unsorted]), 1),
            Err(ExtensionError::Malformed(0))
        );
        let mut digest = payload.clone();
        digest.pop();
        let length = digest.len() - 15 - 4;
        digest[length] = 15;
        assert_eq!(decode(&digest, 3), Err(ExtensionError::Digest(15)));
    }

    #[test]
    fn the_record_of_dependencies_is_found_behind_others() {
        let mut payload = encoded(&identities());
        assert!(dependencies(&payload).unwrap().is_none());
        // None is eight bytes, the count.
        push_dependencies(&mut payload, &[0; 8]).unwrap();
        assert!(dependencies(&payload).unwrap().unwrap().is_empty());
        assert_eq!(decode(&payload, 3), expected());
        let end = payload.len();
        assert_eq!(
            dependencies(&payload[..end - 1]).unwrap_err(),
            ExtensionError::Truncated(end - 16)
        );
        payload[end - 8] = 1;
        assert_eq!(dependencies(&payload).unwrap_err(), ExtensionError::Dependencies);
    }

    #[test]
    fn identities_are_shown_in_hexadecimal() {
        let shown: Vec<String> = identities().iter().map(ToString::to_string).collect();
        assert_eq!(shown[0], format!("build id {}", "ab".repeat(20)));
        assert_eq!(shown[1], format!("digest {}", "07".repeat(16)));
    }
}
