//! Copies of roots in a real Lean: the load of a snapshot has them, and what is saved where they were given out is the same
//! as where they were not.

use std::ffi::OsString;
use std::fs;
use std::process::Command;
use std::time::Duration;

use testkit::lean::{self, Options};
use testkit::process;
use testkit::{library, real_lean, temp_dir};

use crate::{importing_file, ours, run_lean, stock_tree};

/// What each read of a root looks like to strace: of 56 bytes, behind the first 8 KB.
fn roots_read(calls: &str) -> usize {
    let is_root = |line: &&str| {
        let arguments = line.rsplit_once(" = ").map_or("", |(arguments, _)| arguments);
        let mut last = arguments.trim_end_matches(')').rsplit(", ");
        let (at, bytes) = (last.next(), last.next());
        line.contains("pread64(")
            && bytes == Some("56")
            && at.is_some_and(|at| at.parse().is_ok_and(|at: u64| at > 8192))
    };
    calls.lines().filter(is_root).count()
}

#[test]
fn the_load_of_a_snapshot_reads_roots_instead_of_touching_regions() {
    let dir = temp_dir("roots-load");
    let (file, snapshot, calls) = (
        importing_file("Roots.lean", ""),
        dir.path().join("s"),
        dir.path().join("calls"),
    );
    let saving = format!("--incr-header-save={}", snapshot.display());
    let file = file.to_str().unwrap().to_owned();
    run_lean(&ours(), &[saving, file.clone()]).success();
    let files = lean::region_files(stock_tree());
    let larger = files.values().filter(|bytes| bytes.len() > 8192).count();
    assert!(larger > 200, "{larger}");

    let mut preload = OsString::from("LD_PRELOAD=");
    preload.push(library());
    let mut strace = Command::new("strace");
    Options::stock().apply(&mut strace);
    // Other calls must not stop: after a read that takes long the root is looked at in the mapping. Being traced they take
    // long now and then all the same.
    strace
        .args(["-f", "-qq", "--seccomp-bpf", "-e", "trace=pread64", "-o"])
        .arg(&calls)
        .arg("-E")
        .arg(preload)
        .arg(&real_lean().program)
        .arg(format!("--incr-load={}", snapshot.display()))
        .arg(&file)
        .current_dir(&stock_tree().dir)
        .env("LEAN_PATH", ".");
    process::run(&mut strace).success();
    let read = roots_read(&fs::read_to_string(calls).unwrap());
    assert!(read > larger / 10, "{read} roots of {larger} files were read");
}

#[test]
fn a_header_snapshot_is_the_same_with_copies_and_without() {
    let dir = temp_dir("roots-saved");
    let file = importing_file("RootsSaved.lean", "");
    // Of files that are younger than two seconds a snapshot says so.
    std::thread::sleep(Duration::from_secs(3));
    // Its name stands in it.
    let snapshot = dir.path().join("s");
    let saved = |options: &Options| {
        // Code addresses, which stand in a snapshot, are the same only where nothing is put at random places.
        let mut command = Command::new("setarch");
        options
            .apply(&mut command)
            .current_dir(&stock_tree().dir)
            .env("LEAN_PATH", ".")
            .arg("-R")
            .arg(real_lean().program)
            .arg(format!("--incr-header-save={}", snapshot.display()))
            .arg(&file);
        process::run(&mut command).success();
        fs::read(&snapshot).unwrap()
    };
    let copied = saved(&ours());
    let touched = saved(&ours().env("LEAN_REGION_VERIFY", "1"));
    assert!(copied == touched, "{} and {} bytes", copied.len(), touched.len());
}
