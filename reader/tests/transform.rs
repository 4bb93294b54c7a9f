//! Rewritten files against what the test kit's writer makes of the same graph in the other shape.

use olean_reader::transform::{Rewritten, TransformError, narrow, relocate, rewrite, widen};
use olean_reader::{Bignums, File, Graph, Kind, Region, Width};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use testkit::olean::{Node, Spec, Val};

fn checked<'a>(bytes: &'a [u8], deps: &[&Region<'a>]) -> Region<'a> {
    Region::check(File::parse(bytes, "", None).unwrap(), deps).unwrap()
}

fn width(wide: bool) -> Width {
    if wide { Width::W64 } else { Width::W32 }
}

fn layout(gmp: bool) -> Bignums {
    if gmp { Bignums::Gmp } else { Bignums::Native }
}

/// `spec` as the writer writes it in another shape.
fn reshaped(spec: &Spec, wide: bool, gmp: bool, base: u64) -> Vec<u8> {
    Spec {
        wide,
        gmp,
        base,
        ..spec.clone()
    }
    .write()
    .bytes
}

/// The same cases in every run; PROPTEST_RNG_SEED and PROPTEST_CASES ask for others.
fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 100,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_shape_becomes_every_other(
        version in 2u8..=3,
        entropy in prop::collection::vec(any::<u64>(), 0..80),
        extension: bool,
    ) {
        let mut spec = Spec::random(false, false, version, &entropy, &[]);
        spec.extension = (version == 3 && extension).then(|| vec![1, 2, 3]);
        let shapes = [(false, false), (false, true), (true, false), (true, true)];
        for (wide, gmp) in shapes {
            let bytes = reshaped(&spec, wide, gmp, spec.base);
            let file = File::parse(&bytes, "", Some(width(wide))).unwrap();
            let region = Region::check(file, &[]).unwrap();
            for (to_wide, to_gmp) in shapes {
                for base in [spec.base, 0x7fff_0000] {
                    let target = Rewritten {
                        width: Some(width(to_wide)),
                        bignums: Some(layout(to_gmp)),
                        base: Some(base),
                        ..Rewritten::default()
                    };
                    let got = rewrite(&region, &[], &target).unwrap();
                    prop_assert!(got == reshaped(&spec, to_wide, to_gmp, base));
                }
            }
        }
    }

    #[test]
    fn pointers_into_dependencies_follow_them(
        entropy in prop::collection::vec(any::<u64>(), 1..30),
        more in prop::collection::vec(any::<u64>(), 1..30),
    ) {
        let make = |wide, dep_base: u64| {
            let mut dep = Spec::random(false, false, 2, &entropy, &[]);
            (dep.wide, dep.base) = (wide, dep_base);
            let dep = dep.write();
            let cross: Vec<u64> = dep.offsets.iter().map(|&o| dep_base + o as u64).collect();
            let mut main = Spec::random(false, false, 2, &more, &cross);
            main.wide = wide;
            main.root = main.push(Node::Array(vec![main.root, Val::Word(cross[0])]));
            (dep.bytes, main.write().bytes)
        };
        let (dep32, main32) = make(false, 0x3000_0000);
        let dep = checked(&dep32, &[]);
        let main = checked(&main32, &[&dep]);
        let (dep64, main64) = make(true, 0x3000_0000);
        prop_assert!(widen(&dep, &[]).unwrap() == dep64);
        prop_assert!(widen(&main, &[&dep]).unwrap() == main64);
        let refused = widen(&main, &[]).unwrap_err();
        prop_assert!(matches!(refused, TransformError::Outside { .. }), "{}", refused);

        let (moved, main_moved) = make(true, 0x6_0000_0000);
        let target = Rewritten {
            width: Some(Width::W64),
            dep_bases: &[Some(0x6_0000_0000)],
            ..Rewritten::default()
        };
        prop_assert!(rewrite(&main, &[&dep], &target).unwrap() == main_moved);
        let alone = Rewritten { base: Some(0x6_0000_0000), width: Some(Width::W64), ..Rewritten::default() };
        prop_assert!(rewrite(&dep, &[], &alone).unwrap() == moved);
    }
}

#[test]
fn relocating_keeps_every_other_byte() {
    let mut spec = Spec::new(true, true, 3);
    spec.libraries = vec![(0x1000, b"l.so".to_vec())];
    let z = spec.push(Node::Big(false, vec![9; 9]));
    let c = spec.push(Node::Closure(0, 8, 3, vec![z]));
    spec.root = spec.push(Node::Ctor(2, vec![c, Val::Box(5)], vec![1]));
    let written = spec.write();
    // The padding of closures is not deterministic: it stays what it is.
    let mut bytes = written.bytes;
    bytes[written.offsets[1] + 20] = 0xaa;
    let moved = relocate(&checked(&bytes, &[]), 0x77_0000_0000).unwrap();
    let back = relocate(&checked(&moved, &[]), spec.base).unwrap();
    assert_ne!(moved, bytes);
    assert_eq!(back, bytes);
    assert_eq!(moved[written.offsets[1] + 20], 0xaa);
    assert_eq!(
        relocate(&checked(&bytes, &[]), 8),
        Err(TransformError::Unaligned(8))
    );
    let far = relocate(&checked(&bytes, &[]), !0xffff);
    assert!(far.is_ok(), "the last 64 KiB of the address space hold this file");
}

#[test]
fn what_does_not_fit_is_an_error() {
    let mut spec = Spec::new(true, true, 2);
    spec.root = spec.push(Node::Array(vec![Val::Box(1 << 31)]));
    let bytes = spec.write().bytes;
    let e = narrow(&checked(&bytes, &[]), &[]).unwrap_err();
    assert_eq!(
        e.to_string(),
        "object 0 at 0x60 (array): the boxed scalar 2147483648 does not fit in 31 bits, and nothing tells that it is a Nat"
    );
    spec.nodes[0] = Node::Array(vec![Val::Box((1 << 31) - 1)]);
    spec.base = 0x7e12_3456_0000;
    let bytes = spec.write().bytes;
    let narrowed = narrow(&checked(&bytes, &[]), &[]).unwrap();
    // As a 32-bit Lean derives it: the same number, cut off.
    assert_eq!(checked(&narrowed, &[]).file().base(), 0x3456_0000);
    let target = Rewritten {
        width: Some(Width::W32),
        base: Some(0x1_0000_0000),
        ..Rewritten::default()
    };
    let e = rewrite(&checked(&bytes, &[]), &[], &target).unwrap_err();
    assert!(matches!(e, TransformError::AddressSpace { .. }), "{e}");

    let mut spec = Spec::new(true, true, 3);
    spec.libraries = vec![(0x7fff_0000_0000, b"x".to_vec())];
    spec.root = spec.push(Node::Closure(0, 4, 1, vec![]));
    let bytes = spec.write().bytes;
    let e = narrow(&checked(&bytes, &[]), &[]).unwrap_err();
    assert_eq!(e, TransformError::Code(0x7fff_0000_0004));
}

#[test]
fn closures_of_many_arguments_are_rewritten_where_their_size_need_not_tell() {
    let closure = |wide, arguments| {
        let mut spec = Spec::new(wide, true, 3);
        spec.libraries = vec![(0x1000, b"l.so".to_vec())];
        spec.root = spec.push(Node::Closure(0, 8, 30_000, vec![Val::Box(1); arguments]));
        spec.write().bytes
    };
    // 65,560 bytes with 64 bits, 32,780 with 32.
    let narrow_file = closure(false, 8192);
    let wide = widen(&checked(&narrow_file, &[]), &[]).unwrap();
    assert_eq!(narrow(&checked(&wide, &[]), &[]).unwrap(), narrow_file);
    let other = Rewritten {
        bignums: Some(Bignums::Native),
        ..Rewritten::default()
    };
    let changed = rewrite(&checked(&wide, &[]), &[], &other).unwrap();
    assert_eq!(checked(&changed, &[]).of_kind(Kind::Closure).0, 1);
    let e = narrow(&checked(&closure(true, 20_000), &[]), &[]).expect_err("it is refused");
    assert!(matches!(e, TransformError::Closure(_)), "{e}");
}

#[test]
fn integers_that_a_wider_lean_boxes_are_boxed() {
    let mut spec = Spec::new(false, false, 2);
    let high = spec.push(Node::Big(false, (1u32 << 30).to_le_bytes().to_vec()));
    let low = spec.push(Node::Big(true, (1u32 << 31).to_le_bytes().to_vec()));
    let big = spec.push(Node::Big(false, (1u32 << 31).to_le_bytes().to_vec()));
    spec.root = spec.push(Node::Array(vec![high, low, big]));
    let bytes = spec.write().bytes;
    let wide = widen(&checked(&bytes, &[]), &[]).unwrap();
    let region = checked(&wide, &[]);
    assert_eq!(region.summary().objects, 2);
    let graph = Graph::new(&region, &[]).unwrap();
    let olean_reader::Value::Object(root) = graph.root() else {
        panic!("root is a scalar")
    };
    let fields: Vec<_> = graph.children(root).map(|v| graph.small_nat(v)).collect();
    // An `Int` in a scalar is its 32 bits.
    assert_eq!(fields, [Some(1 << 30), Some(1 << 31), Some(1 << 31)]);
}

#[test]
fn the_root_of_very_old_files_stays_behind_the_objects() {
    let mut spec = Spec::new(false, false, 2);
    spec.root = spec.push(Node::Str("old".into()));
    let mut bytes = spec.write().bytes;
    bytes.drain(84..88);
    bytes.extend((spec.base as u32 + 84).to_le_bytes());
    let wide = widen(&checked(&bytes, &[]), &[]).unwrap();
    let region = checked(&wide, &[]);
    assert!(!region.file().root_first());
    assert_eq!(region.file().width(), Width::W64);
    assert_eq!(narrow(&region, &[]).unwrap(), bytes);
}

#[test]
fn large_numbers_become_bignums_where_they_are_nats() {
    const LARGE: u64 = 1 << 31;
    // Names and a literal; each number where it is needed first, `box_or_big` says as what.
    let make = |wide, gmp, box_or_big: &dyn Fn(&mut Spec, u64) -> Val| {
        let mut spec = Spec::new(wide, gmp, 2);
        let small = spec.push(Node::Ctor(2, vec![Val::Box(0), Val::Box(LARGE - 1)], vec![1; 8]));
        let first = box_or_big(&mut spec, LARGE);
        let name = spec.push(Node::Ctor(2, vec![small, first], vec![2; 8]));
        let again = spec.push(Node::Ctor(2, vec![name, first], vec![3; 8]));
        let second = box_or_big(&mut spec, (1 << 40) + 5);
        let literal = spec.push(Node::Ctor(0, vec![second], vec![]));
        let lit = spec.push(Node::Ctor(9, vec![literal], vec![4; 8]));
        spec.root = spec.push(Node::Array(vec![again, lit]));
        spec
    };
    let big = |spec: &mut Spec, n: u64| {
        let used = 8 - n.leading_zeros() as usize / 8;
        spec.push(Node::Big(false, n.to_le_bytes()[..used].to_vec()))
    };
    for gmp in [false, true] {
        let boxed = make(true, gmp, &|_, n| Val::Box(n)).write().bytes;
        let region = checked(&boxed, &[]);
        for to_gmp in [false, true] {
            let target = Rewritten {
                width: Some(Width::W32),
                bignums: Some(layout(to_gmp)),
                ..Rewritten::default()
            };
            let narrowed = rewrite(&region, &[], &target).unwrap();
            assert_eq!(
                narrowed,
                make(false, to_gmp, &big).write().bytes,
                "{gmp} {to_gmp}"
            );
        }
    }

    // Almost names and literals: no hash, no name before the number, no expression that holds it, the wrong field.
    let hash = vec![0; 8];
    let other = Val::Box(1);
    for node in [
        Node::Ctor(2, vec![Val::Box(0), Val::Box(LARGE)], vec![]),
        Node::Ctor(2, vec![other, Val::Box(LARGE)], hash.clone()),
        Node::Ctor(1, vec![Val::Box(0), Val::Box(LARGE)], hash.clone()),
        Node::Ctor(2, vec![Val::Box(LARGE), Val::Box(0)], hash.clone()),
        Node::Ctor(0, vec![Val::Box(LARGE)], vec![]),
        Node::Ctor(9, vec![Val::Box(LARGE)], hash),
    ] {
        let mut spec = Spec::new(true, true, 2);
        spec.root = spec.push(node.clone());
        let bytes = spec.write().bytes;
        match narrow(&checked(&bytes, &[]), &[]).unwrap_err() {
            TransformError::Scalar { object, value } => {
                assert_eq!((object.0.unwrap().index, value), (0, LARGE), "{node:?}");
            }
            e => panic!("{node:?}: {e}"),
        }
    }
}

#[test]
fn names_of_a_dependency_may_be_long_or_reach_themselves() {
    // Dependencies are walked, so nothing has looked for cycles in them.
    let number = Val::Box(1 << 31);
    let mut dep = Spec::new(true, true, 2);
    dep.root = dep.push(Node::Ctor(2, vec![Val::Node(1), number], vec![1; 8]));
    dep.push(Node::Ctor(2, vec![Val::Node(0), number], vec![1; 8]));
    for _ in 0..100_000 {
        let prefix = if dep.nodes.len() == 2 {
            Val::Box(0)
        } else {
            dep.root
        };
        dep.root = dep.push(Node::Ctor(2, vec![prefix, number], vec![1; 8]));
    }
    dep.base = 0x2000_0000;
    let written = dep.write();
    let dep = Region::walk(File::parse(&written.bytes, "", None).unwrap()).unwrap();

    let mut main = Spec::new(true, true, 2);
    let first = 0x2000_0000 + written.offsets[2] as u64;
    main.root = main.push(Node::Array(vec![Val::Word(first)]));
    let bytes = main.write().bytes;
    let narrowed = narrow(&checked(&bytes, &[&dep]), &[&dep]).unwrap();
    // The cycle keeps its boxed numbers; the bignum (24 bytes) lies before the first name, which is the third object.
    let header = 40 + 40 + 4 + 4;
    let third = 0x2000_0000 + header + 2 * (8 + 2 * 4 + 8) + 24;
    let field = narrowed.len() - 4;
    assert_eq!(narrowed[field..], u32::to_le_bytes(third));
}
