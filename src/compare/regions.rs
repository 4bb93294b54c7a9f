//! Two regions in memory that two loaders read from the same file.

use super::objects::{Addresses, Difference, first_difference};
use olean_reader::format::header::{FLAG_GMP, Header, VERSION_3};

/// A region as a loader handed it out.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// The whole file, as it lies in memory.
    pub bytes: &'a [u8],
    /// The root: a scalar or an address.
    pub root: usize,
    /// The base address that the loader says the file has.
    pub base: u64,
}

impl Side<'_> {
    fn begin(&self) -> u64 {
        self.bytes.as_ptr() as u64
    }
}

/// Both were loaded into this process with the same dependencies, so that only addresses of the region itself
/// differ.
struct Own {
    ours: u64,
    host: u64,
    size: u64,
}

impl Addresses for Own {
    fn same_pointer(&self, ours: u64, host: u64) -> bool {
        let inside = ours.wrapping_sub(self.ours);
        if ours & 1 == 0 && inside < self.size {
            return inside == host.wrapping_sub(self.host);
        }
        ours == host
    }

    fn same_code(&self, ours: u64, host: u64) -> bool {
        ours == host
    }
}

/// The first difference between two copies of a region; `None` if they are the same.
#[must_use]
pub fn compare(ours: &Side<'_>, host: &Side<'_>) -> Option<Difference> {
    if ours.bytes.len() != host.bytes.len() || ours.base != host.base {
        let detail = format!(
            "the region: ours has {} bytes and the base address {:#x}, the host's {} bytes and {:#x}",
            ours.bytes.len(),
            ours.base,
            host.bytes.len(),
            host.base
        );
        return Some(Difference::new(0, detail));
    }
    let addresses = Own {
        ours: ours.begin(),
        host: host.begin(),
        size: ours.bytes.len() as u64,
    };
    if !addresses.same_pointer(ours.root as u64, host.root as u64) {
        let detail = format!("the root: ours {:#x}, the host's {:#x}", ours.root, host.root);
        return Some(Difference::new(0, detail));
    }
    let Ok(header) = Header::decode(ours.bytes) else {
        return Some(Difference::new(0, "no header in ours"));
    };
    let first = header.root_slot() + 8;
    let end = match header.version {
        VERSION_3 => {
            let size = ours.bytes[first - 16..first - 8].try_into().expect("8 bytes");
            first - 8 + u64::from_le_bytes(size) as usize
        }
        _ => ours.bytes.len(),
    };
    let before = 0..first - 8;
    let (Some(a), Some(b)) = (ours.bytes.get(first..end), host.bytes.get(first..end)) else {
        return Some(Difference::new(0, "the size of the data in ours"));
    };
    equal_bytes(ours.bytes, host.bytes, before)
        .or_else(|| first_difference(a, b, first, header.flags & FLAG_GMP != 0, &addresses))
        .or_else(|| equal_bytes(ours.bytes, host.bytes, end..ours.bytes.len()))
}

fn equal_bytes(ours: &[u8], host: &[u8], range: std::ops::Range<usize>) -> Option<Difference> {
    let at = range.clone().find(|&i| ours[i] != host[i])?;
    let detail = format!(
        "a byte outside the objects: ours {:#x}, the host's {:#x}",
        ours[at], host[at]
    );
    Some(Difference::new(at, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0x10_0000;

    /// A file of a string and a pair of it and a dependency's object, relocated to where it lies.
    fn region() -> Vec<u8> {
        let header = Header {
            version: 2,
            flags: 1,
            lean_version: [0; 33],
            githash: [0; 40],
            base: BASE,
        };
        let mut bytes = header.encode().to_vec();
        let words = [
            0u64,
            1 << 32 | 249 << 56,
            3,
            3,
            2,
            0x6968,
            24 << 32 | 2 << 48,
            0,
            0x7777_0000,
        ];
        bytes.extend(words.iter().flat_map(|w| w.to_le_bytes()));
        let string = bytes.as_ptr() as u64 + 0x60;
        bytes[0x90..0x98].copy_from_slice(&string.to_le_bytes());
        bytes
    }

    fn side(bytes: &[u8]) -> Side<'_> {
        let root = bytes.as_ptr() as usize + 0x88;
        Side {
            bytes,
            root,
            base: BASE,
        }
    }

    #[test]
    fn copies_at_different_addresses_are_the_same() {
        assert_eq!(compare(&side(&region()), &side(&region())), None);
    }

    #[test]
    fn every_byte_counts_except_the_root_slot() {
        let ours = region();
        for at in (0..0x58).chain(0x60..ours.len()) {
            let mut host = region();
            host[at] ^= 8;
            let found = compare(&side(&ours), &side(&host));
            assert!(found.is_some(), "byte {at:#x}");
        }
        let mut host = region();
        host[0x58] ^= 8;
        assert_eq!(compare(&side(&ours), &side(&host)), None);
    }

    #[test]
    fn a_pointer_into_the_other_copy_is_a_difference() {
        let (ours, mut host) = (region(), region());
        let string = ours[0x90..0x98].to_vec();
        host[0x90..0x98].copy_from_slice(&string);
        let found = compare(&side(&ours), &side(&host)).expect("a difference");
        assert_eq!(found.offset, 0x90);
        let (ours, host) = (region(), region());
        let wrong = Side {
            root: side(&ours).root,
            ..side(&host)
        };
        assert!(
            compare(&side(&ours), &wrong)
                .expect("a difference")
                .detail
                .starts_with("the root")
        );
    }
}
