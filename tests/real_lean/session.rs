//! What surrounds the loader: processes that leave by `_Exit`, the switch that turns everything off, programs
//! that only inherit the preload.

use std::process::Command;

use testkit::lean::{self, Options};
use testkit::{lsp, process, real_lean, temp_dir};

use crate::{assert_ours, count, importing_file, ours, run_lean, seen, stock_tree};

#[test]
fn the_language_server_and_its_worker_leave_their_reports() {
    let (lean, tree) = (real_lean(), stock_tree());
    let dir = temp_dir("server");
    let file = importing_file(
        "Served.lean",
        "def five : Nat := 5\n#print five\n#check missing\n",
    );
    let server = |options: &Options| {
        let mut command = lean::command(&lean, &tree.dir, options);
        command.arg("--server");
        command
    };
    let written = || lean::has_reports(dir.path());
    let stock = lsp::session(&mut server(&Options::stock()), &file, || true);
    let ours = lsp::session(&mut server(&ours().report(dir.path())), &file, written);
    assert!(
        stock.status.success() && ours.status.success(),
        "{stock:?}\n{ours:?}"
    );
    assert_eq!(stock.diagnostics.len(), 2, "{stock:?}");
    assert_eq!((stock.diagnostics, stock.stderr), (ours.diagnostics, ours.stderr));

    let reports = lean::reports(dir.path());
    assert_eq!(reports.len(), 2, "server and worker: {reports:#?}");
    reports.iter().for_each(assert_ours);
    let all = lean::import_all(&lean, tree, &Options::stock());
    let calls: u64 = reports.iter().map(|report| count(report, "read", "calls")).sum();
    assert!(
        calls >= lean::stat(&all, "number of imported modules"),
        "{reports:#?}"
    );
}

#[test]
fn off_is_stock_and_leaves_no_report() {
    let dir = temp_dir("off");
    let off = ours().env("LEAN_REGION_MODE", "off").report(dir.path());
    let file = importing_file("Off.lean", "#check Default.default\n");
    let (stock, ours) = (run_lean(&Options::stock(), &[&file]), run_lean(&off, &[&file]));
    assert!(stock.status.success());
    assert_eq!(seen(&stock), seen(&ours));
    assert!(lean::reports(dir.path()).is_empty());
}

#[test]
fn programs_that_inherit_the_preload_notice_nothing() {
    let dir = temp_dir("inherit");
    let script = "git --version; sh -c 'echo out; echo err >&2'; exit 3";
    let run = |options: Options| process::run(options.apply(Command::new("sh").args(["-c", script])));
    let (stock, ours) = (run(Options::stock()), run(ours().report(dir.path())));
    assert!(
        stock.stdout.contains("git version"),
        "git is not installed: {stock}"
    );
    assert_eq!(seen(&stock), seen(&ours));
    assert!(lean::reports(dir.path()).is_empty());
}
