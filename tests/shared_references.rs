//! A reference of a real Lean that other threads set all the while is saved: every file holds one value as it was set.

use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lean_region::compactor::Compactor;
use lean_region::dependencies::Dependencies;
use lean_region::host::Host;
use lean_region::object::Obj;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use olean_reader::format::header::Header;

const STRINGS: usize = 24;

/// A function of the real Lean.
unsafe fn function<F: Copy>(host: &Host, name: &CStr) -> F {
    let address = host
        .symbol(name)
        .unwrap_or_else(|| panic!("Lean exports {name:?}"));
    // SAFETY: the caller gives the function's type, a function pointer.
    unsafe { std::mem::transmute_copy(&address) }
}

fn real() -> &'static Host {
    let lean = testkit::real_lean();
    // SAFETY: Lean's constructors do nothing but set up C++ statics and the allocator. It is not closed.
    let library = unsafe { Library::open(Some(&lean.libleanshared), RTLD_NOW | RTLD_LOCAL) };
    std::mem::forget(library.expect("a real Lean"));
    let host = Host::get().expect("the real Lean can be bound");
    // SAFETY: the function takes and gives nothing, and is called once.
    unsafe { function::<unsafe extern "C" fn()>(host, c"lean_initialize_runtime_module")() };
    host
}

/// An array of strings that all tell the same number, known to several threads.
unsafe fn value(host: &Host, number: usize) -> Obj {
    // SAFETY: the runtime can allocate.
    unsafe {
        let strings: Vec<Obj> = (0..STRINGS)
            .map(|i| host.mk_string(&format!("value {number:09} {i}")))
            .collect();
        let array = host.mk_array(&strings);
        host.mark_mt(array);
        array
    }
}

/// Tells threads to end, also when what was expected did not come: a failure must not wait for them for ever.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The file of a save of `root`.
fn saved(host: &Host, root: Obj) -> Vec<u8> {
    let mut compactor = Compactor::new(0x1000_0000, &Dependencies::default(), true).expect("memory");
    // SAFETY: a live reference, which changes by the host's own function only.
    let part = unsafe { compactor.add_part(root, 2, host) }.expect("it can be saved");
    let header = Header {
        version: 2,
        flags: 1,
        lean_version: [0; 33],
        githash: [0; 40],
        base: part.base,
    };
    let header = header.encode();
    compactor.bytes_mut(&part)[..header.len()].copy_from_slice(&header);
    compactor.bytes(&part).to_vec()
}

#[test]
fn every_save_of_a_reference_that_other_threads_set_holds_one_value() {
    let host = real();
    // SAFETY: the type that lean.h declares; since v4.26 no world is passed.
    let swap: unsafe extern "C" fn(Obj, Obj) -> Obj = unsafe { function(host, c"lean_st_ref_swap") };
    // SAFETY: the runtime can allocate; the reference lives until the threads have ended.
    let reference = unsafe {
        let reference = host.mk_ref(value(host, 0));
        host.mark_mt(reference);
        reference
    };
    let done = AtomicBool::new(false);
    let count = AtomicUsize::new(0);
    let mut seen = Vec::new();
    std::thread::scope(|threads| {
        let _stop = Stop(&done);
        for _ in 0..2 {
            threads.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let number = count.fetch_add(1, Ordering::Relaxed);
                    // SAFETY: a live reference, a value that it takes over, and one that it gives up.
                    unsafe { host.dec(swap(reference, value(host, number))) };
                }
            });
        }
        let start = Instant::now();
        let mut saves = 0;
        while start.elapsed() < Duration::from_secs(3) && saves < 20_000 {
            let bytes = saved(host, reference);
            saves += 1;
            let proved = olean_reader::verify_region(&bytes, &[], &olean_reader::Options::default());
            proved.unwrap_or_else(|e| panic!("save {saves}: {e}"));
            let numbers: Vec<&[u8]> = bytes
                .windows(16)
                .filter(|w| w.starts_with(b"value "))
                .map(|w| &w[6..15])
                .collect();
            assert_eq!(numbers.len(), STRINGS, "save {saves}");
            assert!(
                numbers.iter().all(|n| *n == numbers[0]),
                "save {saves}: {numbers:?}"
            );
            seen.push(numbers[0].to_vec());
        }
    });
    seen.dedup();
    assert!(
        seen.len() > 10,
        "the value changed while it was saved: {}",
        seen.len()
    );
}
