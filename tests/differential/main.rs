//! Our loader beside the one of a real Lean in the same process, on the same objects: equal bytes, equal
//! graphs, each reading what the other wrote.

mod copies;
mod errors;
mod graph;
mod kinds;
mod lean;
mod parts;

use graph::{Kinds, Pool, assert_same};
use lean::{Loader, Region, lean};
use lean_region::object::Obj;
use std::fs;
use std::path::{Path, PathBuf};
use testkit::TempDir;

/// A directory, and names in it for both loaders.
struct Files {
    dir: TempDir,
    next: u32,
}

struct Pair {
    theirs: PathBuf,
    ours: PathBuf,
    key: Obj,
}

impl Files {
    fn new(label: &str) -> Self {
        Files {
            dir: testkit::temp_dir(label),
            next: 0,
        }
    }

    /// Two new names, and a new key, so a new base address.
    fn pair(&mut self) -> Pair {
        self.next += 1;
        let name = |who: &str| self.dir.path().join(format!("{}.{who}", self.next));
        let text = format!("Differential.{}.{}", self.dir.path().display(), self.next);
        Pair {
            theirs: name("theirs"),
            ours: name("ours"),
            // SAFETY: the runtime is initialised. Keys are few and never released.
            key: unsafe { lean().host.mk_name(&text) },
        }
    }
}

impl Pair {
    fn of(&self, loader: &Loader) -> &Path {
        if loader.name == "ours" {
            &self.ours
        } else {
            &self.theirs
        }
    }

    fn both() -> [Loader; 2] {
        [lean().theirs, lean().ours]
    }

    /// Fails unless the two files are equal: ours may have a section behind the trailer of version 3.
    #[track_caller]
    fn assert_equal(&self, context: &str) {
        let theirs = fs::read(&self.theirs).expect("the incumbent's file");
        let ours = fs::read(&self.ours).expect("our file");
        let same = if theirs[5] == 3 {
            ours.starts_with(&theirs)
        } else {
            ours == theirs
        };
        if !same {
            let at = theirs.iter().zip(&ours).position(|(a, b)| a != b);
            panic!(
                "{context}: files differ at {at:x?}: {} has {} bytes, {} has {}; kept in {}",
                self.theirs.display(),
                theirs.len(),
                self.ours.display(),
                ours.len(),
                keep(&[&self.theirs, &self.ours]).display()
            );
        }
    }

    fn base(&self) -> usize {
        let bytes = fs::read(&self.theirs).expect("the incumbent's file");
        u64::from_le_bytes(bytes[80..88].try_into().unwrap()) as usize
    }
}

/// Copies of files that are to be looked at after a failure.
fn keep(files: &[&Path]) -> PathBuf {
    let dir = testkit::target_dir().join("tmp/differential-failed");
    fs::create_dir_all(&dir).unwrap();
    for file in files {
        fs::copy(file, dir.join(file.file_name().unwrap())).unwrap();
    }
    dir
}

/// Memory that nobody may use while it lives, so that a region cannot land there.
struct Taken(usize);

const TAKEN: usize = 1 << 16;

impl Taken {
    fn at(address: usize) -> Self {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        // SAFETY: a mapping that replaces nothing.
        let got = unsafe { libc::mmap(address as *mut _, TAKEN, libc::PROT_NONE, flags, -1, 0) };
        assert_eq!(got as usize, address, "the address was free before");
        Taken(address)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made above.
        unsafe { libc::munmap(self.0 as *mut _, TAKEN) };
    }
}

/// Saves with both loaders, `first` before the other, and compares the files. Answers the compactors.
fn save_both(
    files: &Pair,
    root: Obj,
    deps: &[&Region],
    prev: [Option<Obj>; 2],
    closures: bool,
    ours_first: bool,
    context: &str,
) -> [Obj; 2] {
    let mut compactors = [Obj::UNIT; 2];
    let order = if ours_first { [1, 0] } else { [0, 1] };
    for i in order {
        let loader = &Pair::both()[i];
        compactors[i] = loader
            .save(files.of(loader), files.key, root, deps, prev[i], closures)
            .unwrap_or_else(|e| panic!("{context}: {}: {e}", loader.name));
    }
    files.assert_equal(context);
    compactors
}

fn release(objects: impl IntoIterator<Item = Obj>) {
    for object in objects {
        // SAFETY: owned by the caller.
        unsafe { lean().host.dec(object) };
    }
}

/// Reads each file with each loader, mapped and relocated, and compares the graphs with `root`.
fn read_all(files: &Pair, root: Obj, context: &str) {
    for reader in Pair::both() {
        for file in [&files.theirs, &files.ours] {
            for taken in [false, true] {
                let blocker = taken.then(|| Taken::at(files.base()));
                let context = format!(
                    "{context}: {} reads {} (taken: {taken})",
                    reader.name,
                    file.display()
                );
                let region = reader
                    .read(file, &[])
                    .unwrap_or_else(|e| panic!("{context}: {e}"));
                assert_same(root, region.root, &context);
                assert_eq!(region.mapped(), !taken, "{context}");
                assert_eq!(region.base() as usize, files.base(), "{context}");
                region.free();
                drop(blocker);
            }
        }
    }
}

/// Runs `f` with many seeds on two threads.
fn seeds(count: u64, f: impl Fn(u64) + Sync) {
    std::thread::scope(|s| {
        for half in 0..2 {
            let f = &f;
            s.spawn(move || (half..count).step_by(2).for_each(f));
        }
    });
}

fn random_pool(seed: u64) -> Pool {
    let mut pool = Pool::new(
        seed,
        Kinds {
            closures: seed % 4 == 3,
        },
    );
    let size = 1 + pool.random.below(if seed.is_multiple_of(16) { 400 } else { 40 });
    pool.grow(size);
    pool
}

#[test]
fn random_graphs_have_equal_files_that_both_read() {
    seeds(2400, |seed| {
        let mut files = Files::new("differential-graphs");
        let mut pool = random_pool(seed);
        let closures = pool.kinds.closures;
        let root = if seed % 2 == 0 { pool.all() } else { pool.pick() };
        let pair = files.pair();
        let context = format!("seed {seed}");
        release(save_both(
            &pair,
            root,
            &[],
            [None; 2],
            closures,
            seed % 3 == 0,
            &context,
        ));
        read_all(&pair, root, &context);
        // Once more, when thunks have values and tasks are finished.
        let again = files.pair();
        release(save_both(
            &again,
            root,
            &[],
            [None; 2],
            true,
            seed % 5 == 0,
            &context,
        ));
    });
}
