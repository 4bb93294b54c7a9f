//! The C programs in `c-tests/closures`: a program with closures of its own, of a library it is linked with and of
//! one that it opens at run time.

use std::fs;
use std::path::{Path, PathBuf};

use crate::c::Build;

fn source(name: &str) -> PathBuf {
    crate::workspace_dir().join("c-tests/closures").join(name)
}

/// Builds the library to be opened, as a new file even where there is one already. `args` go to the compiler.
#[track_caller]
pub fn build_plug(output: &Path, args: &[&str]) -> PathBuf {
    let temporary = output.with_extension("new");
    let mut build = Build::new();
    build.shared().file(source("plug.c"));
    args.iter().for_each(|arg| {
        build.arg(*arg);
    });
    build.build(&temporary);
    fs::rename(&temporary, output).unwrap_or_else(|e| panic!("{}: {e}", output.display()));
    output.to_owned()
}

/// Builds the program `dir/name`, with the library it is linked with beside it. `args` go to the compiler.
#[track_caller]
pub fn build_program(dir: &Path, name: &str, args: &[&str]) -> PathBuf {
    let linked = dir.join("liblinked.so");
    if !linked.exists() {
        Build::new().shared().file(source("linked.c")).build(&linked);
    }
    let mut build = Build::new();
    build
        .file(source("program.c"))
        .link(&linked)
        .link(crate::library())
        .arg("-ldl");
    args.iter().for_each(|arg| {
        build.arg(*arg);
    });
    build.build(dir.join(name))
}
