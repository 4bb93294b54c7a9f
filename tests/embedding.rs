//! The C functions that look into objects and files: numbers of any size, root and region of a read's result in every
//! shape that hosts give it, proof and hash of a file. In a process without Lean.

use lean_region::capi::control::lean_region_last_error;
use lean_region::capi::files::{lean_region_hash, lean_region_verify};
use lean_region::capi::inspect::*;
use lean_region::capi::loader::lean_read_module_data_parts;
use lean_region::capi::loader::{lean_compacted_region_free, lean_compacted_region_read};
use lean_region::capi::loader::{lean_compacted_region_save, lean_compacted_region_size};
use lean_region::capi::version::{LEAN_REGION_VERSION_NUMBER, lean_region_version_number};
use lean_region::capi::{lean_object, objects::*};
use std::ffi::{CString, c_char};
use std::path::Path;
use std::ptr::{null, null_mut};
use testkit::temp_dir;

fn last_error() -> String {
    let mut text = [0_u8; 1000];
    // SAFETY: as much room as is said.
    let bytes = unsafe { lean_region_last_error(text.as_mut_ptr().cast(), text.len()) };
    String::from_utf8_lossy(&text[..bytes]).into_owned()
}

fn string(text: &str) -> *mut lean_object {
    // SAFETY: a Rust string's bytes.
    unsafe { lean_region_mk_string(text.as_ptr().cast::<c_char>(), text.len()) }
}

fn array(elements: &[*mut lean_object]) -> *mut lean_object {
    // SAFETY: the tests give up the objects that they put into arrays.
    unsafe { lean_region_mk_array(elements.as_ptr(), elements.len()) }
}

fn c_path(path: &Path) -> CString {
    CString::new(path.to_str().unwrap()).unwrap()
}

/// Saves `root` (consumed) beside the regions `deps` (consumed), under a key of its own.
fn save(file: &Path, root: *mut lean_object, deps: *mut lean_object) {
    // SAFETY: live objects, each released once.
    unsafe {
        let (name, key) = (
            string(file.to_str().unwrap()),
            lean_region_mk_name_str(
                lean_region_box(0),
                string(file.file_name().unwrap().to_str().unwrap()),
            ),
        );
        let result = lean_compacted_region_save(name, key, root, deps, lean_region_box(0), 0);
        assert!(lean_region_io_is_ok(result));
        [name, key, root, deps, result]
            .into_iter()
            .for_each(|o| lean_region_dec(o));
    }
}

fn read(file: &Path, deps: *mut lean_object) -> *mut lean_object {
    // SAFETY: live objects, each released once.
    unsafe {
        let name = string(file.to_str().unwrap());
        let result = lean_compacted_region_read(name, deps);
        [name, deps].into_iter().for_each(|o| lean_region_dec(o));
        result
    }
}

fn number(o: *mut lean_object, integer: bool) -> Option<(bool, Vec<u64>)> {
    let (mut negative, mut limbs, mut count) = (false, [0; 8], 0);
    // SAFETY: a live object, and as much room as is said.
    let answer = unsafe { lean_region_number(o, integer, &mut negative, limbs.as_mut_ptr(), 8, &mut count) };
    (answer == 0).then(|| (negative, limbs[..count].to_vec()))
}

#[test]
fn numbers_come_back_as_they_were_made() {
    let numbers: [(bool, bool, &[u64]); 12] = [
        (false, false, &[]),
        (false, false, &[7]),
        (false, false, &[(1 << 63) - 1]),
        (false, false, &[1 << 63]),
        (false, false, &[u64::MAX, 0, 5]),
        (false, true, &[]),
        (true, true, &[1]),
        (false, true, &[(1 << 31) - 1]),
        (true, true, &[1 << 31]),
        (false, true, &[1 << 31]),
        (true, true, &[(1 << 31) + 1]),
        (true, true, &[3, 4, 5, 6]),
    ];
    let dir = temp_dir("numbers");
    for (negative, integer, limbs) in numbers {
        // SAFETY: the limbs are there; live objects, each released once; the root is looked at before it is freed.
        unsafe {
            let made = lean_region_mk_number(negative, integer, limbs.as_ptr(), limbs.len());
            let expected = Some((negative, limbs.to_vec()));
            assert_eq!(number(made, integer), expected);
            // And from a region.
            let file = dir.path().join("number");
            save(&file, made, array(&[]));
            let result = read(&file, array(&[]));
            assert_eq!(number(lean_region_read_root(result), integer), expected);
            assert_eq!(lean_region_free_read(result), 0);
        }
    }
}

#[test]
fn a_number_is_cut_to_the_room_and_nothing_else_is_one() {
    // SAFETY: live objects, each released once; the room that is said; NULL where it may be.
    unsafe {
        let made = lean_region_mk_number(true, true, [1, 2, 3].as_ptr(), 3);
        let (mut limbs, mut count) = ([9; 3], 0);
        assert_eq!(
            lean_region_number(made, true, null_mut(), limbs.as_mut_ptr(), 2, &mut count),
            0
        );
        assert_eq!((limbs, count), ([1, 2, 9], 3));
        assert_eq!(
            lean_region_number(made, true, null_mut(), null_mut(), 0, null_mut()),
            0
        );
        lean_region_dec(made);
        let text = string("7");
        assert_eq!(number(text, false), None);
        assert!(
            last_error().contains("neither a boxed scalar nor a bignum"),
            "{}",
            last_error()
        );
        lean_region_dec(text);
        assert_eq!(number(null_mut(), false), None);
    }
}

#[test]
fn root_and_region_are_found_in_results_and_in_pairs() {
    let dir = temp_dir("results");
    let file = dir.path().join("text");
    save(&file, string("text"), array(&[]));
    // SAFETY: live objects, each released once; no root is looked at after its region was freed.
    unsafe {
        let result = read(&file, array(&[]));
        let root = lean_region_read_root(result);
        assert_eq!(lean_region_tag(root), LEAN_REGION_TAG_STRING);
        let size = std::fs::metadata(&file).unwrap().len() as usize;
        assert_eq!(lean_compacted_region_size(lean_region_read_handle(result)), size);
        assert_eq!(
            lean_region_read_region(result),
            lean_region_child(lean_region_child(result, 0), 1)
        );
        assert_eq!(lean_region_free_read(result), 0);

        // The pairs of a batch.
        let names = array(&[string(file.to_str().unwrap())]);
        let batch = lean_read_module_data_parts(names);
        let pair = lean_region_child(lean_region_child(batch, 0), 0);
        lean_region_inc(pair);
        assert_eq!(
            lean_region_tag(lean_region_read_root(pair)),
            LEAN_REGION_TAG_STRING
        );
        assert!(lean_region_read_root(batch).is_null());
        [names, batch].into_iter().for_each(|o| lean_region_dec(o));
        assert_eq!(lean_region_free_read(pair), 0);

        // A host of v4.31: a boxed handle, and the world's token beside the pair.
        let handle = lean_region_mk_ctor(0, null(), 0, 0xabcd_0000_usize.to_le_bytes().as_ptr(), 8);
        let pair = lean_region_mk_ctor(0, [lean_region_box(3), handle].as_ptr(), 2, null(), 0);
        let result = lean_region_mk_ctor(0, [pair, lean_region_box(0)].as_ptr(), 2, null(), 0);
        assert_eq!(lean_region_read_root(result), lean_region_box(3));
        assert_eq!(lean_region_read_region(result), handle);
        assert_eq!(lean_region_read_handle(result), 0xabcd_0000);
        assert_eq!(lean_region_free_read(result), -1, "there is no such region");
        assert!(last_error().contains("no live region"), "{}", last_error());
    }
}

#[test]
fn a_region_that_was_freed_before_is_not_followed() {
    let dir = temp_dir("freed-before");
    let file = dir.path().join("text");
    save(&file, string("text"), array(&[]));
    // SAFETY: live objects, each released once; no root is looked at after its region was freed.
    unsafe {
        let result = read(&file, array(&[]));
        let freed = lean_compacted_region_free(lean_region_read_handle(result) as *mut lean_object);
        assert!(lean_region_io_is_ok(freed));
        lean_region_dec(freed);
        assert_eq!(lean_region_free_read(result), -1);
        assert!(last_error().contains("freed before"), "{}", last_error());
    }
}

#[test]
fn a_failed_read_has_neither_and_is_released_as_well() {
    let dir = temp_dir("failed");
    // SAFETY: live objects, each released once.
    unsafe {
        let result = read(&dir.path().join("nothing"), array(&[]));
        assert!(!lean_region_io_is_ok(result));
        assert!(lean_region_read_root(result).is_null());
        assert!(last_error().contains("lean_region_read_root"), "{}", last_error());
        assert!(lean_region_read_region(result).is_null());
        assert_eq!(lean_region_read_handle(result), 0);
        assert_eq!(lean_region_free_read(result), 0);
        assert_eq!(lean_region_free_read(null_mut()), 0);
        for other in [null_mut(), lean_region_box(5)] {
            assert!(lean_region_read_root(other).is_null());
        }
        assert_eq!(lean_region_free_read(lean_region_box(5)), -1);
    }
}

#[test]
fn files_are_proved_and_hashed_with_what_they_point_into() {
    let dir = temp_dir("proofs");
    let at = |name: &str| dir.path().join(name);
    save(&at("low"), array(&[string("shared"), string("more")]), array(&[]));
    // SAFETY: live objects, each released once; roots are looked at while their regions live.
    unsafe {
        let low = read(&at("low"), array(&[]));
        let shared = lean_region_child(lean_region_read_root(low), 0);
        let region = lean_region_read_region(low);
        lean_region_inc(region);
        save(
            &at("high"),
            array(&[shared, lean_region_box(1)]),
            array(&[region]),
        );
        assert_eq!(lean_region_free_read(low), 0);
    }
    save(
        &at("whole"),
        array(&[string("shared"), lean_region_box(1)]),
        array(&[]),
    );
    let verify = |file: &str, deps: &[&str]| {
        let names: Vec<_> = deps.iter().map(|d| c_path(&at(d))).collect();
        let pointers: Vec<_> = names.iter().map(|n| n.as_ptr()).collect();
        // SAFETY: terminated strings, as many as are said.
        unsafe { lean_region_verify(c_path(&at(file)).as_ptr(), pointers.as_ptr(), pointers.len()) }
    };
    let hash = |file: &str, deps: &[&str]| {
        let names: Vec<_> = deps.iter().map(|d| c_path(&at(d))).collect();
        let pointers: Vec<_> = names.iter().map(|n| n.as_ptr()).collect();
        let mut out = [0; 16];
        // SAFETY: terminated strings, as many as are said, and 16 bytes of room.
        let answer = unsafe {
            let file = c_path(&at(file));
            lean_region_hash(file.as_ptr(), pointers.as_ptr(), pointers.len(), out.as_mut_ptr())
        };
        (answer == 0).then_some(out)
    };
    assert_eq!(verify("low", &[]), 0);
    assert_eq!(verify("high", &["low"]), 0);
    assert_eq!(verify("high", &[]), -1);
    assert!(
        last_error().contains(at("high").to_str().unwrap()),
        "{}",
        last_error()
    );
    // The same value, shared with a dependency or not; and what another reader makes of it.
    let whole = hash("whole", &[]).unwrap();
    assert_eq!(hash("high", &["low"]), Some(whole));
    assert_ne!(hash("low", &[]), Some(whole));
    assert_eq!(hash("high", &[]), None);
    let bytes = std::fs::read(at("whole")).unwrap();
    let region =
        olean_reader::Region::check(olean_reader::File::parse(&bytes, "", None).unwrap(), &[]).unwrap();
    let digests = olean_reader::Graph::new(&region, &[]).unwrap().digests().unwrap();
    assert_eq!(whole, digests.graphhash.0);

    // Damage, in the file and in the dependency; files that are none.
    let mut bad = std::fs::read(at("low")).unwrap();
    let end = bad.len();
    bad[88 + 8 + 7] = 255;
    std::fs::write(at("bad"), &bad).unwrap();
    assert_eq!(verify("bad", &[]), -1);
    assert!(
        last_error().contains("bad") && last_error().contains("0x"),
        "{}",
        last_error()
    );
    assert_eq!((verify("whole", &["bad"]), hash("bad", &[])), (-1, None));
    std::fs::write(at("short"), &bad[..end / 2]).unwrap();
    assert_eq!(verify("short", &[]), -1);
    assert_eq!(verify("nothing", &[]), -1);
    assert!(
        last_error().contains("nothing") && last_error().contains("No such file"),
        "{}",
        last_error()
    );
    assert_eq!(verify(".", &[]), -1);
    assert!(last_error().contains("not a regular file"), "{}", last_error());
    // SAFETY: NULL is refused.
    assert_eq!(unsafe { lean_region_verify(null(), null(), 0) }, -1);
}

#[test]
fn the_version_is_that_of_the_header() {
    assert_eq!(lean_region_version_number(), LEAN_REGION_VERSION_NUMBER);
}
