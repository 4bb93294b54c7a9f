//! Snapshots of a real Lean, loaded in a process without one by the call that takes all their modules: what lies in
//! memory is what is in the files, whoever read them.

use lean_region::capi::control::lean_region_last_error;
use lean_region::capi::files::lean_region_hash;
use lean_region::capi::inspect::{lean_region_free_read, lean_region_read_handle, lean_region_read_root};
use lean_region::capi::loader::*;
use lean_region::capi::set::*;
use lean_region::capi::{lean_object, objects::*};
use lean_region::compare::regions::{Side, compare};
use olean_reader::format::sidecar::Sidecar;
use olean_reader::format::trailer::{DATA_OFFSET, Trailer};
use std::ffi::{CStr, CString, c_char};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use testkit::lean::{self, Options};
use testkit::{process, real_lean, shared_dir, temp_dir, tree};

/// A tree of modules compiled by a real Lean, with a full and a header snapshot of all of it in its folder.
fn prepared() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let tree = tree::generate(&shared_dir("set-tree"), 12, 6, 21);
        lean::compile(&real_lean(), &tree, &Options::stock());
        let source = "prelude\nimport All\ndef three : N := .s (.s (.s .z))\n#print three\n";
        fs::write(tree.dir.join("T.lean"), source).unwrap();
        let mut lean = lean::command(&real_lean(), &tree.dir, &Options::stock());
        process::run(lean.args([
            "--incr-save=full.snap",
            "--incr-header-save=header.snap",
            "T.lean",
        ]))
        .success();
        tree.dir
    })
}

/// A snapshot lies at its address once in a process: each test has it alone.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn string(text: &str) -> *mut lean_object {
    // SAFETY: a Rust string's bytes.
    unsafe { lean_region_mk_string(text.as_ptr().cast::<c_char>(), text.len()) }
}

/// The set of a snapshot: its result, and its pairs, borrowed.
struct Set(*mut lean_object, Vec<*mut lean_object>);

fn read(snapshot: &Path, workers: u32, options: u32) -> Result<Set, String> {
    // SAFETY: live objects, each released once; an error's text is terminated.
    unsafe {
        let file = string(snapshot.to_str().unwrap());
        let result = lean_region_read_set(file, workers, options);
        lean_region_dec(file);
        if !lean_region_io_is_ok(result) {
            let text = CStr::from_ptr(lean_region_io_error_text(result))
                .to_string_lossy()
                .into_owned();
            lean_region_dec(result);
            return Err(text);
        }
        let pairs = lean_region_child(result, 0);
        let count = lean_region_child_count(pairs);
        Ok(Set(
            result,
            (0..count).map(|i| lean_region_child(pairs, i)).collect(),
        ))
    }
}

impl Set {
    /// A region's bytes in memory, and its root.
    fn side(&self, index: usize) -> Side<'_> {
        // SAFETY: a live region has so many bytes at its handle, which nobody writes.
        unsafe {
            let handle = lean_region_read_handle(self.1[index]);
            let bytes = std::slice::from_raw_parts(handle as *const u8, lean_compacted_region_size(handle));
            Side {
                bytes,
                root: lean_region_read_root(self.1[index]) as usize,
                base: u64::from_le_bytes(bytes[80..88].try_into().unwrap()),
            }
        }
    }

    fn free(self) {
        // SAFETY: nothing of the set is used any more.
        let freed = unsafe { lean_region_free_set(self.0) };
        assert_eq!(freed, 0);
    }
}

/// The paths in the list of a snapshot, in the order of the set.
fn listed(snapshot: &Path) -> Vec<CString> {
    let list = fs::read(format!("{}.deps", snapshot.display())).unwrap();
    let folder = snapshot.parent().unwrap().to_str().unwrap();
    let list = Sidecar::parse(&list, folder.as_bytes()).unwrap();
    (0..list.file_count()).map(|i| list.file(i).to_owned()).collect()
}

/// A file's bytes with its closures without code.
fn without_code(file: &Path) -> Vec<u8> {
    let mut bytes = fs::read(file).unwrap();
    let size = u64::from_le_bytes(bytes[88..96].try_into().unwrap());
    let at = DATA_OFFSET + size;
    let trailer = bytes[at as usize..].to_vec();
    let trailer = Trailer::parse(&trailer, at).unwrap();
    assert!(
        trailer.closures().len() > 1000,
        "{} closures",
        trailer.closures().len()
    );
    for offset in trailer.closures() {
        bytes[(DATA_OFFSET + offset) as usize..][..8].fill(0);
    }
    bytes
}

const OPTIONS: u32 = LEAN_REGION_SET_BESIDE | LEAN_REGION_SET_WITHOUT_CODE;

#[test]
fn a_set_is_what_its_files_hold_from_any_number_of_threads() {
    let _alone = alone();
    for name in ["full.snap", "header.snap"] {
        let snapshot = prepared().join(name);
        let files = listed(&snapshot);
        assert!(files.len() > 40, "{} files", files.len());
        let expected = without_code(&snapshot);
        for workers in [1, 3, 4, 0] {
            let set = read(&snapshot, workers, OPTIONS).unwrap();
            assert_eq!(set.1.len(), files.len() + 1);
            for (i, file) in files.iter().enumerate() {
                let side = set.side(i);
                assert_eq!(side.base, side.bytes.as_ptr() as u64, "{file:?} is mapped");
                assert!(
                    side.bytes == fs::read(file.to_str().unwrap()).unwrap(),
                    "{file:?}"
                );
            }
            assert!(
                set.side(files.len()).bytes == expected,
                "{name}, {workers} workers"
            );
            set.free();
        }
    }
}

#[test]
fn a_relocated_snapshot_is_the_same_graph() {
    let _alone = alone();
    let snapshot = prepared().join("full.snap");
    let first = read(&snapshot, 2, OPTIONS).unwrap();
    let second = read(&snapshot, 3, OPTIONS).unwrap();
    let last = first.1.len() - 1;
    assert_ne!(first.side(last).bytes.as_ptr(), second.side(last).bytes.as_ptr());
    assert_eq!(compare(&first.side(last), &second.side(last)), None);
    first.free();
    second.free();
}

fn hash(file: &CStr, deps: &[CString]) -> [u8; 16] {
    let (deps, mut out) = (deps.iter().map(|d| d.as_ptr()).collect::<Vec<_>>(), [0; 16]);
    // SAFETY: terminated strings, as many as are said, and 16 bytes of room.
    unsafe {
        let answer = lean_region_hash(file.as_ptr(), deps.as_ptr(), deps.len(), out.as_mut_ptr());
        let mut why = [0_u8; 500];
        lean_region_last_error(why.as_mut_ptr().cast(), why.len());
        assert_eq!(answer, 0, "{file:?}: {}", String::from_utf8_lossy(&why));
    }
    out
}

/// What was loaded, saved anew by itself, has the hash of the file: the root is the right one, and everything below it.
#[test]
fn roots_lead_to_what_the_files_hold() {
    let _alone = alone();
    let snapshot = prepared().join("header.snap");
    let (files, dir) = (listed(&snapshot), temp_dir("set-again"));
    let set = read(&snapshot, 2, OPTIONS).unwrap();
    let again = dir.path().join("again");
    let again_c = CString::new(again.to_str().unwrap()).unwrap();
    for (i, file) in files.iter().enumerate() {
        // SAFETY: live objects, each released once; the root is in a live region.
        unsafe {
            let (name, none) = (
                string(again.to_str().unwrap()),
                lean_region_mk_array(std::ptr::null(), 0),
            );
            let key = lean_region_mk_name_str(lean_region_box(0), string("Again"));
            let root = lean_region_read_root(set.1[i]);
            let saved = lean_compacted_region_save(name, key, root, none, lean_region_box(0), 0);
            assert!(lean_region_io_is_ok(saved));
            [saved, name, none, key]
                .into_iter()
                .for_each(|o| lean_region_dec(o));
        }
        // The parts before it; those of compiled code are left out.
        let text = file.to_str().unwrap();
        let Some((stem, _)) = text.rsplit_once(".olean") else {
            continue;
        };
        let first = format!("{stem}.olean");
        let siblings = files[..i]
            .iter()
            .filter(|f| f.to_str().unwrap().starts_with(&first));
        let deps: Vec<CString> = siblings.cloned().collect();
        assert_eq!(hash(&again_c, &[]), hash(file, &deps), "{text}");
    }
    set.free();
}

#[test]
fn closures_whose_code_is_not_there_are_an_error_unless_they_are_not_wanted() {
    let _alone = alone();
    let snapshot = prepared().join("full.snap");
    let error = read(&snapshot, 2, LEAN_REGION_SET_BESIDE).err().unwrap();
    assert!(
        error.contains("library required for closure relocation is not loaded"),
        "{error}"
    );
    assert!(
        error.contains("full.snap") && error.contains("libleanshared.so"),
        "{error}"
    );
    // And one read by itself is as strict as ever.
    // SAFETY: live objects, each released once; the read fails, and its result is released.
    unsafe {
        let (name, none) = (
            string(snapshot.to_str().unwrap()),
            lean_region_mk_array(std::ptr::null(), 0),
        );
        let result = lean_compacted_region_read(name, none);
        assert!(!lean_region_io_is_ok(result));
        assert_eq!(lean_region_free_read(result), 0);
        [name, none].into_iter().for_each(|o| lean_region_dec(o));
    }
}
