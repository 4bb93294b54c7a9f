//! Tables written and read again, and damaged ones.

use super::header::{HEADER_SIZE, PAGE, SECTION};
use super::tables::Found;
use super::writer::Encoded;
use super::writer::{chain_words, path_bytes};
use super::*;
use crate::format::identity::Identity;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn identity(n: u64) -> Identity {
    Identity {
        device: n % 3,
        inode: n,
        size: 100 + 8 * (n % 50),
        modified: 1_700_000_000 + n as i64,
        modified_ns: n as u32 % 1_000_000_000,
        changed: 1_700_000_001,
        changed_ns: 5,
    }
}

const BASE: u64 = 0x0a00_0000_0000;

/// An image of `n` regions, every seventh of which has the dependencies that `deps` chooses among those before.
fn image(n: u32, deps: impl Fn(u32) -> Vec<u32>) -> NewTables {
    let start = SECTION * 8;
    let entries = (0..n).map(|i| {
        let offset = start + u64::from(i) * PAGE;
        NewEntry {
            identity: identity(u64::from(i) * 7),
            offset,
            base: u64::from(i) << 16,
            root: if i % 5 == 0 { 1 } else { BASE + offset + 96 },
            root_copy: (i % 5 > 1).then_some([i as u8 | 1; ROOT_SIZE]),
            deps: deps(i),
            section: Section::Constant,
            closures: i % 2 == 0,
            source: [i as u8; 16],
            region: [!i as u8; 16],
            paths: (0..1 + i % 2)
                .map(|k| format!("/lib/M{i}.{k}.olean").into_bytes())
                .collect(),
        }
    });
    let entries: Vec<NewEntry> = entries.collect();
    let end = start + u64::from(n) * PAGE;
    NewTables {
        base: BASE,
        flags: 1,
        githash: [b'f'; 40],
        lean_version: [0; 33],
        built: 7,
        constant: start..end,
        changeable: end.next_multiple_of(SECTION)..end.next_multiple_of(SECTION),
        entries,
    }
}

fn whole(e: &Encoded) -> Vec<u8> {
    let mut bytes = e.header.encode().to_vec();
    bytes.extend(&e.tables);
    bytes
}

fn with_tables<T>(bytes: &[u8], size: u64, use_them: impl FnOnce(Tables<'_>) -> T) -> Result<T, ImageError> {
    let (header, layout) = Header::decode(bytes, size, PAGE)?;
    Ok(use_them(Tables::new(&header, &layout, bytes)?))
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: proptest::test_runner::RngSeed::Fixed(16), cases: 64, ..ProptestConfig::default()
    })]
    #[test]
    fn every_region_is_found_by_file_by_path_and_by_place(n in 0u32..200, picks in prop::collection::vec(any::<u32>(), 40)) {
        let deps = |i: u32| -> Vec<u32> {
            match i % 7 {
                _ if i == 0 => vec![],
                0 => picks.iter().map(|p| p % i).collect::<BTreeSet<_>>().into_iter().collect(),
                k => (i.saturating_sub(k % 3)..i).collect(),
            }
        };
        let new = image(n, deps);
        let encoded = new.encode().unwrap();
        let bytes = whole(&encoded);
        prop_assert_eq!(bytes.len() as u64, encoded.layout.tables_end());
        with_tables(&bytes, encoded.layout.size(), |t| {
            assert_eq!((t.len(), t.is_empty()), (n, n == 0));
            t.check_index().unwrap();
            t.check_roots().unwrap();
            t.check_paths().unwrap();
            t.check_digests().unwrap();
            let mut paths: BTreeMap<u32, Vec<&[u8]>> = BTreeMap::new();
            t.all_paths().for_each(|(i, p)| paths.entry(i).or_default().push(p));
            for (i, e) in new.entries.iter().enumerate() {
                let i = i as u32;
                let Found::Same(found, entry) = t.find(&e.identity) else { panic!("{i}") };
                assert_eq!(found, i);
                assert_eq!((entry.offset, entry.base, entry.root, entry.closures), (e.offset, e.base, e.root, e.closures));
                let chain: Vec<u32> = t.chain(i, &entry).unwrap().flatten().collect();
                assert_eq!(chain, e.deps);
                assert_eq!(t.at_offset(e.offset), Some(i));
                assert_eq!(t.offset(i), Some(e.offset));
                assert_eq!(t.at_offset(e.offset + 8), None);
                assert_eq!(t.digests(i), Some((e.source, e.region)));
                assert_eq!(t.root_copy(i, &entry), e.root_copy.as_ref());
                let copied = BASE + encoded.layout.roots.start + u64::from(i) * ROOT_SIZE as u64;
                assert_eq!(t.root(i, &entry), if e.root_copy.is_some() { copied } else { e.root });
                for path in &e.paths {
                    assert_eq!(t.find_path(path), Some((i, entry)));
                }
                assert_eq!(paths[&i], e.paths);
                let other = Identity { changed_ns: 6, ..e.identity };
                assert_eq!(t.find(&other), Found::Stale(i));
                let other = Identity { inode: e.identity.inode + 1, ..e.identity };
                assert_eq!(t.find(&other), Found::Absent);
            }
            assert_eq!(t.find_path(b"/lib/M0.0.olea"), None);
            assert_eq!(t.entry(n), None);
        }).unwrap();
    }
}

/// Goes through everything that damaged tables can be asked.
fn ask(t: &Tables<'_>) {
    for i in (0..t.len().min(300)).chain([u32::MAX, 1 << 31]) {
        let _ = t.digests(i);
        let Some(e) = t.entry(i) else { continue };
        assert!(e.fits(t.layout(), t.header().base));
        let _ = t.find(&e.identity);
        let _ = t.find(&Identity {
            inode: !e.identity.inode,
            ..e.identity
        });
        let _ = t.at_offset(e.offset);
        if let Some(chain) = t.chain(i, &e) {
            assert!(chain.clone().all(|r| r.end <= t.len()));
            assert!(chain.map(|r| r.len()).sum::<usize>() <= t.len() as usize);
        }
    }
    let _ = t
        .all_paths()
        .take(1000)
        .filter(|(_, p)| t.find_path(p).is_some())
        .count();
}

#[test]
fn two_thousand_damaged_tables_are_refused_or_harmless() {
    let encoded = image(60, |i| {
        if i % 7 == 0 {
            (0..i).filter(|d| d % 3 == 0).collect()
        } else {
            vec![]
        }
    })
    .encode()
    .unwrap();
    let good = whole(&encoded);
    let size = encoded.layout.size();
    let mut seed = 0x1234_5678_9abc_def0_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let (mut refused, mut asked) = (0, 0);
    for _ in 0..2000 {
        let mut bytes = good.clone();
        for _ in 0..1 + random() % 8 {
            let at = HEADER_SIZE as u64 + random() % (good.len() - HEADER_SIZE) as u64;
            let value = [
                0,
                0xff,
                random() as u8,
                bytes[at as usize] ^ (1 << (random() % 8)),
            ][random() as usize % 4];
            bytes[at as usize] = value;
        }
        if bytes == good {
            continue;
        }
        let checked = with_tables(&bytes, size, |t| {
            // Without the digests: the tables alone have to be harmless.
            ask(&t);
            [
                t.check_index(),
                t.check_roots(),
                t.check_paths(),
                t.check_digests(),
            ]
            .iter()
            .any(Result::is_err)
        });
        // Bytes between two tables mean nothing.
        asked += 1;
        refused += u32::from(checked.unwrap());
    }
    assert!(refused > asked * 99 / 100, "{refused} of {asked}");
    for cut in (0..good.len()).step_by(61) {
        assert!(with_tables(&good[..cut], size, |_| ()).is_err(), "cut to {cut}");
    }
}

#[test]
fn an_entry_must_lie_in_its_section_and_its_root_in_it() {
    let encoded = image(3, |_| vec![]).encode().unwrap();
    let bytes = whole(&encoded);
    with_tables(&bytes, encoded.layout.size(), |t| {
        let (layout, e) = (t.layout(), t.entry(1).unwrap());
        let fits = |e: Entry| e.fits(layout, BASE);
        assert!(fits(e) && fits(Entry { root: 1, ..e }));
        let bigger = |size| Entry {
            identity: Identity { size, ..e.identity },
            ..e
        };
        for wrong in [
            Entry {
                offset: e.offset + 8,
                ..e
            },
            Entry { offset: 0, ..e },
            Entry {
                offset: !(PAGE - 1),
                ..e
            },
            Entry {
                section: Section::Changeable,
                ..e
            },
            Entry {
                root: BASE + e.offset + 88,
                ..e
            },
            Entry {
                root: BASE + e.offset + e.identity.size,
                ..e
            },
            Entry {
                root: BASE + e.offset + 98,
                ..e
            },
            Entry {
                root: BASE + e.offset - PAGE + 96,
                ..e
            },
            Entry { root: 0, ..e },
            Entry { base: 4, ..e },
            bigger(88),
            bigger(0),
            bigger(u64::MAX),
            bigger(3 * PAGE),
        ] {
            assert!(!fits(wrong), "{wrong:?}");
        }
    })
    .unwrap();
}

#[test]
fn equal_lists_of_dependencies_are_kept_once() {
    let list: Vec<u32> = vec![0, 2, 3, 9];
    let encoded = image(12, |i| if i >= 10 { list.clone() } else { vec![] })
        .encode()
        .unwrap();
    assert_eq!(encoded.header.counts.chain_words, 1 + 2 * 3);
}

#[test]
fn tables_take_what_is_planned_for_them() {
    let new = image(40, |i| (0..i).step_by(3).collect());
    let encoded = new.encode().unwrap();
    let counts = encoded.header.counts;
    let first = encoded.layout.tables_end().next_multiple_of(SECTION);
    assert_eq!(counts.first_section(), Some(first));
    let paths = new.entries.iter().flat_map(|e| &e.paths);
    assert_eq!(paths.map(|p| path_bytes(p)).sum::<u64>(), counts.path_bytes);
    let most: usize = new.entries.iter().map(|e| chain_words(e.deps.len())).sum();
    assert!((1..=most).contains(&(counts.chain_words as usize)));
}

#[test]
fn an_index_takes_at_most_a_hundred_bytes_a_region_with_the_byte_that_a_loader_keeps() {
    // Modules of three parts, and a snapshot over all of them.
    let n = 3000;
    let tables = image(n, |i| match i {
        _ if i + 1 == n => (0..i).collect(),
        _ => (i - i % 3..i).collect(),
    });
    let index = tables.encode().unwrap().layout.index();
    let bytes = index.end - index.start + u64::from(n);
    assert!(bytes <= 100 * u64::from(n), "{bytes} bytes for {n} regions");
}
