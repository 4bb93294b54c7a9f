//! `olean ls`, `refs`, `grep` and `info` on what the real Lean compiled.

use crate::run::{code, output, stdout};
use crate::trees::{dir, json, texts};
use std::collections::BTreeMap;
use std::fs;
use testkit::Value;

fn rows(list: &Value) -> BTreeMap<String, &Value> {
    let list = list["declarations"].as_array().expect("a list");
    list.iter()
        .map(|r| (r["name"].as_str().expect("a name").to_owned(), r))
        .collect()
}

#[test]
fn kinds_and_attributes_are_those_of_the_source() {
    let (list, code) = json(&["ls", "old/Known.olean"]);
    assert_eq!(code, 0);
    let rows = rows(&list);
    for (name, kind, attributes) in [
        ("Known.sorryAx", "axiom", vec![]),
        ("Known.proof", "theorem", vec![]),
        ("Known.documented", "def", vec![]),
        ("_private.Known.0.Known.hidden", "def", vec!["private"]),
        ("Known.sealed", "opaque", vec![]),
        ("Known.Even", "inductive", vec![]),
        ("Known.Even.s", "constructor", vec![]),
        ("Known.Odd.rec", "recursor", vec![]),
        ("Known.Box", "inductive", vec!["structure"]),
        ("Known.instDefaultBox", "def", vec!["instance"]),
        ("Known.«tief 3»", "def", vec![]),
    ] {
        let row = rows.get(name).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(row["kind"], kind, "{name}");
        let found: Vec<&str> = row["attributes"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        if name == "Known.instDefaultBox" {
            // Instances are reducible in one way or another from release to release.
            assert!(found.contains(&"instance"), "{found:?}");
        } else {
            assert_eq!(found, attributes, "{name}");
        }
    }
    let (new, _) = json(&["ls", "new/Known.olean", "--match", "attributed"]);
    assert_eq!(new["declarations"][0]["attributes"][0], "reducible");
}

#[test]
fn a_public_part_alone_has_the_same_kinds_and_says_what_it_lacks() {
    let alone = testkit::temp_dir("public-part");
    fs::copy(dir().join("old/Known.olean"), alone.path().join("Known.olean")).expect("a copy");
    let path = alone.path().join("Known.olean");
    let (part, _) = json(&["ls", path.to_str().expect("UTF-8")]);
    let (whole, _) = json(&["ls", "old/Known.olean"]);
    let (part, whole) = (rows(&part), rows(&whole));
    assert!(part.len() < whole.len());
    for (name, row) in &part {
        assert_eq!(row["kind"], whole[name]["kind"], "{name}");
    }
    let text = output(alone.path(), &["ls", "Known.olean"]);
    assert!(
        stdout(&text).contains("only the public part is here"),
        "{}",
        stdout(&text)
    );
}

#[test]
fn sizes_add_up() {
    let (list, _) = json(&["ls", "old"]);
    for m in list["modules"].as_array().expect("a list") {
        let number = |v: &Value, key: &str| v[key].as_u64().unwrap_or_else(|| panic!("{key}: {v}"));
        let own = list["declarations"]
            .as_array()
            .expect("a list")
            .iter()
            .filter(|r| r["module"] == m["module"]);
        let exclusive: u64 = own.clone().map(|r| number(r, "bytes")).sum();
        assert_eq!(
            exclusive + number(m, "shared_bytes"),
            number(m, "declaration_bytes"),
            "{m}"
        );
        assert!(number(m, "declaration_bytes") <= number(m, "object_bytes"), "{m}");
        assert!(
            own.clone()
                .all(|r| number(r, "shared_bytes") <= number(m, "shared_bytes")),
            "{m}"
        );
        let files: u64 = texts_len(m, "old");
        assert!(number(m, "object_bytes") < files, "{m}");
        // With everything folded away nothing is lost.
        let name = m["module"].as_str().expect("a name");
        let (folded, _) = json(&["ls", &format!("old/{name}.olean"), "--fold"]);
        let folded = &folded["modules"][0];
        assert_eq!(folded["declaration_bytes"], m["declaration_bytes"]);
    }
}

fn texts_len(module: &Value, _build: &str) -> u64 {
    let files = module["files"].as_array().expect("a list");
    let len = |f: &Value| {
        fs::metadata(dir().join(f.as_str().expect("a path")))
            .expect("it is there")
            .len()
    };
    files.iter().map(len).sum()
}

#[test]
fn lists_are_sorted_chosen_and_cut() {
    let (list, _) = json(&["ls", "old", "--sort", "size", "--top", "5"]);
    let sizes: Vec<u64> = list["declarations"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|r| r["bytes"].as_u64())
        .collect();
    assert!(sizes.len() == 5 && sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
    let (list, _) = json(&["ls", "old/Known.olean", "--kind", "axiom,instance"]);
    assert_eq!(
        texts(&list["declarations"], "name"),
        ["Known.choice", "Known.instDefaultBox", "Known.sorryAx"]
    );
    let (list, _) = json(&["ls", "old/Known.olean", "--fold", "--match", "Even"]);
    assert_eq!(texts(&list["declarations"], "name"), ["Known.Even"]);
}

#[test]
fn uses_are_found() {
    let (refs, found) = json(&["refs", "hidden", "old"]);
    assert_eq!(
        (texts(&refs["declarations"], "name"), found),
        (vec!["Known.usesHidden"], 0)
    );
    let (refs, _) = json(&["refs", "Known.lazy", "old"]);
    assert_eq!(texts(&refs["declarations"], "name"), ["Known.viaLazy", "plain"]);
    let nothing = output(dir(), &["refs", "Known.lasy", "old"]);
    assert_eq!(code(&nothing), 1);
    assert!(stdout(&nothing).contains("Known.lazy"), "{}", stdout(&nothing));
    let (grep, _) = json(&["grep", "Zeichen|doc comment", "old"]);
    assert_eq!(
        texts(&grep["matches"], "declaration"),
        ["Known.documented", "Known.«tief 3»"]
    );
    assert_eq!(texts(&grep["matches"], "what"), ["doc", "string"]);
}

#[test]
fn info_tells_imports_and_kinds_and_what_is_odd() {
    let (info, _) = json(&["info", "old/Known.olean.private"]);
    let module = &info["files"][0]["module"];
    assert_eq!(
        (&module["is_module"], &module["whole"]),
        (&Value::Bool(true), &Value::Bool(true))
    );
    assert_eq!(module["imports"][0]["module"], "Base");
    assert_eq!(module["imports"][0]["public"], true);
    assert_eq!(module["kinds"]["axiom"], 2);
    let (info, _) = json(&["info", "old"]);
    assert_eq!(info["summary"]["modules"], 6);
    assert!(info["summary"]["odd"].as_array().is_some_and(|odd| {
        odd.iter()
            .all(|o| o["what"].as_str().is_some_and(|w| w.contains("base address")))
    }));
}
