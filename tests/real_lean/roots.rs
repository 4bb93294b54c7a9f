//! Copies of roots in a real Lean: the load of a snapshot has them, and what is saved where they were given out is the same
//! as where they were not.

use std::fs;
use std::process::Command;
use std::time::Duration;

use testkit::lean::{self, Options};
use testkit::process;
use testkit::{real_lean, temp_dir};

use crate::start_up::usage;
use crate::{importing_file, ours, run_lean, stock_tree};

#[test]
fn the_load_of_a_snapshot_touches_few_of_its_regions() {
    let dir = temp_dir("roots-load");
    let (file, snapshot) = (importing_file("Roots.lean", ""), dir.path().join("s"));
    let saving = format!("--incr-header-save={}", snapshot.display());
    let file = file.to_str().unwrap().to_owned();
    run_lean(&ours(), &[saving, file.clone()]).success();
    let regions = lean::region_files(stock_tree()).len();
    assert!(regions > 400, "{regions}");
    let load = |options: &Options| {
        let mut command = lean::command(&real_lean(), &stock_tree().dir, options);
        command
            .arg(format!("--incr-load={}", snapshot.display()))
            .arg(&file);
        usage(command).ru_minflt as usize
    };
    // A fault for each region, less some for the library itself. On a busy machine reads take long now and then, and regions
    // are touched.
    let touched = load(&Options::stock());
    let untouched: Vec<usize> = (0..5).map(|_| load(&ours())).collect();
    assert!(
        untouched.iter().any(|faults| faults + regions / 2 < touched),
        "{regions} regions: {untouched:?} page faults, with Lean's own loader {touched}"
    );
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
