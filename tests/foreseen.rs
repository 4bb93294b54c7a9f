//! Files that are mapped before their headers are read, as it is known where they will want to lie: where that is right,
//! where it is wrong, and files that are damaged.

use lean_region::dependencies::{Dependencies, RegionView};
use lean_region::host::Host;
use lean_region::object::Obj;
use lean_region::region::calls;
use lean_region::region::examine::ReadOptions;
use lean_region::region::open::open;
use lean_region::region::read::{Loaded, read};
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use testkit::temp_dir;

const PLAIN: ReadOptions = ReadOptions::EMBEDDED;

/// What is foreseen depends on what this process has read: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Saves a module of three parts, whose roots are constructors with the number of their part; the first has `bytes` bytes
/// more.
fn save_module(dir: &Path, name: &str, bytes: usize) -> [PathBuf; 3] {
    save_parts(dir, name, bytes, 0)
}

/// The same, and the last one has `more` bytes of its own.
fn save_parts(dir: &Path, name: &str, bytes: usize, more: usize) -> [PathBuf; 3] {
    let paths = ["", ".server", ".private"].map(|end| dir.join(format!("{name}.olean{end}")));
    let host = Host::get().expect("the embedded runtime serves");
    // SAFETY: the embedded runtime can always allocate; the arguments are released after the call.
    unsafe {
        let first = host.mk_sarray(1, &vec![7; bytes]);
        let parts = paths.iter().enumerate().map(|(i, path)| {
            host.inc(first);
            let mut fields = vec![first, Obj::boxed(i)];
            if i == 2 && more > 0 {
                fields.push(host.mk_sarray(1, &vec![9; more]));
            }
            let data = host.mk_ctor(3, &fields, &[]);
            host.mk_pair(host.mk_string(path.to_str().expect("UTF-8")), data)
        });
        let (key, parts) = (host.mk_name(name), host.mk_array(&parts.collect::<Vec<_>>()));
        calls::save_parts(host, key, parts).expect("it can be saved");
        for object in [key, parts, first] {
            host.dec(object);
        }
    }
    paths
}

fn load(path: &Path, deps: &[RegionView], options: &ReadOptions) -> Result<Loaded, String> {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the dependencies are alive, and nobody writes into a file that is mapped.
    unsafe { read(&path, &Dependencies::new(deps), options) }.map_err(|e| e.to_string())
}

fn view(region: &Loaded) -> RegionView {
    RegionView {
        begin: region.memory.address(),
        size: region.memory.size(),
        base: region.base,
    }
}

/// The number in the root of a region.
fn number(region: &Loaded) -> usize {
    // SAFETY: a live constructor with two fields.
    unsafe { Obj(region.root).field(1) }.unbox()
}

/// Reads the parts of a module, each into the ones before it.
fn load_module(paths: &[PathBuf; 3], options: &ReadOptions) -> Vec<Loaded> {
    let mut parts: Vec<Loaded> = Vec::new();
    for path in paths {
        let deps: Vec<RegionView> = parts.iter().map(view).collect();
        parts.push(load(path, &deps, options).unwrap_or_else(|e| panic!("{e}")));
    }
    parts
}

/// Calls of this process that have read something so far.
fn reads() -> u64 {
    let io = fs::read_to_string("/proc/self/io").expect("the system tells");
    let reads = io.lines().find_map(|line| line.strip_prefix("syscr: "));
    reads.expect("a number of reads").parse().expect("a number")
}

fn mappings_of(dir: &Path) -> usize {
    let maps = fs::read_to_string("/proc/self/maps").expect("the system tells");
    let dir = dir.to_str().expect("UTF-8");
    maps.lines().filter(|line| line.contains(dir)).count()
}

/// Reads so many files that the next ones are taken to be in memory.
fn warm_up(paths: &[PathBuf; 3]) {
    for _ in 0..60 {
        load_module(paths, &PLAIN);
    }
}

/// The same, and so many that where files lie is foreseen again if another test has been wrong too often.
fn warm_up_again(paths: &[PathBuf; 3]) {
    for _ in 0..40 {
        warm_up(paths);
    }
}

#[test]
fn headers_are_not_read_where_it_is_known_where_files_lie() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = temp_dir("foreseen-parts");
    let modules: Vec<[PathBuf; 3]> = (0..40)
        .map(|i| save_module(dir.path(), &format!("M{i}"), [100, 60_000, 300_000][i % 3]))
        .collect();
    warm_up_again(&modules[0]);
    let before = reads();
    let loaded: Vec<Vec<Loaded>> = modules.iter().map(|m| load_module(m, &PLAIN)).collect();
    let made = reads() - before;
    assert_eq!(mappings_of(dir.path()), 120);
    for parts in &loaded {
        for (i, part) in parts.iter().enumerate() {
            assert!(part.mapped && !part.relocated && part.memory.address() as u64 == part.base);
            assert_eq!(number(part), i);
        }
    }
    // One for each of 32 files; looking at the numbers takes some as well.
    assert!((3..14).contains(&made), "{made} reads");
    drop(loaded);
    assert_eq!(mappings_of(dir.path()), 0);
    // A module in a file of another name, beside one in its own.
    let renamed = dir.path().join("C.olean");
    fs::copy(&modules[1][0], &renamed).expect("copied");
    warm_up(&modules[0]);
    for _ in 0..5000 {
        let region = load(&renamed, &[], &PLAIN).unwrap_or_else(|e| panic!("{e}"));
        assert!(region.mapped && region.memory.address() as u64 == region.base);
        assert_eq!(number(&region), 0);
    }
    assert_eq!(mappings_of(dir.path()), 0);
}

#[test]
fn a_part_that_lies_elsewhere_is_where_it_wants_to_be() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = temp_dir("foreseen-elsewhere");
    let [a, b] = ["A", "B"].map(|name| save_module(dir.path(), name, 100));
    warm_up_again(&a);
    let mut others: Vec<Loaded> = load_module(&a, &PLAIN);
    others.truncate(2);
    let deps: Vec<RegionView> = others.iter().map(view).collect();
    // Where the file is foreseen there is another part, and then nothing.
    for deps in [&deps[..1], &deps[..]] {
        // Often enough to be given up, and to be tried again.
        for _ in 0..5000 {
            let region = load(&b[2], deps, &PLAIN).unwrap_or_else(|e| panic!("{e}"));
            assert!(region.mapped && region.memory.address() as u64 == region.base);
            assert_eq!(number(&region), 2);
        }
    }
    assert_eq!(mappings_of(dir.path()), 2);
    // What must not be where it is foreseen is relocated.
    warm_up_again(&a);
    let relocated = ReadOptions {
        force_relocate: true,
        ..PLAIN
    };
    let parts = load_module(&b, &relocated);
    assert!(parts.iter().all(|part| part.relocated && !part.mapped));
    assert_eq!(parts.iter().map(number).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn damaged_parts_are_refused_as_others_are() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = temp_dir("foreseen-damaged");
    let module = save_module(dir.path(), "M", 100);
    let whole = fs::read(&module[1]).expect("it was saved");
    let damaged = dir.path().join("damaged.olean.server");
    warm_up_again(&module);
    let first = load(&module[0], &[], &PLAIN).expect("it is sound");
    let refused = |bytes: &[u8]| {
        fs::write(&damaged, bytes).expect("written");
        let error = |deps: &[RegionView]| load(&damaged, deps, &PLAIN).map(|_| ()).expect_err("damaged");
        // As the first file of a process, and where it is mapped at once.
        let plain = error(&[]);
        warm_up(&module);
        let foreseen = error(&[view(&first)]);
        assert!(!foreseen.contains("internal"), "{foreseen}");
        assert_eq!(mappings_of(&damaged), 0);
        (plain, foreseen)
    };
    for size in [0, 5, 87, 88, 90, 95, 96, 97, 103, 104, whole.len() - 8] {
        for version in [2, 3] {
            let mut bytes = whole[..size].to_vec();
            if let Some(byte) = bytes.get_mut(5) {
                *byte = version;
            }
            let (plain, foreseen) = refused(&bytes);
            // Without a dependency, some are refused for that.
            if size < 96 {
                assert_eq!(plain, foreseen, "{size}");
            }
        }
    }
    for (at, byte) in [(0, b'x'), (5, 9), (6, 7), (80, 1), (whole.len() - 40, 0xff)] {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        refused(&bytes);
    }
}

/// Saves a constructor with its number into the file `path`, which may point into `deps` and have closures; answers the
/// compactor.
fn save_number(path: &Path, number: usize, deps: &[Obj], prev: Obj) -> Obj {
    let host = Host::get().expect("the embedded runtime serves");
    // SAFETY: the embedded runtime can always allocate; the arguments are released after the call, which takes over `prev`.
    unsafe {
        let name = host.mk_string(path.to_str().expect("UTF-8"));
        let key = host.mk_name(path.file_name().and_then(|name| name.to_str()).expect("UTF-8"));
        let (data, deps) = (
            host.mk_ctor(3, &[Obj::UNIT, Obj::boxed(number)], &[]),
            host.mk_array(deps),
        );
        let (compactor, _) = calls::save(host, name, key, data, deps, prev, true).expect("it can be saved");
        for object in [name, key, data, deps] {
            host.dec(object);
        }
        compactor
    }
}

#[test]
fn what_a_file_remembers_of_others_is_found_where_it_is_mapped_too() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = temp_dir("foreseen-record");
    let paths = ["D.olean", "S.olean", "S.olean.server"].map(|name| dir.path().join(name));
    let host = Host::get().expect("the embedded runtime serves");
    // SAFETY: live objects of the embedded runtime; what an array or a constructor takes over is not released here.
    unsafe {
        host.dec(save_number(&paths[0], 0, &[], Obj::UNIT));
        let (name, none) = (
            host.mk_string(paths[0].to_str().expect("UTF-8")),
            host.mk_array(&[]),
        );
        let (pair, _) = calls::read(host, name, none).expect("it was saved");
        let region = pair.field(1);
        host.inc(region);
        host.inc(region);
        let compactor = save_number(&paths[1], 1, &[region], Obj::UNIT);
        let some = host.mk_ctor(1, &[compactor], &[]);
        host.dec(save_number(&paths[2], 2, &[], some));
        for object in [pair, name, none] {
            host.dec(object);
        }
        calls::free(host, region).expect("alive");
    }
    warm_up_again(&save_module(dir.path(), "M", 100));
    let mut parts = vec![load(&paths[0], &[], &PLAIN).expect("it is sound")];
    parts.push(load(&paths[1], &[view(&parts[0])], &PLAIN).expect("it is sound"));
    let views: Vec<RegionView> = parts.iter().map(view).collect();
    let path = CString::new(paths[2].as_os_str().as_bytes()).unwrap();
    let check = |views: &[RegionView]| {
        let deps = Dependencies::new(views);
        let opened = open(&path, &deps, &PLAIN).map_err(|e| e.to_string())?;
        opened
            .check_dependencies(&deps, &|_| None)
            .map_err(|e| e.to_string())
    };
    let before = reads();
    for _ in 0..100 {
        check(&views).expect("everything is as it was");
    }
    let made = reads() - before;
    assert!(made < 30, "its header and what it remembers are read: {made}");
    let third = load(&paths[2], &views, &PLAIN).expect("it is sound");
    assert!(third.mapped);
    assert_eq!(number(&third), 2);
    drop(third);
    let mut other = views.clone();
    other[0].size += 8;
    for _ in 0..20 {
        let error = check(&other).expect_err("another file");
        assert!(error.contains("stale"), "{error}");
    }
}

#[test]
fn a_large_part_that_was_mapped_stays_where_it_is_when_an_earlier_one_has_to_move() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = temp_dir("foreseen-moved");
    let paths = save_parts(dir.path(), "L", 100, 3 << 20);
    warm_up_again(&save_module(dir.path(), "M", 100));
    let held = load(&paths[0], &[], &PLAIN).expect("it is sound");
    let host = Host::get().expect("the embedded runtime serves");
    // SAFETY: live objects of the embedded runtime, each released once; a region is freed when nothing uses it any more.
    unsafe {
        let names = paths
            .iter()
            .map(|path| host.mk_string(path.to_str().expect("UTF-8")));
        let names = host.mk_array(&names.collect::<Vec<_>>());
        // Some files are asked about instead of being mapped at once.
        for _ in 0..20 {
            let (pairs, facts) = calls::read_parts(host, names).unwrap_or_else(|e| panic!("{e}"));
            assert!(facts.iter().all(|part| part.relocated));
            let regions: Vec<Obj> = (0..3).map(|i| pairs.element(i).field(1)).collect();
            for (i, pair) in (0..3).map(|i| (i, pairs.element(i))) {
                let root = pair.field(0);
                assert_eq!(root.field(1).unbox(), i);
                assert_eq!(root.field(0).size(), 100);
                assert!(i != 2 || root.field(2).size() == 3 << 20);
                host.inc(regions[i]);
            }
            host.dec(pairs);
            for region in regions {
                calls::free(host, region).expect("alive");
            }
        }
        host.dec(names);
    }
    assert_eq!(mappings_of(dir.path()), 1);
    drop(held);
}
