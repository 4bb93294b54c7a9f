//! `docs/json.md` held against the documents themselves: every field that is printed is described there, and every
//! field that is described and not optional is printed.

use crate::{Value, workspace_dir};
use std::collections::BTreeSet;
use std::fs;

fn page() -> String {
    fs::read_to_string(workspace_dir().join("docs/json.md")).expect("docs/json.md")
}

/// The headings of the page, one for each document.
#[must_use]
pub fn sections() -> Vec<String> {
    let page = page();
    let headings = page.lines().filter_map(|line| line.strip_prefix("## "));
    headings.map(str::to_owned).collect()
}

/// Checks documents of one kind, which together show every field that is not optional, against the section with this
/// heading.
#[track_caller]
pub fn check<'a>(section: &str, documents: impl IntoIterator<Item = &'a Value>) {
    let (described, found) = compared(section, documents);
    for (name, optional) in described {
        // A list of lists or texts that is always empty here tells nothing about its elements.
        assert!(
            optional || found.contains(&name) || name.ends_with("[]"),
            "{section} never prints {name}"
        );
    }
}

/// Checks that the documents have no field that the section does not describe.
#[track_caller]
pub fn check_known<'a>(section: &str, documents: impl IntoIterator<Item = &'a Value>) {
    compared(section, documents);
}

/// The fields that a section describes and those that the documents have, of which it describes all.
#[track_caller]
fn compared<'a>(
    section: &str,
    documents: impl IntoIterator<Item = &'a Value>,
) -> (Vec<(String, bool)>, BTreeSet<String>) {
    let page = page();
    let text = page.split("\n## ").find(|s| s.lines().next() == Some(section));
    let described = described(text.unwrap_or_else(|| panic!("docs/json.md has no section {section}")));
    let known: BTreeSet<String> = described.iter().map(|(name, _)| name.clone()).collect();
    let mut found = BTreeSet::new();
    for document in documents {
        fields(document, "", &known, &mut found);
    }
    let unknown: Vec<&String> = found.difference(&known).collect();
    assert!(
        unknown.is_empty(),
        "{section} prints what is not described: {unknown:?}"
    );
    (described, found)
}

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

/// The fields of a document.
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
