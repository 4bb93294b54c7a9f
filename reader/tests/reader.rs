//! The validating reader against files of the test kit's own writer: every kind of object, both widths,
//! both bignum layouts, versions 2 and 3, dependencies; and against damage.

use olean_reader::{
    BadPointer, CheckError, DepBytes, File, Graph, Kind, NodeId, Options, Region, Value, Violation, Width,
    verify_region,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use testkit::olean::{Node, Rng, Spec, Val, Written};

fn width(spec: &Spec) -> Width {
    if spec.wide { Width::W64 } else { Width::W32 }
}

fn check<'a>(bytes: &'a [u8], w: Width, deps: &[&Region<'a>]) -> Result<Region<'a>, CheckError> {
    Region::check(File::parse(bytes, "", Some(w))?, deps)
}

/// Compares what the reader says of a file with what was written.
fn compare(spec: &Spec, written: &Written) {
    let region = check(&written.bytes, width(spec), &[]).unwrap();
    assert_eq!(region.summary().objects as usize, spec.nodes.len());
    assert_eq!(region.summary().forward, 0);
    let graph = Graph::new(&region, &[]).unwrap();
    let value = |v: &Val| match *v {
        Val::Box(v) => Value::Scalar(v),
        Val::Node(n) => Value::Object(NodeId(n as u32)),
        Val::Word(p) => Value::Outside(p),
    };
    assert_eq!(graph.root(), value(&spec.root));
    for (i, node) in spec.nodes.iter().enumerate() {
        let n = NodeId(i as u32);
        assert_eq!(graph.reference(n).offset as usize, written.offsets[i]);
        let (kind, fields): (_, &[Val]) = match node {
            Node::Ctor(tag, f, s) => {
                assert_eq!((graph.tag(n), graph.scalars(n)), (*tag, s.as_slice()));
                (Kind::Ctor, f)
            }
            Node::Closure(library, offset, arity, f) => {
                let c = graph.closure(n).unwrap();
                assert_eq!((c.arity, usize::from(c.fixed)), (*arity, f.len()));
                assert_eq!(c.offset, u64::from(*offset));
                assert!(spec.libraries[*library].1.ends_with(c.library));
                (Kind::Closure, f)
            }
            Node::Array(f) => (Kind::Array, f),
            Node::Sarray(element, bytes) => {
                assert_eq!(graph.sarray(n), Some((*element, bytes.as_slice())));
                (Kind::Sarray, &[])
            }
            Node::Str(s) => {
                assert_eq!(graph.string(n), Some(s.as_str()));
                (Kind::String, &[])
            }
            Node::Big(negative, m) => {
                let v = graph.bignum(n).unwrap();
                assert_eq!((v.negative, v.magnitude), (*negative, m.as_slice()));
                (Kind::Mpz, &[])
            }
            Node::Thunk(v) => (Kind::Thunk, std::slice::from_ref(v)),
            Node::Task(v) => (Kind::Task, std::slice::from_ref(v)),
            Node::Ref(v) => (Kind::Ref, std::slice::from_ref(v)),
            Node::Promise(v) => (Kind::Promise, std::slice::from_ref(v)),
        };
        assert_eq!(graph.kind(n), kind);
        assert_eq!(
            graph.children(n).collect::<Vec<_>>(),
            fields.iter().map(value).collect::<Vec<_>>()
        );
        assert_eq!(graph.child(n, fields.len()), None);
    }
}

/// What every accepted file must survive: graph, digests, all accessors.
fn exercise(region: &Region<'_>, deps: &[&Region<'_>]) {
    let graph = Graph::new(region, deps).unwrap();
    let digests = graph.digests().unwrap();
    assert!(digests.distinct <= digests.objects);
    assert_eq!(
        (digests.objects + digests.small_bignums) as usize,
        graph.reached().len()
    );
    for i in 0..graph.len() as u32 {
        let n = NodeId(i);
        let _ = (
            graph.string(n),
            graph.scalars(n),
            graph.sarray(n),
            graph.closure(n),
            graph.size(n),
        );
        if let Some(v) = graph.bignum(n) {
            assert!(!v.to_decimal().is_empty());
        }
    }
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
    fn reads_what_was_written(
        wide: bool,
        gmp: bool,
        version in 2u8..=3,
        entropy in prop::collection::vec(any::<u64>(), 0..120),
    ) {
        let spec = Spec::random(wide, gmp, version, &entropy, &[]);
        compare(&spec, &spec.write());
    }

    #[test]
    fn the_width_of_any_file_is_found_out(
        wide: bool,
        gmp: bool,
        version in 2u8..=3,
        entropy in prop::collection::vec(any::<u64>(), 0..12),
        base in 1u64..0x7000,
        cross: bool,
    ) {
        // Few objects, and pointers that lead out of the file.
        let cross: &[u64] = if cross { &[0x3000_0058, 0x3000_0100] } else { &[] };
        let mut spec = Spec::random(false, gmp, version, &entropy, cross);
        (spec.wide, spec.base) = (wide, base << 16);
        let bytes = spec.write().bytes;
        prop_assert_eq!(File::parse(&bytes, "", None).unwrap().width(), width(&spec));
    }

    #[test]
    fn hashes_see_neither_width_nor_layout_nor_address(
        version in 2u8..=3,
        entropy in prop::collection::vec(any::<u64>(), 0..60),
    ) {
        let mut spec = Spec::random(false, false, version, &entropy, &[]);
        let mut hashes = Vec::new();
        for (wide, gmp, base) in
            [(false, false, 0), (false, true, 0xfff0_0000), (true, false, 0), (true, true, 0x7eff_1234_0000)]
        {
            (spec.wide, spec.gmp, spec.base) = (wide, gmp, base);
            let bytes = spec.write().bytes;
            let region = check(&bytes, width(&spec), &[]).unwrap();
            let d = Graph::new(&region, &[]).unwrap().digests().unwrap();
            hashes.push((d.graphhash, d.sharehash, d.depth, d.distinct, d.shared));
        }
        for h in &hashes[1..] {
            prop_assert_eq!(&hashes[0], h);
        }
    }

    #[test]
    fn damage_is_an_error_or_harmless(
        wide: bool,
        gmp: bool,
        version in 2u8..=3,
        entropy in prop::collection::vec(any::<u64>(), 1..60),
        seed: u64,
    ) {
        let mut spec = Spec::random(wide, gmp, version, &entropy, &[]);
        spec.extension = (version == 3 && seed & 1 == 0).then(|| b"payload".to_vec());
        let bytes = spec.write().bytes;
        let mut rng = Rng(seed);
        for _ in 0..60 {
            let mut bad = bytes.clone();
            for _ in 0..=rng.below(3) {
                let at = rng.below(bad.len() as u64) as usize;
                match rng.below(4) {
                    0 => bad[at] ^= 1 << rng.below(8),
                    1 => bad[at] = [0, 1, 0x7f, 0x80, 0xff][rng.below(5) as usize],
                    2 => bad.truncate(at + 1),
                    _ => {
                        let end = (at + 8).min(bad.len());
                        bad[at..end].copy_from_slice(&rng.draw().to_le_bytes()[..end - at]);
                    }
                }
            }
            for w in [None, Some(Width::W32), Some(Width::W64)] {
                let region = File::parse(&bad, "", w).and_then(|f| Region::check(f, &[]));
                if let Ok(region) = region {
                    exercise(&region, &[]);
                }
            }
        }
    }

    #[test]
    fn truncation_is_refused(
        wide: bool,
        version in 2u8..=3,
        entropy in prop::collection::vec(any::<u64>(), 1..30),
    ) {
        // The root is the last object, so a cut leaves its pointer behind the end.
        let spec = Spec::random(wide, true, version, &entropy, &[]);
        let bytes = spec.write().bytes;
        for n in 0..bytes.len() {
            prop_assert!(check(&bytes[..n], width(&spec), &[]).is_err(), "cut to {}", n);
        }
    }

    #[test]
    fn pointers_into_dependencies_are_followed(
        wide: bool,
        entropy in prop::collection::vec(any::<u64>(), 1..40),
        more in prop::collection::vec(any::<u64>(), 1..40),
    ) {
        let mut dep = Spec::random(wide, false, 3, &entropy, &[]);
        dep.base = 0x5000_0000;
        let dep_written = dep.write();
        let cross: Vec<u64> = dep_written.offsets.iter().map(|&o| dep.base + o as u64).collect();
        let mut main = Spec::random(wide, false, 2, &more, &cross);
        main.root = main.push(Node::Array(vec![main.root, Val::Word(cross[0])]));
        let bytes = main.write().bytes;
        let w = width(&main);
        let dep_region = Region::walk(File::parse(&dep_written.bytes, "dep", Some(w)).unwrap()).unwrap();
        let region = check(&bytes, w, &[&dep_region]).unwrap();
        prop_assert!(region.summary().cross > 0);
        exercise(&region, &[&dep_region]);
        let graph = Graph::new(&region, &[&dep_region]).unwrap();
        prop_assert_eq!(graph.outside(), 0);

        let alone = check(&bytes, w, &[]).unwrap_err();
        let is_outside =
            matches!(alone.violation(), Violation::Pointer { why: BadPointer::Outside, .. });
        prop_assert!(is_outside, "{}", alone);

        if wide {
            // A dependency in memory: its pointers rewritten, its header as it was.
            let mut moved = dep.clone();
            moved.base = 0x7000_0000;
            let mut memory = moved.write().bytes;
            memory[80..88].copy_from_slice(&dep.base.to_le_bytes());
            let deps = [DepBytes { bytes: &memory, name: "dep" }];
            let summary = verify_region(&bytes, &deps, &Options::default()).unwrap();
            prop_assert_eq!(summary, region.summary());
        }
    }
}

/// A 64-bit file with one object of each kind.
fn sample(version: u8) -> (Spec, Written) {
    let mut spec = Spec::new(true, true, version);
    let s = spec.push(Node::Str("λx".into()));
    let c = spec.push(Node::Ctor(3, vec![s, Val::Box(7)], vec![1, 2, 3]));
    let a = spec.push(Node::Array(vec![s, c]));
    let b = spec.push(Node::Sarray(2, vec![1, 2, 3, 4]));
    let z = spec.push(Node::Big(true, vec![1; 13]));
    let k = spec.push(Node::Thunk(z));
    let j = spec.push(Node::Task(b));
    let r = spec.push(Node::Ref(a));
    let p = spec.push(Node::Promise(j));
    let mut all = vec![k, r, p];
    if version == 3 {
        spec.libraries = vec![(0x10000, b"/lib/x.so".to_vec())];
        all.push(spec.push(Node::Closure(0, 0x40, 2, vec![s])));
    }
    spec.root = spec.push(Node::Ctor(0, all, vec![]));
    let written = spec.write();
    (spec, written)
}

#[test]
fn each_damage_has_its_reason() {
    use Violation as V;
    let (_, written) = sample(3);
    let good = &written.bytes;
    let o = &written.offsets;
    let (string, ctor, array, sarray, mpz, thunk, task, promise, closure) =
        (o[0], o[1], o[2], o[3], o[4], o[5], o[6], o[8], o[9]);
    let base = 0x1234_0000u64;
    let data_end = 96 + u64::from_le_bytes(good[88..96].try_into().unwrap()) as usize;
    type Test<'a> = (usize, &'a [u8], fn(&V) -> bool);
    let pointer = |at: usize| (base + at as u64).to_le_bytes();
    let (header, middle, odd) = (pointer(8), pointer(string + 8), pointer(string + 4));
    let (own, forward) = (pointer(ctor), pointer(array));
    let tests: &[Test<'_>] = &[
        (0, b"O", |v| matches!(v, V::Magic)),
        (5, &[4], |v| matches!(v, V::Version(4))),
        (5, &[1], |v| matches!(v, V::Version(1))),
        (6, &[3], |v| matches!(v, V::Flags(3))),
        (38, b"x", |v| matches!(v, V::TextAfterNul)),
        (40, &[0xc3], |v| matches!(v, V::TextNotAscii)),
        (80, &[1], |v| matches!(v, V::BaseUnaligned(_))),
        (94, &[1], |v| matches!(v, V::DoesNotFit { .. })),
        (data_end, &[0xff; 4], |v| matches!(v, V::DoesNotFit { .. })),
        (data_end, &[0; 4], |v| {
            matches!(v, V::DoesNotFit { .. } | V::Garbage(_))
        }),
        (data_end + 4, &[0], |v| matches!(v, V::ClosureOffset(_))),
        (data_end + 12, &[2], |v| {
            matches!(v, V::Truncated | V::DoesNotFit { .. })
        }),
        (data_end + 12, &[0xff; 4], |v| matches!(v, V::DoesNotFit { .. })),
        (data_end + 16, &[0xff; 8], |v| matches!(v, V::NoLibrary(_))),
        (data_end + 30, &[0], |v| matches!(v, V::LibraryNul)),
        (string, &[1], |v| matches!(v, V::RefCount(1))),
        (string + 4, &[2], |v| {
            matches!(
                v,
                V::Expected {
                    found: 2,
                    expected: 1
                }
            )
        }),
        (string + 6, &[1], |v| matches!(v, V::Expected { .. })),
        (string + 7, &[247], |v| matches!(v, V::Tag(247))),
        (string + 7, &[254], |v| matches!(v, V::Tag(254))),
        (string + 8, &[5], |v| {
            matches!(
                v,
                V::Expected {
                    found: 4,
                    expected: 5
                }
            )
        }),
        (string + 8, &[0xff; 16], |v| matches!(v, V::DoesNotFit { .. })),
        (string + 8, &[0; 16], |v| matches!(v, V::Unterminated)),
        (string + 24, &[3], |v| {
            matches!(
                v,
                V::Expected {
                    found: 3,
                    expected: 2
                }
            )
        }),
        (string + 32, &[0xff], |v| matches!(v, V::Utf8)),
        (string + 35, b"x", |v| matches!(v, V::Unterminated)),
        (string + 36, b"x", |v| matches!(v, V::Padding)),
        (ctor + 4, &[16, 0], |v| matches!(v, V::CtorSize { .. })),
        (ctor + 4, &[0xff, 0xff], |v| matches!(v, V::CtorSize { .. })),
        (ctor + 8, &[0; 8], |v| {
            matches!(
                v,
                V::Pointer {
                    why: BadPointer::Null,
                    ..
                }
            )
        }),
        (ctor + 8, &[0xfe; 8], |v| {
            matches!(
                v,
                V::Pointer {
                    why: BadPointer::Outside,
                    ..
                }
            )
        }),
        (ctor + 8, &header, |v| {
            matches!(
                v,
                V::Pointer {
                    why: BadPointer::NoObject,
                    ..
                }
            )
        }),
        (ctor + 8, &middle, |v| {
            matches!(
                v,
                V::Pointer {
                    why: BadPointer::NoObject,
                    ..
                }
            )
        }),
        (ctor + 8, &odd, |v| {
            matches!(
                v,
                V::Pointer {
                    why: BadPointer::Unaligned,
                    ..
                }
            )
        }),
        (ctor + 8, &own, |v| matches!(v, V::Cycle)),
        (ctor + 8, &forward, |v| matches!(v, V::Cycle)),
        (ctor + 8 + 16 + 3, b"x", |v| matches!(v, V::Padding)),
        (array + 16, &[1], |v| matches!(v, V::Expected { .. })),
        (sarray + 6, &[3], |v| matches!(v, V::ElementSize(3))),
        (mpz + 8, &[3], |v| matches!(v, V::Expected { .. })),
        (mpz + 8, &[0; 8], |v| matches!(v, V::BignumDigits)),
        (mpz + 8, &[0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0x7f], |v| {
            matches!(v, V::DoesNotFit { .. })
        }),
        (mpz + 8, &[0, 0, 0, 0x80, 0, 0, 0, 0x80], |v| {
            matches!(v, V::Expected { .. })
        }),
        (mpz + 16, &[8], |v| matches!(v, V::BignumPointer { .. })),
        (mpz + 32, &[0; 8], |v| matches!(v, V::BignumDigits)),
        (thunk + 16, &[8], |v| matches!(v, V::Expected { .. })),
        (task + 4, &[16], |v| {
            matches!(
                v,
                V::Expected {
                    found: 16,
                    expected: 24
                }
            )
        }),
        (promise + 8, &[3, 0, 0, 0, 0, 0, 0, 0], |v| {
            matches!(v, V::PromiseResult)
        }),
        (promise + 8, &own, |v| matches!(v, V::PromiseResult)),
        (closure + 8, &[0; 8], |v| matches!(v, V::ClosureNull)),
        (closure + 16, &[0], |v| matches!(v, V::ClosureShape { .. })),
        (closure + 18, &[0], |v| matches!(v, V::Expected { .. })),
    ];
    check(good, Width::W64, &[]).unwrap();
    for (at, patch, is) in tests {
        let mut bad = good.clone();
        bad[*at..at + patch.len()].copy_from_slice(patch);
        assert_ne!(&bad, good, "the patch at {at:#x} changes nothing");
        let e = check(&bad, Width::W64, &[]).expect_err(&format!("patch {patch:x?} at {at:#x}"));
        assert!(is(e.violation()), "patch {patch:x?} at {at:#x}: {e}");
        assert!(verify_region(&bad, &[], &Options::default()).is_err());
    }
    let mut long = good.clone();
    long.extend(b"junk");
    assert!(matches!(
        check(&long, Width::W64, &[]).unwrap_err().violation(),
        V::Garbage(4)
    ));
    let (_, v2) = sample(2);
    let mut bad = v2.bytes.clone();
    bad[v2.offsets[1] + 7] = 245;
    assert!(matches!(
        check(&bad, Width::W64, &[]).unwrap_err().violation(),
        V::ClosureInV2
    ));
}

#[test]
fn a_file_may_not_reach_beyond_the_address_space() {
    let mut spec = Spec::new(true, true, 2);
    spec.base = 0xffff_ffff_ffff_0000;
    spec.root = spec.push(Node::Str("x".repeat(0x10000 - 96 - 32 - 1)));
    let fits = spec.write().bytes;
    assert_eq!(fits.len(), 0x10000);
    check(&fits, Width::W64, &[]).unwrap();
    let mut more = fits.clone();
    more.extend([0; 8]);
    let e = check(&more, Width::W64, &[]).unwrap_err();
    assert!(matches!(e.violation(), Violation::BaseWraps { .. }), "{e}");
}

#[test]
fn an_error_names_file_offset_object_and_field() {
    let (_, written) = sample(2);
    let mut bad = written.bytes;
    let at = written.offsets[0];
    bad[at + 24] = 9;
    let file = File::parse(&bad, "A.olean", None).unwrap();
    let e = Region::check(file, &[]).unwrap_err();
    assert_eq!(
        e.to_string(),
        "A.olean: at file offset 0x78: object 0 at 0x60 (string): m_length: is 9, expected 2"
    );
    assert_eq!((e.file(), e.offset()), (Some("A.olean"), Some(at as u64 + 24)));
    assert_eq!(e.object_ref().unwrap().kind, Some(Kind::String));
    assert_eq!(e.field_ref().unwrap().name, "m_length");
    assert_eq!(
        e.reason(),
        "object 0 at 0x60 (string): m_length: is 9, expected 2"
    );
}

#[test]
fn a_closure_may_not_be_left_out_or_listed_twice() {
    let mut spec = Spec::new(true, true, 3);
    spec.libraries = vec![(0x10000, b"x.so".to_vec())];
    let a = spec.push(Node::Closure(0, 1, 1, vec![]));
    let b = spec.push(Node::Closure(0, 2, 1, vec![]));
    spec.root = spec.push(Node::Array(vec![a, b]));
    let good = spec.write().bytes;
    let at = 96 + u64::from_le_bytes(good[88..96].try_into().unwrap()) as usize;
    // The order of the offsets does not matter.
    let mut swapped = good.clone();
    swapped[at + 4..at + 12].copy_from_slice(&good[at + 12..at + 20]);
    swapped[at + 12..at + 20].copy_from_slice(&good[at + 4..at + 12]);
    check(&swapped, Width::W64, &[]).unwrap();
    let mut twice = good.clone();
    twice[at + 12..at + 20].copy_from_slice(&good[at + 4..at + 12]);
    let e = check(&twice, Width::W64, &[]).unwrap_err();
    assert!(matches!(e.violation(), Violation::ClosureTwice(_)), "{e}");
    let mut missing = good.clone();
    missing[at] = 1;
    missing.drain(at + 12..at + 20);
    let e = check(&missing, Width::W64, &[]).unwrap_err();
    assert!(matches!(e.violation(), Violation::ClosureMissing), "{e}");
}

#[test]
fn overlapping_and_mixed_dependencies_are_refused() {
    let (mut spec, written) = sample(2);
    let dep = Region::walk(File::parse(&written.bytes, "d", Some(Width::W64)).unwrap()).unwrap();
    let e = check(&written.bytes, Width::W64, &[&dep]).unwrap_err();
    assert!(matches!(e.violation(), Violation::Overlap { .. }), "{e}");
    (spec.wide, spec.base) = (false, 0x5_0000);
    let narrow = spec.write().bytes;
    let e = check(&narrow, Width::W32, &[&dep]).unwrap_err();
    assert!(matches!(e.violation(), Violation::MixedWidth { .. }), "{e}");
}

#[test]
fn a_cycle_through_a_dependency_is_found() {
    // Main's array points to the dependency's, which points back.
    let mut dep = Spec::new(true, true, 2);
    dep.base = 0x10_0000;
    let mut main = Spec::new(true, true, 2);
    main.base = 0x20_0000;
    dep.root = dep.push(Node::Array(vec![Val::Word(main.base + 96)]));
    main.root = main.push(Node::Array(vec![Val::Word(dep.base + 96)]));
    let (dep, main) = (dep.write().bytes, main.write().bytes);
    let dep = Region::walk(File::parse(&dep, "", Some(Width::W64)).unwrap()).unwrap();
    let e = check(&main, Width::W64, &[&dep]).unwrap_err();
    assert!(matches!(e.violation(), Violation::Cycle), "{e}");
}

#[test]
fn deep_graphs_need_no_stack() {
    let mut spec = Spec::new(true, true, 2);
    let mut last = Val::Box(0);
    for _ in 0..300_000 {
        last = spec.push(Node::Ctor(1, vec![last], vec![]));
    }
    spec.root = last;
    let bytes = spec.write().bytes;
    let region = check(&bytes, Width::W64, &[]).unwrap();
    let graph = Graph::new(&region, &[]).unwrap();
    assert_eq!(graph.digests().unwrap().depth, 300_000);
}

#[test]
fn the_root_of_very_old_files_is_last_and_not_for_loaders() {
    let mut spec = Spec::new(true, true, 2);
    spec.root = spec.push(Node::Str("old".into()));
    let mut bytes = spec.write().bytes;
    bytes.drain(88..96);
    bytes.extend((spec.base + 88).to_le_bytes());
    let region = check(&bytes, Width::W64, &[]).unwrap();
    assert!(!region.file().root_first());
    assert_eq!(Graph::new(&region, &[]).unwrap().root(), Value::Object(NodeId(0)));
    let e = verify_region(&bytes, &[], &Options { name: "old.olean" }).unwrap_err();
    assert!(matches!(e.violation(), Violation::RootLast), "{e}");
}

#[test]
fn bignums_that_lean_would_box_are_refused() {
    for (wide, limit) in [(false, 1u64 << 30), (true, 1 << 31)] {
        for (negative, value, sound) in [
            (false, limit - 1, false),
            (false, limit, true),
            (true, limit, false),
            (true, limit + 1, true),
        ] {
            for gmp in [false, true] {
                let mut spec = Spec::new(wide, gmp, 2);
                let width = width(&spec);
                spec.root = spec.push(Node::Big(negative, (value as u32).to_le_bytes().to_vec()));
                let bytes = spec.write().bytes;
                let shape = format!("{wide} {gmp} {negative} {value}");
                let walked = Region::walk(File::parse(&bytes, "", Some(width)).unwrap());
                for found in [check(&bytes, width, &[]), walked] {
                    match found {
                        Ok(_) => assert!(sound, "{shape}"),
                        Err(e) => assert!(
                            !sound && matches!(e.violation(), Violation::BignumSmall),
                            "{shape}: {e}"
                        ),
                    }
                }
            }
        }
    }
}

#[test]
fn flags_that_name_the_other_layout_of_bignums_are_blamed() {
    // With 32 bits 2^30 is written as -2^30 is in the other layout, which Lean would box: what follows decides.
    let edge = (1u32 << 30).to_le_bytes().to_vec();
    for (wide, gmp) in [(false, false), (false, true), (true, false), (true, true)] {
        for before in [vec![], vec![0xff; 9], edge.clone()] {
            let mut spec = Spec::new(wide, gmp, 2);
            if !before.is_empty() && (before != edge || !wide) {
                spec.push(Node::Big(false, before));
            }
            spec.root = spec.push(Node::Big(true, vec![7; 12]));
            let mut bytes = spec.write().bytes;
            check(&bytes, width(&spec), &[]).unwrap();
            bytes[6] ^= 1;
            let walked = Region::walk(File::parse(&bytes, "", Some(width(&spec))).unwrap());
            for found in [check(&bytes, width(&spec), &[]), walked] {
                let e = found.unwrap_err();
                let named = u8::from(!gmp);
                assert!(
                    matches!(e.violation(), Violation::BignumLayout(flags) if *flags == named),
                    "{wide} {gmp}: {e}"
                );
            }
        }
    }
}

#[test]
fn any_order_of_objects_is_accepted() {
    for wide in [false, true] {
        let mut spec = Spec::new(wide, true, 2);
        spec.root = spec.push(Node::Array(vec![Val::Node(2), Val::Node(1)]));
        spec.push(Node::Promise(Val::Node(3)));
        spec.push(Node::Str("later".into()));
        spec.push(Node::Task(Val::Node(2)));
        let good = spec.write();
        let region = check(&good.bytes, width(&spec), &[]).unwrap();
        assert_eq!(region.summary().forward, 3);
        exercise(&region, &[]);

        let refused = |v: Val, is: fn(&Violation) -> bool| {
            let mut bad = spec.clone();
            bad.nodes[1] = Node::Promise(v);
            let e = check(&bad.write().bytes, width(&spec), &[]).unwrap_err();
            assert!(is(e.violation()), "{e}");
        };
        refused(Val::Node(2), |v| matches!(v, Violation::PromiseResult));
        let middle = spec.base + good.offsets[3] as u64 + 8;
        refused(Val::Word(middle), |v| {
            matches!(
                v,
                Violation::Pointer {
                    why: BadPointer::NoObject,
                    ..
                }
            )
        });
    }
}

#[test]
fn a_root_address_that_looks_like_a_header_is_still_a_root_to_loaders() {
    // The root lies at a multiple of 2^32, and the last word could be a root as well.
    let mut spec = Spec::new(true, true, 2);
    spec.base = 0x1_ffff_0000;
    let text = spec.push(Node::Str("x".repeat(0x10000 - 96 - 32 - 1)));
    spec.root = spec.push(Node::Array(vec![text, Val::Box(0)]));
    let written = spec.write();
    assert_eq!(written.offsets[1], 0x10000);
    let summary = verify_region(&written.bytes, &[], &Options::default()).unwrap();
    assert_eq!(summary.objects, 2);
}

#[test]
fn bignums_are_shown_in_decimal() {
    let mut spec = Spec::new(true, true, 2);
    let values = [
        (true, 1u128 << 33),
        (false, u128::MAX),
        (false, 1_000_000_000_000_000_000_000),
        (false, 1 << 63),
    ];
    for (negative, v) in values {
        let mut bytes = v.to_le_bytes().to_vec();
        bytes.truncate(bytes.iter().rposition(|&b| b != 0).unwrap() + 1);
        spec.push(Node::Big(negative, bytes));
    }
    let bytes = spec.write().bytes;
    let region = check(&bytes, Width::W64, &[]).unwrap();
    let graph = Graph::new(&region, &[]).unwrap();
    for (i, (negative, v)) in values.into_iter().enumerate() {
        let got = graph.bignum(NodeId(i as u32)).unwrap();
        assert_eq!(
            got.to_decimal(),
            if negative { format!("-{v}") } else { v.to_string() }
        );
        assert_eq!(got.small(), None);
    }
}
