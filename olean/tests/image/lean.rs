//! A real Lean reads from an image: whatever it prints and writes is what it is without one.

use super::olean;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use testkit::lean::{self, Options};
use testkit::process::{self, Output};
use testkit::tree::{self, Tree};
use testkit::{RealLean, Value, library, real_lean, shared_dir, temp_dir};

const MODULES: usize = 120;
const SOURCE: &str = "prelude\nimport All\ndef three : N := .s (.s (.s .z))\n#print three\n#check missing\n";

/// A tree compiled by the stock compiler, some seconds ago, with a header snapshot and an image of all of it.
pub(super) struct Prepared {
    pub(super) tree: Tree,
    pub(super) image: PathBuf,
    pub(super) reads: u64,
}

pub(super) fn prepared() -> &'static Prepared {
    static PREPARED: OnceLock<Prepared> = OnceLock::new();
    PREPARED.get_or_init(|| {
        let tree = tree::generate(&shared_dir("image-tree"), MODULES, 6, 14);
        lean::compile(&real_lean(), &tree, &Options::stock());
        fs::write(tree.dir.join("T.lean"), SOURCE).unwrap();
        let stock = run(
            &tree.dir,
            &Options::stock(),
            &["--incr-header-save=T.snap", "T.lean"],
        );
        assert_eq!(stock.status.code(), Some(1), "{stock}");
        let image = tree.dir.join("lib.image");
        let output = process::run(olean(&tree.dir).args([
            "image",
            "build",
            ".",
            "--snapshot",
            "T.snap",
            "-o",
            "lib.image",
        ]));
        output.success();
        let all = lean::import_all(&real_lean(), &tree, &Options::stock());
        Prepared {
            reads: lean::stat(&all, "number of imported modules"),
            tree,
            image,
        }
    })
}

pub(super) fn run(dir: &Path, options: &Options, args: &[&str]) -> Output {
    process::run(lean::command(&real_lean(), dir, options).args(args))
}

pub(super) fn with_image(p: &Prepared) -> Options {
    Options::preloaded(library()).env("LEAN_REGION_IMAGE", &p.image)
}

/// Runs with the image; the report of the only process.
fn run_image(p: &Prepared, options: Options, args: &[&str]) -> (Output, Value) {
    let reports = temp_dir("image-report");
    let output = run(&p.tree.dir, &options.report(reports.path()), args);
    let mut all = lean::reports(reports.path());
    assert_eq!(all.len(), 1, "{output}");
    (output, all.remove(0))
}

/// Has `T.lean` elaborated with these arguments where nothing is put at random places, as code addresses are the same
/// only there; the report of that.
pub(super) fn save_at_fixed_addresses(p: &Prepared, options: Options, args: &[&str]) -> Value {
    let reports = temp_dir("image-report");
    let options = options.report(reports.path());
    let mut command = Command::new("setarch");
    options
        .apply(&mut command)
        .current_dir(&p.tree.dir)
        .env("LEAN_PATH", ".")
        .arg("-R")
        .arg(real_lean().program)
        .args(["-R", "."])
        .args(args)
        .arg("T.lean");
    let output = process::run(&mut command);
    assert_eq!(output.status.code(), Some(1), "{output}");
    let mut all = lean::reports(reports.path());
    assert_eq!(all.len(), 1, "{output}");
    all.remove(0)
}

fn seen(output: &Output) -> (Option<i32>, &str, &str) {
    (output.status.code(), &output.stdout, &output.stderr)
}

#[test]
fn an_import_prints_and_saves_what_it_does_without() {
    let p = prepared();
    let stock = lean::import_all(&real_lean(), &p.tree, &Options::stock());
    let (output, report) = run_image(p, with_image(p), &["--stats", "All.lean"]);
    assert_eq!(lean::stats_anywhere(&output), lean::stats_anywhere(&stock));
    assert_eq!(lean::stat(&output, "number of memory-mapped modules"), p.reads);
    assert_eq!(report["image"]["served"], p.reads, "{report:#}");
    assert_eq!(report["read"]["mapped"], p.reads, "{report:#}");
    // One mapping in place of one for each file.
    assert!(
        report["process"]["mappings"].as_u64().unwrap() < 200,
        "{report:#}"
    );

    let dir = temp_dir("image-saved");
    let save = |name: &str, options: Options| {
        let out = dir.path().join(name);
        let text = out.display().to_string();
        let output = run(&p.tree.dir, &options, &["-o", &text, "All.lean"]).success();
        assert_eq!(output.stdout, "");
        ["", ".server", ".private"].map(|part| {
            let mut file = out.as_os_str().to_owned();
            file.push(part);
            fs::read(PathBuf::from(file)).ok()
        })
    };
    let by_stock = save("Stock.olean", Options::stock());
    assert!(by_stock[0].is_some());
    assert!(
        save("Ours.olean", with_image(p)) == by_stock,
        "saved over the image, the files differ"
    );
}

#[test]
fn snapshots_load_from_the_image_in_whatever_order_workers_finish_and_are_saved_the_same_over_it() {
    let p = prepared();
    let load = ["--incr-load=T.snap", "T.lean"];
    let stock = run(&p.tree.dir, &Options::stock(), &load);
    for workers in ["1", "3", "4"] {
        let (output, report) = run_image(p, with_image(p).env("LEAN_IMPORT_WORKERS", workers), &load);
        assert_eq!(seen(&output), seen(&stock), "{workers} workers");
        assert_eq!(
            report["image"]["served"],
            p.reads + 2,
            "{workers} workers: {report:#}"
        );
    }
    let dir = temp_dir("image-snapshots");
    let save = |name: &str, options: Options| {
        let out = dir.path().join(name);
        let save = format!("--incr-header-save={}", out.display());
        let report = save_at_fixed_addresses(p, options, &[&save]);
        (fs::read(out).unwrap(), report)
    };
    // The same library is loaded in both runs.
    let (without, _) = save("without", Options::preloaded(library()));
    let (with, report) = save("with", with_image(p));
    // All itself too.
    assert_eq!(report["image"]["served"], p.reads + 1, "{report:#}");
    assert!(without == with, "the snapshots differ");
}

#[test]
fn compare_and_verify_find_nothing() {
    let p = prepared();
    let (output, report) = run_image(p, with_image(p).env("LEAN_REGION_MODE", "compare"), &["All.lean"]);
    assert!(output.status.success(), "{output}");
    assert_eq!(report["compare"]["reads_equal"], p.reads, "{report:#}");
    assert_eq!(report["image"]["served"], p.reads, "{report:#}");
    let (output, report) = run_image(
        p,
        with_image(p).env("LEAN_REGION_VERIFY", "1"),
        &["--incr-load=T.snap", "T.lean"],
    );
    assert_eq!(output.status.code(), Some(1), "{output}");
    assert_eq!(report["image"]["served"], p.reads + 2, "{report:#}");
}

#[test]
fn a_module_built_anew_is_picked_up() {
    let dir = shared_dir("image-rebuilt");
    let tree = tree::generate(&dir, 12, 5, 3);
    lean::compile(&real_lean(), &tree, &Options::stock());
    let output = process::run(olean(&dir).args(["image", "build", ".", "-o", "lib.image"]));
    output.success();
    let image = Options::preloaded(library()).env("LEAN_REGION_IMAGE", dir.join("lib.image"));
    let source = "prelude\nimport All\n#check fresh\n";
    fs::write(dir.join("Uses.lean"), source).unwrap();
    let before = run(&dir, &image, &["Uses.lean"]);
    assert!(before.stdout.contains("fresh"), "{before}");
    assert!(!before.status.success(), "{before}");
    let save = ["--incr-header-save=Uses.snap", "Uses.lean"];
    assert_eq!(
        run(&dir, &Options::preloaded(library()), &save).status.code(),
        Some(1)
    );
    let build = [
        "image",
        "build",
        ".",
        "--snapshot",
        "Uses.snap",
        "-o",
        "snap.image",
    ];
    process::run(olean(&dir).args(build)).success();
    // All is built again with one more declaration.
    let all = tree.all();
    let text = fs::read_to_string(dir.join(all.source())).unwrap();
    fs::write(
        dir.join(all.source()),
        text + "\npublic inductive fresh where | made\n",
    )
    .unwrap();
    lean::compile_module(&real_lean(), &tree, all, &image).success();
    let stock = run(&dir, &Options::stock(), &["Uses.lean"]);
    let reports = temp_dir("image-rebuilt-report");
    let after = run(&dir, &image.report(reports.path()), &["Uses.lean"]);
    assert_eq!(seen(&after), seen(&stock));
    assert!(after.status.success(), "{after}");
    let report = lean::reports(reports.path()).remove(0);
    testkit::documents::check("Report", [&report]);
    assert!(report["image"]["stale"].as_u64().unwrap() >= 1, "{report:#}");
    assert!(report["image"]["served"].as_u64().unwrap() > 10, "{report:#}");
    // A snapshot of what was built before has no place in a new image: nobody would look at its record there.
    let output = process::run(olean(&dir).args(build));
    assert_eq!(output.status.code(), Some(1), "{output}");
    assert!(
        output
            .stderr
            .contains("Uses.snap: it is stale: it was made with another"),
        "{output}"
    );
}

#[test]
fn with_and_ab_use_an_image() {
    let p = prepared();
    let words = |args: &[&str]| {
        let RealLean { program, .. } = real_lean();
        let mut all = vec!["--".to_owned(), program.display().to_string()];
        all.extend(args.iter().map(|&a| a.to_owned()));
        all
    };
    let mut command = olean(&p.tree.dir);
    Options::stock().apply(&mut command).env("LEAN_PATH", ".");
    command
        .args(["with", "--verbose", "--image", "lib.image"])
        .args(words(&["-R", ".", "All.lean"]));
    let output = process::run(&mut command).success();
    let expected = format!("{} of {} reads from the image", p.reads, p.reads);
    assert!(output.stderr.contains(&expected), "{output}");
    let mut command = olean(&p.tree.dir);
    Options::stock().apply(&mut command).env("LEAN_PATH", ".");
    command
        .args(["ab", "--runs", "1", "--json", "--image", "lib.image"])
        .args(words(&["-R", ".", "All.lean"]));
    let output = process::run(&mut command).success();
    let report: Value = output.stdout.parse().unwrap();
    testkit::documents::check("olean ab", [&report]);
    assert_eq!(report["image"]["served"], p.reads, "{output}");
    assert_eq!(report["image"]["reason"], Value::Null, "{output}");
    // A name that leads nowhere is a mistake of the user's, told before anything runs.
    let output = process::run(
        olean(&p.tree.dir)
            .args(["with", "--image", "absent"])
            .args(words(&[])),
    );
    assert_eq!(output.status.code(), Some(2), "{output}");
}

#[test]
fn doctor_says_what_would_come_of_an_image() {
    let p = prepared();
    let doctor = |image: &Path| {
        let mut command = olean(&p.tree.dir);
        Options::stock()
            .apply(&mut command)
            .env("LEAN_PATH", ".")
            .env("LEAN_REGION_IMAGE", image);
        let RealLean { program, .. } = real_lean();
        let output = process::run(command.args(["doctor", "--json", "--"]).arg(program));
        let report: Value = output.stdout.parse().unwrap_or_else(|e| panic!("{e}: {output}"));
        let findings = report["findings"].as_array().unwrap().iter();
        let of_image = findings.filter(|f| f["topic"] == "image");
        of_image
            .map(|f| format!("{} {}", f["state"].as_str().unwrap(), f["text"].as_str().unwrap()))
            .collect::<Vec<_>>()
    };
    let findings = doctor(&p.image);
    let all = p.reads + 2;
    assert!(
        findings[0].starts_with("good ")
            && findings[0].ends_with(&format!("would serve {all} of {all} files")),
        "{findings:?}"
    );
    assert!(
        findings[1].starts_with("good its addresses, 0x") && findings[1].ends_with("just started"),
        "{findings:?}"
    );
    assert_eq!(findings.len(), 2, "{findings:?}");
    let absent = doctor(Path::new("absent.image"));
    assert!(
        absent[0].starts_with("bad 'absent.image' is not used"),
        "{absent:?}"
    );
    // A copy of a file has another inode.
    let dir = shared_dir("image-doctor");
    let (one, other) = (dir.join("Base.olean"), dir.join("copy"));
    fs::copy(p.tree.dir.join("Base.olean"), &one).unwrap();
    process::run(olean(&dir).args(["image", "build", "Base.olean", "-o", "one.image"])).success();
    fs::copy(&one, &other).unwrap();
    fs::rename(&other, &one).unwrap();
    let findings = doctor(&dir.join("one.image"));
    assert!(
        findings[0].ends_with("would serve 0 of 1 file") && findings[1].contains("olean image refresh"),
        "{findings:?}"
    );
}

/// Makes the region files of a tree those of the same Lean, built from another commit.
fn change_githash(tree: &Tree) {
    for (path, mut bytes) in lean::region_files(tree) {
        let path = tree.dir.join(path);
        bytes[40..44].copy_from_slice(b"beef");
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    }
}

#[test]
fn an_image_of_another_githash_is_used_if_that_is_wanted() {
    let dir = temp_dir("image-githash");
    let tree = tree::generate(dir.path(), 8, 4, 3);
    lean::compile(&real_lean(), &tree, &Options::stock());
    change_githash(&tree);
    let built = process::run(olean(&tree.dir).args(["image", "build", ".", "-o", "other.image"]));
    built.success();
    let import = |any: &str| {
        let reports = temp_dir("image-githash-report");
        let options = Options::preloaded(library())
            .env("LEAN_REGION_IMAGE", tree.dir.join("other.image"))
            .env("LEAN_REGION_ANY_GITHASH", any)
            .report(reports.path());
        let output = run(&tree.dir, &options, &["All.lean"]);
        (output, lean::reports(reports.path()).remove(0))
    };
    let (output, report) = import("0");
    assert!(output.stderr.contains("this is another Lean"), "{output}");
    assert!(output.stdout.contains("LEAN_REGION_ANY_GITHASH=1"), "{output}");
    assert_eq!(report["image"]["served"], 0, "{report:#}");
    let (output, report) = import("1");
    assert_eq!(output.success().stderr, "");
    assert!(report["image"]["served"].as_u64().unwrap() > 8, "{report:#}");
    assert_eq!(report["image"]["absent"], 0, "{report:#}");
}
