//! What the tool says of the declarations of real files: kinds, quotients, private declarations in three parts.

use crate::alone;
use conformance::shared;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

fn json(args: &[&str], paths: &[&Path]) -> Value {
    let mut command = Command::new(testkit::program("olean"));
    let output = command
        .args(args)
        .arg("--json")
        .args(paths)
        .output()
        .expect("the tool runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The names of the listed declarations, by module.
fn names(list: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in list["declarations"].as_array().expect("a list") {
        let text = |key: &str| row[key].as_str().expect("a text").to_owned();
        all.entry(text("module")).or_default().insert(text("name"));
    }
    all
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&n| n.to_owned()).collect()
}

#[test]
fn nothing_is_called_an_axiom_that_is_none() {
    let _alone = alone();
    let list = json(&["ls", "--kind", "axiom"], &[&shared().join("corpus")]);
    let core = [
        "Lean.ofReduceBool",
        "Lean.ofReduceNat",
        "Lean.trustCompiler",
        "Quot.sound",
        "propext",
    ];
    let prelude = [
        "Classical.choice",
        "Quot.lcInv",
        "lcAny",
        "lcCast",
        "lcErased",
        "lcProof",
        "lcUnreachable",
        "lcVoid",
        "sorryAx",
    ];
    let expected = BTreeMap::from([
        ("Init.Core".to_owned(), set(&core)),
        ("Init.Prelude".to_owned(), set(&prelude)),
    ]);
    assert_eq!(names(&list), expected);
    assert_eq!(list["total"]["not_whole"], 24);
}

#[test]
fn quotients_are_quotients_and_every_constant_is_listed_once() {
    let _alone = alone();
    let list = json(&["ls"], &[&shared().join("corpus")]);
    let rows = list["declarations"].as_array().expect("a list");
    let quots: BTreeSet<String> = rows
        .iter()
        .filter(|r| r["kind"] == "quot")
        .map(|r| r["name"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(quots, set(&["Quot", "Quot.ind", "Quot.lift", "Quot.mk"]));
    let distinct: usize = names(&list).values().map(BTreeSet::len).sum();
    assert_eq!((rows.len(), distinct), (9713, 9713));
    let kinds = &list["total"]["kinds"];
    assert_eq!(
        (&kinds["theorem"], &kinds["inductive"]),
        (&Value::from(3283), &Value::from(263))
    );
}

#[test]
fn a_module_in_three_parts_is_one_list() {
    let _alone = alone();
    let file = shared().join("corpus64/ModPriv.olean");
    let list = json(&["ls"], &[&file]);
    let rows = list["declarations"].as_array().expect("a list");
    let kind = |name: &str| rows.iter().find(|r| r["name"] == name).map(|r| r["kind"].clone());
    assert_eq!(kind("triv"), Some("theorem".into()));
    assert_eq!(kind("bump"), Some("def".into()));
    assert_eq!(kind("_private.ModPriv.0.secret"), Some("def".into()));
    assert_eq!(
        (rows.len(), &list["modules"][0]["whole"]),
        (12, &Value::Bool(true))
    );
    let refs = json(&["refs", "secret"], &[&file]);
    assert_eq!(refs["declarations"][0]["name"], "bump");
}

#[test]
fn a_module_and_its_widened_copy_have_no_differences() {
    let _alone = alone();
    let dir = testkit::temp_dir("declarations");
    let (narrow, wide) = (
        shared().join("corpus/Init.Core.olean"),
        dir.path().join("Init.Core.olean"),
    );
    let mut command = Command::new(testkit::program("olean"));
    let widened = command
        .args(["widen", "--bignums", "gmp"])
        .args([&narrow, &wide])
        .output()
        .expect("the tool runs");
    assert!(widened.status.success());
    let diff = json(&["diff"], &[&narrow, &wide]);
    assert_eq!(
        (&diff["equal"], &diff["modules"]),
        (&Value::Bool(true), &Value::Array(vec![]))
    );
}
