//! Every file of the corpus once more, the long way: its graph as live objects of the embedded runtime, saved
//! through the C entry points, proved and hashed, and read back through them.

use crate::alone;
use conformance::{Judge, corpus};
use lean_region::capi::loader::{
    lean_compacted_region_free, lean_compacted_region_read, lean_compacted_region_save,
};
use lean_region::capi::objects::{lean_region_io_error_text, lean_region_io_is_ok};
use lean_region::host::Host;
use lean_region::object::Obj;
use olean_reader::transform::widen;
use olean_reader::{File, Graph, Kind, NodeId, Region, Value};
use serde_json::json;
use std::ffi::CStr;

fn checked<'a>(bytes: &'a [u8], name: &str) -> Region<'a> {
    let file = File::parse(bytes, name, None).unwrap_or_else(|e| panic!("{e}"));
    Region::check(file, &[]).unwrap_or_else(|e| panic!("{e}"))
}

/// The graph as live objects, each with one reference for every object that holds it; the root is owned.
fn rebuild(host: &Host, graph: &Graph<'_, '_>) -> Obj {
    let mut objects = Vec::with_capacity(graph.len());
    let live = |objects: &[Obj], value: Value| match value {
        Value::Scalar(n) => Obj::boxed(n as usize),
        Value::Object(NodeId(n)) => objects[n as usize],
        Value::Outside(at) => panic!("{at:#x} is outside"),
    };
    // In file order children come before their parents.
    for n in (0..graph.len() as u32).map(NodeId) {
        let children: Vec<Obj> = graph.children(n).map(|value| live(&objects, value)).collect();
        // SAFETY: the embedded runtime allocates anywhere; children are live, and each gets a count for its new
        // holder.
        objects.push(unsafe {
            children.iter().for_each(|&child| host.inc(child));
            match graph.kind(n) {
                Kind::Ctor => host.mk_ctor(graph.tag(n), &children, graph.scalars(n)),
                Kind::Array => host.mk_array(&children),
                Kind::String => host.mk_string(graph.string(n).expect("a string")),
                Kind::Mpz => {
                    let number = graph.bignum(n).expect("a bignum");
                    assert!(!number.negative, "the corpus has none below zero");
                    let limb = |c: &[u8]| c.iter().rev().fold(0, |v, &b| v << 8 | u64::from(b));
                    let limbs: Vec<u64> = number.magnitude.chunks(8).map(limb).collect();
                    host.mk_nat_from_limbs(&limbs)
                        .expect("the embedded runtime has bignums")
                }
                other => panic!("the corpus has no {other}"),
            }
        });
    }
    let root = live(&objects, graph.root());
    // SAFETY: the root gets a count of its own; then the references of this list go.
    unsafe {
        host.inc(root);
        objects.iter().for_each(|&object| host.dec(object));
    }
    root
}

/// The value of an IO result (borrowed from it), or a panic with its error.
fn value(result: Obj) -> Obj {
    // SAFETY: a live IO result of the loader.
    unsafe {
        let raw = result.ptr().cast();
        if !lean_region_io_is_ok(raw) {
            panic!(
                "{}",
                CStr::from_ptr(lean_region_io_error_text(raw)).to_string_lossy()
            );
        }
        result.field(0)
    }
}

#[test]
fn files_saved_again_from_live_objects_hold_the_same_graph() {
    let _alone = alone();
    let host = Host::get().unwrap();
    assert!(host.is_embedded());
    let dir = testkit::temp_dir("saved-again");
    let mut files = Vec::new();
    for module in corpus() {
        let name = module.text("name");
        let wide = widen(&checked(&module.bytes, name), &[]).unwrap();
        let region = checked(&wide, name);
        let graph = Graph::new(&region, &[]).unwrap();
        let path = dir.path().join(name);
        // SAFETY: all objects are live and of this runtime; what the entry points borrow is released after the
        // calls, and nothing of the region is used after it is freed.
        unsafe {
            let raw = |o: Obj| o.ptr().cast();
            let root = rebuild(host, &graph);
            let file = host.mk_string(path.to_str().unwrap());
            let (key, deps) = (host.mk_name(name), host.mk_array(&[]));
            let none = raw(Obj::UNIT);
            let saved = lean_compacted_region_save(raw(file), raw(key), raw(root), raw(deps), none, 0);
            let saved = Obj(saved as usize);
            value(saved);
            host.dec(saved);
            host.dec(root);
            let read = Obj(lean_compacted_region_read(raw(file), raw(deps)) as usize);
            let pair = value(read);
            assert_eq!(pair.field(0).kind().other, 5, "{name}: the root has five fields");
            let of = pair.field(1);
            host.inc(of);
            host.dec(read);
            let freed = Obj(lean_compacted_region_free(raw(of)) as usize);
            value(freed);
            host.dec(freed);
            [file, key, deps].into_iter().for_each(|o| host.dec(o));
        }
        let bytes = std::fs::read(&path).unwrap();
        let again = checked(&bytes, name);
        let graph = Graph::new(&again, &[]).unwrap();
        let digests = graph.digests().unwrap();
        assert_eq!(digests.graphhash.to_string(), module.text("graphhash"), "{name}");
        assert_eq!(
            u64::from(digests.distinct),
            module.number("distinct_values"),
            "{name}"
        );
        files.push((module, json!({"path": path, "width": 64})));
    }
    assert_eq!(lean_region::host::embedded::live_objects(), 0);
    let asked: Vec<_> = files.iter().map(|(_, file)| file).collect();
    let mut judge = Judge::start(&json!({"do": "judge", "files": asked}));
    for (module, _) in &files {
        let name = module.text("name");
        let (answer, _) = judge.answer().expect("an answer for every file");
        assert_eq!(answer["ok"], true, "{name}: {}", answer["why"]);
        assert_eq!(answer["graphhash"], module.text("graphhash"), "{name}");
    }
}
