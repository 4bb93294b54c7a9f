//! What the tool writes is what the library loads.

use crate::files;
use crate::objects::read_parts;
use crate::run::{code, output};
use std::path::Path;

/// Objects below the root of a loaded file.
fn count(path: &Path) -> usize {
    let roots = read_parts(&[path]).expect("it is loaded");
    assert!(roots[0].children() > 0);
    roots[0].count_reachable()
}

#[test]
fn rewritten_files_are_loaded() {
    let dir = testkit::temp_dir("loads");
    let path = |name: &str| dir.path().join(name);
    let run = |args: &[&str], to: &Path| {
        let to = to.to_str().expect("UTF-8");
        let args: Vec<&str> = args.iter().map(|a| if *a == "OUT" { to } else { a }).collect();
        assert_eq!(code(&output(files::dir(), &args)), 0, "{args:?}");
    };
    let moved = path("moved.olean");
    run(
        &[
            "relocate",
            "lib/Demo.olean",
            "--base",
            "0x210000000000",
            "-o",
            "OUT",
        ],
        &moved,
    );
    assert_eq!(count(&moved), count(&files::dir().join("lib/Demo.olean")));

    let wide = path("wide.olean");
    run(&["widen", "wasm/Small.olean", "OUT", "--bignums", "gmp"], &wide);
    // Two strings, two bignums, bytes, the array of them, the root.
    assert_eq!(count(&wide), 7);
}
