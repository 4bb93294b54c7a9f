//! Copies of roots: a host that looks at the roots of its regions and at nothing else touches none of them.

use lean_region::dependencies::Dependencies;
use lean_region::host::Host;
use lean_region::object::Obj;
use lean_region::region::calls;
use lean_region::region::examine::ReadOptions;
use lean_region::region::read::{Loaded, read};
use std::ffi::CString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::hosts::HOSTS;
use testkit::{library, process, temp_dir};

const COPIED: ReadOptions = ReadOptions {
    copy_root: true,
    ..ReadOptions::EMBEDDED
};

/// Saves `data`, which is consumed, with the embedded runtime.
fn save(path: &Path, data: Obj) {
    let host = Host::get().expect("the embedded runtime serves");
    // SAFETY: live objects, released after the call.
    unsafe {
        let name = host.mk_string(path.to_str().expect("UTF-8"));
        let key = host.mk_name(path.file_name().unwrap().to_str().unwrap());
        let deps = host.mk_array(&[]);
        let saved = calls::save(host, name, key, data, deps, Obj::UNIT, false).expect("it can be saved");
        host.dec(saved.0);
        for object in [name, key, deps, data] {
            host.dec(object);
        }
    }
}

fn load(path: &Path, options: &ReadOptions) -> Loaded {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: no dependencies, and nobody writes into a file that is mapped.
    unsafe { read(&path, &Dependencies::default(), options) }.unwrap_or_else(|e| panic!("{e}"))
}

/// Pages of the region that this process has in memory.
fn touched(region: &Loaded) -> usize {
    let pages = File::open("/proc/self/pagemap").unwrap();
    let first = region.memory.address() / 4096;
    let present = |page: usize| {
        let mut entry = [0; 8];
        pages.read_exact_at(&mut entry, 8 * page as u64).unwrap();
        u64::from_le_bytes(entry) >> 63 == 1
    };
    let last = (region.memory.address() + region.memory.size() - 1) / 4096;
    (first..=last).filter(|&page| present(page)).count()
}

/// An array of that many bytes, and a constructor with two fields above it.
fn above_bytes(bytes: usize) -> Obj {
    let host = Host::get().expect("the embedded runtime serves");
    // SAFETY: the embedded runtime can always allocate; each child is owned by its parent alone.
    unsafe { host.mk_ctor(2, &[host.mk_sarray(1, &vec![7; bytes]), Obj::boxed(5)], &[3; 8]) }
}

#[test]
fn regions_whose_roots_are_copied_are_not_touched() {
    let dir = temp_dir("roots-untouched");
    for bytes in [0, 100, 4000, 8000, 8192, 9000, 100_000] {
        let path = dir.path().join(format!("r{bytes}"));
        save(&path, above_bytes(bytes));
        // Where the machine had no time for a read, a second one is not made.
        let copied = |region: &Loaded| region.root_copy.is_some();
        let region = (0..20).map(|_| load(&path, &COPIED)).find(copied);
        let region = region.expect("a copy");
        assert!(region.mapped && touched(&region) == 0, "{bytes}");
        let copy = region.root_copy.as_deref().expect("a copy");
        let at = region.root - region.memory.address();
        assert_eq!(copy[..32], region.memory.bytes()[at..at + 32], "{bytes}");
        assert_eq!(copy[32..], [0; 32], "{bytes}");
        assert_eq!(at + 32, region.memory.size(), "{bytes}");
    }
}

#[test]
fn other_roots_and_other_reads_have_no_copy() {
    let host = Host::get().expect("the embedded runtime serves");
    let dir = temp_dir("roots-none");
    let small = dir.path().join("small");
    save(&small, above_bytes(5));
    let verified = ReadOptions {
        verify: true,
        ..COPIED
    };
    let relocated = ReadOptions {
        force_relocate: true,
        ..COPIED
    };
    let plain = ReadOptions {
        copy_root: false,
        ..COPIED
    };
    for options in [verified, relocated, plain] {
        let region = load(&small, &options);
        assert!(region.root_copy.is_none() && touched(&region) > 0, "{options:?}");
    }
    let fields = [Obj::boxed(1); 8];
    // SAFETY: the embedded runtime can always allocate.
    let roots = unsafe {
        [
            Obj::boxed(77),
            host.mk_string("text"),
            host.mk_array(&fields),
            host.mk_ctor(1, &fields, &[]),
        ]
    };
    for (i, root) in roots.into_iter().enumerate() {
        let path = dir.path().join(i.to_string());
        save(&path, root);
        let region = load(&path, &COPIED);
        assert!(region.root_copy.is_none(), "{i}");
        assert_eq!(region.root & 1 == 1, i == 0);
    }
}

/// What ends a file is the root, whether it is looked at in a mapping or read.
#[test]
fn roots_that_were_never_written_are_refused() {
    let dir = temp_dir("roots-zeros");
    for bytes in [100, 20_000] {
        let path: PathBuf = dir.path().join(format!("z{bytes}"));
        save(&path, above_bytes(bytes));
        let whole = fs::read(&path).unwrap();
        for zeros in [8, 16, 24, 32] {
            let mut damaged = whole.clone();
            // The scalars behind the fields may be zeros: the last field is what tells.
            let end = whole.len() - 8;
            damaged[end + 8 - zeros..].fill(0);
            fs::write(&path, &damaged).unwrap();
            let name = CString::new(path.as_os_str().as_bytes()).unwrap();
            // SAFETY: as in `load`.
            let read = unsafe { read(&name, &Dependencies::default(), &COPIED) };
            assert_eq!(read.is_err(), zeros > 8, "{bytes}, {zeros}");
        }
    }
}

#[test]
fn hosts_get_copies_where_they_use_nothing_else() {
    for host in HOSTS.iter().filter(|host| host.generation != "BATCH") {
        let label = host.label();
        let (dir, work) = (temp_dir("roots-host"), temp_dir("roots-host-work"));
        let program = host.build(dir.path(), "copies.c");
        let run = |how: &str, verify: bool| {
            let mut command = Command::new(&program);
            command.arg(how).arg(work.path()).env("LD_PRELOAD", library());
            if verify {
                command.env("LEAN_REGION_VERIFY", "1");
            }
            let output = process::run(&mut command).success();
            assert_eq!(output.stderr, "", "{label}, {how}");
        };
        let saved = || ["over", "alone"].map(|name| fs::read(work.path().join(name)).unwrap());
        run("save", false);
        run("unused", false);
        let copied = saved();
        run("plain", true);
        assert!(copied == saved(), "{label}: the same bytes are saved");
        run("used", false);
        run("chain", false);
    }
}
