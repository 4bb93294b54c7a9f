//! The record of dependencies in the extension section of a version 3 file: which files the regions came from that
//! its pointers lead into, so that a file whose dependency has been rebuilt is found out.
//!
//! Layout, little endian: `u64 count`, then as many entries of 72 bytes, by ascending base address, then the paths.
//! An entry is `u64 base, u64 size, u64 device, u64 inode, i64 modified, i64 changed` (both in nanoseconds since
//! 1970), 16 bytes of digest (XXH3 with 128 bits of the whole file), `u32 where the path begins among the paths,
//! u16 its bytes, u16 flags`.

use super::identity::Identity;
use std::collections::TryReserveError;
use std::io::{self, Read};
use twox_hash::XxHash3_128;

/// Bytes of an entry.
const ENTRY: usize = 72;
/// Bytes of a digest.
pub const CONTENT_DIGEST: usize = 16;
/// A digest of a file's content. It tells builds apart, not forgeries.
pub type ContentDigest = [u8; CONTENT_DIGEST];

/// Flag: the file was written so shortly before that another change might have left the same times.
const RACY: u16 = 1;
/// Flag: the digest is known. It is not where the file had been replaced before anybody could read it again.
const DIGESTED: u16 = 2;

/// One file that a region came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dependency<'a> {
    /// Its base address.
    pub base: u64,
    /// Its bytes.
    pub size: u64,
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
    /// `st_mtim` in nanoseconds.
    pub modified: i64,
    /// `st_ctim` in nanoseconds.
    pub changed: i64,
    /// Its content.
    pub digest: Option<ContentDigest>,
    /// Whether its times do not tell it from a version that was written right after.
    pub racy: bool,
    /// Where it was read from: for messages.
    pub path: &'a [u8],
}

impl Dependency<'_> {
    /// Whether size, times, device and inode are those of `file`.
    #[must_use]
    pub fn looks_like(&self, file: &Identity) -> bool {
        self.size == file.size
            && self.device == file.device
            && self.inode == file.inode
            && self.modified == file.modified_at()
            && self.changed == file.changed_at()
    }
}

/// The record for these dependencies; they are sorted.
///
/// # Errors
/// When there is no memory for it.
pub fn encode(list: &mut [Dependency<'_>]) -> Result<Vec<u8>, TryReserveError> {
    list.sort_unstable_by_key(|d| d.base);
    let paths: usize = list.iter().map(|d| d.path.len()).sum();
    let mut out = Vec::new();
    out.try_reserve_exact(8 + ENTRY * list.len() + paths)?;
    out.extend((list.len() as u64).to_le_bytes());
    let mut path_at = 0_u32;
    for d in list.iter() {
        for word in [
            d.base,
            d.size,
            d.device,
            d.inode,
            d.modified as u64,
            d.changed as u64,
        ] {
            out.extend(word.to_le_bytes());
        }
        out.extend(d.digest.unwrap_or_default());
        // System calls take no longer path.
        let len = u16::try_from(d.path.len()).unwrap_or(0);
        let flags = (RACY * u16::from(d.racy)) | (DIGESTED * u16::from(d.digest.is_some()));
        out.extend(path_at.to_le_bytes());
        out.extend(len.to_le_bytes());
        out.extend(flags.to_le_bytes());
        path_at = path_at.saturating_add(len.into());
    }
    for d in list.iter().filter(|d| d.path.len() <= usize::from(u16::MAX)) {
        out.extend(d.path);
    }
    Ok(out)
}

/// A record, borrowed from the bytes of a file. Its numbers are what the file says.
#[derive(Debug, Clone, Copy)]
pub struct DependencyRecord<'a> {
    entries: &'a [[u8; ENTRY]],
    paths: &'a [u8],
}

impl<'a> DependencyRecord<'a> {
    /// The record with these bytes; `None` if they are not those of one: entries are missing, or not in order.
    #[must_use]
    pub fn parse(record: &'a [u8]) -> Option<Self> {
        let (count, rest) = record.split_first_chunk::<8>()?;
        let bytes = usize::try_from(u64::from_le_bytes(*count))
            .ok()?
            .checked_mul(ENTRY)?;
        let (entries, paths) = rest.split_at_checked(bytes)?;
        let (entries, _) = entries.as_chunks::<ENTRY>();
        let record = Self { entries, paths };
        record
            .iter()
            .is_sorted_by(|a, b| a.base < b.base)
            .then_some(record)
    }

    /// How many dependencies it names.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it names none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Its dependencies, by ascending base address.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Dependency<'a>> + use<'a> {
        let paths = self.paths;
        self.entries.iter().map(move |entry| {
            let word = |i: usize| u64::from_le_bytes(*entry[8 * i..].first_chunk().expect("8 bytes"));
            let digest = *entry[48..].first_chunk().expect("16 bytes");
            let start = u32::from_le_bytes(*entry[64..].first_chunk().expect("4 bytes")) as usize;
            let len = u16::from_le_bytes(*entry[68..].first_chunk().expect("2 bytes"));
            let flags = u16::from_le_bytes(*entry[70..].first_chunk().expect("2 bytes"));
            Dependency {
                base: word(0),
                size: word(1),
                device: word(2),
                inode: word(3),
                modified: word(4) as i64,
                changed: word(5) as i64,
                digest: (flags & DIGESTED != 0).then_some(digest),
                racy: flags & RACY != 0,
                path: paths.get(start..start + usize::from(len)).unwrap_or_default(),
            }
        })
    }
}

/// The digest of what `file` reads to its end. What fits into `buffer` is digested at once, which is faster.
///
/// # Errors
/// What reading says.
pub fn content_digest(mut file: impl Read, buffer: &mut [u8]) -> io::Result<ContentDigest> {
    let mut filled = fill(&mut file, buffer)?;
    if filled < buffer.len() {
        return Ok(XxHash3_128::oneshot(&buffer[..filled]).to_le_bytes());
    }
    let mut hasher = XxHash3_128::new();
    while filled > 0 {
        hasher.write(&buffer[..filled]);
        filled = fill(&mut file, buffer)?;
    }
    Ok(hasher.finish_128().to_le_bytes())
}

/// Reads until the buffer is full or the file ends; answers how many bytes that were.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> [Dependency<'static>; 2] {
        let first = Dependency {
            base: 0x9000,
            size: 96,
            device: 3,
            inode: 4,
            modified: -5,
            changed: 6,
            digest: Some([7; 16]),
            racy: false,
            path: b"b/B.olean",
        };
        let second = Dependency {
            base: 0x1000,
            digest: None,
            racy: true,
            path: b"A.olean",
            ..first
        };
        [first, second]
    }

    #[test]
    fn what_is_written_is_read_back_in_order() {
        let [first, second] = sample();
        let bytes = encode(&mut sample()).unwrap();
        let record = DependencyRecord::parse(&bytes).unwrap();
        assert!(record.len() == 2 && !record.is_empty());
        assert_eq!(record.iter().collect::<Vec<_>>(), [second, first]);
    }

    #[test]
    fn what_is_cut_off_or_out_of_order_is_no_record() {
        let bytes = encode(&mut sample()).unwrap();
        for n in 0..8 + 2 * ENTRY {
            assert!(DependencyRecord::parse(&bytes[..n]).is_none(), "{n} bytes");
        }
        let cut = DependencyRecord::parse(&bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(cut.iter().nth(1).unwrap().path, b"");
        let mut swapped = bytes.clone();
        swapped[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(DependencyRecord::parse(&swapped).is_none());
        let mut many = bytes;
        many[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(DependencyRecord::parse(&many).is_none());
    }

    #[test]
    fn every_field_counts_but_base_digest_and_path() {
        let [d, _] = sample();
        let same = Identity {
            device: 3,
            inode: 4,
            size: 96,
            modified: -1,
            modified_ns: 999_999_995,
            changed: 0,
            changed_ns: 6,
        };
        assert!(d.looks_like(&same));
        for other in [
            Identity { device: 9, ..same },
            Identity { inode: 9, ..same },
            Identity { size: 9, ..same },
            Identity { modified: 9, ..same },
            Identity {
                modified_ns: 9,
                ..same
            },
            Identity { changed: 9, ..same },
            Identity {
                changed_ns: 9,
                ..same
            },
        ] {
            assert!(!d.looks_like(&other), "{other:?}");
        }
    }

    #[test]
    fn a_digest_does_not_depend_on_how_much_is_read_at_once() {
        let bytes: Vec<u8> = (0..10_000_u32).map(|i| (i * 7) as u8).collect();
        let whole = content_digest(&bytes[..], &mut [0; 20_000]).unwrap();
        assert_eq!(content_digest(&bytes[..], &mut [0; 333]).unwrap(), whole);
        assert_ne!(content_digest(&bytes[1..], &mut [0; 333]).unwrap(), whole);
    }
}
