//! `olean with`: the command as it is, with the library in it.

use std::os::unix::process::ExitStatusExt;

use testkit::lean::{self, Options};
use testkit::process;
use testkit::{real_lean, temp_dir};

use crate::{lean_words, olean, run, stock_tree};

#[test]
fn the_command_runs_as_ever_and_through_the_library() {
    let dir = temp_dir("with");
    let stock = lean::import_all(&real_lean(), stock_tree(), &Options::stock());
    let words = lean_words(&["-R", ".", "--stats", "All.lean"]);
    let mut command = olean(&stock_tree().dir);
    command
        .arg("with")
        .args(&words)
        .env("LEAN_REGION_REPORT", dir.path().join("%p.json"));
    let output = process::run(&mut command).success();
    assert_eq!(lean::stats_anywhere(&output), lean::stats_anywhere(&stock));
    assert_eq!(output.stderr, stock.stderr);
    let reports = lean::reports(dir.path());
    assert_eq!(reports.len(), 1);
    assert_eq!(
        reports[0]["read"]["calls"],
        lean::stat(&stock, "number of imported modules")
    );
}

#[test]
fn verbose_names_the_host_and_leaves_the_report_to_the_user_too() {
    let dir = temp_dir("with-verbose");
    let mut command = olean(&stock_tree().dir);
    command
        .args(["with", "--verbose"])
        .args(lean_words(&["-R", ".", "All.lean"]));
    let output = process::run(command.env("LEAN_REGION_REPORT", dir.path().join("%p.json"))).success();
    assert_eq!(output.stdout, "");
    let lines: Vec<_> = output.stderr.lines().collect();
    assert!(
        lines[0].starts_with("olean: ") && lines[0].ends_with("/liblean_region.so"),
        "{output}"
    );
    assert!(
        lines[1].contains(": mode replace, attached to Lean 4.35.0 in "),
        "{output}"
    );
    assert!(
        lines[1].contains("libleanshared.so (structure regions, mimalloc-fused): 0 saves, "),
        "{output}"
    );
    assert_eq!(lean::reports(dir.path()).len(), 1);
    let output = run(["with", "--verbose", "--", "true"]).success();
    assert!(output.stderr.contains("attached to nothing"), "{output}");
}

#[test]
fn the_exit_code_is_the_commands_own() {
    assert_eq!(run(["with", "--", "sh", "-c", "exit 7"]).status.code(), Some(7));
    assert_eq!(
        run(["with", "--verbose", "--", "sh", "-c", "exit 7"])
            .status
            .code(),
        Some(7)
    );
    assert_eq!(
        run(["with", "--", "sh", "-c", "kill -9 $$"]).status.signal(),
        Some(9)
    );
    assert_eq!(
        run(["with", "--verbose", "--", "sh", "-c", "kill -9 $$"])
            .status
            .code(),
        Some(137)
    );
    let output = run(["with", "--", "/no/such/program"]);
    assert_eq!(output.status.code(), Some(2), "{output}");
    assert!(
        output.stderr.contains("cannot start '/no/such/program'"),
        "{output}"
    );
}

#[test]
fn what_is_preloaded_already_stays() {
    let script = "echo $LD_PRELOAD";
    let mut command = olean(&stock_tree().dir);
    command
        .env("LD_PRELOAD", "libm.so.6")
        .args(["with", "--", "sh", "-c", script]);
    let output = process::run(&mut command).success();
    assert!(
        output.stdout.ends_with("liblean_region.so:libm.so.6\n"),
        "{output}"
    );
}
