//! Binding to a real Lean 4.35.0 that is loaded into this process.

use lean_region::host::embedded::live_objects;
use lean_region::host::{Generation, Host, HostError, RegionFacts};
use lean_region::object::Obj;
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_LOCAL, RTLD_NOW};
use olean_reader::format::base::ANONYMOUS_HASH;
use olean_reader::format::name;
use std::collections::HashSet;
use std::ffi::{CStr, c_char, c_void};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

const GITHASH: &[u8; 40] = b"eb6cafb7290e8bd5f2937522d8d804f58f02bafc";

/// The real Lean, loaded beside our own library, whose exports must not be taken for the runtime's.
fn real() -> &'static Host {
    static HOST: OnceLock<&Host> = OnceLock::new();
    HOST.get_or_init(|| {
        let lean = testkit::real_lean();
        // SAFETY: our library's constructor does nothing unless preloaded; Lean's do nothing but set up C++
        // statics and the allocator. Neither is closed.
        unsafe {
            std::mem::forget(
                Library::open(Some(testkit::library()), RTLD_NOW | RTLD_GLOBAL).expect("our library"),
            );
            std::mem::forget(
                Library::open(Some(&lean.libleanshared), RTLD_NOW | RTLD_LOCAL).expect("a real Lean"),
            );
        }
        let host = Host::get().expect("the real Lean can be bound");
        // SAFETY: the function takes and gives nothing, and is called once.
        unsafe { function::<unsafe extern "C" fn()>(host, c"lean_initialize_runtime_module")() };
        host
    })
}

/// A function of the real Lean.
unsafe fn function<F: Copy>(host: &Host, name: &CStr) -> F {
    let address = host
        .symbol(name)
        .unwrap_or_else(|| panic!("Lean exports {name:?}"));
    // SAFETY: the caller gives the function's type, a function pointer.
    unsafe { std::mem::transmute_copy(&address) }
}

fn heartbeats(host: &Host) -> usize {
    // SAFETY: lean_io_get_num_heartbeats gives the count as a natural number, small enough for a scalar.
    unsafe { function::<unsafe extern "C" fn() -> Obj>(host, c"lean_io_get_num_heartbeats")() }.unbox()
}

#[test]
fn the_runtime_is_found_and_told_apart() {
    let host = real();
    let lean = testkit::real_lean();
    assert!(!host.is_embedded());
    assert_eq!(host.generation(), Generation::Structure);
    assert_eq!(host.allocator_name(), "mimalloc-fused");
    assert_eq!(host.library_path(), lean.libleanshared);
    assert_ne!(host.library_base(), 0);
    assert!(host.uses_gmp());
    let read = host
        .symbol(c"lean_compacted_region_read")
        .expect("it exports its loader");
    assert!(read > host.library_base());
    assert_eq!(
        host.symbol(c"lean_compacted_region_size"),
        None,
        "only our own library exports that"
    );
    assert_eq!(host.symbol(c"malloc"), None, "imported, not its own");
    assert!(std::ptr::eq(
        host,
        Host::get_runtime().expect("bound").expect("a real one")
    ));
    assert!(std::ptr::eq(
        host,
        Host::bind_library(&lean.libleanshared).expect("the same")
    ));
    assert!(matches!(
        Host::bind_library(Path::new("libc.so.6")),
        Err(HostError::NotARuntime(_))
    ));
    assert_eq!(live_objects(), 0, "nothing comes from the embedded runtime");
}

#[test]
fn version_and_githash_are_those_of_its_files() {
    let host = real();
    // SAFETY: this runtime can allocate as soon as it is loaded.
    let identity = || unsafe { host.file_identity() };
    assert_eq!(
        // SAFETY: as above.
        unsafe { host.githash() },
        Some(GITHASH),
        "known before initialisation"
    );
    assert_eq!(host.flags(), 1);
    let early = identity();
    assert_eq!(
        (early.version, &early.githash),
        ([0; 33], GITHASH),
        "the version is not there yet"
    );

    let initialise = || {
        // SAFETY: called once, before anything that needs Lean's modules, on a thread with a large stack.
        unsafe { function::<unsafe extern "C" fn()>(host, c"lean_initialize")() };
    };
    std::thread::scope(|s| {
        std::thread::Builder::new()
            .stack_size(64 << 20)
            .spawn_scoped(s, initialise)
            .expect("a thread")
            .join()
    })
    .expect("Lean's modules are initialised");
    let mut version = [0; 33];
    version[..6].copy_from_slice(b"4.35.0");
    let identity = identity();
    assert_eq!(
        (identity.version, &identity.githash, identity.flags),
        (version, GITHASH, 1)
    );
}

#[test]
fn objects_are_those_of_the_runtime() {
    let host = real();
    // SAFETY: Lean's runtime is initialised; its functions are called as lean.h declares them; each object is
    // released once.
    unsafe {
        let before = heartbeats(host);
        let ctor = host.mk_ctor(3, &[Obj::boxed(1)], &[7]);
        let large = host.mk_ctor(0, &[Obj::UNIT; 121], &[1; 80]);
        assert_eq!(heartbeats(host), before + 2);
        assert_eq!((ctor.kind().cs_sz, large.kind().cs_sz), (24, 8 + 121 * 8 + 80));
        assert_eq!(ctor.word(16), 7);
        let string = host.mk_string("λ → x");
        assert_eq!(heartbeats(host), before + 2, "strings count none");

        let size: unsafe extern "C" fn(Obj) -> usize = function(host, c"lean_object_byte_size");
        assert_eq!((size(ctor), size(large), size(string)), (24, 1056, 32 + 9));
        let theirs = function::<unsafe extern "C" fn(*const c_char) -> Obj>(host, c"lean_mk_string")(
            c"λ → x".as_ptr(),
        );
        let same = function::<unsafe extern "C" fn(Obj, Obj) -> bool>(host, c"lean_string_eq_cold");
        assert!(same(string, theirs));
        assert_eq!(
            (string.word(8), string.word(24)),
            (theirs.word(8), theirs.word(24))
        );

        let array = host.mk_array(&[string, ctor, large]);
        let pushed =
            function::<unsafe extern "C" fn(Obj, Obj) -> Obj>(host, c"lean_array_push")(array, theirs);
        assert_eq!(pushed.size(), 4);
        let closure = host.mk_closure(forty_two as *const c_void, 2, &[pushed]);
        let promise = host.mk_promise(host.mk_task(host.mk_thunk(host.mk_ref(closure))));
        host.mark_mt(promise);
        assert_eq!(string.rc(), -1);
        // Promises are released by the task manager, which is not running: release what it holds.
        host.dec(promise.field(0));
    }
}

unsafe extern "C" fn forty_two(_unit: Obj) -> Obj {
    Obj::boxed(42)
}

unsafe extern "C" fn slow_forty_three(_unit: Obj) -> Obj {
    std::thread::sleep(std::time::Duration::from_millis(50));
    Obj::boxed(43)
}

#[test]
fn thunks_are_forced_and_tasks_awaited() {
    let host = real();
    // SAFETY: as above; a thunk without value has its closure in the second word.
    unsafe {
        let thunk = host.mk_thunk(Obj::UNIT);
        thunk.set_word(8, 0);
        thunk.set_word(16, host.mk_closure(forty_two as *const c_void, 1, &[]).0);
        assert_eq!(host.thunk_get(thunk), Obj::boxed(42));
        assert_eq!(thunk.word(16), 0, "the closure has been used up");
        host.dec(thunk);

        function::<unsafe extern "C" fn()>(host, c"lean_init_task_manager")();
        let spawn: unsafe extern "C" fn(Obj, u32, bool) -> Obj = function(host, c"lean_task_spawn_core");
        let task = spawn(
            host.mk_closure(slow_forty_three as *const c_void, 1, &[]),
            0,
            false,
        );
        assert_eq!(task.word(8), 0, "it takes a while");
        assert_eq!(host.task_get(task), Obj::boxed(43));
        host.dec(task);
    }
}

#[test]
fn numbers_are_those_of_the_runtime() {
    let host = real();
    // SAFETY: as above.
    unsafe {
        let parse_nat: unsafe extern "C" fn(*const c_char) -> Obj = function(host, c"lean_cstr_to_nat");
        let parse_int: unsafe extern "C" fn(*const c_char) -> Obj = function(host, c"lean_cstr_to_int");
        let nat_eq: unsafe extern "C" fn(Obj, Obj) -> bool = function(host, c"lean_nat_big_eq");
        let int_eq: unsafe extern "C" fn(Obj, Obj) -> bool = function(host, c"lean_int_big_eq");
        let check = |ours: Option<Obj>, theirs: Obj, eq: unsafe extern "C" fn(Obj, Obj) -> bool| {
            let ours = ours.expect("Lean makes bignums");
            assert_eq!(ours.is_scalar(), theirs.is_scalar());
            assert!(ours == theirs || eq(ours, theirs), "{ours:?} {theirs:?}");
            host.dec(ours);
            host.dec(theirs);
        };
        check(host.mk_nat(9), parse_nat(c"9".as_ptr()), nat_eq);
        check(
            host.mk_nat((1 << 63) - 1),
            parse_nat(c"9223372036854775807".as_ptr()),
            nat_eq,
        );
        check(
            host.mk_nat(1 << 63),
            parse_nat(c"9223372036854775808".as_ptr()),
            nat_eq,
        );
        check(
            host.mk_nat_from_limbs(&[1, 1]),
            parse_nat(c"18446744073709551617".as_ptr()),
            nat_eq,
        );
        check(
            host.mk_int_from_limbs(true, &[5]),
            parse_int(c"-5".as_ptr()),
            int_eq,
        );
        check(
            host.mk_int_from_limbs(true, &[1 << 31]),
            parse_int(c"-2147483648".as_ptr()),
            int_eq,
        );
        check(
            host.mk_int_from_limbs(false, &[1 << 31]),
            parse_int(c"2147483648".as_ptr()),
            int_eq,
        );
        check(
            host.mk_int_from_limbs(true, &[1, 1]),
            parse_int(c"-18446744073709551617".as_ptr()),
            int_eq,
        );
    }
}

#[test]
fn names_have_the_hash_that_the_embedded_runtime_gives_them() {
    let host = real();
    // SAFETY: as above; a name keeps its hash at 24.
    unsafe {
        let mut expected = ANONYMOUS_HASH;
        let mut name = Obj::UNIT;
        // Every length of the hash's last block, and bytes above 127.
        for len in 0..40 {
            let text: String = "aλ→\u{1F600}bcdefghijklmnopqrstuvwxyz0123456789"
                .chars()
                .take(len)
                .collect();
            name = host.mk_name_str(name, host.mk_string(&text));
            expected = name::combine(expected, name::bytes(text.as_bytes()));
            assert_eq!(name.word(24) as u64, expected, "{text}");
        }
        for (limbs, value) in [
            (&[0][..], Some(0)),
            (&[7][..], Some(7)),
            (&[1 << 63][..], Some(1 << 63)),
            (&[u64::MAX][..], Some(u64::MAX)),
            (&[0, 1][..], None),
        ] {
            name = host.mk_name_num(name, host.mk_nat_from_limbs(limbs).expect("a natural number"));
            expected = name::combine(expected, name::number(value));
            assert_eq!(name.word(24) as u64, expected, "{limbs:?}");
        }
        host.dec(name);
    }
}

static FINALIZED: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" fn note(data: *mut c_void) {
    FINALIZED.fetch_add(data as usize, Ordering::Relaxed);
}

#[test]
fn results_regions_and_compactors_are_released_by_the_runtime() {
    let host = real();
    Host::set_compactor_finalizer(note);
    // SAFETY: as above; the finalizer takes any word.
    unsafe {
        let facts = RegionFacts {
            root: Obj::UNIT,
            size: 96,
            base: 1 << 16,
            buffer: 1 << 20,
            mapped: false,
        };
        let make = || {
            let region = host.mk_region(host.mk_string("/some/where/Module.olean"), &facts);
            assert_eq!(region.kind().cs_sz, 56);
            assert_eq!(host.read_region_structure(region), Some(facts));
            let compactor = host.alloc_external(8 as *mut c_void);
            assert_eq!(host.external_data(compactor), Some(8 as *mut c_void));
            let ok = host.io_ok(host.mk_pair(region, compactor));
            assert_eq!((ok.kind().tag, ok.kind().other, ok.kind().cs_sz), (0, 1, 16));
            let error = host.io_error("failed");
            assert_eq!(
                (error.kind().tag, error.kind().other, error.field(0).kind().tag),
                (1, 1, 18)
            );
            let places = [
                region,
                host.region_file_path(region),
                compactor,
                ok,
                error,
                error.field(0),
            ];
            host.dec(ok);
            host.dec(error);
            places
        };
        const TIMES: usize = 100_000;
        let places: HashSet<Obj> = (0..TIMES).flat_map(|_| make()).collect();
        assert_eq!(FINALIZED.load(Ordering::Relaxed), 8 * TIMES);
        // What is released is used again.
        assert!(places.len() < TIMES / 10, "{} different places", places.len());
    }
}

/// Prints what is bound, for the next test, which runs it in a process of its own.
#[test]
fn report_of_the_binding() {
    if std::env::var_os("LEAN_REGION_ABI").is_some_and(|abi| abi == "none") {
        std::mem::forget(
            // SAFETY: as in `real`.
            unsafe { Library::open(Some(&testkit::real_lean().libleanshared), RTLD_NOW) }
                .expect("a real Lean"),
        );
        println!("error={}", Host::get().expect_err("not a generation"));
        return;
    }
    let host = real();
    // SAFETY: Lean's runtime is initialised.
    println!("generation={} io_fields={}", host.generation().name(), unsafe {
        host.io_fields()
    });
}

#[test]
fn variables_override_what_is_found() {
    let report = |variables: &[(&str, &str)]| {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command
            .args(["--exact", "report_of_the_binding", "--nocapture"])
            .envs(variables.iter().copied());
        testkit::process::run(&mut command).success().stdout
    };
    let expect = |variables, line: &str| {
        let output = report(variables);
        assert!(output.contains(line), "{variables:?}: {output}");
    };
    expect(&[], "generation=structure io_fields=1");
    // A batch runtime is asked for the shape of its results, which the real Lean answers.
    expect(&[("LEAN_REGION_ABI", "batch")], "generation=batch io_fields=1");
    expect(
        &[("LEAN_REGION_ABI", "handle"), ("LEAN_REGION_IO_FIELDS", "2")],
        "generation=handle io_fields=2",
    );
    expect(
        &[("LEAN_REGION_ABI", "none")],
        "LEAN_REGION_ABI is 'none', but must be batch, handle or structure",
    );
}
