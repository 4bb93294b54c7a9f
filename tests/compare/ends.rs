//! What a process tells when it ends: with a runtime that answers every read with a region, whether or not there is
//! a file, a read of nothing is a difference.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use testkit::hosts::build_redirected;
use testkit::lean::{self, Options};
use testkit::process::{self, Output};
use testkit::{TempDir, Value, library, temp_dir};

/// A program on an imitated runtime.
struct Scene {
    dir: TempDir,
    program: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let dir = temp_dir("compare-ends");
        let program = build_redirected(dir.path(), &["STRUCTURE"], &[]);
        fs::create_dir(dir.path().join("reports")).unwrap();
        Self { dir, program }
    }

    fn run(&self, strict: bool, args: &[&str]) -> (Output, Vec<Value>) {
        let reports = self.dir.path().join("reports");
        let options = Options::preloaded(library())
            .env("LEAN_REGION_MODE", "compare")
            .env("LEAN_REGION_STRICT", if strict { "1" } else { "0" })
            .report(&reports);
        let mut command = Command::new(&self.program);
        let output = process::run(
            options
                .apply(&mut command)
                .current_dir(self.dir.path())
                .args(args),
        );
        let found = lean::reports(&reports);
        for entry in fs::read_dir(&reports).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        (output, found)
    }
}

#[test]
fn a_difference_is_said_at_once_and_ends_a_strict_process_with_its_own_code() {
    let scene = Scene::new();
    for (way, code) in [("exit", 3), ("thread-exit", 4), ("leave", 5), ("Leave", 6)] {
        for (strict, expected) in [(true, 86), (false, code)] {
            let text = code.to_string();
            let args = ["buffered", "last words", "read", "absent", way, &text];
            let (output, reports) = scene.run(strict, &args);
            assert_eq!(output.status.code(), Some(expected), "{way}: {output}");
            assert_eq!(
                output.stderr,
                "lean-region: compare: read of 'absent' differs from the host's: ours fails, the host does not: \"failed to \
                 open file 'absent': No such file or directory\"\n"
            );
            // A process that leaves by `_exit` loses what is in its buffers, unless that is not how it ends.
            if strict || !way.ends_with("eave") {
                assert!(
                    output.stdout.starts_with("last words\nread: failed to open"),
                    "{way}: {output}"
                );
            }
            assert_eq!(reports.len(), 1);
            let compare = &reports[0]["compare"];
            assert_eq!(compare["reads_different"], 1, "{compare:#}");
            assert_eq!(compare["first_difference"]["call"], "read");
            assert_eq!(compare["first_difference"]["file"], "absent");
            assert_eq!(compare["first_difference"]["host_file"], Value::Null);
        }
    }
}

#[test]
fn failures_have_to_be_alike_and_without_a_difference_the_code_is_kept() {
    let scene = Scene::new();
    for way in ["exit", "thread-exit", "leave", "Leave"] {
        let (output, reports) = scene.run(true, &["read", "bad", way, "7"]);
        // Ours has no file to open, the host does not like its name: both fail, but not alike.
        assert_eq!(output.status.code(), Some(86), "{output}");
        assert!(
            output.stderr.contains("both fail, for different reasons"),
            "{output}"
        );
        assert_eq!(reports.len(), 1);
        let (output, reports) = scene.run(true, &["host-calls", way, "7"]);
        assert_eq!(output.status.code(), Some(7), "{output}");
        assert_eq!(output.stderr, "");
        assert_eq!(reports[0]["compare"]["reads_different"], 0);
    }
}

#[test]
fn both_files_of_a_different_save_are_kept() {
    let scene = Scene::new();
    let (output, reports) = scene.run(true, &["save", "x.olean", "exit", "0"]);
    assert_eq!(output.status.code(), Some(86), "{output}");
    assert!(
        output.stdout.starts_with("save: ok"),
        "ours is what the program gets: {output}"
    );
    let first = &reports[0]["compare"]["first_difference"];
    let kept = PathBuf::from(first["host_file"].as_str().unwrap_or_else(|| panic!("{first:#}")));
    assert!(output.stderr.contains(&*kept.to_string_lossy()), "{output}");
    assert_eq!(fs::read_to_string(&kept).unwrap(), "hello");
    assert!(
        fs::read(scene.dir.path().join("x.olean"))
            .unwrap()
            .starts_with(b"olean")
    );
    assert_eq!(
        reports[0]["saved"][0],
        scene.dir.path().join("x.olean").to_str().unwrap()
    );
}

#[test]
fn a_child_answers_for_itself() {
    let scene = Scene::new();
    let (output, _) = scene.run(true, &["read", "absent", "fork", "exit", "3"]);
    assert!(
        output.stdout.ends_with("child: 3\n"),
        "the parent's difference is not the child's: {output}"
    );
    assert_eq!(output.status.code(), Some(86), "{output}");
    let (output, reports) = scene.run(true, &["fork", "read", "absent", "leave", "3"]);
    assert!(output.stdout.ends_with("child: 86\n"), "{output}");
    assert_eq!(output.status.code(), Some(0), "{output}");
    assert_eq!(reports.len(), 2);
    // A child that shares the parent's memory shares its difference, but has its own code.
    let (output, _) = scene.run(true, &["read", "absent", "vfork-leave", "exit", "0"]);
    assert!(output.stdout.ends_with("child: 5\n"), "{output}");
    assert_eq!(output.status.code(), Some(86), "{output}");
}
