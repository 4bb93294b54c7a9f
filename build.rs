//! Generates the C header from the entry points in `src/capi` and says how the shared library is linked.
//!
//! The header goes into the build directory; the one in `include/` is a committed copy, and `tests/abi.rs`
//! fails when the two differ.

use std::path::{Path, PathBuf};
use std::{env, fs};

const SOURCES: &str = "src/capi";
const CONFIG: &str = "cbindgen.toml";

fn main() {
    println!("cargo::rerun-if-changed={SOURCES}");
    println!("cargo::rerun-if-changed={CONFIG}");
    let header = Path::new(&env::var_os("OUT_DIR").expect("cargo names OUT_DIR")).join("lean_region.h");
    let config = cbindgen::Config::from_file(CONFIG).unwrap_or_else(|e| panic!("{CONFIG}: {e}"));
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in sources() {
        builder = builder.with_src(source);
    }
    builder
        .generate()
        .unwrap_or_else(|e| panic!("the C header: {e}"))
        .write_to_file(header);
}

/// The files of the C entry points, in the order of their names: the header must not depend on the file
/// system's.
fn sources() -> Vec<PathBuf> {
    let entries = fs::read_dir(SOURCES).unwrap_or_else(|e| panic!("{SOURCES}: {e}"));
    let mut files: Vec<_> = entries.map(|entry| entry.expect(SOURCES).path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files.sort();
    files
}
