//! An import of files that are not in memory: the system is asked for them as wholes, and for the other parts of a
//! module with its first one. Where they are in memory nothing is asked for.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::lean::{self, Options};
use testkit::process::{self, Output};
use testkit::{library, real_lean, temp_dir};

use crate::{MODULES, seen, stock_tree};

/// Copies the files below `from`; answers the region files among the copies.
fn copy(from: &Path, to: &Path, regions: &mut Vec<PathBuf>) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|e| (e.path(), e.file_name())).unwrap();
        let copied = to.join(&name);
        if path.is_dir() {
            copy(&path, &copied, regions);
            continue;
        }
        let name = name.to_str().expect("text");
        if [".olean", ".server", ".private", ".ir", ".sig"]
            .iter()
            .any(|end| name.ends_with(end))
        {
            fs::copy(&path, &copied).unwrap();
            regions.push(copied);
        }
    }
}

/// Has the system keep nothing of a file in memory.
fn forget(path: &Path) {
    let file = File::open(path).unwrap();
    file.sync_all().unwrap();
    // SAFETY: advice about an open file.
    let forgotten = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    assert_eq!(forgotten, 0);
}

/// Lean imports everything in `dir`, under strace; what it printed, and its calls about memory and the starts of files.
fn import(dir: &Path, name: &str) -> (Output, String) {
    let calls = dir.join(name);
    let mut preload = OsString::from("LD_PRELOAD=");
    preload.push(library());
    let mut strace = Command::new("strace");
    Options::stock().apply(&mut strace);
    strace
        .args(["-f", "-qq", "-e", "trace=preadv2,fadvise64", "-o"])
        .arg(&calls)
        .arg("-E")
        .arg(preload)
        .arg(&real_lean().program)
        .arg("Top.lean")
        .current_dir(dir)
        .env("LEAN_PATH", ".");
    let output = process::run(&mut strace);
    (output, fs::read_to_string(calls).unwrap())
}

#[test]
fn files_that_are_not_in_memory_are_asked_for_and_others_are_not() {
    let dir = temp_dir("cold");
    let mut regions = Vec::new();
    copy(&stock_tree().dir, dir.path(), &mut regions);
    fs::write(dir.path().join("Top.lean"), "prelude\nimport All\n").unwrap();
    let stock = process::run(lean::command(&real_lean(), dir.path(), &Options::stock()).arg("Top.lean"));
    assert_eq!(seen(&stock).0.code(), Some(0), "{}", stock.stderr);

    let (warm, calls) = import(dir.path(), "warm");
    assert_eq!(seen(&warm), seen(&stock));
    assert_eq!(calls.matches("fadvise64(").count(), 0, "{calls}");
    let starts = calls.matches("preadv2(").count();
    if calls.contains("EOPNOTSUPP") {
        // A file system that does not know what it has in memory is asked a few times.
        assert!((1..=8).contains(&starts), "{calls}");
        return;
    }
    // The first ones, and then one of sixteen.
    let files = regions.len();
    assert!(
        (64..64 + files / 8).contains(&starts),
        "{starts} of {files} files"
    );

    regions.iter().for_each(|path| forget(path));
    let (cold, calls) = import(dir.path(), "cold");
    assert_eq!(seen(&cold), seen(&stock));
    let waits = calls.matches("EAGAIN").count();
    let asked = calls.matches("POSIX_FADV_WILLNEED").count();
    // Each first part, and with most of them one more at least.
    assert!(waits > MODULES / 2, "{waits}");
    assert!(
        asked > waits + MODULES / 2,
        "{asked} asked for, {waits} were waited for"
    );
    // Those that came with the first part of their module may be in memory by then.
    let starts = calls.matches("preadv2(").count();
    assert!(
        starts > 2 * MODULES && starts <= files,
        "{starts} of {files} files"
    );
}
