//! The 88-byte header of versions 2 and 3 in 64-bit files.

use super::object::Bignums;
use thiserror::Error;

/// The marker every file begins with.
pub const MAGIC: &[u8; 5] = b"olean";
/// Bytes of the header.
pub const HEADER_SIZE: usize = 88;
/// Bytes from the start of a version 2 file to its root slot.
pub const ROOT_SLOT_V2: usize = HEADER_SIZE;
/// Bytes from the start of a version 3 file to its root slot: header, then the size of the data.
pub const ROOT_SLOT_V3: usize = HEADER_SIZE + 8;
/// Flags bit 0: bignums are stored in GMP's layout.
pub const FLAG_GMP: u8 = 1;

/// The version a file without closures carries.
pub const VERSION_2: u8 = 2;
/// The version of a file that was written with closures allowed, whether or not it holds one.
pub const VERSION_3: u8 = 3;

/// What the header of a file says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Format version, 2 or 3.
    pub version: u8,
    /// Flags; bit 0 is [`FLAG_GMP`], the others are 0.
    pub flags: u8,
    /// Lean's version string, zero padded, not necessarily terminated.
    pub lean_version: [u8; 33],
    /// Git hash of the Lean that wrote the file, in hex, zero padded.
    pub githash: [u8; 40],
    /// The address that file offset 0 wants to be mapped at.
    pub base: u64,
}

/// What a loader goes by in a header whose githash it has compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// As [`Header::version`].
    pub version: u8,
    /// As [`Header::flags`].
    pub flags: u8,
    /// As [`Header::base`].
    pub base: u64,
}

/// Why bytes are no header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum HeaderError {
    /// Fewer bytes than a header has, or another marker.
    #[error("invalid header")]
    Invalid,
    /// A version that is neither 2 nor 3.
    #[error("incompatible header")]
    Version(u8),
}

impl Header {
    /// The bytes of the header as they stand in the file.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_SIZE] {
        let mut out = [0; HEADER_SIZE];
        out[..5].copy_from_slice(MAGIC);
        out[5] = self.version;
        out[6] = self.flags;
        out[7..40].copy_from_slice(&self.lean_version);
        out[40..80].copy_from_slice(&self.githash);
        out[80..].copy_from_slice(&self.base.to_le_bytes());
        out
    }

    /// Reads a header from the start of `bytes`.
    ///
    /// # Errors
    /// [`HeaderError::Invalid`] when the bytes are too few or do not begin with the marker,
    /// [`HeaderError::Version`] when the version is none that this library reads.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let b: &[u8; HEADER_SIZE] = bytes.first_chunk().ok_or(HeaderError::Invalid)?;
        let Head { version, flags, base } = Head::decode(b)?;
        let mut header = Header {
            version,
            flags,
            lean_version: [0; 33],
            githash: *githash(b),
            base,
        };
        header.lean_version.copy_from_slice(&b[7..40]);
        Ok(header)
    }

    /// What a loader goes by.
    #[must_use]
    pub const fn head(&self) -> Head {
        Head {
            version: self.version,
            flags: self.flags,
            base: self.base,
        }
    }

    /// How the file's bignums are laid out.
    #[must_use]
    pub const fn bignums(&self) -> Bignums {
        self.head().bignums()
    }

    /// Bytes from the start of the file to its root slot.
    #[must_use]
    pub const fn root_slot(&self) -> usize {
        self.head().root_slot()
    }
}

impl Head {
    /// Reads it from a header.
    ///
    /// # Errors
    /// As [`Header::decode`].
    #[inline]
    pub fn decode(header: &[u8; HEADER_SIZE]) -> Result<Self, HeaderError> {
        if &header[..5] != MAGIC {
            return Err(HeaderError::Invalid);
        }
        let version = header[5];
        if version != VERSION_2 && version != VERSION_3 {
            return Err(HeaderError::Version(version));
        }
        let base = header.last_chunk().expect("8 bytes");
        Ok(Head {
            version,
            flags: header[6],
            base: u64::from_le_bytes(*base),
        })
    }

    /// How the file's bignums are laid out.
    #[must_use]
    #[inline]
    pub const fn bignums(&self) -> Bignums {
        if self.flags & FLAG_GMP != 0 {
            Bignums::Gmp
        } else {
            Bignums::Native
        }
    }

    /// Bytes from the start of the file to its root slot.
    #[must_use]
    #[inline]
    pub const fn root_slot(&self) -> usize {
        if self.version == VERSION_3 {
            ROOT_SLOT_V3
        } else {
            ROOT_SLOT_V2
        }
    }
}

/// The githash in a header, as in [`Header::githash`].
#[must_use]
#[inline]
pub fn githash(header: &[u8; HEADER_SIZE]) -> &[u8; 40] {
    header[40..80].try_into().expect("40 bytes")
}

/// A zero-padded field of a header as text: up to the first zero byte, other bytes escaped.
#[must_use]
pub fn field_text(field: &[u8]) -> String {
    let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
    field[..end].escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_round_trips_and_refuses_what_is_none() {
        let mut header = Header {
            version: 3,
            flags: 1,
            lean_version: [0; 33],
            githash: [b'a'; 40],
            base: 0x1234_0000,
        };
        header.lean_version[..6].copy_from_slice(b"4.35.0");
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Ok(header));
        assert_eq!((header.root_slot(), header.bignums()), (96, Bignums::Gmp));
        let older = Header {
            version: 2,
            flags: 0,
            ..header
        };
        assert_eq!((older.root_slot(), older.bignums()), (88, Bignums::Native));
        assert_eq!(field_text(&header.lean_version), "4.35.0");
        assert_eq!(Header::decode(&bytes[..87]), Err(HeaderError::Invalid));
        let mut other = bytes;
        other[0] = b'x';
        assert_eq!(Header::decode(&other), Err(HeaderError::Invalid));
        other = bytes;
        other[5] = 1;
        assert_eq!(Header::decode(&other), Err(HeaderError::Version(1)));
    }
}
