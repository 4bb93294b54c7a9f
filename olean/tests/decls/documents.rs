//! `docs/json.md` says what is in the documents: every field that a command prints is described there, and every field
//! that is described and not optional is printed.

use crate::trees::json;
use testkit::{Value, documents};

/// Commands whose documents show every field that is not optional.
const COMMANDS: [(&str, &[&str]); 7] = [
    ("olean ls", &["ls old", "ls old --fold --kind instance"]),
    (
        "olean diff",
        &[
            "diff old new",
            "diff new old",
            "diff old/Plain.olean new/Plain.olean",
        ],
    ),
    (
        "olean info",
        &["info old/Known.olean old/Plain.olean", "info old"],
    ),
    (
        "olean info --closure",
        &["info --closure Known old", "info --closure Plain old"],
    ),
    (
        "olean axioms",
        &[
            "axioms old",
            "axioms old --decl plain",
            "axioms old/Plain.olean --all",
        ],
    ),
    ("olean refs", &["refs N.s old"]),
    ("olean grep", &["grep . old"]),
];

#[test]
fn every_field_is_described_and_every_described_field_is_there() {
    for (command, lines) in COMMANDS {
        let printed: Vec<Value> = lines
            .iter()
            .map(|line| json(&line.split(' ').collect::<Vec<_>>()).0)
            .collect();
        documents::check(command, &printed);
    }
}
