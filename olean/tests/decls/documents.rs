//! `docs/json.md` says what is in the documents: every field that a command prints is described there, and every field
//! that is described and not optional is printed.

use crate::trees::json;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use testkit::Value;

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

/// The fields that a section describes, and whether each is optional.
fn described(section: &str) -> Vec<(String, bool)> {
    let mut all = Vec::new();
    for line in section.lines().filter_map(|l| l.strip_prefix("* ")) {
        let (names, meaning) = line
            .split_once(": ")
            .unwrap_or_else(|| panic!("no meaning: {line}"));
        for name in names.split(", ") {
            let name = name.strip_prefix('`').and_then(|n| n.strip_suffix('`'));
            let name = name.unwrap_or_else(|| panic!("no field: {line}"));
            all.push((name.to_owned(), meaning.contains("(optional)")));
        }
    }
    all
}

/// The fields of a document, and the lists and maps that are empty.
fn fields(value: &Value, path: &str, known: &BTreeSet<String>, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, v) in map {
                let dot = if path.is_empty() { "" } else { "." };
                let star = format!("{path}{dot}*");
                let inner = if known.contains(&star) {
                    star
                } else {
                    format!("{path}{dot}{key}")
                };
                fields(v, &inner, known, found);
            }
        }
        Value::Array(list) => list
            .iter()
            .for_each(|v| fields(v, &format!("{path}[]"), known, found)),
        _ => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn every_field_is_described_and_every_described_field_is_there() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/json.md");
    let text = fs::read_to_string(path).expect("docs/json.md");
    for (command, lines) in COMMANDS {
        let section = text.split("\n## ").find(|s| s.lines().next() == Some(command));
        let described = described(section.unwrap_or_else(|| panic!("no section {command}")));
        let known: BTreeSet<String> = described.iter().map(|(name, _)| name.clone()).collect();
        let mut found = BTreeSet::new();
        for line in lines {
            let args: Vec<&str> = line.split(' ').collect();
            fields(&json(&args).0, "", &known, &mut found);
        }
        let unknown: Vec<&String> = found.difference(&known).collect();
        assert!(
            unknown.is_empty(),
            "{command} prints what is not described: {unknown:?}"
        );
        for (name, optional) in described {
            // A list of lists or texts that is always empty here tells nothing about its elements.
            assert!(
                optional || found.contains(&name) || name.ends_with("[]"),
                "{command} never prints {name}"
            );
        }
    }
}
