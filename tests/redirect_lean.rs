//! The real Lean with the library preloaded: the host's own functions called through their copied entries
//! (mode observe), every way a process ends, and the modes that leave the host alone.

use std::fs;
use std::path::Path;
use std::process::Command;

use testkit::lean::{self, Options};
use testkit::{Value, library, lsp, process, real_lean, temp_dir, tree};

const MODULES: usize = 12;

fn mode(mode: &str) -> Options {
    Options::preloaded(library()).env("LEAN_REGION_MODE", mode)
}

/// The only report in a directory.
fn report(dir: &Path) -> Value {
    let mut reports = lean::reports(dir);
    assert_eq!(reports.len(), 1, "{reports:?}");
    reports.remove(0)
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is a number"))
}

#[test]
fn observed_lean_writes_and_reads_what_it_always_does_and_every_call_is_counted() {
    let real = real_lean();
    let dir = temp_dir("observe");
    let stock = tree::generate(&dir.path().join("stock"), MODULES, 12, 7);
    let observed = stock.copy_sources(&dir.path().join("observed"));
    let reports = dir.path().join("reports");
    fs::create_dir(&reports).expect("new directory");
    lean::compile(&real, &stock, &Options::stock());
    lean::compile(&real, &observed, &mode("observe").report(&reports));
    let files = lean::region_files(&stock);
    assert!(files == lean::region_files(&observed), "the files differ");

    let all = lean::reports(&reports);
    assert_eq!(all.len(), stock.modules.len(), "one process per module");
    let sum = |part: &str, key: &str| all.iter().map(|r| number(&r[part][key])).sum::<u64>();
    assert_eq!(sum("save", "calls"), files.len() as u64);
    assert_eq!(
        sum("save", "bytes"),
        files.values().map(|f| f.len() as u64).sum::<u64>()
    );
    assert_eq!(
        sum("save", "errors") + sum("read", "errors") + sum("free", "calls"),
        0
    );
    assert!(sum("read", "calls") > 0 && sum("save", "ns") > 0 && sum("read", "ns") > 0);
    assert_eq!(
        sum("read", "mapped") + sum("read", "relocated"),
        sum("read", "calls")
    );
    for report in &all {
        assert_eq!(report["mode"], "observe");
        assert_eq!(report["host"]["abi"], "structure");
        assert_eq!(report["host"]["lean_version"], testkit::REAL_LEAN_VERSION);
        let library = report["host"]["library"].as_str().expect("a path");
        assert!(library.ends_with("/libleanshared.so"), "{library}");
        let attached = [
            "lean_compacted_region_save",
            "lean_compacted_region_read",
            "lean_compacted_region_free",
        ];
        assert_eq!(report["attached"], Value::from(attached.to_vec()));
    }

    // What `--stats` counts is what was observed.
    fs::remove_dir_all(&reports)
        .and_then(|()| fs::create_dir(&reports))
        .expect("emptied");
    let output = lean::import_all(&real, &observed, &mode("observe").report(&reports));
    let report = report(&reports);
    assert_eq!(
        number(&report["read"]["calls"]),
        lean::stat(&output, "number of imported modules")
    );
    assert_eq!(
        number(&report["read"]["mapped"]),
        lean::stat(&output, "number of memory-mapped modules")
    );
    assert_eq!(
        number(&report["read"]["bytes"]),
        lean::stat(&output, "number of imported bytes")
    );
    let plain = lean::import_all(&real, &observed, &Options::stock());
    assert_eq!(lean::stats_anywhere(&output), lean::stats_anywhere(&plain));
    assert_eq!(output.stderr, plain.stderr);
}

#[test]
fn several_threads_at_once_read_through_the_copied_entries() {
    let real = real_lean();
    let dir = temp_dir("observe-threads");
    let tree = tree::generate(&dir.path().join("tree"), MODULES, 6, 8);
    lean::compile(&real, &tree, &Options::stock());
    let reports = dir.path().join("reports");
    fs::create_dir(&reports).expect("new directory");
    let run = |flag: &str| {
        let options = mode("observe").report(&reports).env("LEAN_IMPORT_WORKERS", "4");
        let mut command = lean::command(&real, &tree.dir, &options);
        process::run(command.arg(format!("{flag}=all.snap")).arg(tree.all().source())).success();
        let report = report(&reports);
        fs::remove_dir_all(&reports)
            .and_then(|()| fs::create_dir(&reports))
            .expect("emptied");
        report
    };
    let saved = run("--incr-save");
    assert_eq!(number(&saved["save"]["calls"]), 1);
    assert_eq!(
        saved["save"]["bytes"],
        fs::metadata(tree.dir.join("all.snap")).expect("saved").len()
    );
    let loaded = run("--incr-load");
    // The same files, and the snapshot.
    assert_eq!(
        number(&loaded["read"]["calls"]),
        number(&saved["read"]["calls"]) + 1
    );
    assert_eq!(number(&loaded["read"]["errors"]), 0);
}

#[test]
fn failed_calls_are_counted_and_pass_through() {
    let real = real_lean();
    let dir = temp_dir("observe-errors");
    let tree = tree::generate(&dir.path().join("tree"), 1, 2, 1);
    lean::compile(&real, &tree, &Options::stock());
    // A file that is no region: every part of the first module.
    fs::write(tree.dir.join(tree.modules[0].olean()), "not a region").expect("writable");
    let reports = dir.path().join("reports");
    for mode in ["observe", "replace"] {
        fs::create_dir(&reports).expect("new directory");
        let options = Options::preloaded(library())
            .env("LEAN_REGION_MODE", mode)
            .report(&reports);
        let all = tree.all().source();
        let output = process::run(lean::command(&real, &tree.dir, &options).arg(all));
        assert!(!output.status.success(), "{output}");
        let text = format!("{}{}", output.stdout, output.stderr);
        assert!(
            text.contains("failed to read file") && text.contains("invalid header"),
            "{output}"
        );
        let report = report(&reports);
        assert_eq!(report["mode"], mode);
        assert!(number(&report["read"]["errors"]) > 0, "{report}");
        fs::remove_dir_all(&reports).expect("removed");
    }
}

#[test]
fn a_server_and_its_worker_which_leave_without_running_destructors_write_reports() {
    let real = real_lean();
    let dir = temp_dir("server");
    let tree = tree::generate(&dir.path().join("tree"), 3, 3, 2);
    lean::compile(&real, &tree, &Options::stock());
    for mode in ["observe", "replace"] {
        let reports = dir.path().join(mode);
        fs::create_dir(&reports).expect("new directory");
        let options = Options::preloaded(library())
            .env("LEAN_REGION_MODE", mode)
            .report(&reports);
        let mut command = lean::command(&real, &tree.dir, &options);
        let file = tree.dir.join(tree.all().source());
        let worker_left = || lean::has_reports(&reports);
        let session = lsp::session(command.arg("--server"), &file, worker_left);
        assert!(session.status.success(), "{session:?}");
        let all = lean::reports(&reports);
        let mut reads: Vec<_> = all.iter().map(|r| number(&r["read"]["calls"])).collect();
        reads.sort_unstable();
        assert_eq!(
            (reads.len(), reads[0]),
            (2, 0),
            "the server reads nothing: {all:?}"
        );
        assert!(
            reads[1] >= tree.modules.len() as u64 - 1,
            "the worker imports: {all:?}"
        );
    }
}

#[test]
fn off_and_a_wrong_mode_leave_the_host_alone() {
    let real = real_lean();
    let dir = temp_dir("modes");
    let tree = tree::generate(&dir.path().join("tree"), 1, 2, 3);
    let reports = dir.path().join("reports");
    fs::create_dir(&reports).expect("new directory");
    lean::compile(&real, &tree, &mode("off").report(&reports));
    assert!(lean::reports(&reports).is_empty(), "not attached");

    let options = mode("on").report(&reports);
    let output = lean::import_all(&real, &tree, &options);
    let line = "lean-region: not attached, Lean's own loader serves: LEAN_REGION_MODE is 'on', but must be \
                replace, observe, compare or off; correct it or unset it\n";
    assert_eq!(output.stderr, line);
    assert!(lean::reports(&reports).is_empty(), "not attached");
}

#[test]
fn a_report_that_cannot_be_written_is_one_line_and_changes_nothing_else() {
    let real = real_lean();
    let dir = temp_dir("no-report");
    let options = mode("replace").env("LEAN_REGION_REPORT", dir.path().join("absent/report.json"));
    let output = process::run(options.apply(&mut Command::new(&real.program)).arg("--version")).success();
    assert!(output.stdout.starts_with("Lean (version "), "{output}");
    let mut lines = output.stderr.lines();
    let line = lines.next().expect("a line");
    assert!(
        line.starts_with("lean-region: the report '") && line.contains("No such file"),
        "{output}"
    );
    assert_eq!(lines.next(), None);
}

#[test]
fn processes_without_lean_are_left_in_peace() {
    let dir = temp_dir("no-lean");
    let options = Options::preloaded(library()).report(dir.path());
    for (program, argument) in [("sh", "-c true"), ("git", "--version"), ("cc", "--version")] {
        let run = |options: &Options| {
            let mut command = Command::new(process::which(program).expect(program));
            process::run(options.apply(&mut command).args(argument.split(' '))).success()
        };
        let (with, without) = (run(&options), run(&Options::stock()));
        assert_eq!((with.stdout, with.stderr), (without.stdout, without.stderr));
    }
    assert!(lean::reports(dir.path()).is_empty());
}
