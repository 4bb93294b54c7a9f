//! The embedded runtime in a process without Lean: layouts, counts, release. Objects are counted, so the
//! tests of this program take turns.

use lean_region::compactor::{CompactError, Compactor};
use lean_region::dependencies::Dependencies;
use lean_region::host::embedded::live_objects;
use lean_region::host::{Generation, Host, RegionFacts};
use lean_region::object::Obj;
use std::ffi::c_void;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

static TURN: Mutex<()> = Mutex::new(());

/// Checks at its end that as many objects live as at its beginning.
struct Counted {
    before: usize,
    _turn: MutexGuard<'static, ()>,
}

impl Counted {
    fn start() -> (Self, &'static Host) {
        let turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
        let host = Host::get().expect("no runtime is loaded, so the embedded one serves");
        (
            Self {
                before: live_objects(),
                _turn: turn,
            },
            host,
        )
    }

    fn living(&self) -> usize {
        live_objects() - self.before
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(live_objects(), self.before, "objects are left");
        }
    }
}

/// The bytes of a living object.
unsafe fn bytes_of(o: Obj, len: usize) -> Vec<u8> {
    // SAFETY: the tests ask for bytes that the object has.
    unsafe { std::slice::from_raw_parts(o.ptr(), len) }.to_vec()
}

/// A header with the count 1, in the order of docs/host-abi.md#objects-in-memory.
fn header(cs_sz: u16, other: u8, tag: u8) -> Vec<u8> {
    let mut bytes = 1i32.to_le_bytes().to_vec();
    bytes.extend(cs_sz.to_le_bytes());
    bytes.extend([other, tag]);
    bytes
}

fn words(words: &[usize]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

#[test]
fn without_a_runtime_the_embedded_one_is_bound() {
    let (_counted, host) = Counted::start();
    assert!(host.is_embedded());
    assert_eq!(host.generation(), Generation::Structure);
    assert_eq!(host.allocator_name(), "embedded");
    assert_eq!(host.library_path().as_os_str(), "");
    assert_eq!(host.library_base(), 0);
    assert_eq!(host.symbol(c"malloc"), None);
    assert!(host.uses_gmp());
    assert!(Host::get_runtime().expect("no runtime cannot fail").is_none());
    // SAFETY: the embedded runtime can always allocate.
    let (identity, githash) = unsafe { (host.file_identity(), host.githash()) };
    assert!(identity.version.starts_with(b"lean-region 0.1.0\0"));
    assert_eq!((identity.githash, identity.flags), ([0; 40], 1));
    assert_eq!(githash, None, "files of every Lean are read");
    let error = Host::bind_library("libnothing.so".as_ref()).expect_err("it is not loaded");
    assert!(error.to_string().contains("libnothing.so"), "{error}");
}

#[test]
fn every_kind_has_its_layout_and_is_released() {
    let (counted, host) = Counted::start();
    // SAFETY: the embedded runtime can always allocate; each object is read while it lives and released once.
    unsafe {
        let ctor = host.mk_ctor(7, &[Obj::boxed(1), Obj::UNIT], &[9, 8, 7]);
        assert_eq!(
            bytes_of(ctor, 32),
            [header(32, 2, 7), words(&[3, 1]), vec![9, 8, 7, 0, 0, 0, 0, 0]].concat()
        );

        let string = host.mk_string("aß\u{1F600}");
        assert_eq!(
            bytes_of(string, 40),
            [
                header(0, 0, 249),
                words(&[8, 8, 3]),
                "aß\u{1F600}\0".as_bytes().to_vec()
            ]
            .concat()
        );

        host.inc(string);
        let array = host.mk_array(&[Obj::boxed(5), string]);
        assert_eq!(string.rc(), 2);
        assert_eq!(
            bytes_of(array, 40),
            [header(0, 0, 246), words(&[2, 2, 11, string.0])].concat()
        );

        let sarray = host.mk_sarray(4, &[1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(
            bytes_of(sarray, 32),
            [header(0, 4, 248), words(&[2, 2]), (1..=8).collect()].concat()
        );

        let thunk = host.mk_thunk(array);
        assert_eq!(
            bytes_of(thunk, 24),
            [header(24, 0, 251), words(&[array.0, 0])].concat()
        );
        assert_eq!(host.thunk_get(thunk), array);

        let task = host.mk_task(thunk);
        assert_eq!(
            bytes_of(task, 24),
            [header(24, 0, 252), words(&[thunk.0, 0])].concat()
        );
        assert_eq!(host.task_get(task), thunk);

        let promise = host.mk_promise(task);
        assert_eq!(
            bytes_of(promise, 16),
            [header(16, 0, 244), words(&[task.0])].concat()
        );

        let reference = host.mk_ref(promise);
        assert_eq!(
            bytes_of(reference, 16),
            [header(16, 0, 253), words(&[promise.0])].concat()
        );

        let code = 0x1234 as *const c_void;
        let closure = host.mk_closure(code, 5, &[reference, Obj::UNIT]);
        assert_eq!(
            bytes_of(closure, 40),
            [header(40, 0, 245), words(&[0x1234, 2 << 16 | 5, reference.0, 1])].concat()
        );

        assert_eq!(counted.living(), 9);
        host.dec(closure);
        assert_eq!(counted.living(), 3, "the string has another owner");
        for o in [ctor, string, sarray] {
            host.dec(o);
        }
    }
}

#[test]
fn numbers_are_scalars_as_long_as_they_fit() {
    let (_counted, host) = Counted::start();
    // SAFETY: as above.
    unsafe {
        let nat = |n| host.mk_nat(n).expect("the embedded runtime makes bignums");
        assert_eq!(nat(0), Obj::boxed(0));
        assert_eq!(nat((1 << 63) - 1), Obj::boxed((1 << 63) - 1));
        let big = nat(1 << 63);
        assert_eq!(
            bytes_of(big, 16),
            [header(24, 0, 250), words(&[1 << 32 | 1])].concat()
        );
        assert_eq!(*(big.word(16) as *const u64), 1 << 63);

        let int = |negative, limbs: &[u64]| host.mk_int_from_limbs(negative, limbs).expect("likewise");
        assert_eq!(int(true, &[5]), Obj::boxed(-5i32 as u32 as usize));
        assert_eq!(int(true, &[1 << 31, 0]), Obj::boxed(i32::MIN as u32 as usize));
        assert_eq!(int(false, &[]), Obj::boxed(0));
        let (too_big, too_low) = (int(false, &[1 << 31]), int(true, &[7, 9, 0]));
        assert_eq!(
            bytes_of(too_big, 16),
            [header(24, 0, 250), words(&[1 << 32 | 1])].concat()
        );
        let size = usize::from_le_bytes((-2i64).to_le_bytes());
        assert_eq!(
            bytes_of(too_low, 16),
            [header(24, 0, 250), words(&[size << 32 | 2])].concat()
        );
        assert_eq!(
            std::slice::from_raw_parts(too_low.word(16) as *const u64, 2),
            [7, 9]
        );
        for o in [big, too_big, too_low] {
            host.dec(o);
        }
    }
}

#[test]
fn names_store_the_hash_that_lean_stores() {
    let (_counted, host) = Counted::start();
    // SAFETY: as above; a name keeps its hash at 24.
    unsafe {
        assert_eq!(host.mk_name(""), Obj::UNIT);
        let name = host.mk_name("Ünï.Größe");
        assert_eq!(bytes_of(name, 8), header(32, 2, 1));
        // The header of a file that Lean 4.35.0 wrote for a module of this name.
        assert_eq!(
            olean_reader::format::base::base_address(name.word(24) as u64),
            0x0a5f_074c_0000
        );
        let numbered = host.mk_name_num(name, Obj::boxed(3));
        assert_eq!(bytes_of(numbered, 8), header(32, 2, 2));
        let big = host.mk_nat_from_limbs(&[0, 1]).expect("a bignum");
        let seventeen = host.mk_name_num(Obj::UNIT, Obj::boxed(17));
        let beyond = host.mk_name_num(Obj::UNIT, big);
        assert_eq!(
            seventeen.word(24),
            beyond.word(24),
            "what does not fit 64 bits counts as 17"
        );
        assert_ne!(seventeen.word(24), numbered.word(24));
        for o in [numbered, seventeen, beyond] {
            host.dec(o);
        }
    }
}

#[test]
fn a_long_list_is_released_and_marked_on_a_small_stack() {
    let (counted, host) = Counted::start();
    const CELLS: usize = 1_000_000;
    let before = counted.before;
    let work = || {
        // SAFETY: as above.
        unsafe {
            let mut list = Obj::UNIT;
            for i in 0..CELLS {
                list = host.mk_ctor(1, &[Obj::boxed(i), list], &[]);
            }
            host.mark_mt(list);
            assert_eq!((list.rc(), list.field(1).rc()), (-1, -1));
            host.inc(list);
            host.dec(list);
            assert_eq!(live_objects() - before, CELLS);
            host.dec(list);
        }
    };
    // 64 KiB do not hold a frame per cell, whatever its size.
    std::thread::scope(|s| {
        std::thread::Builder::new()
            .stack_size(64 * 1024)
            .spawn_scoped(s, work)
            .expect("a thread")
            .join()
    })
    .expect("the list is released");
}

#[test]
fn shared_objects_are_counted_by_several_threads() {
    let (counted, host) = Counted::start();
    // SAFETY: as above; the object is marked before other threads see it, and each gives back what it took.
    unsafe {
        let shared = host.mk_pair(host.mk_string("left"), host.mk_string("right"));
        host.mark_mt(shared);
        std::thread::scope(|s| {
            for _ in 0..4 {
                host.inc(shared);
                s.spawn(move || {
                    for _ in 0..1000 {
                        host.inc(shared);
                        host.inc(shared.field(0));
                        host.dec(shared.field(0));
                        host.dec(shared);
                    }
                    host.dec(shared);
                });
            }
        });
        assert_eq!((shared.rc(), shared.field(0).rc()), (-1, -1));
        assert_eq!(counted.living(), 3);
        host.dec(shared);
    }
}

#[test]
fn uncounted_and_sticky_objects_stay_as_they_are() {
    let (_counted, host) = Counted::start();
    // SAFETY: as above; the count of an object is its first four bytes.
    unsafe {
        let o = host.mk_some(Obj::UNIT);
        for rc in [0, i32::MIN, i32::MIN + 0x1000_0000] {
            o.ptr().cast::<i32>().write(rc);
            host.inc(o);
            host.dec(o);
            assert_eq!(o.rc(), rc);
        }
        o.ptr().cast::<i32>().write(1);
        host.dec(o);
        host.inc(Obj::UNIT);
        host.dec(Obj::UNIT);
    }
}

static FINALIZED: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" fn note(data: *mut c_void) {
    FINALIZED.fetch_add(data as usize, Ordering::Relaxed);
}

#[test]
fn an_external_object_gives_its_data_to_the_finalizer_once() {
    let (_counted, host) = Counted::start();
    Host::set_compactor_finalizer(note);
    // SAFETY: as above; the finalizer takes any word. The foreign object is never released as what it claims.
    unsafe {
        let external = host.alloc_external(40 as *mut c_void);
        assert_eq!(bytes_of(external, 8), header(24, 0, 254));
        assert_eq!(host.external_data(external), Some(40 as *mut c_void));
        assert_eq!(host.external_data(Obj::UNIT), None);
        let foreign = host.mk_ctor(0, &[Obj::UNIT, Obj::UNIT], &[]);
        assert_eq!(host.external_data(foreign), None);
        foreign.ptr().add(7).write(254);
        assert_eq!(
            host.external_data(foreign),
            None,
            "an external object of another class"
        );
        foreign.ptr().add(7).write(0);
        host.dec(foreign);
        host.inc(external);
        host.dec(external);
        assert_eq!(FINALIZED.load(Ordering::Relaxed), 0);
        host.dec(host.mk_some(external));
        assert_eq!(FINALIZED.load(Ordering::Relaxed), 40);
    }
}

#[test]
fn results_have_one_field() {
    let (_counted, host) = Counted::start();
    // SAFETY: as above.
    unsafe {
        assert_eq!(host.io_fields(), 1);
        let ok = host.io_ok(Obj::boxed(4));
        assert_eq!(bytes_of(ok, 16), [header(16, 1, 0), words(&[9])].concat());
        let error = host.io_error("no such file");
        assert_eq!(bytes_of(error, 8), header(16, 1, 1));
        let user_error = error.field(0);
        assert_eq!(bytes_of(user_error, 8), header(16, 1, 18));
        assert_eq!(bytes_of(user_error.field(0), 45)[32..], *b"no such file\0");
        host.dec(ok);
        host.dec(error);
    }
}

#[test]
fn regions_are_structures_or_boxed_handles() {
    let (_counted, host) = Counted::start();
    // SAFETY: as above.
    unsafe {
        let facts = RegionFacts {
            root: Obj(0x5000_1000_0060),
            size: 4096,
            base: 0x5000_1000_0000,
            buffer: 0x5000_1000_0000,
            mapped: true,
        };
        let region = host.mk_region(host.mk_string("A.olean"), &facts);
        assert_eq!(bytes_of(region, 8), header(56, 2, 0));
        assert_eq!(
            bytes_of(region, 56)[16..],
            words(&[0x5000_1000_0060, 4096, 0x5000_1000_0000, 0x60, 1])
        );
        assert_eq!(host.read_region_structure(region), Some(facts));
        assert_eq!(bytes_of(host.region_file_path(region), 40)[32..], *b"A.olean\0");

        // A root that lies in a lower dependency, or is no pointer, still leads back to the buffer.
        for root in [Obj(0x4000_0000_0060), Obj::boxed(2)] {
            let elsewhere = RegionFacts {
                root,
                mapped: false,
                ..facts
            };
            let other = host.mk_region(host.mk_string("B"), &elsewhere);
            assert_eq!(host.read_region_structure(other), Some(elsewhere));
            // Releasing a structure looks at its root, and there is nothing at this address.
            host.neutralise_region(other);
            host.dec(other);
        }

        let handle = host.box_usize(usize::MAX);
        assert_eq!(
            bytes_of(handle, 16),
            [header(16, 0, 0), words(&[usize::MAX])].concat()
        );
        assert_eq!(host.unbox_usize(handle), Some(usize::MAX));
        assert_eq!(host.unbox_usize(region), None);
        assert_eq!(host.unbox_usize(Obj::boxed(4)), None);
        let pair = host.mk_pair(Obj::UNIT, Obj::UNIT);
        for no_region in [handle, pair, Obj::UNIT] {
            assert_eq!(host.read_region_structure(no_region), None);
        }

        host.neutralise_region(region);
        assert_eq!(region.field(1), Obj::UNIT);
        for o in [region, handle, pair] {
            host.dec(o);
        }
    }
}

#[test]
fn what_was_read_of_a_shared_reference_lives_as_long_as_the_compactor() {
    let (counted, host) = Counted::start();
    // SAFETY: as above; the compactor is given live objects.
    unsafe {
        let reference = host.mk_ref(host.mk_string("held"));
        host.mark_mt(reference);
        let mut compactor = Compactor::new(0x1000_0000, &Dependencies::default(), true).expect("memory");
        let part = compactor.add_part(reference, 2, host).expect("it can be saved");
        assert!(compactor.met_shared_references());
        host.dec(reference);
        assert_eq!(
            counted.living(),
            1,
            "the string, which a later part must not meet as another object"
        );
        let saved = compactor.bytes(&part);
        assert!(saved.windows(5).any(|w| w == b"held\0"));
        drop(compactor);
        assert_eq!(counted.living(), 0);
        let own = host.mk_ref(Obj::UNIT);
        let mut compactor = Compactor::new(0x1000_0000, &Dependencies::default(), true).expect("memory");
        compactor.add_part(own, 2, host).expect("it can be saved");
        assert!(!compactor.met_shared_references());
        host.dec(own);
    }
}

#[test]
fn a_wrong_size_is_said_to_be_one() {
    let (_counted, host) = Counted::start();
    // SAFETY: as above; the size is put back before the object is released.
    unsafe {
        let ctor = host.mk_ctor(0, &[Obj::UNIT; 3], &[]);
        let size = ctor.ptr().add(4).cast::<u16>();
        let before = size.replace(8);
        let mut compactor = Compactor::new(0x1000_0000, &Dependencies::default(), true).expect("memory");
        let error = compactor
            .add_part(ctor, 2, host)
            .expect_err("three fields have no room");
        let wrong = CompactError::Size {
            address: ctor.0,
            tag: 0,
            fields: 3,
            size: 8,
        };
        assert_eq!(error, wrong);
        assert!(error.to_string().contains("3 fields and 8 bytes"), "{error}");
        size.write(before);
        host.dec(ctor);
    }
}

#[test]
fn valgrind_finds_nothing_in_these_tests() {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(testkit::process::which("valgrind").expect("valgrind is not installed"));
    // Without "possible" leaks: the test harness leaves one behind, the handle of its main thread.
    command.args(["--quiet", "--error-exitcode=99", "--leak-check=full"]);
    command.args([
        "--show-leak-kinds=definite,indirect",
        "--errors-for-leak-kinds=definite,indirect",
    ]);
    command
        .arg(program)
        .args(["--test-threads=1", "--skip", "valgrind_"]);
    let output = testkit::process::run(&mut command).success();
    assert!(
        output.stdout.contains("test result: ok. 12 passed"),
        "{}",
        output.stdout
    );
}
