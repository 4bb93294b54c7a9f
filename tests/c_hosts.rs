//! Small Lean runtimes of every generation and allocation scheme, linked `-Bsymbolic` as Lean's releases are:
//! calls inside them reach this library by preloading, calls from beside them directly. Each is a library of
//! `c-tests/hosts` that counts the calls of its own loader and the objects that live.

use std::path::PathBuf;
use std::process::Command;
use testkit::hosts::{HOSTS, Host};
use testkit::{TempDir, Value, c, library, process, temp_dir, workspace_dir};

/// A program on its runtime, built.
struct Program {
    dir: TempDir,
    path: PathBuf,
}

impl Program {
    fn new(host: &Host) -> Self {
        let dir = temp_dir(&format!("c-host-{}-{}", host.abi, host.allocator_name));
        let path = host.build(dir.path(), "program.c");
        Program { dir, path }
    }

    /// The program in a fresh directory.
    fn command(&self, how: &str) -> (Command, TempDir) {
        let work = temp_dir("c-host-work");
        let mut command = Command::new(&self.path);
        command
            .arg(how)
            .arg(work.path())
            .env("LEAN_REGION_LIBRARY", library());
        (command, work)
    }

    fn report(&self) -> PathBuf {
        self.dir.path().join("report.json")
    }

    /// The program with our library preloaded.
    fn preloaded(&self, how: &str) -> (Command, TempDir) {
        let (mut command, work) = self.command(how);
        command
            .env("LD_PRELOAD", library())
            .env("LEAN_REGION_REPORT", self.report());
        (command, work)
    }
}

/// Nothing but the files that were saved lies in `dir`.
#[track_caller]
fn assert_no_temporary(dir: &TempDir, context: &str) {
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(
            !name.to_string_lossy().contains(".tmp."),
            "{context}: {name:?} is left"
        );
    }
}

#[track_caller]
fn run(mut command: Command, work: &TempDir, context: &str) {
    let output = process::run(&mut command).success();
    assert_eq!(output.stderr, "", "{context}");
    assert_no_temporary(work, context);
}

#[test]
fn calls_inside_a_runtime_are_its_own_without_us_and_ours_by_preloading() {
    for host in HOSTS {
        let label = host.label();
        let program = Program::new(&host);
        let (command, work) = program.command("stock");
        run(command, &work, &label);
        let (mut command, work) = program.preloaded("stock");
        command.env("LEAN_REGION_MODE", "off");
        run(command, &work, &label);

        let (command, work) = program.preloaded("inside");
        run(command, &work, &label);
        let text = std::fs::read_to_string(program.report()).expect("a report");
        let report: Value = text.parse().expect("JSON");
        assert_eq!(report["host"]["abi"], host.abi, "{label}");
        assert_eq!(report["host"]["allocator"], host.allocator_name, "{label}");
        assert_eq!(report["host"]["lean_version"], "4.25.1-rc3", "{label}");
        for counter in ["save", "read", "free"] {
            assert!(
                report[counter]["calls"].as_u64().unwrap() > 2,
                "{label}: {report}"
            );
        }
        assert!(
            report["read"]["mapped"].as_u64().unwrap() > 1,
            "{label}: {report}"
        );
        assert!(
            report["read"]["relocated"].as_u64().unwrap() > 1,
            "{label}: {report}"
        );
        assert!(
            report["save"]["errors"].as_u64().unwrap() > 0,
            "{label}: {report}"
        );
    }
}

#[test]
fn our_functions_serve_a_runtime_beside_us() {
    for host in HOSTS {
        let program = Program::new(&host);
        let (command, work) = program.command("beside");
        run(command, &work, &host.label());
    }
}

#[test]
fn runtimes_are_served_without_errors_or_leaks() {
    for host in HOSTS {
        let program = Program::new(&host);
        for (command, work) in [program.preloaded("inside"), program.command("beside")] {
            run(testkit::valgrind(&command), &work, &host.label());
        }
    }
}

/// A runtime that was written from docs/host-abi.md alone, with nothing that the page does not ask for.
#[test]
fn a_runtime_made_by_the_page_is_served() {
    let dir = temp_dir("c-host-page");
    let source = |name: &str| workspace_dir().join("c-tests/hosts").join(name);
    let mut runtime = c::Build::new();
    runtime.shared().bsymbolic().file(source("by_the_page.c"));
    let runtime = runtime.build(dir.path().join("libhost.so"));
    let mut program = c::Build::new();
    program.file(source("by_the_page_main.c")).link(runtime);
    let program = program.build(dir.path().join("program"));
    let run = |preload: bool| {
        let mut command = Command::new(&program);
        command.arg("saved.olean").current_dir(dir.path());
        if preload {
            let report = dir.path().join("report.json");
            command
                .env("LD_PRELOAD", library())
                .env("LEAN_REGION_REPORT", report);
        }
        command
    };
    let own = process::run(&mut run(false)).success();
    assert_eq!(own.stdout, "error: the host's own loader\nown loader: 1\n");

    let output = process::run(&mut run(true)).success();
    assert_eq!(output.stderr, "", "{output}");
    let size = std::fs::metadata(dir.path().join("saved.olean"))
        .expect("saved")
        .len();
    let expected = format!(
        "root: tag 3, count 0, 42\narray: 3 of first, shared: 1\nmapped: 1, bytes: {size}\n\
         error: failed to free a region: the handle is that of no live region: it was freed before, or it is \
         something else\nown loader: 0\n"
    );
    assert_eq!(output.stdout, expected, "{output}");
    let text = std::fs::read_to_string(dir.path().join("report.json")).expect("a report");
    let report: Value = text.parse().expect("JSON");
    assert_eq!(report["host"]["abi"], "handle");
    assert_eq!(report["host"]["allocator"], "malloc");
    assert_eq!(report["host"]["lean_version"], "");
    process::run(&mut testkit::valgrind(&run(true))).success();
}
