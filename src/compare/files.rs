//! Two files that were written of the same data, by two loaders or in two processes.
//!
//! Files of version 2 must be equal byte for byte. In files of version 3 these may differ, and nothing else:
//! code addresses and the base addresses in the library table (a function is the same if library and offset
//! are), the four padding bytes of closures, which the incumbent copies from the heap, and our extension
//! section, which only one of them may have. A part that follows a version 3 part in a chain may have another
//! base address, because our extension section takes room; then its pointers differ by that.

use super::objects::{Addresses, Difference, first_difference};
use olean_reader::format::header::{FLAG_GMP, Header, ROOT_SLOT_V3, VERSION_3};
use olean_reader::format::trailer::{SavedLibrary, Trailer};

/// The base addresses of one part of a chain, in both files, and how far it reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartBases {
    /// In our file.
    pub ours: u64,
    /// In the host's.
    pub host: u64,
    /// Bytes of the smaller of both.
    pub size: u64,
}

impl PartBases {
    /// The part that these two files are; `None` if one has no header.
    #[must_use]
    pub fn of(ours: &[u8], host: &[u8]) -> Option<PartBases> {
        Some(PartBases {
            ours: Header::decode(ours).ok()?.base,
            host: Header::decode(host).ok()?.base,
            size: ours.len().min(host.len()) as u64,
        })
    }
}

/// Whether a file is one of version 3.
#[must_use]
pub fn is_version_3(file: &[u8]) -> bool {
    Header::decode(file).is_ok_and(|header| header.version == VERSION_3)
}

/// The first difference between two files; `None` if they are the same. `earlier` are the parts of the chain
/// before this one.
#[must_use]
pub fn compare(ours: &[u8], host: &[u8], earlier: &[PartBases]) -> Option<Difference> {
    if ours == host {
        return None;
    }
    let (Ok(a), Ok(b)) = (Header::decode(ours), Header::decode(host)) else {
        return first_byte(ours, host);
    };
    let moved = earlier.iter().any(|part| part.ours != part.host);
    let same_header = Header { base: a.base, ..b } == a && (moved || a.base == b.base);
    if !same_header || a.version != VERSION_3 && !moved {
        return first_byte(ours, host).map(|byte| match a.version == b.version && a.base == b.base {
            // The object tells more than the byte.
            true => walk(ours, host, &a, &Plain).unwrap_or(byte),
            false => byte,
        });
    }
    let own = PartBases {
        ours: a.base,
        host: b.base,
        size: ours.len().min(host.len()) as u64,
    };
    let parts: Vec<PartBases> = earlier.iter().copied().chain([own]).collect();
    if a.version != VERSION_3 {
        let chain = Chained {
            parts: &parts,
            libraries: None,
        };
        return walk(ours, host, &a, &chain);
    }
    match (sections(ours), sections(host)) {
        (Some(ours_3), Some(host_3)) => version_3((ours, &ours_3), (host, &host_3), &a, &parts),
        (ours_3, _) => {
            let whose = if ours_3.is_none() { "ours" } else { "the host's" };
            Some(Difference::new(
                ROOT_SLOT_V3 - 8,
                format!("{whose} has damaged sections of version 3"),
            ))
        }
    }
}

fn first_byte(ours: &[u8], host: &[u8]) -> Option<Difference> {
    let at = ours.iter().zip(host).position(|(a, b)| a != b);
    match at {
        Some(at) => {
            let detail = format!("a byte: ours {:#04x}, the host's {:#04x}", ours[at], host[at]);
            Some(Difference::new(at, detail))
        }
        None if ours.len() != host.len() => {
            let detail = format!(
                "the end: ours has {} bytes, the host's {}",
                ours.len(),
                host.len()
            );
            Some(Difference::new(ours.len().min(host.len()), detail))
        }
        None => None,
    }
}

/// Root slot and objects of two files with equal headers.
fn walk(ours: &[u8], host: &[u8], header: &Header, addresses: &impl Addresses) -> Option<Difference> {
    let root = header.root_slot();
    let data = |file: &[u8]| match header.version {
        VERSION_3 => root + u64::from_le_bytes(file[root - 8..root].try_into().expect("8 bytes")) as usize,
        _ => file.len(),
    };
    let (Some(a), Some(b)) = (ours.get(root..data(ours)), host.get(root..data(host))) else {
        return first_byte(ours, host);
    };
    if a.len() < 8 || b.len() < 8 {
        return first_byte(ours, host);
    }
    let (root_a, a) = a.split_at(8);
    let (root_b, b) = b.split_at(8);
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
    let objects = first_difference(a, b, root + 8, header.flags & FLAG_GMP != 0, addresses);
    objects.or_else(|| {
        let (x, y) = (word(root_a), word(root_b));
        (!addresses.same_pointer(x, y))
            .then(|| Difference::new(root, format!("the root: ours {x:#x}, the host's {y:#x}")))
    })
}

/// Files that lie at the same base: addresses must be equal.
struct Plain;

impl Addresses for Plain {
    fn same_pointer(&self, ours: u64, host: u64) -> bool {
        ours == host
    }

    fn same_code(&self, ours: u64, host: u64) -> bool {
        ours == host
    }
}

/// Addresses of files whose parts may lie at different bases.
struct Chained<'a> {
    parts: &'a [PartBases],
    /// The library tables of both; `None` if there are no closures.
    libraries: Option<[Vec<SavedLibrary<'a>>; 2]>,
}

impl Addresses for Chained<'_> {
    fn same_pointer(&self, ours: u64, host: u64) -> bool {
        let within = |part: &PartBases| ours.wrapping_sub(part.ours) < part.size && ours & 1 == 0;
        match self.parts.iter().find(|part| within(part)) {
            Some(part) => ours - part.ours == host.wrapping_sub(part.host),
            None => ours == host,
        }
    }

    fn same_code(&self, ours: u64, host: u64) -> bool {
        let Some([a, b]) = &self.libraries else {
            return ours == host;
        };
        let place = |libraries: &[SavedLibrary<'_>], address: u64| {
            let library = libraries.iter().rev().find(|l| l.base <= address)?;
            Some((library.id.to_vec(), address - library.base))
        };
        place(a, ours).is_some_and(|ours| place(b, host) == Some(ours))
    }
}

/// What follows the data of a version 3 file.
fn sections(file: &[u8]) -> Option<Trailer<'_>> {
    let size = file
        .get(ROOT_SLOT_V3 - 8..ROOT_SLOT_V3)?
        .try_into()
        .expect("8 bytes");
    let end = usize::try_from(u64::from_le_bytes(size))
        .ok()?
        .checked_add(ROOT_SLOT_V3)?;
    Trailer::parse(file.get(end..)?, end as u64).ok()
}

type Version3<'a> = (&'a [u8], &'a Trailer<'a>);

fn version_3(
    (ours, a): Version3<'_>,
    (host, b): Version3<'_>,
    header: &Header,
    parts: &[PartBases],
) -> Option<Difference> {
    let chain = Chained {
        parts,
        libraries: Some([a.libraries().collect(), b.libraries().collect()]),
    };
    let at = |index: usize, trailer: &Trailer<'_>| trailer.closure_at(index) as usize;
    walk(ours, host, header, &chain)
        .or_else(|| {
            let (x, y) = (a.closures(), b.closures());
            let index = match x.clone().zip(y.clone()).position(|(x, y)| x != y) {
                None if x.len() == y.len() => return None,
                index => index.unwrap_or(x.len().min(y.len())),
            };
            Some(Difference::new(
                at(index, a),
                format!("entry {index} of the closure offsets"),
            ))
        })
        .or_else(|| {
            let ids = |trailer: &Trailer<'_>| {
                trailer
                    .libraries()
                    .map(|l| String::from_utf8_lossy(l.id).into_owned())
                    .collect::<Vec<_>>()
            };
            let (x, y) = (ids(a), ids(b));
            (x != y).then(|| {
                let detail = format!("the library table: ours names {x:?}, the host's {y:?}");
                Difference::new(at(a.closures().len(), a), detail)
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use olean_reader::format::trailer::{NewTrailer, extension_section};

    const BASE: u64 = 0x10_0000;

    fn header(version: u8, base: u64) -> Vec<u8> {
        let header = Header {
            version,
            flags: 1,
            lean_version: [0; 33],
            githash: [0; 40],
            base,
        };
        header.encode().to_vec()
    }

    fn bytes(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_le_bytes()).collect()
    }

    /// A string and a constructor around it.
    fn file_2(base: u64, text: u64) -> Vec<u8> {
        let mut file = header(2, base);
        file.extend(bytes(&[base + 0x88, 1 << 32 | 249 << 56, 3, 3, 2, text]));
        file.extend(bytes(&[16 << 32 | 1 << 48, base + 0x60]));
        file
    }

    /// A closure and a constructor around it.
    fn file_3(base: u64, library: (u64, &[u8]), code: u64, padding: u64, extension: bool) -> Vec<u8> {
        let mut file = header(3, base);
        let data = [
            base + 0x80,
            24 << 32 | 245 << 56,
            library.0 + code,
            2 | padding << 32,
        ];
        file.extend(bytes(&[48]));
        file.extend(bytes(&data));
        file.extend(bytes(&[16 << 32 | 1 << 48, base + 0x68]));
        let libraries = [SavedLibrary {
            base: library.0,
            id: library.1,
        }];
        let trailer = NewTrailer {
            closures: &[16],
            libraries: &libraries,
        };
        file.extend(trailer.encode().unwrap().unwrap());
        if extension {
            file.extend(extension_section(b"identity"));
        }
        file
    }

    #[test]
    fn files_of_version_2_are_equal_byte_for_byte() {
        let file = file_2(BASE, 0x6968);
        assert_eq!(compare(&file, &file, &[]), None);
        for at in 0..file.len() {
            let mut other = file.clone();
            other[at] ^= 8;
            assert!(compare(&file, &other, &[]).is_some(), "byte {at:#x}");
        }
        let found = compare(&file, &file_2(BASE, 0x6969), &[]).unwrap();
        assert_eq!(found.offset, 0x80);
        assert!(
            found
                .detail
                .contains("the string at 0x60: ours 0x6968, the host's 0x6969"),
            "{found}"
        );
        let mut longer = file.clone();
        longer.extend([0; 8]);
        assert!(compare(&file, &longer, &[]).is_some());
        assert!(compare(b"x", &file, &[]).is_some());
    }

    #[test]
    fn what_may_differ_in_version_3_may() {
        let lib: &[u8] = b"/lib/a.so";
        let host = file_3(BASE, (0x7000_0000, lib), 0x120, 0xdead, false);
        for ours in [
            file_3(BASE, (0x7000_0000, lib), 0x120, 0, true),
            file_3(BASE, (0x6000_0000, lib), 0x120, 0, true),
        ] {
            assert_eq!(compare(&ours, &host, &[]), None);
        }
        let other_function = file_3(BASE, (0x7000_0000, lib), 0x128, 0, true);
        let found = compare(&other_function, &host, &[]).unwrap();
        assert!(found.detail.starts_with("the function of the closure"), "{found}");
        let other_library = file_3(BASE, (0x7000_0000, b"/lib/b.so"), 0x120, 0, true);
        assert!(compare(&other_library, &host, &[]).is_some());
        for at in (0..host.len()).filter(|at| !(0x7c..0x80).contains(at)) {
            let mut other = host.clone();
            other[at] ^= 8;
            // A library's base alone may differ, but then the function is another one.
            assert!(compare(&other, &host, &[]).is_some(), "byte {at:#x}");
        }
    }

    #[test]
    fn a_part_behind_an_extension_section_may_lie_elsewhere() {
        let earlier = PartBases {
            ours: 0x1000_0000,
            host: 0x1000_0000,
            size: 0x9000,
        };
        let behind = PartBases {
            ours: 0x1002_0000,
            host: 0x1001_0000,
            size: 0x100,
        };
        let (ours, host) = (file_2(0x1003_0000, 1), file_2(0x1002_0000, 1));
        assert!(compare(&ours, &host, &[earlier]).is_some());
        assert_eq!(compare(&ours, &host, &[earlier, behind]), None);
        assert!(compare(&ours, &file_2(0x1002_0000, 2), &[earlier, behind]).is_some());
    }
}
