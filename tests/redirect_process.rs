//! Processes with an imitated Lean runtime of each generation, the library preloaded or loaded beside it: which
//! calls reach which loader, what a refused host looks like, attaching and detaching by hand, and who writes a
//! report when a process ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::lean::{self, Options};
use testkit::process::{self, Output};
use testkit::{TempDir, Value, c, library, temp_dir, workspace_dir};

fn source(name: &str) -> PathBuf {
    workspace_dir().join("c-tests/redirect").join(name)
}

/// A directory with a runtime, a program linked against it, and room for reports.
struct Scene {
    dir: TempDir,
    program: PathBuf,
}

impl Scene {
    fn new(label: &str, defines: &[&str], link_args: &[&str]) -> Scene {
        let dir = temp_dir(label);
        let host = dir.path().join("libhost.so");
        let mut build = c::Build::new();
        build.shared().bsymbolic().file(source("host.c"));
        for define in defines {
            build.define(define, "");
        }
        for arg in link_args {
            build.arg(*arg);
        }
        build.build(&host);
        let mut build = c::Build::new();
        build
            .file(source("program.c"))
            .arg("-Wl,--no-as-needed")
            .link(&host)
            .arg("-ldl")
            .arg("-lpthread");
        let program = build.build(dir.path().join("program"));
        fs::create_dir(dir.path().join("reports")).expect("new directory");
        Scene { dir, program }
    }

    fn reports_dir(&self) -> PathBuf {
        self.dir.path().join("reports")
    }

    fn run(&self, options: &Options, args: &[&str]) -> Output {
        let options = options.clone().report(&self.reports_dir());
        let mut command = Command::new(&self.program);
        process::run(
            options
                .apply(&mut command)
                .current_dir(self.dir.path())
                .args(args),
        )
    }

    fn reports(&self) -> Vec<Value> {
        lean::reports(&self.reports_dir())
    }

    /// The only report, which is removed.
    fn take_report(&self) -> Value {
        let mut reports = self.reports();
        assert_eq!(reports.len(), 1, "{reports:?}");
        fs::remove_dir_all(self.reports_dir())
            .and_then(|()| fs::create_dir(self.reports_dir()))
            .expect("emptied");
        reports.remove(0)
    }
}

fn preloaded(mode: &str) -> Options {
    Options::preloaded(library()).env("LEAN_REGION_MODE", mode)
}

/// Generations with the functions that have to be redirected in each.
const GENERATIONS: [(&str, &[&str]); 3] = [
    (
        "BATCH",
        &[
            "lean_save_module_data_parts",
            "lean_read_module_data_parts",
            "lean_compacted_region_free",
            "lean_compacted_region_is_memory_mapped",
            "lean_compacted_region_size",
        ],
    ),
    (
        "HANDLE",
        &[
            "lean_compacted_region_save",
            "lean_compacted_region_read",
            "lean_compacted_region_free",
            "lean_compacted_region_is_memory_mapped",
            "lean_compacted_region_size",
        ],
    ),
    (
        "STRUCTURE",
        &[
            "lean_compacted_region_save",
            "lean_compacted_region_read",
            "lean_compacted_region_free",
        ],
    ),
];

#[test]
fn replaced_calls_inside_the_host_reach_this_library_in_every_generation() {
    for (generation, functions) in GENERATIONS {
        let scene = Scene::new("replace", &[generation], &[]);
        let args = [
            "save",
            "m.olean",
            "read",
            "m.olean",
            "mapped",
            "size",
            "free",
            "read",
            "absent",
            "host-calls",
        ];
        let output = scene.run(&preloaded("replace"), &args).success();
        let size = fs::metadata(scene.dir.path().join("m.olean"))
            .expect("saved")
            .len();
        let expected = format!(
            "save: ok\nread: ok\nmapped: 1\nsize: {size}\nfree: ok\n\
             read: failed to open file 'absent': No such file or directory"
        );
        assert!(output.stdout.starts_with(&expected), "{generation}: {output}");
        let saved = fs::read(scene.dir.path().join("m.olean")).expect("saved");
        assert_eq!(saved[5], 2, "{generation}: nobody has allowed closures");
        assert!(
            output.stdout.ends_with("\nhost calls: 0\n"),
            "{generation}: {output}"
        );
        assert_eq!(output.stderr, "");
        let report = scene.take_report();
        assert_eq!(report["mode"], "replace");
        assert_eq!(report["host"]["abi"], generation.to_lowercase());
        assert_eq!(report["attached"], Value::from(functions.to_vec()));
        assert_eq!(
            (&report["save"]["calls"], &report["read"]["calls"]),
            (&1.into(), &2.into()),
            "{report}"
        );
        assert_eq!(
            (&report["read"]["errors"], &report["free"]["calls"]),
            (&1.into(), &1.into()),
            "{report}"
        );
    }
}

#[test]
fn observed_calls_reach_the_host_and_are_counted_in_every_generation() {
    for (generation, functions) in GENERATIONS {
        let scene = Scene::new("observe", &[generation], &[]);
        let args = [
            "save",
            "m",
            "read",
            "m",
            "mapped",
            "size",
            "free",
            "read",
            "bad",
            "save",
            "bad",
            "host-calls",
        ];
        let plain = scene.run(&Options::stock(), &args).success();
        let observed = scene.run(&preloaded("observe"), &args).success();
        assert_eq!(observed.stdout, plain.stdout);
        assert!(observed.stdout.ends_with("host calls: 5\n"), "{observed}");
        assert_eq!(observed.stderr, "");
        let report = scene.take_report();
        assert_eq!(report["attached"], Value::from(functions.to_vec()));
        let counts =
            |part: &str, keys: &[&str]| keys.iter().map(|k| report[part][k].clone()).collect::<Vec<_>>();
        assert_eq!(counts("save", &["calls", "errors", "bytes"]), [2, 1, 5]);
        let bytes = if generation == "STRUCTURE" { 4096 } else { 5 };
        assert_eq!(
            counts("read", &["calls", "errors", "mapped", "relocated"]),
            [2, 1, 1, 0]
        );
        assert_eq!(report["read"]["bytes"], bytes);
        assert_eq!(report["free"]["calls"], 1);
    }
}

#[test]
fn calls_from_elsewhere_go_where_calls_inside_the_host_go() {
    let scene = Scene::new("exported", &["STRUCTURE"], &[]);
    let call = |options: &Options| {
        let output = scene
            .run(options, &["exported-read", "absent", "host-calls"])
            .success();
        output.stdout
    };
    let host = "read: ok\nhost calls: 1\n";
    assert_eq!(call(&Options::stock()), host);
    assert_eq!(call(&preloaded("off")), host, "passed on");
    assert_eq!(
        call(&preloaded("observe")),
        host,
        "passed on by way of the observer"
    );
    assert_eq!(scene.take_report()["read"]["calls"], 1);
    let ours = call(&preloaded("replace"));
    assert!(
        ours.starts_with("read: failed to open file 'absent'") && ours.ends_with("host calls: 0\n"),
        "{ours}"
    );
}

#[test]
fn a_host_that_cannot_be_redirected_is_left_working_and_said_so_in_one_line() {
    let cases: [(&[&str], &str, &str); 5] = [
        (
            &["BATCH", "CRAMPED"],
            "replace",
            "lean_compacted_region_is_memory_mapped has only 4 bytes and no padding, which is too short for a jump",
        ),
        (
            &["STRUCTURE", "IMMOVABLE"],
            "observe",
            "lean_compacted_region_free cannot be moved: the branch at offset 9 leads back to offset 2, among the \
             bytes to be overwritten",
        ),
        (
            &["STRUCTURE", "IMMOVABLE"],
            "compare",
            "lean_compacted_region_free cannot be moved: the branch at offset 9 leads back to offset 2",
        ),
        (
            &["HANDLE"],
            "compare",
            "mode compare is for Lean 4.32 and later, whose regions are structures, and this Lean runtime is of the \
             handle generation",
        ),
        (&["BATCH"], "compare", "of the batch generation; use mode replace"),
    ];
    for (defines, mode, reason) in cases {
        let scene = Scene::new("refused", defines, &[]);
        let args = ["read", "x", "mapped", "host-calls"];
        let output = scene.run(&preloaded(mode), &args).success();
        assert_eq!(output.stdout, "read: ok\nmapped: 1\nhost calls: 1\n");
        assert!(
            output
                .stderr
                .starts_with("lean-region: not attached, Lean's own loader serves: "),
            "{output}"
        );
        assert!(output.stderr.contains(reason), "{output}");
        assert_eq!(output.stderr.lines().count(), 1, "{output}");
        assert!(scene.reports().is_empty(), "not attached");
        if defines[0] == "STRUCTURE" {
            let output = scene
                .run(&preloaded(mode), &["exported-read", "x", "host-calls"])
                .success();
            assert_eq!(output.stdout, "read: ok\nhost calls: 1\n", "passed on");
        }
    }
    // What cannot be moved can still be replaced.
    let scene = Scene::new("immovable", &["STRUCTURE", "IMMOVABLE"], &[]);
    let output = scene.run(&preloaded("replace"), &["read", "absent"]).success();
    assert!(output.stdout.starts_with("read: failed to open"), "{output}");
}

/// A program with neither runtime nor library, which loads what it is told.
fn bare(dir: &Path) -> PathBuf {
    c::Build::new()
        .file(source("program.c"))
        .arg("-ldl")
        .arg("-lpthread")
        .build(dir.join("bare"))
}

#[test]
fn whatever_keeps_us_from_attaching_calls_of_our_names_reach_the_host() {
    let scene = Scene::new("not-attached", &["STRUCTURE"], &[]);
    let dir = scene.dir.path();
    let bare = bare(dir);
    let library = library();
    let (ours, host) = (library.to_str().expect("UTF-8"), dir.join("libhost.so"));
    let host = host.to_str().expect("UTF-8");
    for (variable, reason) in [
        ("LEAN_REGION_MODE", "LEAN_REGION_MODE is 'nonsense', but must be"),
        ("LEAN_REGION_ABI", "LEAN_REGION_ABI is 'nonsense', but must be"),
    ] {
        // By hand, our names before those of the host.
        let mut command = Command::new(&bare);
        let options = Options::stock().env(variable, "nonsense");
        let args = [
            "load",
            ours,
            "load",
            host,
            "attach",
            "exported-read",
            "absent",
            "host-calls",
        ];
        let output = process::run(options.apply(&mut command).current_dir(dir).args(args)).success();
        assert!(
            output.stdout.starts_with(&format!("attach: -1 {reason}")),
            "{output}"
        );
        assert!(output.stdout.ends_with("\nread: ok\nhost calls: 1\n"), "{output}");
        // Preloaded.
        let options = preloaded("replace").env(variable, "nonsense");
        let output = scene
            .run(&options, &["exported-read", "absent", "host-calls"])
            .success();
        assert_eq!(output.stdout, "read: ok\nhost calls: 1\n", "{output}");
        assert!(output.stderr.contains(reason), "{output}");
    }
}

#[test]
fn without_a_host_and_with_nowhere_to_say_so_a_call_has_no_answer() {
    let scene = Scene::new("no-host", &["STRUCTURE"], &[]);
    let dir = scene.dir.path();
    let bare = bare(dir);
    let library = library();
    let (ours, host) = (library.to_str().expect("UTF-8"), dir.join("libhost.so"));
    let mut command = Command::new(&bare);
    Options::stock()
        .env("LEAN_REGION_ABI", "nonsense")
        .apply(&mut command);
    command.current_dir(dir);
    command.args([
        "load",
        ours,
        "load",
        host.to_str().expect("UTF-8"),
        "read-nothing",
    ]);
    // Every write to it fails.
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("Linux has it");
    let output = command.stderr(full).output().expect("it runs");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "no answer\n",
        "{output:?}"
    );
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn an_exception_of_the_host_passes_through_a_call_that_is_passed_on() {
    let dir = temp_dir("exception");
    let text = "extern \"C\" void throw_something() { throw 7; }\n\
                extern \"C\" int catches(void *(*f)(void *, void *), void *a, void *b) {\n\
                    try { f(a, b); } catch (int n) { return n; }\n\
                    return 0;\n\
                }\n";
    let thrower = dir.path().join("thrower.cpp");
    fs::write(&thrower, text).expect("writable");
    let thrower = c::Build::new()
        .cpp()
        .shared()
        .file(&thrower)
        .build(dir.path().join("libthrower.so"));
    let host = c::Build::new()
        .shared()
        .bsymbolic()
        .file(source("host.c"))
        .define("STRUCTURE", "")
        .define("THROWS", "")
        .arg("-fexceptions")
        .link(&thrower)
        .build(dir.path().join("libhost.so"));
    let program = c::Build::new()
        .file(source("program.c"))
        .arg("-Wl,--no-as-needed")
        .link(&host)
        .link(&thrower)
        .arg("-ldl")
        .arg("-lpthread")
        .build(dir.path().join("program"));
    let run = |options: &Options| {
        let mut command = Command::new(&program);
        let args = ["catch-read", "throw", "catch-read", "x", "host-calls"];
        process::run(options.apply(&mut command).current_dir(dir.path()).args(args)).success()
    };
    for options in [Options::stock(), preloaded("off"), preloaded("observe")] {
        let output = run(&options);
        assert_eq!(output.stdout, "caught: 7\ncaught: 0\nhost calls: 2\n", "{output}");
    }
}

#[test]
fn a_library_made_of_the_static_one_stays_when_it_is_attached() {
    let scene = Scene::new("static-kept", &["STRUCTURE"], &[]);
    let dir = scene.dir.path();
    let bare = bare(dir);
    let names = ["attach", "last_error", "report"].map(|name| format!("-Wl,-u,lean_region_{name}"));
    let mut build = c::Build::new();
    build.shared().bsymbolic();
    for name in &names {
        build.arg(name);
    }
    let ours = build
        .file(testkit::static_library())
        .arg("-lm")
        .arg("-ldl")
        .arg("-lpthread")
        .build(dir.join("libours.so"));
    let host = dir.join("libhost.so");
    let (ours, host) = (ours.to_str().expect("UTF-8"), host.to_str().expect("UTF-8"));
    let args = [
        "load",
        host,
        "load",
        ours,
        // A thread's own values keep their library loaded until it ends: this thread has none of them.
        "thread-attach",
        "unload",
        "read",
        "absent",
        "host-calls",
    ];
    let mut command = Command::new(&bare);
    let output = process::run(Options::stock().apply(&mut command).current_dir(dir).args(args)).success();
    assert!(
        output
            .stdout
            .starts_with("attach: 0\nread: failed to open file 'absent'"),
        "{output}"
    );
}

#[test]
fn a_runtime_inside_the_program_itself_is_replaced() {
    let dir = temp_dir("static-host");
    let mut build = c::Build::new();
    build
        .file(source("program.c"))
        .file(source("host.c"))
        .define("STRUCTURE", "");
    let program = build
        .arg("-rdynamic")
        .arg("-ldl")
        .arg("-lpthread")
        .build(dir.path().join("program"));
    let reports = dir.path().join("reports");
    fs::create_dir(&reports).expect("new directory");
    let options = preloaded("replace").report(&reports);
    let mut command = Command::new(&program);
    let args = [
        "read",
        "absent",
        "exported-read",
        "absent",
        "host-calls",
        "leave",
        "3",
    ];
    let output = process::run(options.apply(&mut command).args(args));
    assert_eq!(
        output
            .stdout
            .matches("read: failed to open file 'absent'")
            .count(),
        2,
        "{output}"
    );
    assert!(output.stdout.ends_with("\nhost calls: 0\n"), "{output}");
    assert_eq!(output.status.code(), Some(3));
    let reports = lean::reports(&reports);
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0]["host"]["library"], "", "the program");
    assert_eq!(reports[0]["read"]["calls"], 2);
}

#[test]
fn every_way_to_end_leaves_one_report_and_keeps_the_exit_code() {
    for link_args in [&["-Wl,-z,now,-z,relro"][..], &["-Wl,-z,lazy,-z,norelro"]] {
        let scene = Scene::new("ends", &["STRUCTURE"], link_args);
        for (way, code) in [
            ("exit", "0"),
            ("exit", "7"),
            ("thread-exit", "4"),
            ("leave", "9"),
            ("Leave", "8"),
        ] {
            let output = scene.run(&preloaded("observe"), &["read", "x", way, code]);
            assert_eq!(output.status.code(), code.parse().ok(), "{output}");
            assert_eq!(output.stderr, "");
            let report = scene.take_report();
            assert_eq!(report["read"]["calls"], 1, "{way}: {report}");
        }
    }
}

#[test]
fn children_write_a_report_only_if_they_called_the_loader() {
    let scene = Scene::new("children", &["STRUCTURE"], &[]);
    for way in ["exit", "leave"] {
        let output = scene
            .run(&preloaded("observe"), &["read", "x", "fork", way, "3"])
            .success();
        assert_eq!(output.stdout, "read: ok\nchild: 3\n");
        assert_eq!(scene.take_report()["read"]["calls"], 1, "the parent's");

        let args = ["read", "x", "fork", "read", "x", "read", "x", way, "3"];
        scene.run(&preloaded("observe"), &args).success();
        let mut calls: Vec<_> = scene
            .reports()
            .iter()
            .map(|r| r["read"]["calls"].as_u64())
            .collect();
        calls.sort_unstable();
        assert_eq!(calls, [Some(1), Some(2)], "the child counts from zero");
        for report in fs::read_dir(scene.reports_dir()).expect("directory") {
            fs::remove_file(report.expect("entry").path()).expect("removed");
        }
    }
    // What the parent was told of its files is not the child's. The second file finds its place taken.
    let args = [
        "save", "m", "save", "n", "read", "m", "read", "n", "fork", "read", "absent", "leave", "3",
    ];
    scene.run(&preloaded("replace"), &args).success();
    let mut notes: Vec<_> = scene
        .reports()
        .iter()
        .map(|r| (r["read"]["calls"].as_u64(), r["notes"].as_array().map(Vec::len)))
        .collect();
    notes.sort_unstable();
    assert_eq!(notes, [(Some(1), Some(0)), (Some(2), Some(1))]);
    for report in fs::read_dir(scene.reports_dir()).expect("directory") {
        fs::remove_file(report.expect("entry").path()).expect("removed");
    }
    // Shares the parent's memory, its counters included, until it is gone.
    let output = scene
        .run(&preloaded("observe"), &["read", "x", "vfork-leave", "read", "x"])
        .success();
    assert_eq!(output.stdout, "read: ok\nchild: 5\nread: ok\n");
    let report = scene.take_report();
    assert_eq!(
        report["read"]["calls"], 2,
        "written once, at the parent's end: {report}"
    );
}

#[test]
fn a_runtime_loaded_after_the_choice_was_made_is_said_to_be_too_late() {
    let scene = Scene::new("too-late", &["STRUCTURE"], &[]);
    let dir = scene.dir.path();
    let (library, host) = (library(), dir.join("libhost.so"));
    let (ours, host) = (library.to_str().expect("UTF-8"), host.to_str().expect("UTF-8"));
    let mut command = Command::new(bare(dir));
    // Without a host there is nothing to attach to, and that leaves the choice open.
    let args = [
        "load",
        ours,
        "attach",
        "bind",
        "load",
        host,
        "attach",
        "read",
        "x",
        "host-calls",
    ];
    let output = process::run(Options::stock().apply(&mut command).current_dir(dir).args(args)).success();
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(
        lines[0],
        "attach: -1 no Lean runtime is loaded into this process; load it first"
    );
    assert_eq!(lines[1], "bind: 0");
    let late = format!(
        "attach: -1 the loader is already bound to the embedded runtime, it cannot be bound to '{host}' as well; bind \
         before the first use"
    );
    assert_eq!(lines[2..], [&*late, "read: ok", "host calls: 1"], "{output}");
}

#[test]
fn a_runtime_loaded_later_is_attached_and_detached_by_hand() {
    let scene = Scene::new("by-hand", &["STRUCTURE"], &[]);
    let dir = scene.dir.path();
    // Neither linked nor preloaded: loading the library changes nothing by itself.
    let bare = bare(dir);
    let library = library();
    let (ours, host) = (library.to_str().expect("UTF-8"), dir.join("libhost.so"));
    let host = host.to_str().expect("UTF-8");
    let run = |args: &[&str]| {
        let mut command = Command::new(&bare);
        process::run(Options::stock().apply(&mut command).current_dir(dir).args(args))
    };
    let output = run(&[
        "load",
        ours,
        "attach",
        "detach",
        "load",
        host,
        "read",
        "x",
        "host-calls",
    ])
    .success();
    let expected = "attach: -1 no Lean runtime is loaded into this process; load it first\n\
                    detach: -1 not attached\nread: ok\nhost calls: 1\n";
    assert_eq!(output.stdout, expected, "{output}");

    let args = [
        "load",
        host,
        "load",
        ours,
        "attach",
        "attach",
        "save",
        "m.olean",
        "read",
        "m.olean",
        "detach",
        "free",
        "detach",
        "detach",
        "host-calls",
        "read",
        "x",
        "host-calls",
        "attach",
        "read",
        "absent",
        "report",
    ];
    let output = run(&args).success();
    let lines: Vec<&str> = output.stdout.lines().collect();
    let expected = [
        "attach: 0",
        "attach: 0",
        "save: ok",
        "read: ok",
        "detach: -1 1 regions of this library are still in use; free them first",
        "free: ok",
        "detach: 0",
        "detach: -1 not attached",
        "host calls: 0",
        "read: ok",
        "host calls: 1",
        "attach: 0",
    ];
    assert_eq!(lines[..expected.len()], expected, "{output}");
    assert!(
        lines[expected.len()].starts_with("read: failed to open file 'absent'"),
        "{output}"
    );
    let report: Value = lines[expected.len() + 1].parse().expect("JSON");
    assert_eq!(
        (&report["mode"], &report["read"]["calls"]),
        (&"replace".into(), &2.into()),
        "{report}"
    );
}

#[test]
fn a_preload_of_something_else_changes_nothing() {
    let scene = Scene::new("other-preload", &["STRUCTURE"], &[]);
    // The library is there, but another one is what is preloaded.
    let other = scene.dir.path().join("libother.so");
    let empty = scene.dir.path().join("empty.c");
    fs::write(&empty, "extern int unused;\n").expect("writable");
    c::Build::new().shared().file(&empty).build(&other);
    let ours = library();
    let options = Options::preloaded(&other);
    let args = ["load", ours.to_str().expect("UTF-8"), "read", "x", "host-calls"];
    let output = scene.run(&options, &args).success();
    assert_eq!(output.stdout, "read: ok\nhost calls: 1\n");
    assert!(scene.reports().is_empty());
    // Any path to the same file will do.
    let link = scene.dir.path().join("link.so");
    std::os::unix::fs::symlink(&ours, &link).expect("link");
    let list = format!("{} {}", other.display(), link.display());
    let output = scene
        .run(&Options::preloaded(Path::new(&list)), &["read", "absent"])
        .success();
    assert!(output.stdout.starts_with("read: failed to open"), "{output}");
}

/// Whoever asks for the strict verdict does not get success from a process that nothing was compared in.
#[test]
fn a_process_that_could_not_be_attached_is_no_success_under_strict() {
    let scene = Scene::new("strict", &["BATCH"], &[]);
    for (strict, code) in [("1", 86), (" Yes", 86), ("maybe", 86), ("0", 0), ("off", 0)] {
        let options = preloaded("compare").env("LEAN_REGION_STRICT", strict);
        let output = scene.run(&options, &["read", "x", "mapped", "host-calls"]);
        assert_eq!(output.status.code(), Some(code), "{strict}: {output}");
        assert_eq!(output.stdout, "read: ok\nmapped: 1\nhost calls: 1\n");
        assert!(output.stderr.contains("not attached"), "{output}");
        let unclear = output
            .stderr
            .contains("LEAN_REGION_STRICT is 'maybe', but must be");
        assert_eq!(unclear, strict == "maybe", "{output}");
    }
}

/// A report goes into a pipe or a device and does not take its place.
#[test]
fn a_report_is_written_into_what_is_no_file() {
    let scene = Scene::new("pipes", &["STRUCTURE"], &[]);
    let pipe = scene.dir.path().join("pipe");
    process::run(Command::new("mkfifo").arg(&pipe)).success();
    let device = scene.dir.path().join("null");
    std::os::unix::fs::symlink("/dev/null", &device).expect("a link");
    let run = |report: &Path| {
        let mut command = Command::new(&scene.program);
        let options = preloaded("observe");
        let command = options.apply(&mut command).current_dir(scene.dir.path());
        process::run(command.args(["read", "x"]).env("LEAN_REGION_REPORT", report)).success()
    };
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read_to_string(pipe).expect("the pipe")
    });
    // The reader has to stand at the pipe: a report waits for nobody.
    while !reader.is_finished() {
        run(&pipe);
    }
    let report: Value = reader.join().expect("no panic").parse().expect("JSON");
    assert_eq!(report["mode"], "observe");
    let output = run(&pipe);
    assert!(
        output.stderr.contains("cannot be written"),
        "nobody reads: {output}"
    );
    assert!(run(&device).stderr.is_empty());
    assert!(fs::symlink_metadata(&device).expect("the link").is_symlink());
}
