//! Generates the C header from the entry points in `src/capi` and says how the shared library is linked.
//!
//! The header goes into the build directory; the one in `include/` is a committed copy, and `tests/abi.rs`
//! fails when the two differ.

use std::env;
use std::path::Path;

/// Declares the other files of the entry points as its modules, and cbindgen follows them.
const SOURCE: &str = "src/capi/mod.rs";
const CONFIG: &str = "cbindgen.toml";

fn main() {
    // Functions that redirected entries lead to must never be unloaded; and references to our own entry
    // points must not be bound to the host's functions of the same name.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete,-Bsymbolic");
    println!("cargo::rerun-if-changed=src/capi");
    println!("cargo::rerun-if-changed={CONFIG}");
    let header = Path::new(&env::var_os("OUT_DIR").expect("cargo names OUT_DIR")).join("lean_region.h");
    let config = cbindgen::Config::from_file(CONFIG).unwrap_or_else(|e| panic!("{CONFIG}: {e}"));
    let bindings = cbindgen::Builder::new()
        .with_config(config)
        .with_src(SOURCE)
        .generate();
    bindings
        .unwrap_or_else(|e| panic!("the C header: {e}"))
        .write_to_file(header);
}
