//! Relocation of whole regions against the rewriting of the validating reader, which walks files in another
//! way: graphs of every kind of object, long enough that objects lie across the windows of the walk.

use super::{AHEAD, Placement, Unseen, relocate};
use crate::dependencies::{Dependencies, RegionView};
use olean_reader::format::header::Header;
use olean_reader::transform::{Rewritten, rewrite};
use olean_reader::{File, Region, Width};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use testkit::olean::{Node, Rng, Spec, Val};

/// Addresses where two dependencies lie in files, and where they lie in memory.
const DEPS: [(u64, u64); 2] = [(0x3000_0000, 0x5_0000_0000), (0x4000_0000, 0x4000_0000)];
const DEP_SIZE: u64 = 0x1000;

/// A file of a few windows: small constructors in their great number, now and then something else.
fn long(seed: u64, count: usize, gmp: bool, cross: &[u64]) -> Spec {
    let mut rng = Rng(seed);
    let entropy: Vec<u64> = (0..600).map(|_| rng.draw()).collect();
    let mut spec = Spec::random(true, gmp, 2, &entropy, cross);
    for _ in 0..count {
        let count = spec.nodes.len() as u64;
        let mut val = || match rng.below(8) {
            0 => Val::Box(rng.below(1 << 40)),
            1 if !cross.is_empty() => Val::Word(cross[rng.below(cross.len() as u64) as usize]),
            _ => Val::Node((count - 1 - rng.below(count.min(900))) as usize),
        };
        let mut vals = |n: u64| (0..n).map(|_| val()).collect::<Vec<_>>();
        let node = match spec.nodes.len() % 97 {
            0 => Node::Array(vals(5000)),
            1 => Node::Ctor(3, vals(255), vec![]),
            2 => Node::Str("x".repeat(count as usize % 3000)),
            3 => Node::Array(vals(count % 40)),
            n => Node::Ctor(n as u8, vals(count % 9), vec![0x55; 4 * (n % 3)]),
        };
        spec.push(node);
    }
    let last = spec.nodes.len();
    spec.root = spec.push(Node::Array((0..last).step_by(7).map(Val::Node).collect()));
    spec
}

fn words_of(bytes: &[u8]) -> Vec<u64> {
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|&w| u64::from_le_bytes(w))
        .collect()
}

/// Relocates `spec` to `address` in both ways.
fn compare(spec: &Spec, address: u64, deps: &[Vec<u8>]) {
    let bytes = spec.write().bytes;
    let parse = |bytes| Region::check(File::parse(bytes, "", Some(Width::W64)).unwrap(), &[]);
    let checked: Vec<_> = deps.iter().map(|d| parse(d).unwrap()).collect();
    let refs: Vec<&Region<'_>> = checked.iter().collect();
    let region = Region::check(File::parse(&bytes, "", Some(Width::W64)).unwrap(), &refs).unwrap();
    let expected = rewrite(
        &region,
        &refs,
        &Rewritten {
            base: Some(address),
            dep_bases: &DEPS.map(|(_, lies)| Some(lies))[..deps.len()],
            ..Rewritten::default()
        },
    )
    .unwrap();

    let mut words = words_of(&bytes);
    let header = Header::decode(&bytes).unwrap();
    let placement = Placement {
        base: header.base,
        address: address as usize,
        data: header.root_slot()..bytes.len(),
        gmp: spec.gmp,
        closures: false,
    };
    let views = deps.iter().zip(DEPS).map(|(bytes, (base, begin))| RegionView {
        begin: begin as usize,
        size: bytes.len(),
        base,
    });
    // The content comes when it is announced, not before.
    let content = std::mem::replace(&mut words, vec![0; bytes.len() / 8]);
    let mut announced = 0;
    let root = relocate(
        &mut words,
        &placement,
        &Dependencies::new(views.collect::<Vec<_>>()),
        Unseen,
        |at, words| {
            assert_eq!(at, announced, "all is announced once, in order");
            announced = bytes.len().min(at + AHEAD);
            words.copy_from_slice(&content[at / 8..announced / 8]);
        },
    )
    .unwrap();
    assert_eq!(announced, bytes.len(), "all is announced");
    // The header keeps its base address: it says what pointers of other files mean.
    let data = placement.data.start;
    let got: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    assert_eq!(got[..data], bytes[..data]);
    let differing = got[data..]
        .iter()
        .zip(&expected[data..])
        .position(|(a, b)| a != b);
    assert_eq!(differing.map(|at| format!("{:#x}", data + at)), None);
    assert_eq!(root, words[data / 8]);
}

fn dependencies() -> (Vec<Vec<u8>>, Vec<u64>) {
    let mut cross = Vec::new();
    let deps = DEPS.map(|(base, _)| {
        let mut spec = Spec::random(true, true, 2, &[1, 2, 3, 4, 5, 6, 7, 8], &[]);
        spec.base = base;
        let written = spec.write();
        assert!(written.bytes.len() as u64 <= DEP_SIZE);
        cross.extend(written.offsets.iter().map(|&o| base + o as u64));
        written.bytes
    });
    (deps.into(), cross)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn regions_move_as_files_are_rewritten(
        seed: u64,
        count in prop::sample::select(vec![30usize, 400, 1500, 6000]),
        gmp: bool,
        with_deps: bool,
        address in prop::sample::select(vec![0x7f55_0001_0000u64, 0x1_0000, 0x1234_0000]),
    ) {
        let (deps, cross) = dependencies();
        let (deps, cross) = if with_deps { (deps, cross) } else { (vec![], vec![]) };
        compare(&long(seed, count, gmp, &cross), address, &deps);
    }
}

#[test]
fn the_first_fault_of_a_file_is_the_one_that_is_named() {
    for count in [400, 6000] {
        first_fault(count);
    }
}

fn first_fault(count: usize) {
    // A pointer that leads nowhere and, behind it in the same window, an object that is none.
    let mut spec = long(5, count, true, &[]);
    let at = spec.nodes.len() - 40;
    spec.nodes[at] = Node::Ctor(0, vec![Val::Box(1), Val::Word(0x10)], vec![]);
    let written = spec.write();
    let mut words = words_of(&written.bytes);
    words[written.offsets[at + 20] / 8] = 0xfe << 56;
    let placement = Placement {
        base: spec.base,
        address: 0x7f55_0000_1000,
        data: 88..written.bytes.len(),
        gmp: true,
        closures: false,
    };
    let error = relocate(
        &mut words,
        &placement,
        &Dependencies::default(),
        Unseen,
        |_, _| (),
    )
    .unwrap_err();
    let offset = written.offsets[at] + 16;
    let wanted = format!("at offset {offset:#x}: the pointer 0x10 leads neither");
    assert!(error.to_string().contains(&wanted), "{error}");

    let mut words = words_of(&written.bytes);
    words[offset / 8] = 1;
    words[written.offsets[at + 20] / 8] = 0xfe << 56;
    let error = relocate(
        &mut words,
        &placement,
        &Dependencies::default(),
        Unseen,
        |_, _| (),
    )
    .unwrap_err();
    let wanted = format!(
        "at offset {:#x}: an object with tag 254",
        written.offsets[at + 20]
    );
    assert!(error.to_string().contains(&wanted), "{error}");
}

#[test]
fn small_constructors_lie_across_the_end_of_every_window() {
    // Each begins a word later, so that the windows end at every place in them.
    for lead in 0..24 {
        let mut spec = Spec::new(true, true, 2);
        spec.push(Node::Str("x".repeat(8 * lead)));
        for fields in (1..8).cycle().take(2500) {
            let all = vec![Val::Node(spec.nodes.len() - 1); fields];
            spec.push(Node::Ctor(fields as u8, all, vec![]));
        }
        spec.root = Val::Node(spec.nodes.len() - 1);
        compare(&spec, 0x7f55_0001_0000, &[]);
    }
}

#[test]
fn digits_of_a_bignum_lie_in_the_file_to_the_last() {
    for gmp in [true, false] {
        let mut spec = Spec::new(true, gmp, 2);
        spec.push(Node::Str("before".to_owned()));
        spec.push(Node::Big(false, vec![0xff; 32]));
        spec.root = spec.push(Node::Ctor(0, vec![Val::Node(1)], vec![]));
        let written = spec.write();
        let pointer = written.offsets[1] + if gmp { 16 } else { 24 };
        let end = spec.base + written.bytes.len() as u64;
        let first = spec.base + written.offsets[0] as u64;
        let moved = |to: u64| {
            let mut words = words_of(&written.bytes);
            words[pointer / 8] = to;
            let placement = Placement {
                base: spec.base,
                address: 0x7f55_0000_1000,
                data: 88..written.bytes.len(),
                gmp,
                closures: false,
            };
            relocate(
                &mut words,
                &placement,
                &Dependencies::default(),
                Unseen,
                |_, _| (),
            )
            .map_err(|e| e.to_string())
        };
        for good in [first, end - 32] {
            moved(good).unwrap_or_else(|e| panic!("{good:#x}: {e}"));
        }
        // Beyond the end by a digit, by nearly all of them, not at a word, before the first object.
        for bad in [end - 24, end - 8, end, first + 4, first - 8] {
            let error = moved(bad).expect_err("the digits do not lie there");
            assert!(error.contains(&format!("the pointer {bad:#x}")), "{error}");
        }
    }
}
