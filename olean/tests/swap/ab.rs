//! `olean ab`: equal, different, not comparable, and what cannot be run.

use std::fs;

use testkit::lean::{self, Options};
use testkit::process::{self, Output};
use testkit::{Value, documents, faulty_library, real_lean, temp_dir, tree};

use crate::schema::{Report, SCHEMA};
use crate::{json, lean_words, masked, olean, run, stock_tree};

/// What `olean ab` prints, masked by [`masked`].
const TABLE: &str = "\
Lean 4.35.0 eb6cafb7290e (structure regions, mimalloc-fused) in …/libleanshared.so
library …/liblean_region.so
# runs in mode observe and in mode replace, alternately, after # of each to warm up

observe min … max replace min … max ratio
wall time #
user time #
system time #
peak memory #
page faults #
mappings #
saves #
bytes saved #
save time #
reads #
bytes read #
mapped reads #
mapped read time #

stdout equal (empty)
stderr equal (empty)
exit code equal (#)
files equal (# files)
calls equal (# compared: # saves and # reads; # different, # not compared)
verdict equal
";

/// Arguments that compile a module of the stock tree that is saved in several parts to files elsewhere.
fn compile(dir: &std::path::Path) -> Vec<String> {
    let tree = stock_tree();
    let module = tree
        .modules
        .iter()
        .rfind(|m| m.is_module)
        .expect("a module in parts");
    let olean = dir.join("Out.olean").display().to_string();
    lean_words(&["-R", ".", "-o", &olean, &module.source().display().to_string()])
}

fn ab(options: &[&str], command: &[String]) -> Output {
    let options = options.iter().map(|&o| o.to_owned());
    run(std::iter::once("ab".to_owned())
        .chain(options)
        .chain(command.iter().cloned()))
}

/// The command line `script` for a shell, with the real Lean as `$0`.
fn shell(script: &str) -> Vec<String> {
    let mut words = ["--", "sh", "-c", script].map(str::to_owned).to_vec();
    words.push(real_lean().program.display().to_string());
    words
}

#[track_caller]
fn row<'a>(document: &'a Value, metric: &str) -> &'a Value {
    let rows = document["rows"].as_array().expect("rows");
    rows.iter()
        .find(|row| row["metric"] == metric)
        .unwrap_or_else(|| panic!("no {metric} in {document:#}"))
}

#[test]
fn the_table_of_an_elaboration() {
    let dir = temp_dir("ab-table");
    let output = ab(&["--runs", "2", "--compare"], &compile(dir.path()));
    assert_eq!(output.status.code(), Some(0), "{output}");
    // Which regions miss their address is up to the system.
    let relocated = |line: &&str| !line.starts_with("relocated read");
    let seen = masked(&output.stdout);
    assert_eq!(
        seen.lines().filter(relocated).collect::<Vec<_>>().join("\n") + "\n",
        TABLE,
        "{output}"
    );
    assert_eq!(output.stderr, "", "no progress where nobody watches");
    let left = fs::read_dir(dir.path()).unwrap().count();
    assert!(left >= 3, "the command's own files: {left}");
}

#[test]
fn the_json_document_of_a_snapshot() {
    let dir = temp_dir("ab-json");
    let snapshot = dir.path().join("x.snap");
    fs::write(
        stock_tree().dir.join("Snap.lean"),
        "prelude\nimport All\n#check N.z\n",
    )
    .unwrap();
    let save = lean_words(&[
        "-R",
        ".",
        &format!("--incr-save={}", snapshot.display()),
        "Snap.lean",
    ]);
    let output = ab(
        &["--json", "--runs", "2", "--warmup", "0", "--mode", "compare"],
        &save,
    );
    let document = json(&output.success());
    documents::check("olean ab", [&document]);
    assert_eq!((&document["schema"], &document["runs"]), (&1.into(), &2.into()));
    for metric in [
        "wall_s",
        "user_s",
        "system_s",
        "peak_memory_bytes",
        "page_faults",
        "mappings",
        "save_s",
    ] {
        let row = row(&document, metric);
        for leg in ["observe", "compare"] {
            let numbers = ["min", "median", "max"].map(|n| row[leg][n].as_f64().expect("a number"));
            assert!(numbers.is_sorted() && numbers[2] > 0.0, "{row:#}");
        }
        assert!(row["ratio"].as_f64().is_some_and(|ratio| ratio > 0.0), "{row:#}");
    }
    let saves = row(&document, "save_calls");
    assert_eq!(
        (saves["observe"]["max"].as_f64(), saves["compare"]["min"].as_f64()),
        (Some(1.0), Some(1.0))
    );
    let equal = &document["equal"];
    for what in ["stdout", "stderr", "exit"] {
        assert_eq!(equal[what], true, "{equal:#}");
    }
    // A snapshot holds a number made of an address, which differs in every run of the host; what mode compare says
    // of it counts.
    assert_eq!(equal["files_compared"], 1);
    assert_ne!(equal["files"], false, "{equal:#}");
    assert_eq!(document["compare"]["saves_equal"], 2, "{document:#}");
    for different in ["saves_different", "reads_different", "not_compared"] {
        assert_eq!(document["compare"][different], 0);
    }
    assert_eq!(document["host"]["lean_version"], testkit::REAL_LEAN_VERSION);

    let load = lean_words(&[
        "-R",
        ".",
        &format!("--incr-load={}", snapshot.display()),
        "Snap.lean",
    ]);
    let document = json(&ab(&["--json", "--runs", "1", "--compare"], &load).success());
    assert_eq!(document["equal"]["stdout"], true);
    assert_eq!(
        document["compare"]["reads_equal"],
        row(&document, "read_calls")["replace"]["min"].as_f64().unwrap() as u64
    );
    assert!(
        row(&document, "read_mapped_s")["replace"]["median"]
            .as_f64()
            .unwrap()
            > 0.0
    );
}

#[test]
fn what_differs_is_said_and_ends_with_code_1() {
    let cases = [
        ("echo $LEAN_REGION_MODE; $0 --version", "stdout"),
        ("echo $LEAN_REGION_MODE >&2; $0 --version", "stderr"),
        ("$0 --version; test $LEAN_REGION_MODE = observe", "exit"),
        (
            "$0 --version; test $LEAN_REGION_MODE = observe || kill -9 $$",
            "exit",
        ),
    ];
    for (script, what) in cases {
        let output = ab(&["--json", "--runs", "1", "--warmup", "0"], &shell(script));
        assert_eq!(output.status.code(), Some(1), "{output}");
        let equal = &json(&output)["equal"];
        for other in ["stdout", "stderr", "exit", "files"] {
            assert_eq!(equal[other], other != what, "{script}: {equal:#}");
        }
    }
    let output = ab(&["--runs", "1", "--warmup", "0"], &shell(cases[0].0));
    let masked = masked(&output.stdout);
    assert!(
        masked.contains("stdout different (# bytes)\n") && masked.contains("verdict different\n"),
        "{output}"
    );
}

#[test]
fn nothing_is_said_where_the_command_never_does_the_same() {
    let output = ab(&["--runs", "2"], &shell("date +%N; $0 All.lean"));
    assert_eq!(output.status.code(), Some(0), "{output}");
    assert!(
        output
            .stdout
            .contains("stdout     not comparable: runs under Lean's own loader differ"),
        "{output}"
    );
    assert!(output.stdout.contains("exit code  equal (0)"), "{output}");
}

#[test]
fn one_wrong_byte_is_found() {
    let dir = temp_dir("ab-fault");
    let library = faulty_library().display().to_string();
    // A tree of its own: the files are wrong.
    let tree = tree::generate(&dir.path().join("tree"), 3, 4, 2);
    lean::compile(&real_lean(), &tree, &Options::stock());
    let ab = |options: &[&str], fault: &str, command: &[&str]| {
        let mut olean = olean(&tree.dir);
        olean
            .args(["ab", "--runs", "1", "--warmup", "0", "--library", &library])
            .args(options);
        process::run(olean.env("LEAN_REGION_FAULT", fault).args(lean_words(command)))
    };
    let elaborate = ["-R", ".", "-o", "All.olean", "All.lean"];
    let file = tree.dir.join("All.olean").display().to_string();

    let document = json(&ab(&["--json"], "none", &elaborate).success());
    assert_eq!(document["equal"]["files"], true);

    let output = ab(&["--json"], "save", &elaborate);
    assert_eq!(output.status.code(), Some(1), "{output}");
    let document = json(&output);
    documents::check("olean ab", [&document]);
    let equal = &document["equal"];
    assert_eq!(
        (&equal["files"], &equal["stdout"], &equal["exit"]),
        (&false.into(), &true.into(), &true.into())
    );
    assert_eq!(equal["files_different"][0]["file"], *file, "{equal:#}");

    let output = ab(&["--mode", "compare"], "save", &elaborate);
    assert_eq!(output.status.code(), Some(1), "{output}");
    assert!(
        output.stdout.contains("save of All.olean: at offset 0x"),
        "{output}"
    );
    assert!(output.stdout.contains("the host's file is kept as "), "{output}");

    // The report of a comparison has exactly the fields of the schema, and of the page.
    let report = dir.path().join("report.json");
    let mut with = olean(&tree.dir);
    with.args(["with", "--library", &library])
        .args(lean_words(&elaborate))
        .env("LEAN_REGION_MODE", "compare")
        .env("LEAN_REGION_FAULT", "save")
        .env("LEAN_REGION_REPORT", &report);
    process::run(&mut with);
    let text = fs::read_to_string(&report).unwrap();
    documents::check("Report", [&text.parse().unwrap()]);
    let report: Report = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    assert_eq!((report.schema, &*report.mode), (SCHEMA, "compare"));
    let difference = report.compare.and_then(|c| c.first_difference);
    assert_eq!(difference.map(|d| d.call).as_deref(), Some("save"), "{text}");

    // A version 3 file is compared by its objects.
    let snapshot = ["-R", ".", "--incr-header-save=x.snap", "All.lean"];
    let output = ab(&["--json"], "save", &snapshot);
    assert_eq!(output.status.code(), Some(1), "{output}");
    let different = json(&output)["equal"]["files_different"][0]["detail"].to_string();
    assert!(different.contains("a scalar word of the string"), "{different}");
}

#[test]
fn what_cannot_be_run_ends_with_code_2() {
    let nowhere = ["--".to_owned(), "/no/such/program".to_owned()];
    let no_lean = ["--".to_owned(), "true".to_owned()];
    let cases: [(&[&str], &[String], &str); 4] = [
        (&[], &nowhere, "cannot start '/no/such/program'"),
        (&[], &no_lean, "no process of it has a Lean runtime with a loader"),
        (
            &["--library", "/no/such.so"],
            &no_lean,
            "cannot open '/no/such.so'",
        ),
        (&["--runs", "0"], &no_lean, "invalid value '0'"),
    ];
    for (options, command, why) in cases {
        let output = ab(options, command);
        assert_eq!(output.status.code(), Some(2), "{output}");
        assert!(output.stderr.contains(why), "{output}");
        assert_eq!(output.stdout, "");
    }
}
