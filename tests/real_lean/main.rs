//! A real Lean 4.35.0 runs on this library, preloaded into the unmodified program: it compiles and imports a
//! generated tree of modules, serves an editor, saves and loads snapshots. Each test runs the stock compiler
//! too, and nothing but the loader's own report may tell the two apart.

mod cold;
mod compile;
mod damaged;
mod few_mappings;
mod rereads;
mod roots;
mod session;
mod snapshots;
mod stale;
mod start_up;
mod tasks;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::OnceLock;

use testkit::lean::{self, Options};
use testkit::process::{self, Output};
use testkit::tree::{self, Tree};
use testkit::{Value, library, real_lean, shared_dir, temp_dir};

const MODULES: usize = 240;

/// The tree, compiled by the stock compiler; the same for all tests of this program.
fn stock_tree() -> &'static Tree {
    static TREE: OnceLock<Tree> = OnceLock::new();
    TREE.get_or_init(|| {
        let tree = tree::generate(&shared_dir("real-lean-stock"), MODULES, 6, 1);
        lean::compile(&real_lean(), &tree, &Options::stock());
        tree
    })
}

fn ours() -> Options {
    Options::preloaded(library())
}

/// Ours, every read taking the relocation path.
fn forced() -> Options {
    ours().env("LEAN_REGION_FORCE_RELOCATE", "1")
}

/// A file in the tree's directory that imports everything; `body` follows.
fn importing_file(name: &str, body: &str) -> PathBuf {
    let path = stock_tree().dir.join(name);
    fs::write(&path, format!("prelude\nimport All\n{body}")).unwrap();
    path
}

/// `lean` in the tree's directory.
fn run_lean<S: AsRef<std::ffi::OsStr>>(options: &Options, args: &[S]) -> Output {
    process::run(lean::command(&real_lean(), &stock_tree().dir, options).args(args))
}

/// [`run_lean`] with ours preloaded by `options`, and the report, which must be one of a faultless run.
fn run_ours<S: AsRef<std::ffi::OsStr>>(options: Options, args: &[S]) -> (Output, Value) {
    let dir = temp_dir("report");
    let output = run_lean(&options.report(dir.path()), args);
    let report = only_report(dir.path());
    assert_ours(&report);
    (output, report)
}

/// What a user sees of a run.
fn seen(output: &Output) -> (ExitStatus, &str, &str) {
    (output.status, &output.stdout, &output.stderr)
}

fn only_report(dir: &Path) -> Value {
    let mut reports = lean::reports(dir);
    assert_eq!(reports.len(), 1, "one process, one report");
    reports.remove(0)
}

/// `number` in the report's section `section`.
fn count(report: &Value, section: &str, number: &str) -> u64 {
    report[section][number]
        .as_u64()
        .unwrap_or_else(|| panic!("no {section}.{number} in {report:#}"))
}

/// What each report of an attached, faultless process says.
fn assert_ours(report: &Value) {
    assert_eq!(report["schema"], 1, "{report:#}");
    assert_eq!(report["mode"], "replace", "{report:#}");
    assert_eq!(report["host"]["abi"], "structure", "{report:#}");
    assert_eq!(
        report["host"]["lean_version"],
        testkit::REAL_LEAN_VERSION,
        "{report:#}"
    );
    let attached = report["attached"].as_array().expect("a list of names");
    for name in [
        "lean_compacted_region_save",
        "lean_compacted_region_read",
        "lean_compacted_region_free",
    ] {
        assert!(
            attached.iter().any(|attached| attached == name),
            "{name} is not attached: {report:#}"
        );
    }
    assert_eq!(
        (count(report, "save", "errors"), count(report, "read", "errors")),
        (0, 0),
        "{report:#}"
    );
    // A region that lies at its base is relocated too if a dependency does not.
    let [mapped, relocated, calls] = ["mapped", "relocated", "calls"].map(|n| count(report, "read", n));
    assert!(mapped <= calls && relocated <= calls, "{report:#}");
    assert!(
        mapped + relocated == calls || (mapped < calls && mapped + relocated > calls),
        "{report:#}"
    );
}
