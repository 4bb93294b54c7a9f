//! Binding to runtimes of every generation and allocation scheme, imitated in C as far as binding looks.

use lean_region::compactor::{CompactError, Compactor};
use lean_region::dependencies::Dependencies;
use lean_region::host::{FileIdentity, Generation, Host, HostError, RegionFacts};
use lean_region::object::Obj;
use libloading::os::unix::Library;
use olean_reader::format::object::{TAG_ARRAY, TAG_CLOSURE, TAG_STRING};
use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::process::Command;

const RUNTIME: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/c-tests/host_binding.c");

/// An imitated runtime, bound beside all others.
struct Imitation {
    host: Host,
    _dir: testkit::TempDir,
}

fn build(defines: &[&str]) -> (testkit::TempDir, PathBuf) {
    let dir = testkit::temp_dir("host-binding");
    let mut compiler = testkit::c::Build::new();
    compiler.shared().file(RUNTIME);
    for define in defines {
        let (name, value) = define.split_once('=').unwrap_or((define, ""));
        compiler.define(name, value);
    }
    let path = compiler.build(dir.path().join("libruntime.so"));
    (dir, path)
}

fn try_imitation(defines: &[&str]) -> Result<Imitation, HostError> {
    let (dir, path) = build(defines);
    // SAFETY: the library has no initialisers.
    let library = unsafe { Library::new(&path) }.expect("the imitation can be loaded");
    let host = Host::open(&path)?;
    drop(library);
    Ok(Imitation { host, _dir: dir })
}

fn imitation(defines: &[&str]) -> Imitation {
    try_imitation(defines).unwrap_or_else(|e| panic!("{defines:?}: {e}"))
}

impl Imitation {
    fn counter(&self, name: &CStr) -> i64 {
        let address = self.host.symbol(name).expect("the imitation has this counter");
        // SAFETY: the counters are longs of the imitation, which the host holds open.
        unsafe { *(address as *const i64) }
    }

    fn heartbeats(&self) -> i64 {
        self.counter(c"heartbeats")
    }

    fn objects(&self) -> i64 {
        self.counter(c"objects")
    }
}

#[test]
fn the_generation_is_told_by_the_loader_functions() {
    for (define, generation) in [
        ("BATCH", Generation::Batch),
        ("HANDLE", Generation::Handle),
        ("STRUCTURE", Generation::Structure),
    ] {
        let imitation = imitation(&[define]);
        assert_eq!(imitation.host.generation(), generation);
        assert!(!imitation.host.is_embedded());
        assert!(imitation.host.library_path().ends_with("libruntime.so"));
        assert_ne!(imitation.host.library_base(), 0);
    }
}

#[test]
fn a_runtime_of_no_known_generation_is_refused() {
    let error = try_imitation(&[])
        .map(|i| i.host)
        .expect_err("nothing tells its generation");
    assert!(
        matches!(&error, HostError::UnknownGeneration(path) if path.ends_with("libruntime.so")),
        "{error}"
    );
}

#[test]
fn a_runtime_that_lacks_a_function_is_refused() {
    let error = try_imitation(&["STRUCTURE", "NO_THUNKS"])
        .map(|i| i.host)
        .expect_err("thunks cannot be forced");
    assert!(error.to_string().contains("lean_thunk_get_core"), "{error}");
    let error = try_imitation(&["BATCH", "NO_PROBE"])
        .map(|i| i.host)
        .expect_err("nothing tells the shape of results");
    assert!(error.to_string().contains("lean_io_metadata"), "{error}");
    imitation(&["STRUCTURE", "NO_PROBE"]);
}

#[test]
fn a_library_that_is_no_runtime_is_refused() {
    for path in ["libc.so.6", "libnot-loaded.so.3"] {
        let error = Host::open(Path::new(path)).expect_err("not a runtime");
        assert!(
            matches!(&error, HostError::NotARuntime(p) if p.ends_with(path)),
            "{error}"
        );
    }
}

#[test]
fn of_several_runtimes_one_is_bound_for_good() {
    let (first, second) = (imitation(&["STRUCTURE"]), imitation(&["BATCH"]));
    let (first, second) = (first.host.library_path(), second.host.library_path());
    let bound = Host::bind_library(first).expect("the first");
    assert_eq!(bound.library_path(), first);
    assert!(std::ptr::eq(
        bound,
        Host::bind_library(first).expect("the same again")
    ));
    let error = Host::bind_library(second).expect_err("another one").to_string();
    for path in [first, second] {
        assert!(error.contains(path.to_str().expect("text")), "{error}");
    }
    assert!(std::ptr::eq(bound, Host::get().expect("bound")));
}

#[test]
fn a_runtime_in_our_own_object_is_refused() {
    let dir = testkit::temp_dir("host-static");
    let main = dir.path().join("main.c");
    let text = r#"
        #include <stddef.h>
        #include <stdio.h>
        int lean_region_bind(void);
        size_t lean_region_last_error(char *out, size_t capacity);
        int main(void) {
            char text[500];
            if (lean_region_bind() == 0) return 1;
            lean_region_last_error(text, sizeof text);
            puts(text);
            return 0;
        }"#;
    std::fs::write(&main, text).expect("a file");
    let program = testkit::c::Build::new()
        .file(&main)
        .file(RUNTIME)
        .file(testkit::static_library())
        .arg("-rdynamic")
        .arg("-lm")
        .build(dir.path().join("main"));
    let output = testkit::process::run(&mut Command::new(program)).success();
    assert!(
        output.stdout.contains("linked together into the program itself"),
        "{}",
        output.stdout
    );
}

#[test]
fn results_of_batch_runtimes_have_the_shape_of_their_own() {
    for (define, fields) in [("IO_FIELDS=1", 1), ("IO_FIELDS=2", 2)] {
        let imitation = imitation(&["BATCH", "SMALL", define]);
        // SAFETY: the imitation can allocate; the results are released once.
        unsafe {
            assert_eq!(imitation.objects(), 0, "nothing is called while binding");
            let ok = imitation.host.io_ok(Obj::boxed(7));
            assert_eq!(imitation.objects(), 1, "the probe leaves nothing behind");
            assert_eq!((ok.kind().tag, ok.kind().other), (0, fields));
            assert_eq!(ok.field(0), Obj::boxed(7));
            assert_eq!(
                ok.field(usize::from(fields) - 1),
                if fields == 1 { Obj::boxed(7) } else { Obj::UNIT }
            );
            let error = imitation.host.io_error("no");
            assert_eq!((error.kind().tag, error.kind().other), (1, fields));
            assert_eq!(error.field(0).kind().tag, 18);
            imitation.host.dec(ok);
            imitation.host.dec(error);
            assert_eq!(imitation.objects(), 0);
        }
    }
}

#[test]
fn handle_and_structure_runtimes_are_not_asked_for_their_shape() {
    for define in ["HANDLE", "STRUCTURE"] {
        let imitation = imitation(&[define, "IO_FIELDS=2"]);
        // SAFETY: the imitation can allocate.
        assert_eq!(unsafe { imitation.host.io_fields() }, 1);
    }
}

/// What is expected of a scheme: name, size recorded in a constructor with `n` bytes, memory asked for.
struct Scheme {
    define: &'static str,
    name: &'static str,
    recorded: fn(u16) -> u16,
    asked: fn(i64) -> i64,
}

const SCHEMES: [Scheme; 5] = [
    Scheme {
        define: "FUSED",
        name: "mimalloc-fused",
        recorded: |n| n.next_multiple_of(8),
        asked: round,
    },
    Scheme {
        define: "MIMALLOC",
        name: "mimalloc",
        recorded: |n| n.next_multiple_of(8),
        asked: round,
    },
    Scheme {
        define: "OUTSIDE",
        name: "mimalloc",
        recorded: |n| n.next_multiple_of(8),
        asked: round,
    },
    Scheme {
        define: "SMALL",
        name: "small",
        recorded: |_| 0,
        asked: round,
    },
    Scheme {
        define: "PLAIN",
        name: "malloc",
        recorded: |_| 0,
        asked: |n| n,
    },
];

fn round(n: i64) -> i64 {
    (n + 7) / 8 * 8
}

#[test]
fn an_allocator_that_is_not_known_is_refused() {
    let error = try_imitation(&["STRUCTURE", "STRANGE"])
        .map(|i| i.host)
        .expect_err("its objects are like no others");
    assert!(matches!(error, HostError::UnknownAllocator(_)), "{error}");
}

#[test]
fn gmp_may_lie_in_another_library() {
    assert!(!imitation(&["STRUCTURE"]).host.uses_gmp());
    let dir = testkit::temp_dir("host-gmp");
    let source = dir.path().join("gmp.c");
    std::fs::write(
        &source,
        "void __gmpz_init(void *number) { *(long *)number = 0; }\n",
    )
    .expect("a file");
    let gmp = testkit::c::Build::new()
        .shared()
        .arg("-Wno-missing-prototypes")
        .file(&source)
        .build(dir.path().join("libgmpish.so"));
    let path = testkit::c::Build::new()
        .shared()
        .define("STRUCTURE", "")
        .define("GMP_OUTSIDE", "")
        .file(RUNTIME)
        .link(&gmp)
        .build(dir.path().join("libruntime.so"));
    // SAFETY: the libraries have no initialisers.
    let library = unsafe { Library::new(&path) }.expect("the imitation can be loaded");
    let host = Host::open(&path).expect("a runtime");
    assert!(host.uses_gmp());
    assert_eq!(host.flags(), 1);
    drop(library);
}

/// A reference that several threads know to a constructor that they know too.
unsafe fn shared_reference(host: &Host) -> Obj {
    // SAFETY: the imitation can allocate; counts are set as marking them would.
    unsafe {
        let value = host.mk_ctor(1, &[Obj::boxed(3)], &[]);
        let reference = host.mk_ref(value);
        value.ptr().cast::<i32>().write(-1);
        reference.ptr().cast::<i32>().write(-1);
        reference
    }
}

fn compact(host: &Host, root: Obj) -> Result<Vec<u8>, CompactError> {
    let mut compactor = Compactor::new(0x1000_0000, &Dependencies::default(), false).expect("memory");
    // SAFETY: a live object of the host, which nobody changes.
    let part = unsafe { compactor.add_part(root, 2, host)? };
    Ok(compactor.bytes(&part).to_vec())
}

#[test]
fn shared_references_are_read_by_the_runtime_or_not_at_all() {
    for (defines, served) in [
        (&["STRUCTURE", "MIMALLOC"][..], false),
        (&["STRUCTURE", "MIMALLOC", "REFS"], true),
        (&["BATCH", "MIMALLOC", "REFS", "IO_FIELDS=2"], true),
    ] {
        let imitation = imitation(defines);
        let host = &imitation.host;
        // SAFETY: the imitation is bound and can allocate. Reference and value have counts of -1, which it never releases,
        // so both live through the compaction; a reference's field lies where a constructor's first one does.
        let value = unsafe {
            let reference = shared_reference(host);
            let saved = compact(host, reference);
            assert_eq!(saved.is_ok(), served, "{defines:?}");
            if let Err(error) = saved {
                assert_eq!(error, CompactError::SharedReference { address: reference.0 });
                assert!(error.to_string().contains("lean_st_ref_get"), "{error}");
            }
            reference.field(0)
        };
        // SAFETY: `value` is the field of a reference made in this turn, a constructor. Its count was set to -1, and the
        // imitation releases only objects whose count is 1, while negative ones never get past -1: however often it was
        // given back, it is there. The host, which holds the memory, lives to the end of the turn.
        let count = unsafe { value.rc() };
        assert_eq!(count, -1, "what was taken is given back: {defines:?}");
        // A reference that one thread knows is read as it is.
        // SAFETY: made just now.
        let own = unsafe { host.mk_ref(Obj::boxed(1)) };
        compact(host, own).expect("no function is needed");
    }
}

#[test]
fn constructors_follow_the_allocation_scheme() {
    for scheme in SCHEMES {
        let imitation = imitation(&["STRUCTURE", scheme.define]);
        let host = &imitation.host;
        assert_eq!(host.allocator_name(), scheme.name);
        // Fields and scalar bytes; the last one is beyond the path for small objects of mimalloc.
        for (fields, scalars) in [(1u8, 0usize), (2, 25), (0, 8), (3, 4), (121, 80)] {
            let bytes = 8 + 8 * usize::from(fields) + scalars;
            let beats = imitation.heartbeats();
            // SAFETY: the imitation can allocate; the fields are set before it reads them.
            unsafe {
                let o = host.mk_ctor(5, &vec![Obj::UNIT; usize::from(fields)], &vec![1; scalars]);
                assert_eq!(imitation.heartbeats(), beats + 1, "{}", scheme.name);
                if scheme.define != "PLAIN" {
                    // Plain malloc is libc's own, which does not tell.
                    assert_eq!(
                        imitation.counter(c"asked"),
                        (scheme.asked)(bytes as i64),
                        "{}",
                        scheme.name
                    );
                }
                assert_eq!(o.rc(), 1);
                let kind = o.kind();
                assert_eq!((kind.tag, kind.other), (5, fields));
                assert_eq!(kind.cs_sz, (scheme.recorded)(bytes as u16), "{}", scheme.name);
                if scheme.define == "PLAIN" {
                    assert_eq!(o.ptr().cast::<usize>().sub(1).read(), bytes);
                } else if scalars % 8 != 0 {
                    let used = scalars % 8;
                    let last = o.word((8 + 8 * usize::from(fields) + scalars).next_multiple_of(8) - 8);
                    assert_eq!(last >> (8 * used), 0, "the padding is zero");
                }
                host.dec(o);
            }
        }
    }
}

#[test]
fn big_objects_count_no_heartbeat_and_record_no_size() {
    for scheme in SCHEMES {
        let imitation = imitation(&["STRUCTURE", scheme.define]);
        let host = &imitation.host;
        // SAFETY: the imitation can allocate.
        unsafe {
            let string = host.mk_string("grün");
            let array = host.mk_array(&[Obj::boxed(1), Obj::boxed(2)]);
            assert_eq!(imitation.counter(c"asked"), 24 + 2 * 8);
            assert_eq!(imitation.heartbeats(), 0);
            for (o, tag) in [(string, TAG_STRING), (array, TAG_ARRAY)] {
                assert_eq!(
                    (o.rc(), o.kind().cs_sz, o.kind().other, o.kind().tag),
                    (1, 0, 0, tag)
                );
            }
            host.dec(string);
            host.dec(array);
            assert_eq!(imitation.objects(), 0);
            let most = if scheme.define == "FUSED" { 65_535 } else { 509 };
            assert_eq!(host.max_closure_args(), most, "{}", scheme.name);
            let closure = host.mk_closure(std::ptr::null(), 3, &[Obj::UNIT]);
            assert_eq!(closure.kind().tag, TAG_CLOSURE);
            assert_eq!(imitation.heartbeats(), i64::from(scheme.define != "FUSED"));
        }
    }
}

#[test]
fn regions_are_told_from_other_constructors_in_every_scheme() {
    for scheme in SCHEMES {
        let imitation = imitation(&["STRUCTURE", scheme.define]);
        let host = &imitation.host;
        let facts = RegionFacts {
            root: Obj::boxed(3),
            size: 96,
            base: 0x1_0000,
            buffer: 0x7000_0000,
            mapped: true,
        };
        // SAFETY: the imitation can allocate; what is made is released once.
        unsafe {
            let region = host.mk_region(host.mk_string("a.olean"), &facts);
            assert_eq!(region.kind().cs_sz, (scheme.recorded)(49));
            assert_eq!(host.read_region_structure(region), Some(facts), "{}", scheme.name);
            assert_eq!(host.unbox_usize(region), None);
            let handle = host.box_usize(9);
            assert_eq!(host.unbox_usize(handle), Some(9), "{}", scheme.name);
            assert_eq!(host.read_region_structure(handle), None);
            let pair = host.mk_pair(region, handle);
            assert_eq!(host.read_region_structure(pair), None, "{}", scheme.name);
            let words = host.mk_ctor(0, &[], &[0; 16]);
            assert_eq!(host.unbox_usize(words), None, "{}", scheme.name);
            host.dec(host.io_ok(pair));
            host.dec(words);
        }
        assert_eq!(imitation.objects(), 0, "nothing is left behind");
    }
}

fn field<const N: usize>(text: &str) -> [u8; N] {
    let mut field = [0; N];
    field[..text.len()].copy_from_slice(text.as_bytes());
    field
}

#[test]
fn older_runtimes_are_asked_for_their_version() {
    let imitation = imitation(&["BATCH", "MIMALLOC", "VERSION_FUNCTIONS"]);
    let expected = FileIdentity {
        version: field("4.20.1-pre"),
        githash: [0; 40],
        flags: 0,
    };
    // SAFETY: the imitation can allocate.
    let (identity, githash) = unsafe { (imitation.host.file_identity(), imitation.host.githash()) };
    assert_eq!(identity, expected);
    assert_eq!(githash, None, "it was built without one");
    assert_eq!(imitation.objects(), 0);
}

#[test]
fn version_and_githash_are_not_kept_before_they_are_there() {
    let imitation = imitation(&["STRUCTURE", "MIMALLOC", "VERSION_DATA"]);
    let host = &imitation.host;
    // SAFETY: the imitation can allocate.
    let identity = || unsafe { host.file_identity() };
    assert_eq!(
        identity(),
        FileIdentity {
            version: [0; 33],
            githash: [0; 40],
            flags: 0
        }
    );
    let initialise = host.symbol(c"initialise").expect("the imitation has it");
    // SAFETY: the function takes and gives nothing.
    unsafe { std::mem::transmute::<usize, unsafe extern "C" fn()>(initialise)() };
    let githash = field("0123456789abcdef0123456789abcdef01234567");
    assert_eq!(
        identity(),
        FileIdentity {
            version: field("4.33.0-rc2"),
            githash,
            flags: 0
        }
    );
    // SAFETY: as above.
    assert_eq!(unsafe { host.githash() }, Some(&githash));
}
