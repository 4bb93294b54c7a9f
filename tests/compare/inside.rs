//! A real Lean in this very process, attached to in mode compare, so that calls of its functions come from as many
//! threads and with as strange objects as wanted.

use crate::graph::{Kinds, Pool, assert_same};
use crate::lean::{Loader, lean};
use crate::{assert_equal, found};
use lean_region::capi::control::{lean_region_attach, lean_region_report};
use lean_region::object::Obj;
use std::ffi::c_void;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use testkit::Value;

/// The host's own functions, which lead to the comparison.
fn compared() -> Loader {
    static ATTACHED: OnceLock<()> = OnceLock::new();
    ATTACHED.get_or_init(|| {
        // SAFETY: Rust's own accesses to the environment are locked against each other; the C code of this process
        // that looks at it, Lean's, is loaded behind this.
        unsafe { std::env::set_var("LEAN_REGION_MODE", "compare") };
        lean();
        // SAFETY: the threads that use the loader get it from here.
        assert_eq!(unsafe { lean_region_attach() }, 0, "attached");
        // Lean's own loader saves too, and knows no copies of roots.
        assert!(!lean_region::os::image_use::all_saves());
    });
    lean().theirs
}

fn report() -> Value {
    let mut text = vec![0u8; 1 << 16];
    // SAFETY: the buffer has that many bytes.
    let n = unsafe { lean_region_report(text.as_mut_ptr().cast(), text.len()) };
    std::str::from_utf8(&text[..n]).unwrap().parse().unwrap()
}

/// A key of its own for every call, and so a base address.
fn key() -> Obj {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the runtime is initialised. Keys are few and never released.
    unsafe {
        lean()
            .host
            .mk_name(&format!("Compare.{}.{n}", std::process::id()))
    }
}

fn release(object: Obj) {
    // SAFETY: owned by the caller.
    unsafe { lean().host.dec(object) };
}

fn files_in(dir: &Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

#[test]
fn random_graphs_in_chains_are_equal_saved_and_read() {
    let loader = compared();
    let before = assert_equal(&report());
    let dir = testkit::temp_dir("compare-graphs");
    let mut saves = 0;
    for seed in 0..120 {
        let mut pool = Pool::new(
            seed,
            Kinds {
                closures: seed % 4 == 3,
            },
        );
        let mut prev = None;
        let mut regions = Vec::new();
        let key = key();
        for part in 0..1 + seed % 4 {
            let size = 1 + pool.random.below(if seed % 16 == 0 { 400 } else { 40 });
            pool.grow(size);
            let root = pool.all();
            let file = dir.path().join(format!("{seed}.{part}"));
            let closures = pool.kinds.closures || seed % 5 == 0;
            let saved = loader.save(&file, key, root, &[], prev, closures);
            prev = Some(saved.unwrap_or_else(|e| panic!("seed {seed}, part {part}: {e}")));
            let earlier: Vec<_> = regions.iter().collect();
            let region = loader
                .read(&file, &earlier)
                .unwrap_or_else(|e| panic!("seed {seed}, part {part}: {e}"));
            assert_same(root, region.root, &format!("seed {seed}, part {part}"));
            regions.push(region);
            saves += 1;
        }
        prev.into_iter().for_each(release);
        regions.into_iter().rev().for_each(|region| region.free());
    }
    assert_eq!(files_in(dir.path()), saves, "the host's files are removed");
    let after = assert_equal(&report());
    assert!(
        after[0] >= before[0] + saves as u64 && after[1] >= before[1] + saves as u64,
        "{after:?}"
    );
}

#[test]
fn four_threads_read_at_once() {
    const FILES: usize = 40;
    const ROUNDS: usize = 5;
    let loader = compared();
    let dir = testkit::temp_dir("compare-threads");
    let file = |i: usize| dir.path().join(i.to_string());
    let mut pool = Pool::new(1, Kinds::default());
    for i in 0..FILES {
        pool.grow(30);
        release(
            loader
                .save(&file(i), key(), pool.all(), &[], None, false)
                .unwrap(),
        );
    }
    let before = assert_equal(&report());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let file = &file;
            scope.spawn(move || {
                for n in 0..FILES * ROUNDS {
                    // Two threads at a time are at the same file: one of them finds its address taken.
                    let i = (n + thread / 2 * 7) % FILES;
                    loader
                        .read(&file(i), &[])
                        .unwrap_or_else(|e| panic!("{}: {e}", file(i).display()))
                        .free();
                }
            });
        }
    });
    let after = assert_equal(&report());
    assert!(after[1] >= before[1] + 4 * (FILES * ROUNDS) as u64, "{after:?}");
}

/// What ours hands out twice, the host copies: the same graph, compared each time, and freed in any order.
#[test]
fn a_file_that_is_read_again_is_compared_as_often() {
    let loader = compared();
    let host = lean().host;
    let dir = testkit::temp_dir("compare-again");
    let file = dir.path().join("again");
    // SAFETY: the runtime is initialised; what is made is owned here, and the strings by the array.
    let root = unsafe {
        let texts: Vec<Obj> = (0..50).map(|i| host.mk_string(&format!("text {i}"))).collect();
        host.mk_array(&texts)
    };
    release(loader.save(&file, key(), root, &[], None, false).unwrap());
    let before = assert_equal(&report());
    let read = || loader.read(&file, &[]).unwrap();
    let regions = [read(), read(), read()];
    // SAFETY: live structures.
    let begin = |r: &crate::lean::Region| unsafe { host.read_region_structure(r.structure) }.unwrap().buffer;
    for region in &regions {
        assert!(region.mapped());
        assert_eq!(begin(region), begin(&regions[0]), "one region");
        assert_same(root, region.root, "read again");
    }
    let [first, second, third] = regions;
    second.free();
    first.free();
    assert_same(root, third.root, "the last one");
    third.free();
    let after = assert_equal(&report());
    assert!(after[1] >= before[1] + 3, "{after:?}");
    release(root);
}

#[test]
fn failures_are_compared_too() {
    let loader = compared();
    let host = lean().host;
    let dir = testkit::temp_dir("compare-failures");
    // SAFETY: the runtime is initialised; the closure is never called.
    let closure = unsafe { host.mk_closure(lean().spawn as *const c_void, 2, &[]) };
    let before = report();
    let refused = loader.save(&dir.path().join("closure"), key(), closure, &[], None, false);
    assert!(refused.unwrap_err().contains("Closures cannot be compacted"));
    let nowhere = loader.save(&dir.path().join("no/such"), key(), Obj::UNIT, &[], None, false);
    assert!(nowhere.unwrap_err().contains("failed to create file"));
    // A chain goes on in neither after a failure.
    let first = loader
        .save(&dir.path().join("first"), key(), Obj::UNIT, &[], None, false)
        .unwrap();
    assert!(
        loader
            .save(
                &dir.path().join("second"),
                key(),
                closure,
                &[],
                Some(first),
                false
            )
            .is_err()
    );
    assert!(loader.read(&dir.path().join("absent"), &[]).is_err());
    let short = dir.path().join("short");
    std::fs::write(&short, "olean").unwrap();
    assert!(loader.read(&short, &[]).is_err());
    let after = report();
    assert_equal(&after);
    let more = |number| found(&after, number) - found(&before, number);
    assert!(more("saves_equal") >= 4 && more("reads_equal") >= 2, "{after:#}");
    assert_eq!(files_in(dir.path()), 2, "the first part and the short file");
    release(closure);
}

/// Runs `f` in a thread to which the system refuses calls for want of permission, as a sandbox does, as long as it
/// lives.
fn without<T: Send>(calls: &[libc::c_long], f: impl FnOnce() -> T + Send) -> T {
    // linux/filter.h: load the call's number; at each that is refused go to the last instruction; allow.
    let step = |code, jt, k| libc::sock_filter { code, jt, jf: 0, k };
    let mut filter = vec![step(0x20, 0, 0)];
    for (i, &call) in calls.iter().enumerate() {
        filter.push(step(0x15, (calls.len() - i) as u8, call as u32));
    }
    filter.push(step(0x06, 0, libc::SECCOMP_RET_ALLOW));
    filter.push(step(0x06, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32));
    std::thread::scope(|threads| {
        let refused = threads.spawn(move || {
            let program = libc::sock_fprog {
                len: filter.len() as u16,
                filter: filter.as_mut_ptr(),
            };
            let program = &raw const program;
            // SAFETY: the program lives through the calls, which change what this thread may ask of the system, and no
            // memory.
            unsafe {
                assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
                let set = libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, program);
                assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
            }
            f()
        });
        refused.join().expect("no panic")
    })
}

#[test]
fn what_a_sandbox_refuses_both_is_no_difference() {
    let loader = compared();
    let host = lean().host;
    let dir = testkit::temp_dir("compare-refused");
    let file = dir.path().join("file");
    // SAFETY: the runtime is initialised.
    let data = unsafe { host.mk_string("a text") };
    release(loader.save(&file, key(), data, &[], None, false).unwrap());
    let before = report();
    // The two ask different questions: each of these meets both.
    for calls in [
        &[libc::SYS_openat][..],
        &[libc::SYS_newfstatat, libc::SYS_read],
        &[libc::SYS_fstat, libc::SYS_newfstatat],
        &[libc::SYS_preadv2, libc::SYS_pread64, libc::SYS_fstat],
    ] {
        let text = without(calls, || loader.read(&file, &[]).map(|_| ()).unwrap_err());
        assert!(text.contains("Operation not permitted"), "{calls:?}: {text}");
    }
    for calls in [
        &[libc::SYS_openat][..],
        &[libc::SYS_write, libc::SYS_writev],
        &[libc::SYS_rename],
    ] {
        let (data, key) = (data.0, key().0);
        let saved = without(calls, || {
            loader
                .save(&file, Obj(key), Obj(data), &[], None, false)
                .map(|saved| saved.0)
        });
        let text = saved.unwrap_err();
        assert!(text.contains("Operation not permitted"), "{calls:?}: {text}");
    }
    let after = report();
    assert_equal(&after);
    let more = |number| found(&after, number) - found(&before, number);
    assert!(more("saves_equal") >= 3 && more("reads_equal") >= 4, "{after:#}");
    release(data);
}

/// Bytes of this process in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .expect("a number of kB");
    kib.parse::<usize>().unwrap() << 10
}

#[test]
fn what_the_host_made_is_released() {
    const TIMES: usize = 100;
    const SIZE: usize = 4 << 20;
    let loader = compared();
    let host = lean().host;
    let dir = testkit::temp_dir("compare-leaks");
    let file = dir.path().join("x");
    // SAFETY: the runtime is initialised.
    let data = unsafe { host.mk_string(&"x".repeat(SIZE)) };
    let key = key();
    let before = resident();
    for _ in 0..TIMES {
        // The host's compactor and its copy of the region are as large each.
        release(loader.save(&file, key, data, &[], None, false).unwrap());
        loader.read(&file, &[]).unwrap().free();
    }
    let after = resident();
    assert!(
        after < before + TIMES * SIZE / 2,
        "{before} bytes before, {after} after"
    );
    assert_equal(&report());
    release(data);
}
