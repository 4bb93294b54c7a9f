//! The border to C: the committed header is the generated one, compilers take it, and the shared library
//! exports what the list says and nothing else.
//!
//! After an intended change, `UPDATE_EXPECT=1 cargo test --release --test abi` rewrites the header and the
//! list of exports; read the difference before you commit it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use testkit::{c, library, process, temp_dir, workspace_dir};

/// Where build.rs puts the header.
const GENERATED: &str = concat!(env!("OUT_DIR"), "/lean_region.h");
const HEADER: &str = "include/lean_region.h";
const EXPORTS: &str = "tests/exports.txt";

/// Fails unless the file `committed` (relative to the workspace) holds `actual`; rewrites it when asked to.
fn assert_committed(committed: &str, actual: &str) {
    let path = workspace_dir().join(committed);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, actual).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{committed}: {e}"));
    let hint = "run `UPDATE_EXPECT=1 cargo test --release --test abi` and read the difference";
    assert!(
        text == actual,
        "{committed} is not up to date; {hint}\n--- actual\n{actual}"
    );
}

/// The dynamic symbols that the shared library defines.
fn exports() -> BTreeSet<String> {
    let output = process::run(Command::new("nm").args(["-D", "--defined-only"]).arg(library())).success();
    output
        .stdout
        .lines()
        .map(|line| line.rsplit(' ').next().unwrap().to_owned())
        .collect()
}

#[test]
fn the_committed_header_is_the_generated_one() {
    assert_committed(HEADER, &fs::read_to_string(GENERATED).unwrap());
}

#[test]
fn the_library_exports_the_listed_names_and_no_others() {
    let output = process::run(Command::new("nm").args(["-D", "--defined-only"]).arg(library())).success();
    let mut names: Vec<_> = output
        .stdout
        .lines()
        .map(|line| line.split(' ').next_back().unwrap())
        .collect();
    names.sort_unstable();
    assert_committed(EXPORTS, &(names.join("\n") + "\n"));
}

#[test]
fn the_header_declares_exactly_the_exports() {
    let header = fs::read_to_string(GENERATED).unwrap();
    let code: String = header
        .split("/*")
        .map(|part| part.split_once("*/").map_or(part, |(_, code)| code))
        .collect();
    let code: String = code
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| [line, "\n"])
        .collect();
    let calls = code.match_indices('(').map(|(at, _)| &code[..at]);
    let names = calls.map(|before| {
        before
            .rsplit(|c: char| !c.is_alphanumeric() && c != '_')
            .next()
            .unwrap()
    });
    let declared: BTreeSet<_> = names.filter(|name| !name.is_empty()).map(str::to_owned).collect();
    assert_eq!(declared, exports());
}

#[test]
fn the_header_compiles_everywhere_without_warnings() {
    let dir = temp_dir("header");
    // Nothing is included before it, and twice does no harm.
    let text = "#include <lean_region.h>\n#include <lean_region.h>\nint main(void) { return 0; }\n";
    for (standard, file) in [
        ("c99", "use.c"),
        ("c11", "use.c"),
        ("c17", "use.c"),
        ("c++17", "use.cpp"),
    ] {
        let source = dir.path().join(file);
        fs::write(&source, text).unwrap();
        let mut build = c::Build::new();
        if standard.starts_with("c++") {
            build.cpp();
        } else {
            build.arg("-Wstrict-prototypes");
        }
        build
            .arg(format!("-std={standard}"))
            .arg("-pedantic")
            .include(workspace_dir().join("include"));
        build.file(&source).build(dir.path().join("use"));
    }
}
