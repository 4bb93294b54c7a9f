//! Damaged files: whatever bytes a file has, reading it gives a region that can be walked or an error with the
//! file's name, the place and the reason, and never ends the process.

use lean_region::dependencies::{Dependencies, RegionView};
use lean_region::host::Host;
use lean_region::object::Obj;
use lean_region::region::calls;
use lean_region::region::error::ReadError;
use lean_region::region::examine::ReadOptions;
use lean_region::region::read::{Loaded, read};
use olean_reader::format::header::HEADER_SIZE;
use olean_reader::format::object::TAG_ARRAY;
use std::collections::HashSet;
use std::ffi::CString;
use std::fs;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use testkit::TempDir;

const FAST: ReadOptions = ReadOptions::EMBEDDED;
const COPIED: ReadOptions = ReadOptions {
    copy_root: true,
    ..FAST
};
const RELOCATE: ReadOptions = ReadOptions {
    force_relocate: true,
    ..FAST
};
const VERIFY: ReadOptions = ReadOptions { verify: true, ..FAST };
const VERIFY_RELOCATED: ReadOptions = ReadOptions {
    verify: true,
    ..RELOCATE
};

fn host() -> &'static Host {
    Host::get().expect("the embedded runtime serves")
}

/// A directory with a good file, and room for a damaged one.
struct Scene {
    _dir: TempDir,
    bytes: Vec<u8>,
    path: PathBuf,
}

/// A small graph with every kind of object that a file of version 2 holds; `more` is part of it.
fn every_kind(more: Obj) -> Obj {
    let host = host();
    // SAFETY: the embedded runtime can always allocate; each child is owned by its parent alone.
    unsafe {
        let number = |negative, limbs: &[u64]| host.mk_int_from_limbs(negative, limbs).expect("a number");
        host.mk_array(&[
            Obj::boxed(5),
            host.mk_ctor(3, &[host.mk_string("field"), Obj::UNIT], &[1, 2, 3]),
            host.mk_ctor(0, &[], &[9; 8]),
            host.mk_array(&[]),
            host.mk_sarray(1, b"bytes"),
            host.mk_sarray(8, &[7; 24]),
            number(false, &[1, 2, 3]),
            number(true, &[u64::MAX]),
            host.mk_thunk(host.mk_string("thunk")),
            host.mk_promise(host.mk_task(host.mk_string("task"))),
            host.mk_ref(Obj::boxed(1)),
            host.mk_name("A.name"),
            more,
            host.mk_pair(host.mk_string("last"), Obj::UNIT),
        ])
    }
}

fn save(path: &Path, key: &str, data: Obj, deps: &[Obj]) {
    let host = host();
    // SAFETY: live objects, released after the call.
    unsafe {
        let name = host.mk_string(path.to_str().expect("UTF-8"));
        let (key, deps) = (host.mk_name(key), host.mk_array(deps));
        let saved = calls::save(host, name, key, data, deps, Obj::UNIT, false).expect("it can be saved");
        host.dec(saved.0);
        for object in [name, key, deps, data] {
            host.dec(object);
        }
    }
}

impl Scene {
    /// The file of a graph, whose pointers may lead into `deps`.
    fn new(label: &str, data: Obj, deps: &[Obj]) -> Self {
        let dir = testkit::temp_dir(label);
        let path = dir.path().join("damaged");
        save(&path, label, data, deps);
        Scene {
            bytes: fs::read(&path).unwrap(),
            path,
            _dir: dir,
        }
    }

    fn read(&self, deps: &Dependencies, options: &ReadOptions) -> Result<Loaded, ReadError> {
        let path = CString::new(self.path.as_os_str().as_bytes()).unwrap();
        // SAFETY: the dependencies live as long as the test, and nobody writes into a file that is mapped.
        unsafe { read(&path, deps, options) }
    }

    /// The error, which must name the file and say more than that.
    #[track_caller]
    fn error(&self, deps: &Dependencies, options: &ReadOptions, context: &str) -> String {
        match self.read(deps, options) {
            Ok(_) => panic!("{context}: accepted"),
            Err(e) => self.checked(&e, context),
        }
    }

    #[track_caller]
    fn checked(&self, error: &ReadError, context: &str) -> String {
        let text = error.to_string();
        let name = self.path.to_str().unwrap();
        assert!(text.starts_with("failed to read "), "{context}: {text}");
        let reason = text.split_once(name).map(|(_, reason)| reason);
        assert!(reason.is_some_and(|r| r.len() > 20), "{context}: {text}");
        text
    }

    fn base(&self) -> u64 {
        u64::from_le_bytes(self.bytes[80..88].try_into().unwrap())
    }

    /// Offsets of the objects.
    fn objects(&self) -> Vec<usize> {
        let mut all = Vec::new();
        let mut at = HEADER_SIZE + 8;
        while at < self.bytes.len() {
            all.push(at);
            let word = |i: usize| u64::from_le_bytes(self.bytes[at + 8 * i..][..8].try_into().unwrap());
            let (cs_sz, other, tag) = (word(0) >> 32 & 0xffff, word(0) >> 48 & 0xff, word(0) >> 56);
            let size = match tag {
                246 => 24 + 8 * word(2),
                248 => 24 + other * word(2),
                249 => 32 + word(2),
                _ => cs_sz,
            };
            at += size.next_multiple_of(8) as usize;
        }
        all
    }
}

/// Walks everything below the root; every object lies within the region or `dep`.
fn walk(loaded: &Loaded, dep: Range<usize>) -> usize {
    let own = loaded.memory.address()..loaded.memory.address() + loaded.memory.size();
    let mut seen = HashSet::new();
    let mut open = vec![Obj(loaded.root)];
    while let Some(o) = open.pop() {
        if o.is_scalar() || !seen.insert(o) {
            continue;
        }
        let range = if dep.contains(&o.0) { &dep } else { &own };
        assert!(range.contains(&o.0) && o.0 % 8 == 0, "{o:x?} lies nowhere");
        // SAFETY: within the memory of a region, whose objects the reader has proved.
        unsafe {
            let kind = o.kind();
            let (first, count, bytes) = match kind.tag {
                0..=243 => (8, usize::from(kind.other), usize::from(kind.cs_sz)),
                246 => (24, o.size(), 24 + 8 * o.word(16)),
                248 => (24, 0, 24 + usize::from(kind.other) * o.word(16)),
                249 => (32, 0, 32 + o.word(16)),
                250 => {
                    let limbs = ((o.word(8) >> 32) as i32).unsigned_abs() as usize;
                    assert!(limbs == 0 || range.contains(&o.word(16)) && o.word(16) + 8 * limbs <= range.end);
                    (24, 0, 24)
                }
                251 | 252 => (8, 1, 24),
                244 | 253 => (8, 1, 16),
                tag => panic!("an object with tag {tag} in a region"),
            };
            assert!(
                first + 8 * count <= bytes || kind.tag > 246,
                "fields beyond the object"
            );
            assert!(o.0 + bytes <= range.end, "an object beyond the end of the region");
            open.extend((0..count).map(|i| Obj(o.word(first + 8 * i))));
        }
    }
    seen.len()
}

fn none() -> Dependencies {
    Dependencies::default()
}

#[test]
fn a_file_that_ends_too_early_is_refused_at_every_length() {
    let scene = Scene::new("corrupt-truncated", every_kind(Obj::UNIT), &[]);
    assert!(scene.bytes.len() < 2000, "{} bytes", scene.bytes.len());
    for options in [FAST, COPIED, RELOCATE, VERIFY, VERIFY_RELOCATED] {
        for length in 0..scene.bytes.len() {
            fs::write(&scene.path, &scene.bytes[..length]).unwrap();
            scene.error(&none(), &options, &format!("{length} bytes"));
        }
        fs::write(&scene.path, &scene.bytes).unwrap();
        let whole = scene.read(&none(), &options).expect("the whole file");
        assert_eq!(walk(&whole, 0..0), scene.objects().len());
    }
}

#[test]
fn a_file_whose_end_is_zeros_is_refused() {
    let scene = Scene::new("corrupt-zeros", every_kind(Obj::UNIT), &[]);
    let mut ended = 0;
    for options in [FAST, COPIED, RELOCATE, VERIFY, VERIFY_RELOCATED] {
        let root = *scene.objects().last().unwrap();
        assert_eq!(
            scene.bytes[root + 7],
            TAG_ARRAY,
            "the root is an array, which ends with a pointer"
        );
        for from in (HEADER_SIZE + 8..scene.bytes.len()).step_by(8) {
            let mut bytes = scene.bytes.clone();
            bytes[from..].fill(0);
            fs::write(&scene.path, &bytes).unwrap();
            scene.error(&none(), &options, &format!("zeros from {from} on"));
            ended += 1;
        }
    }
    assert!(ended > 300, "{ended}");
}

#[test]
fn a_file_with_something_behind_its_end_is_refused() {
    let scene = Scene::new("corrupt-longer", every_kind(Obj::UNIT), &[]);
    for extra in [1, 7, 8, 16, 24, 4096, 1 << 20] {
        let mut bytes = scene.bytes.clone();
        bytes.resize(bytes.len() + extra, 0);
        fs::write(&scene.path, &bytes).unwrap();
        for options in [FAST, COPIED, RELOCATE, VERIFY] {
            scene.error(&none(), &options, &format!("{extra} bytes more"));
        }
    }
}

#[test]
fn a_root_is_an_object_or_refused() {
    let scene = Scene::new("corrupt-root", every_kind(Obj::UNIT), &[]);
    let file = fs::File::options().write(true).open(&scene.path).unwrap();
    let objects: HashSet<usize> = scene.objects().into_iter().collect();
    let (base, size) = (scene.base(), scene.bytes.len() as u64);
    let mut accepted = HashSet::new();
    let inside = (0..size).map(|at| base + at);
    let wild = [
        0,
        8,
        base - 8,
        base - (1 << 16),
        base + size,
        base + size + 8,
        base + (1 << 32),
        1 << 63,
        u64::MAX - 7,
        u64::MAX - 1,
    ];
    for root in inside.chain(wild) {
        file.write_all_at(&root.to_le_bytes(), HEADER_SIZE as u64)
            .unwrap();
        for options in [FAST, COPIED, VERIFY, VERIFY_RELOCATED] {
            let context = format!("root {root:#x}");
            match scene.read(&none(), &options) {
                Ok(loaded) if root & 1 == 1 => assert_eq!(loaded.root as u64, root),
                Ok(loaded) => {
                    let at = root.wrapping_sub(base) as usize;
                    assert!(objects.contains(&at), "{context}: no object is there");
                    walk(&loaded, 0..0);
                    accepted.insert(at);
                }
                Err(e) => {
                    scene.checked(&e, &context);
                }
            }
        }
    }
    assert_eq!(accepted, objects);
}

/// Changes each bit of the file, and each word to some values, one after the other.
fn damage(scene: &Scene, deps: &Dependencies, dep: Range<usize>) {
    let file = fs::File::options().write(true).open(&scene.path).unwrap();
    let mut outcomes = [0; 2];
    let mut try_it = |at: usize, bytes: &[u8], context: &str| {
        file.write_all_at(bytes, at as u64).unwrap();
        for options in [RELOCATE, COPIED, FAST] {
            if let Err(e) = scene.read(deps, &options) {
                scene.checked(&e, context);
            }
        }
        match scene.read(deps, &VERIFY_RELOCATED) {
            Ok(loaded) => {
                walk(&loaded, dep.clone());
                outcomes[0] += 1;
            }
            Err(e) => {
                let text = scene.checked(&e, context);
                assert!(
                    at < HEADER_SIZE + 8 || text.contains("0x"),
                    "{context}: no place in {text}"
                );
                outcomes[1] += 1;
            }
        }
        file.write_all_at(&scene.bytes[at..at + bytes.len()], at as u64)
            .unwrap();
    };
    for at in 0..scene.bytes.len() {
        for bit in 0..8 {
            try_it(
                at,
                &[scene.bytes[at] ^ 1 << bit],
                &format!("bit {bit} of byte {at:#x}"),
            );
        }
    }
    let base = scene.base();
    let size = scene.bytes.len() as u64;
    for at in (HEADER_SIZE..scene.bytes.len()).step_by(8) {
        for word in [
            0,
            1,
            8,
            u64::MAX,
            u64::MAX >> 3 << 3,
            1 << 63,
            base,
            base + 88,
            base + 96,
            base + size - 8,
            base + size,
        ] {
            try_it(at, &word.to_le_bytes(), &format!("{word:#x} at {at:#x}"));
        }
    }
    let [accepted, refused] = outcomes;
    assert!(
        accepted > 500 && refused > 2000,
        "{accepted} accepted, {refused} refused"
    );
}

#[test]
fn changed_bits_and_words_are_found_or_harmless() {
    let scene = Scene::new("corrupt-bits", every_kind(Obj::UNIT), &[]);
    damage(&scene, &none(), 0..0);
}

#[test]
fn several_random_changes_are_found_or_harmless() {
    let scene = Scene::new("corrupt-random", every_kind(Obj::UNIT), &[]);
    let file = fs::File::options().write(true).open(&scene.path).unwrap();
    let mut state = 1u64;
    let mut random = |below: usize| {
        // The multiplier and increment of MMIX.
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    let room = scene.bytes.len() - HEADER_SIZE - 8;
    for round in 0..20_000 {
        let mut bytes = scene.bytes.clone();
        for _ in 0..=random(4) {
            let (at, to) = (HEADER_SIZE + random(room), HEADER_SIZE + random(room));
            match random(3) {
                0 => bytes[at] = random(256) as u8,
                1 => bytes.copy_within(at..at + 8, to),
                _ => bytes[at] = bytes[at].wrapping_add(8),
            }
        }
        file.write_all_at(&bytes, 0).unwrap();
        for options in [RELOCATE, VERIFY_RELOCATED] {
            match scene.read(&none(), &options) {
                Ok(loaded) if options.verify => _ = walk(&loaded, 0..0),
                Ok(_) => {}
                Err(e) => _ = scene.checked(&e, &format!("round {round}")),
            }
        }
    }
}

#[test]
fn changed_bits_beside_a_dependency_are_found_or_harmless() {
    let lower = Scene::new("corrupt-lower", every_kind(Obj::UNIT), &[]);
    let region = lower.read(&none(), &FAST).expect("the dependency");
    assert!(region.mapped);
    let view = RegionView {
        begin: region.memory.address(),
        size: region.memory.size(),
        base: region.base,
    };
    // SAFETY: the embedded runtime can allocate; the structure's path is its own.
    let structure = unsafe {
        let facts = lean_region::host::RegionFacts {
            root: Obj(region.root),
            size: view.size,
            base: view.base,
            buffer: view.begin,
            mapped: true,
        };
        host().mk_region(host().mk_string("lower"), &facts)
    };
    let upper = Scene::new("corrupt-upper", every_kind(Obj(region.root)), &[structure]);
    let deps = Dependencies::new(vec![view]);
    damage(&upper, &deps, view.begin..view.begin + view.size);
    upper.error(&none(), &RELOCATE, "without the dependency");
}
