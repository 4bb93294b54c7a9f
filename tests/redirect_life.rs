//! How a process with an imitated Lean runtime begins and ends: attaching and detaching by hand, what counts as
//! preloaded, children, and who writes a report into what.

#[path = "redirect_process/scene.rs"]
mod scene;

use std::fs;
use std::path::Path;
use std::process::Command;

use scene::{Bare, Scene, preloaded, source};
use testkit::lean::{self, Options};
use testkit::{Value, c, library, process, temp_dir};

#[test]
fn a_library_made_of_the_static_one_stays_when_it_is_attached() {
    let scene = Scene::new("static-kept", &["STRUCTURE"], &[]);
    let bare = Bare::new(&scene);
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
        .build(scene.dir.path().join("libours.so"));
    let args = [
        "load",
        &bare.host,
        "load",
        ours.to_str().expect("UTF-8"),
        // A thread's own values keep their library loaded until it ends: this thread has none of them.
        "thread-attach",
        "unload",
        "read",
        "absent",
        "host-calls",
    ];
    let output = bare.run(&Options::stock(), &args).success();
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
        scene.remove_reports();
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
    scene.remove_reports();
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
    let bare = Bare::new(&scene);
    // Without a host there is nothing to attach to, and that leaves the choice open.
    let args = [
        "load",
        &bare.ours,
        "attach",
        "bind",
        "load",
        &bare.host,
        "attach",
        "read",
        "x",
        "host-calls",
    ];
    let output = bare.run(&Options::stock(), &args).success();
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(
        lines[0],
        "attach: -1 no Lean runtime is loaded into this process; load it first"
    );
    assert_eq!(lines[1], "bind: 0");
    let late = format!(
        "attach: -1 the loader is already bound to the embedded runtime, it cannot be bound to '{}' as well; bind \
         before the first use",
        bare.host
    );
    assert_eq!(lines[2..], [&*late, "read: ok", "host calls: 1"], "{output}");
}

#[test]
fn a_runtime_loaded_later_is_attached_and_detached_by_hand() {
    let scene = Scene::new("by-hand", &["STRUCTURE"], &[]);
    // Neither linked nor preloaded: loading the library changes nothing by itself.
    let bare = Bare::new(&scene);
    let (ours, host) = (&*bare.ours, &*bare.host);
    let run = |args: &[&str]| bare.run(&Options::stock(), args);
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
