//! Runs every command that README.md and docs/*.md show, in a fresh clone of what is committed, and compares the
//! outputs shown:
//!
//!     cargo run --release -p testkit --example pages              all pages
//!     cargo run --release -p testkit --example pages -- PAGE…     these, such as docs/olean.md
//!
//! With `UPDATE_EXPECT=1` outputs that are shown wrongly are put right in the pages; read the difference before you commit
//! it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use testkit::{pages, shared_dir, workspace_dir};

/// What is not run here: all tests, which CI runs by themselves, and commands that take more than a minute.
const LEFT_OUT: &[&str] = &[
    "cargo test --workspace --release",
    "bash .ci/run",
    "cargo test -p olean-reader",
    "cargo run --release -p bench -- --json rows.json",
    "cargo run --release -p bench -- --scaling docs",
    "cargo run --release -p bench -- --scale /tmp/lean-tree-4000",
    "cargo run --release -p bench --bin instructions",
    "cargo run --release -p bench --bin instructions -- --refresh",
];

fn main() -> ExitCode {
    let root = workspace_dir();
    let given: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let names = if given.is_empty() { all_pages(&root) } else { given };
    let home = shared_dir("pages");
    let clone = home.join("clone");
    let cloned = Command::new("git")
        .args(["clone", "--quiet"])
        .arg(&root)
        .arg(&clone)
        .status();
    assert!(
        cloned.is_ok_and(|s| s.success()),
        "git clone of {} failed",
        root.display()
    );
    // The real Lean is fetched once a target directory; the one that the tests have fetched will do.
    let lean = testkit::target_dir().join("real-lean");
    if lean.is_dir() {
        fs::create_dir_all(clone.join("target")).expect("a folder in the clone");
        std::os::unix::fs::symlink(&lean, clone.join("target/real-lean")).expect("a link in the clone");
    }
    // So will the dependencies that are built: of a clone, whose files are new, cargo builds what is in the workspace itself.
    let built = testkit::target_dir().join("release");
    if built.is_dir() {
        let copied = Command::new("cp")
            .args(["-a", "--reflink=auto"])
            .arg(&built)
            .arg(clone.join("target"))
            .status();
        assert!(
            copied.is_ok_and(|s| s.success()),
            "copying {} failed",
            built.display()
        );
    }
    let mut wrong = 0;
    for name in names {
        let text =
            fs::read_to_string(clone.join(&name)).unwrap_or_else(|e| panic!("{}: {e}", name.display()));
        match pages::run(&text, &clone, &home, LEFT_OUT) {
            Ok(outcome) => {
                println!(
                    "{}: {} steps run, {} outputs compared, {} left out",
                    name.display(),
                    outcome.run,
                    outcome.compared,
                    outcome.left_out
                );
                for (line, time) in outcome.slow {
                    println!("  line {line} took {:.0} s", time.as_secs_f64());
                }
                for text in &outcome.wrong {
                    println!("{}, {text}", name.display());
                }
                wrong += outcome.wrong.len();
                if std::env::var_os("UPDATE_EXPECT").is_some() {
                    let page = root.join(&name);
                    let mut text = fs::read_to_string(&page).expect("the page");
                    for (from, to) in &outcome.fixes {
                        text = text.replacen(from, to, 1);
                    }
                    fs::write(&page, text).expect("the page");
                }
            }
            Err(e) => {
                println!("{}: {e}", name.display());
                wrong += 1;
            }
        }
    }
    // What the pages made must not lie in the tree of somebody who follows them.
    let status = Command::new("git")
        .arg("-C")
        .arg(&clone)
        .args(["status", "--porcelain"])
        .output();
    let left = String::from_utf8_lossy(&status.expect("git status").stdout).into_owned();
    if !left.is_empty() {
        println!("the pages leave files in the tree:\n{left}");
        wrong += 1;
    }
    ExitCode::from(u8::from(wrong > 0))
}

fn all_pages(root: &Path) -> Vec<PathBuf> {
    let docs = fs::read_dir(root.join("docs")).expect("the folder docs");
    let mut pages: Vec<PathBuf> = docs
        .map(|entry| Path::new("docs").join(entry.expect("an entry of docs").file_name()))
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .collect();
    pages.sort();
    pages.insert(0, "README.md".into());
    pages
}
