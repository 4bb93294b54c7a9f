//! A real Lean over a generated tree in mode compare: it elaborates and saves, imports, takes and loads snapshots, and
//! nothing differs.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use testkit::lean::{self, Options};
use testkit::process::{self, Output};
use testkit::tree::{self, Tree};
use testkit::{Value, library, lsp, real_lean, shared_dir, temp_dir};

use crate::{assert_equal, found};

/// The tree, compiled in mode compare; what that found is tested once.
fn tree() -> &'static Tree {
    static TREE: OnceLock<Tree> = OnceLock::new();
    TREE.get_or_init(|| {
        let tree = tree::generate(&shared_dir("compare-tree"), 60, 6, 3);
        let reports = temp_dir("compare-compile");
        let outputs = lean::compile(&real_lean(), &tree, &compare().report(reports.path()));
        assert_eq!(outputs.len(), tree.modules.len());
        let reports = lean::reports(reports.path());
        assert_eq!(reports.len(), tree.modules.len());
        let saves: u64 = reports.iter().map(|report| assert_equal(report)[0]).sum();
        let reads: u64 = reports.iter().map(|report| assert_equal(report)[1]).sum();
        assert_eq!(
            saves as usize,
            lean::region_files(&tree).len(),
            "every file was saved twice"
        );
        assert!(reads > saves, "{reads}");
        tree
    })
}

/// A difference ends the process with code 86.
pub fn compare() -> Options {
    Options::preloaded(library())
        .env("LEAN_REGION_MODE", "compare")
        .env("LEAN_REGION_STRICT", "1")
}

/// `lean` in the tree's directory, and its report.
fn run(options: Options, args: &[&str]) -> (Output, Value) {
    let dir = temp_dir("compare-run");
    let mut command = lean::command(&real_lean(), &tree().dir, &options.report(dir.path()));
    let output = process::run(command.args(args));
    let mut reports = lean::reports(dir.path());
    assert_eq!(reports.len(), 1, "{output}");
    (output, reports.remove(0))
}

fn stock(args: &[&str]) -> Output {
    process::run(lean::command(&real_lean(), &tree().dir, &Options::stock()).args(args))
}

fn seen(output: &Output) -> (Option<i32>, &str, &str) {
    (output.status.code(), &output.stdout, &output.stderr)
}

/// Files of the host's that were kept.
fn kept(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains(".host.")).collect()
}

#[test]
fn a_tree_compiles_and_imports_without_a_difference() {
    assert_eq!(kept(&tree().dir), Vec::<String>::new());
    let plain = stock(&["--stats", "All.lean"]);
    let (output, report) = run(compare(), &["--stats", "All.lean"]);
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), ""));
    assert_eq!(lean::stats_anywhere(&output), lean::stats_anywhere(&plain));
    let [saves, reads] = assert_equal(&report);
    assert_eq!(
        (saves, reads),
        (0, lean::stat(&plain, "number of imported modules"))
    );
    let mapped = report["read"]["mapped"].as_u64().unwrap();
    assert_eq!(
        mapped,
        lean::stat(&output, "number of memory-mapped modules"),
        "ours is what Lean gets"
    );
    assert!(mapped > reads / 2, "{mapped} of {reads}");
    // Ours relocates, and the host's finds the addresses free.
    let (output, report) = run(compare().env("LEAN_REGION_FORCE_RELOCATE", "1"), &["All.lean"]);
    assert_eq!(seen(&output), (Some(0), "", ""));
    assert_eq!(assert_equal(&report), [0, reads]);
    assert_eq!(report["read"]["relocated"], reads);
}

#[test]
fn snapshots_are_saved_and_loaded_without_a_difference() {
    let dir = temp_dir("compare-snapshots");
    let body = "prelude\nimport All\ndef two : N := .s (.s .z)\n#print two\n#check missing\n";
    fs::write(tree().dir.join("Snap.lean"), body).unwrap();
    let plain = stock(&["Snap.lean"]);
    let regions = lean::stat(&stock(&["--stats", "Snap.lean"]), "number of imported modules");
    for kind in ["incr-save", "incr-header-save"] {
        let snapshot = dir.path().join(kind);
        let (output, report) = run(
            compare(),
            &[&format!("--{kind}={}", snapshot.display()), "Snap.lean"],
        );
        assert_eq!(seen(&output), seen(&plain));
        assert_eq!(assert_equal(&report), [1, regions]);
        assert_eq!(kept(dir.path()), Vec::<String>::new());
        // Four threads read at once.
        for options in [compare(), compare().env("LEAN_REGION_FORCE_RELOCATE", "1")] {
            let options = options.env("LEAN_IMPORT_WORKERS", "4");
            let (output, report) = run(
                options,
                &[&format!("--incr-load={}", snapshot.display()), "Snap.lean"],
            );
            assert_eq!(seen(&output), seen(&plain));
            assert_eq!(assert_equal(&report), [0, regions + 1]);
        }
    }
}

#[test]
fn files_that_are_not_there_or_damaged_are_no_differences() {
    let dir = temp_dir("compare-damaged");
    let copy = tree().copy_sources(dir.path());
    for (path, bytes) in lean::region_files(tree()) {
        fs::write(dir.path().join(path), bytes).unwrap();
    }
    let file = dir.path().join(copy.modules[0].olean());
    let whole = fs::read(&file).unwrap();
    let import = || {
        let reports = temp_dir("compare-damaged-report");
        let options = compare().report(reports.path());
        let output = process::run(lean::command(&real_lean(), dir.path(), &options).arg("All.lean"));
        let report = lean::reports(reports.path()).remove(0);
        assert_eq!(output.status.code(), Some(1), "{output}");
        for number in ["saves_different", "reads_different"] {
            assert_eq!(found(&report, number), 0, "{report:#}");
        }
        found(&report, "not_compared")
    };
    fs::write(&file, &whole[..40]).unwrap();
    assert_eq!(import(), 0, "both refuse it");
    fs::remove_file(&file).unwrap();
    assert_eq!(import(), 0, "both miss it");
    // The host's reader would follow the sizes out of the file.
    fs::write(&file, &whole[..whole.len() / 16 * 8]).unwrap();
    assert_eq!(import(), 1, "the host's is not given it");
}

#[test]
fn a_language_server_and_its_worker_find_no_difference() {
    let reports = temp_dir("compare-server");
    let file = tree().dir.join("Served.lean");
    fs::write(&file, "prelude\nimport All\n#check N.z\n#check missing\n").unwrap();
    let left = || lean::has_reports(reports.path());
    let mut server = lean::command(&real_lean(), &tree().dir, &compare().report(reports.path()));
    let session = lsp::session(server.arg("--server"), &file, left);
    assert!(session.status.success(), "{session:?}");
    assert_eq!(
        (session.diagnostics.len(), &*session.stderr),
        (2, ""),
        "{session:?}"
    );
    let reports = lean::reports(reports.path());
    assert_eq!(reports.len(), 2, "server and worker: {reports:#?}");
    let reads: u64 = reports.iter().map(|report| assert_equal(report)[1]).sum();
    assert!(reads as usize > tree().modules.len(), "{reads}");
}
