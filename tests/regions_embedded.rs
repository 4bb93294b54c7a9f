//! Regions of the embedded runtime where they are unusual: closures that their header cannot measure, base addresses
//! that no process has, files of another width, structures of regions that are gone, parts of different builds.

use std::ffi::c_void;

use lean_region::host::Host;
use lean_region::object::Obj;
use lean_region::region::calls;

fn embedded() -> &'static Host {
    Host::get().expect("no runtime is loaded, so the embedded one serves")
}

/// The bytes of a living object.
unsafe fn bytes_of(o: Obj, len: usize) -> Vec<u8> {
    // SAFETY: the tests ask for bytes that the object has.
    unsafe { std::slice::from_raw_parts(o.ptr(), len) }.to_vec()
}

unsafe extern "C" fn code_of_a_closure() {}

#[test]
fn a_closure_of_any_size_is_saved_mapped_and_relocated_alike() {
    let host = embedded();
    let dir = testkit::temp_dir("closures");
    let file = dir.path().join("a.olean");
    // SAFETY: the embedded runtime can always allocate; what is read lives.
    unsafe {
        let name = host.mk_string(file.to_str().expect("text"));
        let key = host.mk_name_str(Obj::UNIT, host.mk_string("Closures"));
        let none = host.mk_array(&[]);
        // The header's size is 16 bits wide: it says 0, 8 and so on from 8,189 arguments on.
        for count in [3_usize, 8188, 8189, 8190, 20_000] {
            let text = host.mk_string("captured");
            (1..count).for_each(|_| host.inc(text));
            let code = code_of_a_closure as *const c_void;
            let closure = host.mk_closure(code, 30_000, &vec![text; count]);
            let (compactor, _) = calls::save(host, name, key, closure, none, Obj::UNIT, true)
                .unwrap_or_else(|e| panic!("{count}: {e}"));
            let (pair, facts) = calls::read(host, name, none).unwrap_or_else(|e| panic!("{count}: {e}"));
            assert!(facts.mapped);
            calls::relocate_only(host, name, none).unwrap_or_else(|e| panic!("{count}: {e}"));
            let root = pair.field(0);
            assert_eq!(root.word(16) >> 16 & 0xffff, count);
            assert_eq!(bytes_of(root.field(count + 1), 41)[32..], *b"captured\0");
            let region = pair.field(1);
            host.inc(region);
            host.dec(pair);
            calls::free(host, region).expect("alive");
            host.dec(closure);
            host.dec(compactor);
        }
        for o in [name, key, none] {
            host.dec(o);
        }
    }
}

#[test]
fn a_structure_of_a_region_that_is_gone_is_released_without_a_look_at_its_root() {
    let host = embedded();
    let dir = testkit::temp_dir("freed-twice");
    let file = dir.path().join("a.olean");
    let mut spec = testkit::olean::Spec::new(true, true, 2);
    spec.root = spec.push(testkit::olean::Node::Str("x".repeat(100_000)));
    std::fs::write(&file, spec.write().bytes).expect("a file");
    // SAFETY: the embedded runtime can always allocate; nothing of the regions is used once they are freed.
    unsafe {
        for several_threads in [false, true] {
            let name = host.mk_string(file.to_str().expect("text"));
            let none = host.mk_array(&[]);
            let (pair, _) = calls::read(host, name, none).expect("it can be read");
            let region = pair.field(1);
            let facts = host.read_region_structure(region).expect("a structure");
            host.inc(region);
            host.dec(pair);
            host.inc(name);
            let second = host.mk_region(name, &facts);
            if several_threads {
                host.mark_mt(second);
                assert_eq!(second.rc(), -1);
            }
            calls::free(host, region).expect("alive");
            calls::free(host, second).expect_err("freed before");
            host.dec(name);
            host.dec(none);
        }
    }
}

#[test]
fn a_base_address_that_no_process_has_is_relocated() {
    let host = embedded();
    let dir = testkit::temp_dir("bases");
    let file = dir.path().join("a.olean");
    // Below the lowest address, at it, and beyond the user half of the address space.
    for (base, mapped) in [
        (0, false),
        (0x8000, false),
        (0x1234_0000, true),
        (1 << 62, false),
        (0xffff_8000_0000_0000, false),
    ] {
        let mut spec = testkit::olean::Spec::new(true, true, 2);
        spec.base = base;
        let text = spec.push(testkit::olean::Node::Str("here".to_owned()));
        spec.root = spec.push(testkit::olean::Node::Ctor(0, vec![text, text], vec![]));
        std::fs::write(&file, spec.write().bytes).expect("a file");
        // SAFETY: the embedded runtime can always allocate; the root is looked at while the region lives.
        unsafe {
            let name = host.mk_string(file.to_str().expect("text"));
            let none = host.mk_array(&[]);
            let (pair, facts) = calls::read(host, name, none).unwrap_or_else(|e| panic!("{base:#x}: {e}"));
            assert_eq!((facts.mapped, facts.relocated), (mapped, !mapped), "{base:#x}");
            let root = pair.field(0);
            assert_eq!(root.field(0), root.field(1));
            assert_eq!(bytes_of(root.field(1), 37)[32..], *b"here\0");
            let region = pair.field(1);
            host.inc(region);
            host.dec(pair);
            calls::free(host, region).expect("alive");
            host.dec(name);
            host.dec(none);
        }
    }
}

#[test]
fn a_file_of_a_32_bit_lean_is_said_to_be_one() {
    let host = embedded();
    let dir = testkit::temp_dir("narrow");
    let file = dir.path().join("a.olean");
    for seed in 0..20_u64 {
        let entropy: Vec<u64> = (0..200)
            .map(|i| (seed * 1000 + i).wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .collect();
        let spec = testkit::olean::Spec::random(false, true, 2, &entropy, &[]);
        std::fs::write(&file, spec.write().bytes).expect("a file");
        // SAFETY: the embedded runtime can always allocate.
        let error = unsafe {
            let name = host.mk_string(file.to_str().expect("text"));
            let none = host.mk_array(&[]);
            let error = calls::read(host, name, none)
                .map(|_| ())
                .expect_err("not for this host");
            host.dec(name);
            host.dec(none);
            error.to_string()
        };
        assert!(error.contains("a file of a 32-bit Lean"), "{error}");
    }
}

#[test]
fn a_pointer_into_a_relocated_dependency_leads_to_an_object_of_it() {
    use testkit::olean::{Node, Spec, Val};

    let host = embedded();
    let dir = testkit::temp_dir("siblings");
    let (first, second) = (dir.path().join("a.olean"), dir.path().join("a.olean.private"));
    // Both ask for addresses where nothing may lie.
    let mut spec = Spec::new(true, true, 2);
    spec.base = 0;
    let text = spec.push(Node::Str("a text of some length".to_owned()));
    spec.root = spec.push(Node::Ctor(0, vec![text, Val::Box(7)], vec![]));
    let written = spec.write();
    std::fs::write(&first, &written.bytes).expect("a file");
    let [text, pair] = [written.offsets[0] as u64, written.offsets[1] as u64];
    let end = written.bytes.len() as u64;
    // SAFETY: the embedded runtime can always allocate; nothing of a region is used once it is freed.
    unsafe {
        let [first, name] = [&first, &second].map(|file| host.mk_string(file.to_str().expect("text")));
        let none = host.mk_array(&[]);
        let (pair_of_first, _) = calls::read(host, first, none).expect("it can be read");
        let region = pair_of_first.field(1);
        host.inc(region);
        host.inc(region);
        let deps = host.mk_array(&[region]);
        for (to, wanted) in [
            (text, None),
            (pair, None),
            (text + 8, Some("no object begins there")),
            (text + 32, Some("no object begins there")),
            (pair + 8, Some("no object begins there")),
            (pair + 16, Some("no object begins there")),
            (0, Some("no object begins there")),
            (end, Some("leads neither into this file nor into a dependency")),
        ] {
            let mut spec = Spec::new(true, true, 2);
            spec.base = 0x8000;
            spec.root = spec.push(Node::Ctor(0, vec![Val::Word(to)], vec![]));
            std::fs::write(&second, spec.write().bytes).expect("a file");
            match (calls::read(host, name, deps), wanted) {
                (Ok((pair, facts)), None) => {
                    assert!(facts.relocated);
                    let region = pair.field(1);
                    host.inc(region);
                    host.dec(pair);
                    calls::free(host, region).expect("alive");
                }
                (Err(error), Some(wanted)) => {
                    let error = error.to_string();
                    assert!(
                        error.contains(wanted) && error.contains("a.olean.private"),
                        "{error}"
                    );
                }
                (read, _) => panic!("{to:#x}: {:?}", read.map(|_| ()).map_err(|e| e.to_string())),
            }
        }
        host.dec(pair_of_first);
        host.dec(deps);
        calls::free(host, region).expect("alive");
        for o in [first, name, none] {
            host.dec(o);
        }
    }
}

/// Whether the page at `address` belongs to a file.
fn is_of_a_file(address: usize) -> bool {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
    let line = maps.lines().find(|line| {
        let (range, _) = line.split_once(' ').expect("a range");
        let (from, to) = range.split_once('-').expect("two addresses");
        let [from, to] = [from, to].map(|text| usize::from_str_radix(text, 16).expect("an address"));
        (from..to).contains(&address)
    });
    line.expect("it is mapped").contains(".olean")
}

#[test]
fn a_large_file_over_dependencies_that_lie_elsewhere_is_copied() {
    use testkit::olean::{Node, Spec, Val};

    let host = embedded();
    let dir = testkit::temp_dir("copied");
    let (first, second) = (dir.path().join("a.olean"), dir.path().join("a.olean.private"));
    let mut spec = Spec::new(true, true, 2);
    spec.base = 0;
    spec.root = spec.push(Node::Str("a text of some length".to_owned()));
    let written = spec.write();
    std::fs::write(&first, &written.bytes).expect("a file");
    let text = written.offsets[0] as u64;
    // SAFETY: the embedded runtime can always allocate; nothing of a region is used once it is freed.
    unsafe {
        let [first, name] = [&first, &second].map(|file| host.mk_string(file.to_str().expect("text")));
        let none = host.mk_array(&[]);
        let (pair_of_first, _) = calls::read(host, first, none).expect("it can be read");
        let region = pair_of_first.field(1);
        host.inc(region);
        host.inc(region);
        let deps = host.mk_array(&[region]);
        for (bytes, copied) in [(100, false), (3 << 20, true)] {
            let mut spec = Spec::new(true, true, 2);
            spec.base = 0x5_1234_0000;
            let long = spec.push(Node::Str("x".repeat(bytes)));
            spec.root = spec.push(Node::Ctor(0, vec![Val::Word(text), long], vec![]));
            std::fs::write(&second, spec.write().bytes).expect("a file");
            let (pair, facts) = calls::read(host, name, deps).expect("it can be read");
            assert_eq!((facts.mapped, facts.relocated), (!copied, true), "{bytes}");
            let root = pair.field(0);
            assert_eq!(root.field(0), pair_of_first.field(0));
            assert_eq!(
                bytes_of(root.field(1), 32 + bytes)[32..],
                "x".repeat(bytes).into_bytes()
            );
            assert_eq!(is_of_a_file(root.0), !copied);
            let region = pair.field(1);
            host.inc(region);
            host.dec(pair);
            calls::free(host, region).expect("alive");
        }
        host.dec(pair_of_first);
        host.dec(deps);
        calls::free(host, region).expect("alive");
        for o in [first, name, none] {
            host.dec(o);
        }
    }
}
