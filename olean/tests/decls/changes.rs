//! `olean diff`: the known changes are told, and nothing else.

use crate::run::{code, output, stdout};
use crate::trees::{dir, json, texts};
use testkit::Value;

fn module<'v>(diff: &'v Value, name: &str) -> &'v Value {
    let all = diff["modules"].as_array().expect("a list");
    all.iter()
        .find(|m| m["module"] == name)
        .unwrap_or_else(|| panic!("no {name}: {diff}"))
}

#[test]
fn every_known_change_is_told_by_name() {
    let (diff, code) = json(&["diff", "old/Known.olean", "new/Known.olean"]);
    assert_eq!((code, &diff["equal"]), (1, &Value::Bool(false)));
    let known = module(&diff, "Known");
    assert_eq!(texts(&known["added"], "name"), ["Known.fresh"]);
    assert_eq!(texts(&known["removed"], "name"), ["Known.gone"]);
    let renamed = &known["renamed"][0];
    assert_eq!(
        (renamed["from"].as_str(), renamed["to"].as_str()),
        (Some("Known.oldName"), Some("Known.newName"))
    );
    let changed = &known["changed"];
    assert_eq!(
        texts(changed, "name"),
        [
            "Known.attributed",
            "Known.proof",
            "Known.univ",
            "_private.Known.0.Known.hidden"
        ]
    );
    let fields = |i: usize| texts(&changed[i]["fields"], "what");
    assert_eq!(fields(0), ["attributes"]);
    assert_eq!(fields(1), ["value"]);
    assert_eq!(fields(2), ["universe levels", "type", "value"]);
    assert_eq!(fields(3), ["value"]);
    // Only what differs is marked.
    let value = &changed[1]["fields"][0];
    let marked = |side: &str| {
        let text: Vec<char> = value[side]["text"].as_str().expect("a text").chars().collect();
        let marks = value[side]["marks"].as_array().expect("marks");
        let at = |m: &Value, i: usize| m[i].as_u64().expect("a number") as usize;
        let pieces = marks
            .iter()
            .map(|m| text[at(m, 0)..at(m, 1)].iter().collect::<String>());
        pieces.collect::<Vec<_>>()
    };
    assert_eq!(
        (marked("a"), marked("b")),
        (vec!["a".to_owned()], vec!["(id p a)".to_owned()])
    );
    let doc = known["extensions"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|e| e["extension"] == "Lean.docStringExt");
    let doc = &doc.expect("documentation changed")["changed"][0];
    // Compiled code that is the same but for names of variables made up anew is the same.
    for e in known["extensions"].as_array().expect("a list") {
        let keys = texts(&e["changed"], "key");
        assert!(!keys.iter().any(|k| k.contains("_closed_")), "{e}");
    }
    assert_eq!(doc["key"], "Known.documented");
    assert_eq!(doc["b"]["text"], "\"Another doc comment. \"");
}

#[test]
fn what_only_moved_is_one_line_and_imports_are_told() {
    let (diff, _) = json(&["diff", "old", "new"]);
    let order = module(&diff, "Order");
    assert_eq!(order["moved"], 2, "{order}");
    for empty in [
        "added",
        "removed",
        "renamed",
        "changed",
        "imports_added",
        "imports_removed",
    ] {
        assert_eq!(order[empty].as_array().map(Vec::len), Some(0), "{empty}: {order}");
    }
    let text = output(dir(), &["diff", "old/Order.olean", "new/Order.olean"]);
    assert!(
        stdout(&text).contains("2 declarations moved in the source"),
        "{}",
        stdout(&text)
    );
    let imports = module(&diff, "Imports");
    assert_eq!(texts(&imports["imports_added"], "module"), ["Order"]);
    assert!(!texts(&diff["modules"], "module").contains(&"Plain"), "{diff}");
}

#[test]
fn the_path_form_stays_and_equal_builds_are_equal() {
    let raw = output(dir(), &["diff", "--raw", "old/Known.olean", "new/Known.olean"]);
    assert!(stdout(&raw).starts_with("different at "), "{}", stdout(&raw));
    let same = output(dir(), &["diff", "old/Plain.olean", "new/Plain.olean"]);
    assert_eq!((stdout(&same), code(&same)), ("identical: the same bytes\n", 0));
    let stat = output(dir(), &["diff", "--stat", "old", "new"]);
    assert!(
        stdout(&stat).contains("Known: 1 added, 1 removed, 1 renamed, 4 changed"),
        "{}",
        stdout(&stat)
    );
}
