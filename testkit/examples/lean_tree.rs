//! `cargo run --release -p testkit --example lean_tree -- DIR [MODULES [DECLARATIONS]]` writes a tree of Lean
//! modules into DIR, compiles it with the real Lean of the tests, and puts a link to that `lean` beside it:
//! something to try the library on without a Lean installation.

use std::path::PathBuf;

use testkit::{lean, real_lean, tree};

fn main() {
    let mut args = std::env::args_os().skip(1);
    let dir = PathBuf::from(
        args.next()
            .expect("usage: lean_tree DIR [MODULES [DECLARATIONS]]"),
    );
    let mut number = |default| match args.next() {
        Some(arg) => arg.to_str().and_then(|arg| arg.parse().ok()).expect("a number"),
        None => default,
    };
    let (modules, declarations) = (number(200), number(8));
    assert!(!dir.exists(), "{} exists; name a new directory", dir.display());

    let lean = real_lean();
    let tree = tree::generate(&dir, modules, declarations, 1);
    lean::compile(&lean, &tree, &lean::Options::stock());
    std::os::unix::fs::symlink(&lean.program, dir.join("lean")).expect("a link to lean");
    let files = lean::region_files(&tree);
    let bytes: usize = files.values().map(Vec::len).sum();
    println!(
        "{}: {} region files, {} MB",
        dir.display(),
        files.len(),
        bytes / 1_000_000
    );
}
