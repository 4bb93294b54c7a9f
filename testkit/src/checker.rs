//! The independent checker of region files, a Python program that knows the format from its own reading of it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{self, Output};

/// Where the checker lies, relative to a directory above the workspace or beside it.
const CHECKER: &str = "shared/tools/olean_check.py";

/// The checker's command with `verify FILE [--deps DEPS...]`, run to its end.
pub fn verify<D: AsRef<OsStr>>(file: &Path, deps: impl IntoIterator<Item = D>) -> Output {
    let mut command = Command::new(process::which("python3").expect("python3 is not installed"));
    command.arg(checker()).arg("verify").arg(file);
    let mut deps = deps.into_iter().peekable();
    if deps.peek().is_some() {
        command.arg("--deps").args(deps);
    }
    process::run(&mut command)
}

fn checker() -> PathBuf {
    let workspace = crate::workspace_dir();
    let found = workspace
        .ancestors()
        .map(|dir| dir.join(CHECKER))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "the independent checker {CHECKER} lies in no directory above {}",
            workspace.display()
        )
    })
}
