//! The mappings of this process by `/proc/self/maps`: what lies at an address, what protection a page has, and where
//! near an address there is room for another page.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;

use super::page::LOWEST_ADDRESS;

/// One line of `/proc/self/maps`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// The addresses it covers.
    pub range: Range<usize>,
    /// `PROT_*` bits.
    pub protection: i32,
}

/// The list of this process's mappings as the system writes it: lines for [`lines`].
///
/// # Errors
/// When `/proc/self/maps` cannot be read.
pub fn own() -> io::Result<Vec<u8>> {
    // The list of a process that has just begun comes by three calls then; without room a dozen are made.
    let mut list = Vec::with_capacity(16 << 10);
    File::open("/proc/self/maps")?.read_to_end(&mut list)?;
    Ok(list)
}

/// The mappings of this process, by ascending address.
///
/// # Errors
/// When `/proc/self/maps` cannot be read.
pub fn mappings() -> io::Result<Vec<Mapping>> {
    Ok(lines(&own()?).map(|(mapping, _)| mapping).collect())
}

/// The lines of a list of mappings, each with what the mapping is of: a path, a name in brackets, or nothing. A line of
/// another form is passed over (proc(5)).
pub fn lines(text: &[u8]) -> impl Iterator<Item = (Mapping, &[u8])> {
    text.split(|&b| b == b'\n').filter_map(parse_line)
}

fn parse_line(line: &[u8]) -> Option<(Mapping, &[u8])> {
    // Addresses, protection, offset, device, inode, and what it is of, which may hold spaces.
    let mut words = line.splitn(6, |&b| b == b' ');
    let addresses = std::str::from_utf8(words.next()?).ok()?;
    let (start, end) = addresses.split_once('-')?;
    let protection = words.next()?.iter().fold(0, |all, letter| {
        all | match letter {
            b'r' => libc::PROT_READ,
            b'w' => libc::PROT_WRITE,
            b'x' => libc::PROT_EXEC,
            _ => 0,
        }
    });
    let address = |hex| usize::from_str_radix(hex, 16).ok();
    let mapping = Mapping {
        range: address(start)?..address(end)?,
        protection,
    };
    Some((mapping, words.nth(3).unwrap_or_default().trim_ascii()))
}

/// The protection of the page at `address`; `None` where nothing is mapped.
#[must_use]
pub fn protection_at(mappings: &[Mapping], address: usize) -> Option<i32> {
    mappings
        .iter()
        .find(|m| m.range.contains(&address))
        .map(|m| m.protection)
}

/// Addresses where `len` bytes are free and lie wholly within `reach` bytes of `center`, the nearest
/// first. `len` is a multiple of the page size; so are the results.
#[must_use]
pub fn free_near(mappings: &[Mapping], center: usize, reach: usize, len: usize) -> Vec<usize> {
    let ends = std::iter::once(0).chain(mappings.iter().map(|m| m.range.end));
    let starts = mappings
        .iter()
        .map(|m| m.range.start)
        .chain([usize::MAX & !(len - 1)]);
    let fits = |at: usize| at >= LOWEST_ADDRESS.max(len) && at.abs_diff(center) + len <= reach;
    let mut found: Vec<usize> = ends
        .zip(starts)
        .filter(|&(from, to)| to.checked_sub(from).is_some_and(|gap| gap >= len))
        .flat_map(|(from, to)| [from, to - len])
        .filter(|&at| fits(at))
        .collect();
    found.sort_by_key(|at| at.abs_diff(center));
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"\
        00400000-00401000 r-xp 00000000 08:01 5   /bin/with space\n\
        00600000-00602000 rw-p 00000000 00:00 0\n\
        7f0000000000-7f0000003000 r--s 00000000 08:01 6   /lib/\xff.so\n\
        not a mapping\n\
        ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0   [vsyscall]\n";

    #[test]
    fn lines_are_read() {
        let maps: Vec<_> = lines(TEXT).map(|(mapping, _)| mapping).collect();
        let read_exec = libc::PROT_READ | libc::PROT_EXEC;
        assert_eq!(
            maps[0],
            Mapping {
                range: 0x40_0000..0x40_1000,
                protection: read_exec
            }
        );
        assert_eq!(
            maps.len(),
            4,
            "a path that is not UTF-8 does not hide its mapping"
        );
        assert_eq!(
            protection_at(&maps, 0x60_1fff),
            Some(libc::PROT_READ | libc::PROT_WRITE)
        );
        assert_eq!(protection_at(&maps, 0x60_2000), None);
        let what: Vec<&[u8]> = lines(TEXT).map(|(_, what)| what).collect();
        assert_eq!(
            what,
            [&b"/bin/with space"[..], b"", b"/lib/\xff.so", b"[vsyscall]"]
        );
    }

    #[test]
    fn free_pages_lie_in_gaps_and_within_reach() {
        let maps: Vec<_> = lines(TEXT).map(|(mapping, _)| mapping).collect();
        assert_eq!(
            free_near(&maps, 0x40_0800, 0x10_0000, 0x1000),
            [0x40_1000, 0x3f_f000]
        );
        let near = free_near(&maps, 0x40_0000, 0x40_0000, 0x1000);
        assert_eq!(near, [0x3f_f000, 0x40_1000, 0x5f_f000, 0x60_2000]);
        assert!(free_near(&maps, 0x40_0000, 0x1000, 0x1000).is_empty());
    }

    #[test]
    fn no_page_below_the_lowest_address_is_offered() {
        // As root, a process may have mappings there, behind which there is room.
        let map = |range| Mapping {
            range,
            protection: libc::PROT_READ,
        };
        let maps = [map(0x1000..0x2000), map(0x1_8000..0x2_0000)];
        assert_eq!(free_near(&maps, 0x1_8000, 0x1_7000, 0x1000), [0x1_7000, 0x2_0000]);
    }

    #[test]
    fn this_process_has_code_and_data() {
        let maps = mappings().expect("procfs");
        let code = protection_at(&maps, this_process_has_code_and_data as fn() as usize).expect("mapped");
        assert_eq!(code & libc::PROT_EXEC, libc::PROT_EXEC);
        let here = &raw const maps as usize;
        assert_eq!(
            protection_at(&maps, here),
            Some(libc::PROT_READ | libc::PROT_WRITE)
        );
    }
}
