//! C programs on the embedded runtime: linked against the library, dlopened, and under valgrind. Each scenario
//! of `c-tests/scenarios` runs in a process and a directory of its own, and leaves no object, no region and no
//! temporary file.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::{c, library, process, shared_dir, static_library, temp_dir, workspace_dir};

const SOURCES: [&str; 10] = [
    "main.c",
    "common.c",
    "objects.c",
    "regions.c",
    "rereads.c",
    "stale.c",
    "sets.c",
    "errors.c",
    "threads.c",
    "limits.c",
];

/// How a program comes to the library.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Use {
    Linked,
    Static,
    Dlopened,
}

fn build(dir: &Path, how: Use) -> PathBuf {
    let source = workspace_dir().join("c-tests/scenarios");
    let mut build = c::Build::new();
    build.include(workspace_dir().join("include")).include(&source);
    for file in SOURCES {
        build.file(source.join(file));
    }
    match how {
        Use::Linked => build.link(library()),
        Use::Static => build.file(static_library()).arg("-lm"),
        Use::Dlopened => build.define("DLOPENED", ""),
    };
    build
        .arg("-pthread")
        .arg("-ldl")
        .build(dir.join(format!("{how:?}")))
}

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("LEAN_REGION_LIBRARY", library());
    command
}

fn scenarios(program: &Path) -> Vec<String> {
    let output = process::run(command(program).arg("list")).success();
    output.stdout.lines().map(str::to_owned).collect()
}

/// Runs each scenario, two at a time; panics with the outputs of those that failed.
fn run_all(program: &Path, scale: &str, wrap: impl Fn(&Command) -> Command + Sync) {
    let names = scenarios(program);
    assert!(names.len() > 5, "{names:?}");
    let next = AtomicUsize::new(0);
    let failed = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let dir = temp_dir(name);
                    // A scenario gives up its rights for a moment.
                    let mut plain = command(program);
                    plain.arg(name).arg(dir.path()).arg(scale);
                    let output = process::run(&mut wrap(&plain));
                    if !output.status.success() || !output.stderr.is_empty() {
                        failed.lock().unwrap().push(output.to_string());
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

fn unwrapped(command: &Command) -> Command {
    let mut same = Command::new(command.get_program());
    same.args(command.get_args());
    for (name, value) in command.get_envs() {
        same.env(name, value.expect("only set"));
    }
    same
}

#[test]
fn scenarios_in_a_program_that_links_the_library() {
    let dir = shared_dir("c-scenarios-linked");
    run_all(&build(&dir, Use::Linked), "1", unwrapped);
}

#[test]
fn scenarios_in_a_program_that_links_the_static_library() {
    let dir = shared_dir("c-scenarios-static");
    run_all(&build(&dir, Use::Static), "10", unwrapped);
}

#[test]
fn scenarios_in_a_program_that_opens_the_library() {
    let dir = shared_dir("c-scenarios-dlopened");
    run_all(&build(&dir, Use::Dlopened), "10", unwrapped);
}

/// Regions that are read again, and sets, while every file is proved before it is handed out.
#[test]
fn scenarios_of_regions_that_are_shared_with_every_file_proved() {
    let dir = shared_dir("c-scenarios-proved");
    let program = build(&dir, Use::Linked);
    for name in [
        "one_region",
        "other_files",
        "changing",
        "with_dependencies",
        "set_any_workers",
        "set_twice",
    ] {
        let work = temp_dir(name);
        let mut command = command(&program);
        command
            .arg(name)
            .arg(work.path())
            .arg("10")
            .env("LEAN_REGION_VERIFY", "1");
        let output = process::run(&mut command).success();
        assert_eq!(output.stderr, "", "{name}");
    }
}

#[test]
fn scenarios_under_valgrind() {
    let dir = shared_dir("c-scenarios-valgrind");
    run_all(&build(&dir, Use::Linked), "100", testkit::valgrind);
}

/// The scenarios with faults, linked behind a library that makes system calls fail; with `memory` also requests
/// for memory, which valgrind has to see for itself.
fn build_faults(dir: &Path, memory: bool) -> PathBuf {
    let source = workspace_dir().join("c-tests/scenarios");
    let mut interpose = c::Build::new();
    interpose.shared().file(source.join("interpose.c")).arg("-ldl");
    let mut program = c::Build::new();
    program.include(workspace_dir().join("include")).include(&source);
    program.define("FAULTS", "");
    if memory {
        interpose.define("MEMORY", "");
        program.define("MEMORY", "");
    }
    let interpose = interpose.build(dir.join("libinterpose.so"));
    for file in ["main.c", "common.c", "faults.c"] {
        program.file(source.join(file));
    }
    program.link(interpose).link(library()).build(dir.join("faults"))
}

#[test]
fn faults_of_system_calls() {
    let dir = shared_dir("c-faults");
    run_all(&build_faults(&dir, true), "1", unwrapped);
}

#[test]
fn faults_of_system_calls_under_valgrind() {
    let dir = shared_dir("c-faults-valgrind");
    run_all(&build_faults(&dir, false), "100", testkit::valgrind);
}
