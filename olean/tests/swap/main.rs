//! `olean ab`, `olean with` and `olean doctor` on a real Lean 4.35.0, on programs that have none, and on a library
//! that is wrong on purpose.

mod ab;
mod doctor;
// The tool's own types, with unknown fields denied.
#[allow(dead_code)]
#[path = "../../src/swap/schema.rs"]
mod schema;
mod with;

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use testkit::lean::{self, Options};
use testkit::process::{self, Output};
use testkit::tree::{self, Tree};
use testkit::{RealLean, Value, real_lean, shared_dir};

/// A tree compiled by the stock compiler.
fn stock_tree() -> &'static Tree {
    static TREE: OnceLock<Tree> = OnceLock::new();
    TREE.get_or_init(|| {
        let tree = tree::generate(&shared_dir("swap-tree"), 12, 5, 9);
        lean::compile(&real_lean(), &tree, &Options::stock());
        tree
    })
}

/// `olean` in the directory `dir`, which is Lean's search path as well.
fn olean(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_olean"));
    Options::stock()
        .apply(&mut command)
        .env("LEAN_PATH", ".")
        .env("NO_COLOR", "1")
        .current_dir(dir);
    command
}

/// Runs `olean` in the tree's directory.
fn run<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    process::run(olean(&stock_tree().dir).args(args))
}

/// The command's words behind `--`, the first of them the real Lean's program.
fn lean_words(args: &[&str]) -> Vec<String> {
    let RealLean { program, .. } = real_lean();
    let first = ["--".to_owned(), program.display().to_string()];
    first
        .into_iter()
        .chain(args.iter().map(|&arg| arg.to_owned()))
        .collect()
}

#[track_caller]
fn json(output: &Output) -> Value {
    output.stdout.parse().unwrap_or_else(|e| panic!("{e}: {output}"))
}

/// A text with what differs from run to run made the same: words that begin with a digit and their units become
/// one `#`, paths their last part, spaces one space.
fn masked(text: &str) -> String {
    const UNITS: [&str; 10] = ["…", "s", "ms", "µs", "B", "KiB", "MiB", "GiB", "#", "-"];
    let mut out = String::new();
    for line in text.lines() {
        let mut words: Vec<String> = Vec::new();
        for word in line.split_whitespace() {
            let bare = word.trim_matches(|c| "(),;:".contains(c));
            let number = bare.starts_with(|c: char| c.is_ascii_digit()) && bare != "4.35.0";
            let masked = match number {
                true => word.replace(bare, "#"),
                false if bare.contains('/') => {
                    word.replace(bare, &format!("…/{}", bare.rsplit('/').next().unwrap()))
                }
                false => word.to_owned(),
            };
            let follows = words.last().is_some_and(|last| last == "#");
            if !(follows && UNITS.contains(&masked.as_str())) {
                words.push(masked);
            }
        }
        out += words.join(" ").trim_end();
        out.push('\n');
    }
    out
}
