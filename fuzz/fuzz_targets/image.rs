//! Headers of images from any bytes, and tables of any content behind a header that fits them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use olean_reader::format::identity::Identity;
use olean_reader::format::image::header::{PAGE, SECTION};
use olean_reader::format::image::{Counts, Header, Layout, Tables};

fuzz_target!(|data: &[u8]| {
    let _ = Header::decode(data, data.len() as u64, PAGE);
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
    };
    let layout = Layout::of(&counts).expect("small tables fit before the first section");
    let mut bytes = header.encode().to_vec();
    bytes.extend(rest);
    bytes.resize(layout.tables_end() as usize, 0xff);
    let tables = Tables::new(&header, &layout, &bytes).expect("as many bytes as the tables have");
    let _ = (tables.check_index(), tables.check_paths(), tables.check_digests());
    for i in 0..=tables.len() {
        let _ = (tables.digests(i), tables.offset(i));
        let Some(entry) = tables.entry(i) else { continue };
        assert!(entry.fits(&layout, header.base));
        let _ = tables.find(&entry.identity);
        let _ = tables.find(&Identity {
            inode: !entry.identity.inode,
            ..entry.identity
        });
        let _ = tables.at_offset(entry.offset);
        if let Some(chain) = tables.chain(i, &entry) {
            assert!(chain.clone().all(|range| range.end <= tables.len()));
            assert!(chain.map(|range| range.len()).sum::<usize>() <= tables.len() as usize);
        }
    }
    for (_, path) in tables.all_paths().take(1000) {
        let _ = tables.find_path(path);
    }
});
