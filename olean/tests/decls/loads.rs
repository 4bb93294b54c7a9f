//! `olean info --closure`, judged by what the real Lean counts when it imports.

use crate::run::{code, output};
use crate::trees::{dir, json};
use std::fs;
use testkit::{lean, process, real_lean};

/// Files and bytes that a file with this head loads.
fn judged(head: &str) -> [u64; 2] {
    let path = dir().join("old/Counts.lean");
    fs::write(&path, head).expect("a source");
    let lean = real_lean();
    let mut command = lean::command(&lean, &dir().join("old"), &lean::Options::stock());
    let output = process::run(command.args(["--stats", "Counts.lean"])).success();
    fs::remove_file(path).expect("it was there");
    ["number of imported modules", "number of imported bytes"].map(|label| lean::stat(&output, label))
}

#[test]
fn what_importing_loads_is_what_lean_loads() {
    let (closure, found) = json(&["info", "--closure", "Known", "old"]);
    assert_eq!(found, 0);
    let counts = |load: &str| ["files", "bytes"].map(|key| closure[load][key].as_u64().expect("a number"));
    assert_eq!(counts("plain"), judged("prelude\nimport Known\n"));
    assert_eq!(counts("module_system"), judged("module\nprelude\nimport Known\n"));
    assert_eq!(closure["plain"]["modules"], 2);
}

#[test]
fn what_is_missing_is_named() {
    let (closure, found) = json(&["info", "--closure", "Plain", "old"]);
    assert_eq!((found, closure.get("module_system")), (0, None));
    let part = testkit::temp_dir("closure");
    fs::copy(dir().join("old/Plain.olean"), part.path().join("Plain.olean")).expect("a copy");
    let (closure, found) = json(&["info", "--closure", "Plain", part.path().to_str().expect("UTF-8")]);
    assert_eq!(
        (found, &closure["missing"][0]),
        (1, &testkit::Value::from("Known"))
    );
    let wrong = output(dir(), &["info", "--closure", "Knwn", "old"]);
    assert_eq!(code(&wrong), 2);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("did you mean Known?"));
}
