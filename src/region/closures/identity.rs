//! What a loaded library is, independent of its path and of where it was loaded: its GNU build id, or else a
//! digest of its program headers, its dynamic section and the code at a bounded number of its functions.

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};

use crate::os::code::{Library, Range, while_loaded};
use crate::os::originals;
use olean_reader::format::extension::{LibraryIdentity, MAX_SAMPLES};

/// Bytes of code taken at each sampled function.
const SAMPLE_LEN: usize = 64;
/// Bytes read from one note segment or dynamic section at most; real ones have a few hundred.
const MAX_READ: usize = 1 << 16;

/// Note type of the GNU build id (`NT_GNU_BUILD_ID`).
const NT_GNU_BUILD_ID: u32 = 3;

/// Dynamic tags that the digest looks at (System V ABI, GNU extensions).
mod dt {
    pub const NULL: u64 = 0;
    /// Written by the dynamic linker for debuggers.
    pub const DEBUG: u64 = 21;
    pub const TEXTREL: u64 = 22;
    pub const FLAGS: u64 = 30;
    pub const DF_TEXTREL: u64 = 4;
}

/// The identity of `library`, given the addresses of functions in it; `functions` is sorted here. `None` when
/// the library has been unloaded.
#[must_use]
pub fn of_library(library: &Library, functions: &mut Vec<usize>) -> Option<LibraryIdentity> {
    functions.sort_unstable();
    functions.dedup();
    let samples: Vec<u64> = spread(functions).map(|f| (f - library.base) as u64).collect();
    // SAFETY: the library as the linker describes it while it keeps it loaded.
    while_loaded(library, |now| unsafe { taken(now, &samples) }).flatten()
}

/// Whether `library` is the one that `identity` was taken of. False also when it has been unloaded.
#[must_use]
pub fn matches(library: &Library, identity: &LibraryIdentity) -> bool {
    like(library, identity).as_ref() == Some(identity)
}

/// The identity of `library` taken in the same way as `identity` (the same functions sampled), for comparing
/// and for messages. `None` when that cannot be done.
#[must_use]
pub fn like(library: &Library, identity: &LibraryIdentity) -> Option<LibraryIdentity> {
    // SAFETY: the library as the linker describes it while it keeps it loaded.
    while_loaded(library, |now| unsafe { taken(now, samples_of(identity)) }).flatten()
}

/// Where an identity was taken, offsets from the base.
fn samples_of(identity: &LibraryIdentity) -> &[u64] {
    match identity {
        LibraryIdentity::Sampled { functions, .. } => functions,
        LibraryIdentity::BuildId(_) => &[],
    }
}

/// The build id, or else the digest with code at `samples`.
///
/// # Safety
/// The library is loaded, lies as it is described, and stays so during the call.
unsafe fn taken(library: &Library, samples: &[u64]) -> Option<LibraryIdentity> {
    // SAFETY: passed on from the caller.
    unsafe {
        build_id(library)
            .map(LibraryIdentity::BuildId)
            .or_else(|| sampled(library, samples))
    }
}

/// At most [`MAX_SAMPLES`] of `sorted`, the first and the last among them, evenly spread.
fn spread(sorted: &[usize]) -> impl Iterator<Item = usize> {
    let n = sorted.len().min(MAX_SAMPLES);
    (0..n).map(move |i| {
        if n < 2 {
            sorted[i]
        } else {
            sorted[i * (sorted.len() - 1) / (n - 1)]
        }
    })
}

/// The library's build id.
///
/// # Safety
/// As [`taken`].
unsafe fn build_id(library: &Library) -> Option<Vec<u8>> {
    library
        .notes
        .iter()
        // SAFETY: passed on from the caller.
        .find_map(|range| build_id_in(&unsafe { read(library, *range) }?))
}

/// The descriptor of the build id among the notes in `bytes`.
fn build_id_in(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut rest = bytes;
    loop {
        let (head, tail) = rest.split_first_chunk::<12>()?;
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (name_len, desc_len) = (word(0) as usize, word(4) as usize);
        let (name, tail) = tail.split_at_checked(name_len.checked_next_multiple_of(4)?)?;
        let desc = tail.get(..desc_len)?;
        if word(8) == NT_GNU_BUILD_ID && name.get(..name_len) == Some(b"GNU\0") && !desc.is_empty() {
            return Some(desc.to_vec());
        }
        // GNU property notes pad their descriptors to 8, but their sizes are multiples of 8 already.
        rest = tail.get(desc_len.checked_next_multiple_of(4)?..)?;
    }
}

/// The digest of headers, dynamic section and code at `samples` (offsets from the base). `None` when a sample
/// lies outside the library's code.
///
/// # Safety
/// As [`taken`].
unsafe fn sampled(library: &Library, samples: &[u64]) -> Option<LibraryIdentity> {
    let mut hash = Blake2b::<U32>::new();
    let mut put = |tag: &[u8; 4], bytes: &[u8]| {
        hash.update(tag);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    let headers: Vec<u8> = library
        .headers
        .iter()
        .flatten()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    put(b"phdr", &headers);

    let dynamic = library
        .dynamic
        // SAFETY: passed on from the caller.
        .and_then(|range| unsafe { read(library, range) })
        .unwrap_or_default();
    let dynamic = dynamic_entries(&dynamic, library);
    let entries: Vec<u8> = dynamic
        .iter()
        .flat_map(|(tag, value)| [*tag, *value])
        .flat_map(u64::to_le_bytes)
        .collect();
    put(b"dyn\0", &entries);

    // Code with relocations differs from process to process.
    let relocated = dynamic
        .iter()
        .any(|&(tag, value)| tag == dt::TEXTREL || tag == dt::FLAGS && value & dt::DF_TEXTREL != 0);
    for &offset in samples {
        let address = library.base.checked_add(usize::try_from(offset).ok()?)?;
        let segment = library.code_segment(address)?;
        if relocated || !segment.readable {
            continue;
        }
        let end = segment.range.end.min(address + SAMPLE_LEN);
        // SAFETY: passed on from the caller.
        let mut code = unsafe { read(library, Range { start: address, end }) }?;
        originals::restore_copy(address, &mut code);
        put(b"code", &offset.to_le_bytes());
        put(b"byte", &code);
    }
    Some(LibraryIdentity::Sampled {
        digest: hash.finalize().into(),
        functions: samples.to_vec(),
    })
}

/// The entries of a dynamic section up to its end mark, as they stand in the file: some C libraries add the
/// load address to those that are addresses.
fn dynamic_entries(bytes: &[u8], library: &Library) -> Vec<(u64, u64)> {
    let in_library = |value: u64| library.segments.iter().any(|s| s.range.holds(value as usize, 0));
    let mut entries = Vec::new();
    for entry in bytes.as_chunks::<16>().0 {
        let number = u128::from_le_bytes(*entry);
        let (tag, value) = (number as u64, (number >> 64) as u64);
        match tag {
            dt::NULL => break,
            dt::DEBUG => {}
            _ if is_address(tag) && in_library(value) => {
                entries.push((tag, value.wrapping_sub(library.base as u64)));
            }
            _ => entries.push((tag, value)),
        }
    }
    entries
}

/// Whether the value of a dynamic entry is an address (System V ABI, figure "Dynamic Array Tags", and the GNU
/// range `DT_ADDRRNGLO` to `DT_ADDRRNGHI` with `DT_VERSYM`, `DT_VERDEF` and `DT_VERNEED`).
fn is_address(tag: u64) -> bool {
    matches!(tag, 3..=7 | 12 | 13 | 17 | 23 | 25 | 26 | 32 | 36)
        || matches!(
            tag,
            0x6fff_fe00..=0x6fff_feff | 0x6fff_fff0 | 0x6fff_fffc | 0x6fff_fffe
        )
}

/// A copy of the bytes of `range`, when a readable segment of the library holds them all.
///
/// # Safety
/// As [`taken`].
unsafe fn read(library: &Library, range: Range) -> Option<Vec<u8>> {
    let len = range.end.checked_sub(range.start)?;
    if len > MAX_READ || !library.readable(range.start, len) {
        return None;
    }
    let mut copy = vec![0u8; len];
    // SAFETY: the range lies in a segment that the dynamic linker mapped readable and, by the caller's word, still does,
    // so the source is mapped; the copy is as long. Nobody writes to headers, notes and code
    // after loading except redirections, whose bytes `originals` knows; bytes have no invalid values.
    unsafe { std::ptr::copy_nonoverlapping(range.start as *const u8, copy.as_mut_ptr(), len) };
    Some(copy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::code::loaded;

    fn note(kind: u32, name: &[u8], desc: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for n in [name.len() as u32, desc.len() as u32, kind] {
            out.extend(n.to_le_bytes());
        }
        for part in [name, desc] {
            out.extend(part);
            out.resize(out.len().next_multiple_of(4), 0);
        }
        out
    }

    #[test]
    fn a_build_id_is_found_among_other_notes() {
        let id = note(3, b"GNU\0", &[1, 2, 3, 4, 5]);
        let mut notes = note(1, b"GNU\0", &[9; 16]);
        notes.extend(note(3, b"Other\0", &[8; 3]));
        notes.extend(&id);
        assert_eq!(build_id_in(&notes), Some(vec![1, 2, 3, 4, 5]));
        for n in 0..id.len() - 3 {
            assert_eq!(build_id_in(&id[..n]), None, "cut to {n}");
        }
        let mut forged = id;
        forged[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(build_id_in(&forged), None);
    }

    #[test]
    fn samples_are_spread_from_the_first_to_the_last() {
        assert_eq!(spread(&[]).count(), 0);
        assert_eq!(spread(&[7]).collect::<Vec<_>>(), [7]);
        assert_eq!(spread(&[7, 9, 11]).collect::<Vec<_>>(), [7, 9, 11]);
        let many: Vec<usize> = (0..37_000).collect();
        let chosen: Vec<usize> = spread(&many).collect();
        assert_eq!((chosen.len(), chosen[0], chosen[63]), (MAX_SAMPLES, 0, 36_999));
        assert!(
            chosen.windows(2).all(|w| (587..=588).contains(&(w[1] - w[0]))),
            "{chosen:?}"
        );
    }

    /// The test program without its notes: as a library that has no build id.
    fn without_notes() -> Library {
        let mut library = loaded().list[0].clone();
        library.notes.clear();
        library
    }

    /// The identity of the test program, taken as if it were described by `library`: no segment is larger than it is.
    fn identity(library: &Library, functions: &[usize]) -> Option<LibraryIdentity> {
        let samples: Vec<u64> = functions.iter().map(|f| (f - library.base) as u64).collect();
        // SAFETY: the test program stays where it is.
        unsafe { taken(library, &samples) }
    }

    /// Whether that is `identity`.
    fn is(library: &Library, identity: &LibraryIdentity) -> bool {
        // SAFETY: the test program stays where it is.
        unsafe { taken(library, samples_of(identity)) }.as_ref() == Some(identity)
    }

    fn own_functions() -> Vec<usize> {
        vec![
            samples_are_spread_from_the_first_to_the_last as fn() as usize,
            a_build_id_is_found_among_other_notes as fn() as usize,
        ]
    }

    #[test]
    fn the_c_library_is_identified_by_its_build_id() {
        let libraries = loaded();
        let libc = &libraries.list[libraries.of_code(libc::getpid as *const () as usize).unwrap()];
        let identity = of_library(libc, &mut vec![]).unwrap();
        assert!(
            matches!(&identity, LibraryIdentity::BuildId(id) if id.len() >= 8),
            "{identity}"
        );
        assert!(matches(libc, &identity));
        assert!(!is(&without_notes(), &identity));
    }

    #[test]
    fn a_digest_changes_with_headers_dynamic_section_and_code_alone() {
        let library = without_notes();
        let identity = identity(&library, &own_functions()).unwrap();
        let LibraryIdentity::Sampled { functions, .. } = &identity else {
            panic!("{identity}")
        };
        assert_eq!(functions.len(), 2);
        assert!(is(&library, &identity));

        let mut renamed_headers = library.clone();
        renamed_headers.headers[0][5] += 8;
        assert!(!is(&renamed_headers, &identity));
        let mut other_dynamic = library.clone();
        other_dynamic.dynamic = None;
        assert!(!is(&other_dynamic, &identity));
        let LibraryIdentity::Sampled { digest, functions } = &identity else {
            unreachable!()
        };
        let shifted = functions.iter().map(|f| f + 1).collect();
        assert!(!is(
            &library,
            &LibraryIdentity::Sampled {
                digest: *digest,
                functions: shifted
            }
        ));
    }

    #[test]
    fn code_that_was_overwritten_counts_as_it_was() {
        let library = without_notes();
        let address = code_that_was_overwritten_counts_as_it_was as fn() as usize;
        let before = identity(&library, &[address]).unwrap();
        // What stands there is declared to be a redirection of other bytes, then of the same bytes.
        originals::record(address + 2, &[0xcc; 5]);
        assert!(!is(&library, &before));
        let range = Range {
            start: address + 2,
            end: address + 7,
        };
        // SAFETY: the test program stays where it is.
        let here = unsafe { read(&library, range) }.unwrap();
        originals::record(address + 2, &here);
        assert!(is(&library, &before));
        originals::forget(address + 2);
    }

    #[test]
    fn samples_outside_the_code_are_refused() {
        let library = without_notes();
        for offset in [0, u64::MAX, 1 << 60] {
            let forged = LibraryIdentity::Sampled {
                digest: [0; 32],
                functions: vec![offset],
            };
            // SAFETY: the test program stays where it is.
            let taken = unsafe { taken(&library, samples_of(&forged)) };
            assert_eq!(taken, None, "{offset:#x}");
        }
    }

    #[test]
    fn addresses_in_the_dynamic_section_are_counted_from_the_base() {
        let mut library = without_notes();
        library.base = 0x7000_0000;
        library.segments.truncate(1);
        library.segments[0].range = Range {
            start: 0x7000_0000,
            end: 0x7000_8000,
        };
        let section = |entries: &[(u64, u64)]| -> Vec<u8> {
            entries
                .iter()
                .flat_map(|(t, v)| [*t, *v])
                .flat_map(u64::to_le_bytes)
                .collect()
        };
        let strtab = 5;
        let mapped = section(&[
            (strtab, 0x7000_1000),
            (10, 0x7000_1000),
            (dt::DEBUG, 77),
            (0, 0),
            (strtab, 1),
        ]);
        let in_file = section(&[(strtab, 0x1000), (10, 0x7000_1000), (dt::DEBUG, 0), (0, 0)]);
        let expected = vec![(strtab, 0x1000), (10, 0x7000_1000)];
        assert_eq!(dynamic_entries(&mapped, &library), expected);
        assert_eq!(dynamic_entries(&in_file, &library), expected);
    }
}
