//! The compiler writes the same files with our loader as without it, and reads them as well.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use testkit::lean::{self, Options};
use testkit::process::{self, Output};
use testkit::tree::Tree;
use testkit::{Value, real_lean, temp_dir};

use crate::{
    assert_ours, count, forced, importing_file, only_report, ours, run_lean, run_ours, seen, stock_tree,
};

fn sum(reports: &[Value], section: &str, number: &str) -> u64 {
    reports.iter().map(|report| count(report, section, number)).sum()
}

/// Compiles a copy of the tree in `dir` with the library preloaded, asserts that files and reports are as
/// they should be, and hands back both.
fn compile_with(options: Options, dir: &Path) -> (Tree, Vec<Value>) {
    let reports = dir.join("reports");
    fs::create_dir(&reports).unwrap();
    let tree = stock_tree().copy_sources(&dir.join("tree"));
    lean::compile(&real_lean(), &tree, &options.report(&reports));

    let (stock, files) = (lean::region_files(stock_tree()), lean::region_files(&tree));
    let names: BTreeSet<_> = stock.keys().chain(files.keys()).collect();
    let different: Vec<_> = names
        .into_iter()
        .filter(|name| stock.get(*name) != files.get(*name))
        .collect();
    assert!(different.is_empty(), "not the same in both: {different:?}");

    let reports = lean::reports(&reports);
    assert_eq!(reports.len(), tree.modules.len(), "one report for each compiler");
    reports.iter().for_each(assert_ours);
    assert_eq!(sum(&reports, "save", "calls"), files.len() as u64);
    assert_eq!(
        sum(&reports, "save", "bytes"),
        files.values().map(|bytes| bytes.len() as u64).sum::<u64>()
    );
    (tree, reports)
}

/// The output of `--stats` without the one number that the address space layout of a run may change, and that
/// number.
fn split_stats(output: &Output) -> (Vec<&str>, u64) {
    assert_eq!(output.stderr, "");
    let mapped = lean::stat(output, "number of memory-mapped modules");
    (lean::stats_anywhere(output), mapped)
}

/// Imports the stock tree through ours, with `--stats`.
fn import_with(options: Options) -> (Output, Value) {
    let dir = temp_dir("import");
    let output = lean::import_all(&real_lean(), stock_tree(), &options.report(dir.path()));
    let report = only_report(dir.path());
    assert_ours(&report);
    assert_eq!(
        count(&report, "read", "calls"),
        lean::stat(&output, "number of imported modules")
    );
    assert_eq!(
        count(&report, "read", "bytes"),
        lean::stat(&output, "number of imported bytes")
    );
    assert_eq!(count(&report, "read", "mapped"), split_stats(&output).1);
    assert_eq!(count(&report, "save", "calls"), 0);
    (output, report)
}

#[test]
fn compiled_files_are_identical_and_every_call_was_ours() {
    let dir = temp_dir("ours");
    let (tree, reports) = compile_with(ours(), dir.path());
    assert!(sum(&reports, "read", "calls") > tree.modules.len() as u64);
    // Stock Lean reads our files, and we read stock's.
    let ours_by_stock = lean::import_all(&real_lean(), &tree, &Options::stock());
    assert_eq!(
        split_stats(&ours_by_stock).0,
        split_stats(&import_with(ours()).0).0
    );
}

#[test]
fn compiled_files_are_identical_when_every_read_relocates() {
    let dir = temp_dir("forced");
    let (tree, reports) = compile_with(forced(), dir.path());
    assert!(sum(&reports, "read", "calls") > tree.modules.len() as u64);
    assert_eq!(sum(&reports, "read", "mapped"), 0);
}

#[test]
fn importing_everything_gives_the_stock_statistics() {
    // A region's base address may be taken by chance in one run (by a thread's stack, say); so the whole
    // outputs are compared until a pair agrees, and all that chance cannot touch is compared each time.
    let agreed = (0..20).any(|_| {
        let stock = lean::import_all(&real_lean(), stock_tree(), &Options::stock());
        let (ours, _) = import_with(ours());
        assert_eq!(split_stats(&stock).0, split_stats(&ours).0);
        let regions = lean::stat(&ours, "number of imported modules");
        assert!(
            split_stats(&ours).1 * 100 >= regions * 95,
            "few regions were mapped: {ours}"
        );
        stock.stdout == ours.stdout
    });
    assert!(
        agreed,
        "the number of memory-mapped modules is never the stock one"
    );
}

#[test]
fn forced_relocation_changes_the_number_of_mapped_modules_alone() {
    let stock = lean::import_all(&real_lean(), stock_tree(), &Options::stock());
    let (forced, report) = import_with(forced());
    assert_eq!(split_stats(&stock).0, split_stats(&forced).0);
    assert_eq!(split_stats(&forced).1, 0);
    assert_eq!(
        count(&report, "read", "relocated"),
        lean::stat(&stock, "number of imported modules")
    );
}

#[test]
fn messages_and_exit_codes_are_the_stock_ones() {
    let body = "def five : Nat := 5\n#print five\n#check Default.default\n#check missing\n";
    let file = importing_file("Talk.lean", body);
    let stock = run_lean(&Options::stock(), &[&file]);
    assert_eq!(stock.status.code(), Some(1));
    assert!(stock.stdout.contains("def five : Nat"), "{stock}");
    for options in [ours(), forced()] {
        assert_eq!(seen(&run_ours(options, &[&file]).0), seen(&stock));
    }
}

#[test]
fn a_file_that_is_no_region_is_reported_in_the_stock_words() {
    let dir = temp_dir("broken");
    for (stem, content) in [
        ("Short", &b"olean"[..]),
        ("Foreign", &[b'x'; 200]),
        ("Empty", b""),
    ] {
        fs::write(dir.path().join(stem).with_extension("olean"), content).unwrap();
        let source = dir.path().join(format!("Uses{stem}.lean"));
        fs::write(&source, format!("prelude\nimport {stem}\n")).unwrap();
        let run = |options| process::run(lean::command(&real_lean(), dir.path(), options).arg(&source));
        let (stock, ours) = (run(&Options::stock()), run(&ours()));
        assert_eq!(
            (stock.status.code(), ours.status.code()),
            (Some(1), Some(1)),
            "{stock}\n{ours}"
        );
        let words = format!("{}{}", stock.stdout, stock.stderr);
        assert!(words.contains("failed to read file"), "{stock}");
        assert!(
            format!("{}{}", ours.stdout, ours.stderr).starts_with(words.trim_end()),
            "{stock}\n{ours}"
        );
    }
}
