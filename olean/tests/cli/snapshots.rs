//! The output of every subcommand. After a wanted change: `SNAPSHOTS=overwrite cargo test -p olean`.

use crate::files;
use crate::run::{code, output, stdout, transcript};
use snapbox::{assert_data_eq, file};

#[test]
fn info() {
    let lines = [
        "info lib/Demo.olean wasm/Small.olean Kinds.snap",
        "info lib bad",
        "info --json Kinds.snap",
        "info lib/Demo.olean nowhere.olean",
        "info empty",
    ];
    assert_data_eq!(
        transcript(files::dir(), &lines),
        file!["snapshots/info.txt"].raw()
    );
}

#[test]
fn stats() {
    let lines = [
        "stats lib/Demo.olean",
        "stats lib/Demo.olean.private --top 1",
        "stats lib --top 3",
        "stats wasm/Small.olean bad/Cut.olean --each",
        "stats --json wasm/Small.olean",
    ];
    assert_data_eq!(
        transcript(files::dir(), &lines),
        file!["snapshots/stats.txt"].raw()
    );
}

#[test]
fn verify() {
    let lines = [
        "verify lib wasm Kinds.snap",
        "verify bad -j 2",
        "verify bad/Part.olean.private -q",
        "verify wasm/Small.olean nowhere.olean bad/Text.olean",
        "verify --json bad/Cut.olean bad/Good.olean",
        "verify --deps lib/Demo.olean -- bad/Part.olean.private",
        "verify lib/Demo.olean --deps bad/Cut.olean",
        "verify",
    ];
    assert_data_eq!(
        transcript(files::dir(), &lines),
        file!["snapshots/verify.txt"].raw()
    );
}

#[test]
fn hash() {
    let lines = [
        "hash lib a b",
        "hash bad/Good.olean bad/Cut.olean Kinds.snap",
        "hash --json lib/Empty.olean",
    ];
    assert_data_eq!(
        transcript(files::dir(), &lines),
        file!["snapshots/hash.txt"].raw()
    );
}

#[test]
fn diff() {
    let lines = [
        "diff a/sub/Same.olean lib/Demo.olean",
        "diff a/Moved.olean b/Moved.olean",
        "diff --bytes a/Moved.olean b/Moved.olean",
        "diff a/Changed.olean b/Changed.olean",
        "diff lib/Demo.olean lib/Demo.olean.private",
        "diff a b",
        "diff --stat a b",
        "diff a a",
        "diff --json a b",
        "diff a b/Moved.olean",
        "diff bad/Cut.olean lib/Demo.olean",
        "diff empty empty",
    ];
    assert_data_eq!(
        transcript(files::dir(), &lines),
        file!["snapshots/diff.txt"].raw()
    );
}

#[test]
fn dump() {
    let lines = [
        "dump lib/Demo.olean",
        "dump lib/Demo.olean --path constants[1].val --depth 4",
        "dump lib/Demo.olean --path constants[1].val.toConstantVal.type --depth 0 --full",
        "dump lib/Demo.olean.private --path constants[0] --depth 6 --limit 2",
        "dump wasm/Small.olean --depth 9 --limit 2",
        "dump Kinds.snap --depth 9",
        "dump lib/Demo.olean --path constants[1].val --depth 2 --dot",
        "dump lib/Empty.olean --json",
        "dump lib/Demo.olean --path constants[77]",
        "dump lib/Demo.olean --path [",
        "dump lib",
        "dump bad/Cut.olean",
    ];
    assert_data_eq!(
        transcript(files::dir(), &lines),
        file!["snapshots/dump.txt"].raw()
    );
}

#[test]
fn rewriting() {
    let lines = [
        "widen wasm/Small.olean made/wide.olean --bignums gmp",
        "narrow made/wide.olean made/narrow.olean --bignums native",
        "diff --bytes wasm/Small.olean made/narrow.olean",
        "diff wasm/Small.olean made/wide.olean",
        "widen wasm made/wide",
        "verify made",
        "widen lib/Demo.olean made/x.olean",
        "narrow --json lib made/narrow",
        "narrow lib made/x.olean --base 0x10000",
        "relocate lib/Demo.olean --base 0x200000000000 -o made/moved.olean",
        "relocate lib/Demo.olean.private --base 0x200000000000 -o made/part.olean",
        "diff lib/Demo.olean made/moved.olean",
        "relocate lib/Demo.olean --base 4097 -o made/x.olean",
        "relocate lib/Demo.olean --base here -o made/x.olean",
        "relocate lib/Demo.olean --base 0x200000000000 -o nowhere/x.olean",
        "relocate --json wasm/Small.olean --base 65536 -o made/low.olean",
        "verify made wasm",
    ];
    std::fs::create_dir_all(files::dir().join("made")).expect("a folder can be made");
    assert_data_eq!(
        transcript(files::dir(), &lines),
        file!["snapshots/rewriting.txt"].raw()
    );
    assert!(!files::dir().join("made/x.olean").exists());
}

#[test]
fn demo() {
    let lines = ["demo --theorems 50"];
    assert_data_eq!(
        transcript(files::dir(), &lines),
        file!["snapshots/demo.txt"].raw()
    );
}

#[test]
fn help() {
    let lines = [
        "--help",
        "-h",
        "--version",
        "nonsense",
        "info --help",
        "stats --help",
        "verify --help",
        "hash --help",
        "diff --help",
        "dump --help",
        "widen --help",
        "narrow --help",
        "relocate --help",
        "demo --help",
        "completions --help",
        "man --help",
    ];
    assert_data_eq!(
        transcript(files::dir(), &lines),
        file!["snapshots/help.txt"].raw()
    );
}

#[test]
fn completions_and_man_pages_name_every_subcommand() {
    let subcommands = [
        "info", "stats", "verify", "hash", "diff", "dump", "widen", "narrow", "relocate", "demo",
    ];
    let has_all = |text: &str, what: &str| {
        for s in subcommands {
            assert!(text.contains(s), "{what} lacks {s}");
        }
        assert!(!text.contains("__maps"), "{what} shows what is hidden");
    };
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = output(files::dir(), &["completions", shell]);
        assert_eq!(code(&output), 0);
        has_all(stdout(&output), shell);
    }
    let page = output(files::dir(), &["man"]);
    assert!(stdout(&page).contains(".TH olean 1"));
    has_all(stdout(&page), "man page");

    let pages = testkit::temp_dir("man");
    let dir = pages.path().to_str().expect("UTF-8");
    assert_eq!(code(&output(files::dir(), &["man", dir])), 0);
    for s in subcommands {
        let page = pages.path().join(format!("olean-{s}.1"));
        assert!(page.is_file(), "{} is missing", page.display());
    }
    assert!(pages.path().join("olean.1").is_file());
    assert_eq!(code(&output(files::dir(), &["man", "nowhere"])), 2);
}
