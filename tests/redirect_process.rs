//! Processes with an imitated Lean runtime of each generation, the library preloaded or loaded beside it: which
//! calls reach which loader, and what a refused host looks like. How such a process begins and ends is in
//! `redirect_life.rs`.

#[path = "redirect_process/scene.rs"]
mod scene;

use std::fs;
use std::process::Command;

use scene::{Bare, Scene, preloaded, source};
use testkit::lean::Options;
use testkit::{Value, c, process, temp_dir};

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

#[test]
fn whatever_keeps_us_from_attaching_calls_of_our_names_reach_the_host() {
    let scene = Scene::new("not-attached", &["STRUCTURE"], &[]);
    let bare = Bare::new(&scene);
    for (variable, reason) in [
        ("LEAN_REGION_MODE", "LEAN_REGION_MODE is 'nonsense', but must be"),
        ("LEAN_REGION_ABI", "LEAN_REGION_ABI is 'nonsense', but must be"),
    ] {
        // By hand, our names before those of the host.
        let options = Options::stock().env(variable, "nonsense");
        let args = [
            "load",
            &bare.ours,
            "load",
            &bare.host,
            "attach",
            "exported-read",
            "absent",
            "host-calls",
        ];
        let output = bare.run(&options, &args).success();
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
    let bare = Bare::new(&scene);
    let options = Options::stock().env("LEAN_REGION_ABI", "nonsense");
    let args = ["load", &bare.ours, "load", &bare.host, "read-nothing"];
    let mut command = bare.command(&options, &args);
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
