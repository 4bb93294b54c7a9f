//! Headers of images from any bytes, as they are and with the digest that they should have, and tables of any content
//! behind a header that fits them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use olean_reader::format::identity::Identity;
use olean_reader::format::image::header::{HEADER_END, PAGE, SECTION};
use olean_reader::format::image::tables::Found;
use olean_reader::format::image::{Counts, DIGEST_LEN, Header, Layout, Section, Tables, digest};

fuzz_target!(|data: &[u8]| {
    any_header(data);
    let Some((&[entries, chain_words, paths, path_bytes], rest)) = data.split_first_chunk() else {
        return;
    };
    let counts = Counts {
        entries: u32::from(entries),
        chain_words: u32::from(chain_words),
        paths: u32::from(paths),
        path_bytes: u64::from(path_bytes) * 4,
        constant_start: SECTION,
        constant: 8 * PAGE,
        changeable_start: 2 * SECTION,
        changeable: 8 * PAGE,
    };
    let header = Header {
        base: SECTION,
        counts,
        flags: 1,
        githash: [0; 40],
        lean_version: [0; 33],
        built: 0,
        index: [0; 16],
        paths: [0; 16],
        digests: [0; 16],
        roots: [0; 16],
    };
    let layout = Layout::of(&counts).expect("small tables fit before the first section");
    let mut bytes = header.encode().to_vec();
    bytes.extend(rest);
    bytes.resize(layout.tables_end() as usize, 0xff);
    let tables = Tables::new(&header, &layout, &bytes).expect("as many bytes as the tables have");
    let _ = (tables.check_index(), tables.check_paths());
    let _ = (tables.check_roots(), tables.check_digests());
    for i in 0..=tables.len() {
        let _ = tables.digests(i);
        let Some(entry) = tables.entry(i) else { continue };
        let (start, size) = (entry.offset, entry.identity.size);
        let section = match entry.section {
            Section::Constant => SECTION,
            Section::Changeable => 2 * SECTION,
        };
        assert!(start >= section && size <= section + 8 * PAGE - start && start.is_multiple_of(PAGE));
        let root = entry.root.wrapping_sub(header.base + start);
        assert!(entry.root & 1 != 0 || root.is_multiple_of(8) && root + 8 <= size);
        assert_eq!(tables.offset(i), Some(start));
        let given = tables.root(i, &entry);
        let copies = header.base + layout.roots.start..header.base + layout.roots.end;
        assert!(match tables.root_copy(i, &entry) {
            Some(_) => copies.contains(&given) && given.is_multiple_of(64),
            None => given == entry.root,
        });
        for inode in [entry.identity.inode, !entry.identity.inode] {
            let file = Identity {
                inode,
                ..entry.identity
            };
            if let Found::Same(found, entry) = tables.find(&file) {
                assert_eq!((tables.entry(found), entry.identity), (Some(entry), file));
            }
        }
        if let Some(found) = tables.at_offset(start) {
            assert_eq!(tables.offset(found), Some(start));
        }
        if let Some(chain) = tables.chain(i, &entry) {
            let mut end = 0;
            for range in chain {
                assert!(
                    end <= range.start && range.start <= range.end,
                    "no entry comes twice"
                );
                end = range.end;
            }
            assert!(end <= tables.len());
        }
    }
    for (_, path) in tables.all_paths().take(1000) {
        if let Some((found, entry)) = tables.find_path(path) {
            assert_eq!(tables.entry(found), Some(entry));
        }
    }
});

/// `data` as a header: as it is; and with the digest that it should have, if the fields go together then, as what it
/// says.
fn any_header(data: &[u8]) {
    let _ = Header::decode(data, data.len() as u64, PAGE);
    let Some(data) = data.first_chunk::<HEADER_END>() else {
        return;
    };
    let mut bytes = *data;
    let at = HEADER_END - 8 - DIGEST_LEN;
    let sum = digest(&bytes[..at]);
    bytes[at..at + DIGEST_LEN].copy_from_slice(&sum);
    let size = u64::from_le_bytes(*bytes[16..].first_chunk().expect("8 bytes"));
    let Ok((header, layout)) = Header::decode(&bytes, size, PAGE) else {
        return;
    };
    assert_eq!(layout.size(), size);
    assert!(header.base > 0 && header.base.is_multiple_of(SECTION) && header.base + size <= 1 << 47);
    assert!(layout.tables_end() <= layout.constant.start && layout.constant.end <= layout.changeable.start);
    let again = header.encode();
    assert_eq!(Header::decode(&again, size, PAGE), Ok((header, layout)));
}
