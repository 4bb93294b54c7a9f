//! Generates the C header from the entry points in `src/capi` and says how the shared library is linked.
//!
//! The header goes into the build directory; the one in `include/` is a committed copy, and `tests/abi.rs`
//! fails when the two differ.

use std::env;
use std::path::{Path, PathBuf};

/// Declares the other files of the entry points as its modules, and cbindgen follows them.
const SOURCE: &str = "src/capi/mod.rs";
const CONFIG: &str = "cbindgen.toml";
/// The name under which the dynamic linker looks for the library that a program was linked with. The number
/// counts incompatible changes of the C functions.
const SONAME: &str = "liblean_region.so.0";

fn main() {
    // Functions that redirected entries lead to must never be unloaded; and references to our own entry
    // points must not be bound to the host's functions of the same name.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete,-Bsymbolic,-soname,{SONAME}");
    lay_link();
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

/// Lays links of the library's SONAME beside the two places where cargo puts the library, so that programs
/// linked with it there start. The links may point to nothing yet: the library is linked after this script.
fn lay_link() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names OUT_DIR"));
    // PROFILE/build/PACKAGE-HASH/out
    let profile = out.ancestors().nth(3).expect("cargo's directories");
    for dir in [profile.to_owned(), profile.join("deps")] {
        let link = dir.join(SONAME);
        let laid = std::os::unix::fs::symlink("liblean_region.so", &link);
        // Another build script may lay the same link at this moment.
        if let Err(e) = laid
            && !link.is_symlink()
        {
            panic!("{}: {e}", link.display());
        }
    }
}
