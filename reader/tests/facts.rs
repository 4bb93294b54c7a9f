//! What files, regions and graphs that are sound say of themselves.

use olean_reader::diff::Reason;
use olean_reader::transform::{Rewritten, relocate, rewrite, sizes};
use olean_reader::{
    Bignums, CheckError, DepBytes, File, Graph, Kind, Region, Value, Width, verify_relocated,
};
use testkit::olean::{Node, Spec, Val};

fn sample() -> Spec {
    let mut spec = Spec::new(true, true, 3);
    spec.libraries = vec![(0x10_0000, b"/opt/liba.so".to_vec()), (0x20_0000, b"b".to_vec())];
    spec.extension = Some(vec![]);
    let text = spec.push(Node::Str("text".to_owned()));
    spec.push(Node::Big(false, vec![1; 12]));
    spec.push(Node::Closure(0, 8, 2, vec![text]));
    spec.push(Node::Closure(1, 8, 1, vec![]));
    spec.root = spec.push(Node::Array(vec![Val::Node(2), Val::Node(3), Val::Node(1)]));
    spec
}

/// Where the file of [`far`] wants to lie.
const FAR: u64 = 0x5000_0000;

/// A dependency: a string.
fn far() -> Vec<u8> {
    let mut spec = Spec::new(true, true, 2);
    spec.base = FAR;
    spec.root = spec.push(Node::Str("far".to_owned()));
    spec.write().bytes
}

/// The sample, whose array leads to the string of the dependency that lies at `address`, too.
fn pointing_to(address: u64) -> Vec<u8> {
    let mut spec = sample();
    let Node::Array(items) = &mut spec.nodes[4] else {
        panic!("the array")
    };
    items.push(Val::Word(address + 96));
    spec.write().bytes
}

#[test]
fn a_file_says_what_was_written() {
    let bytes = sample().write().bytes;
    let file = File::parse(&bytes, "A.olean", None).unwrap();
    assert_eq!((file.name(), file.bytes()), ("A.olean", &bytes[..]));
    assert_eq!(
        (file.width(), file.version(), file.bignums()),
        (Width::W64, 3, Bignums::Gmp)
    );
    assert_eq!(file.lean_version(), "4.99.0-test");
    assert_eq!(file.githash(), "0123456789abcdef0123456789abcdef01234567");
    assert_eq!(
        (file.base(), file.data().start, file.root_first()),
        (0x1234_0000, 96, true)
    );
    assert_eq!(file.root_word() % 8, 0);
    let sections = file.sections().unwrap();
    assert_eq!(sections.closure_offsets().len(), 2);
    assert_eq!(sections.libraries[0].basename(), b"liba.so");
    assert_eq!(sections.libraries[1].basename(), b"b");
    let base = |address| file.library_of(address).map(|l| l.base);
    assert_eq!(base(0xf_ffff), None);
    assert_eq!(
        (base(0x10_0000), base(0x20_0008)),
        (Some(0x10_0000), Some(0x20_0000))
    );
}

#[test]
fn a_region_is_changeable_by_its_kinds_and_by_the_shape_of_a_region() {
    let changeable = |nodes: Vec<Node>| {
        let mut spec = Spec::new(true, true, 2);
        nodes.into_iter().for_each(|n| _ = spec.push(n));
        let bytes = spec.write().bytes;
        let file = File::parse(&bytes, "", Some(Width::W64)).unwrap();
        Region::check(file, &[]).unwrap().changeable()
    };
    let shaped = |tag, fields, scalars| Node::Ctor(tag, vec![Val::Box(0); fields], vec![0; scalars]);
    assert!(!changeable(vec![shaped(0, 1, 0), Node::Array(vec![])]));
    for kind in [Node::Ref, Node::Thunk, Node::Task] {
        assert!(changeable(vec![kind(Val::Box(0))]));
    }
    // Two objects, then three words and a byte, of tag 0.
    assert!(changeable(vec![shaped(0, 2, 25)]) && changeable(vec![shaped(0, 2, 32)]));
    for other in [
        shaped(1, 2, 25),
        shaped(0, 3, 25),
        shaped(0, 2, 24),
        shaped(0, 2, 33),
    ] {
        assert!(!changeable(vec![other]));
    }
}

#[test]
fn a_graph_counts_its_objects_file_by_file() {
    let dep_bytes = far();
    let dep = Region::check(File::parse(&dep_bytes, "", None).unwrap(), &[]).unwrap();
    let bytes = pointing_to(FAR);
    let region = Region::check(File::parse(&bytes, "", None).unwrap(), &[&dep]).unwrap();
    assert_eq!((region.of_kind(Kind::Closure).0, region.summary().cross), (2, 1));
    let graph = Graph::new(&region, &[&dep]).unwrap();
    assert_eq!((graph.len(), graph.is_empty(), graph.outside()), (6, false, 0));
    assert_eq!((graph.nodes_of(0), graph.nodes_of(1)), (0..5, 5..6));
    assert_eq!(graph.reached().len(), 6);
    assert!(matches!(graph.root_of(1), Value::Object(n) if graph.region_of(n) == 1));
    let digest = graph.digests().unwrap().graphhash;
    assert_eq!(format!("{digest}"), format!("{digest:?}"));
}

#[test]
fn sizes_are_those_of_what_is_written() {
    for version in [2, 3] {
        let entropy: Vec<u64> = (0..40).collect();
        let mut spec = Spec::random(true, true, version, &entropy, &[]);
        spec.extension = (version == 3).then(|| vec![1, 2, 3]);
        let bytes = spec.write().bytes;
        let region = Region::check(File::parse(&bytes, "", None).unwrap(), &[]).unwrap();
        for bignums in [Bignums::Native, Bignums::Gmp] {
            let target = Rewritten {
                bignums: Some(bignums),
                ..Rewritten::default()
            };
            let written = rewrite(&region, &[], &target).unwrap().len() as u64;
            assert_eq!(sizes(&[&region], &target).unwrap(), [written]);
        }
    }
}

#[test]
fn what_was_relocated_is_proved_where_it_lies() {
    let dep_bytes = far();
    let dep = |lies| {
        let bytes = DepBytes {
            bytes: &dep_bytes,
            name: "dep",
        };
        [(bytes, lies)]
    };
    // As it is once the dependency has moved.
    let bytes = pointing_to(0x7000_0000);
    let summary = verify_relocated(&bytes, 0x1234_0000, &dep(0x7000_0000)).unwrap();
    assert_eq!((summary.objects, summary.cross), (5, 1));
    assert!(verify_relocated(&bytes, 0x1234_0000, &dep(FAR)).is_err());

    let bytes = sample().write().bytes;
    let region = Region::check(File::parse(&bytes, "", None).unwrap(), &[]).unwrap();
    let moved = relocate(&region, 0x6000_0000).unwrap();
    assert_eq!(verify_relocated(&moved, 0x6000_0000, &[]), Ok(region.summary()));
    assert!(verify_relocated(&moved, 0x6001_0000, &[]).is_err());
}

#[test]
fn differences_and_errors_are_named_in_plain_words() {
    let all = [
        (Reason::Width, "pointer width"),
        (Reason::Version, "format version"),
        (Reason::Bignums, "bignum layout"),
        (Reason::LeanVersion, "Lean version"),
        (Reason::Githash, "githash"),
        (Reason::Base, "base address"),
        (Reason::Sharing, "sharing"),
        (Reason::Unreachable, "unreachable objects"),
        (Reason::Order, "order of objects"),
        (Reason::Padding, "sizes or padding of objects"),
        (Reason::Sections, "closure offsets, libraries or extension"),
    ];
    for (reason, text) in all {
        assert_eq!(reason.to_string(), text);
    }
    let mixed = CheckError::mixed_width("A.olean", Width::W32, Width::W64);
    assert_eq!(mixed.to_string(), "A.olean: a 32-bit file among 64-bit files");
}
