//! `--json`: one document, whatever happens.

use crate::files;
use crate::run::{code, output};
use testkit::Value;

fn json(line: &str) -> (i32, Value) {
    let args: Vec<&str> = line.split(' ').chain(["--json"]).collect();
    let output = output(files::dir(), &args);
    let value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{line}: {e}"));
    (code(&output), value)
}

#[test]
fn every_subcommand_prints_one_document_of_schema_1() {
    let made = testkit::temp_dir("json");
    let to = made.path().join("x.olean");
    let to = to.to_str().expect("UTF-8");
    for (line, expected) in [
        ("info lib bad", 1),
        ("stats lib wasm Kinds.snap", 0),
        ("verify lib bad", 1),
        ("hash lib bad/Cut.olean", 1),
        ("diff a b", 1),
        ("diff --stat a a", 0),
        ("dump Kinds.snap --depth 9", 0),
        (&format!("widen wasm/Small.olean {to}"), 0),
        (&format!("narrow lib/Demo.olean {to}"), 0),
        (&format!("relocate lib/Demo.olean --base 0x10000 -o {to}"), 0),
        ("demo --theorems 5", 0),
    ] {
        let (code, value) = json(line);
        assert_eq!(code, expected, "{line}");
        assert_eq!(value["schema"], 1, "{line}");
    }
}

#[test]
fn numbers_are_those_of_the_files() {
    let bytes = std::fs::metadata(files::dir().join("lib/Demo.olean"))
        .expect("it exists")
        .len();
    let (_, info) = json("info lib/Demo.olean");
    assert_eq!(info["files"][0]["bytes"], bytes);
    assert_eq!(info["files"][0]["width"], 64);
    assert_eq!(info["files"][0]["base_free"], true);
    let (_, verify) = json("verify bad");
    let bad: Vec<&Value> = verify["files"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|f| f["good"] == false)
        .collect();
    assert_eq!((verify["bad"].as_u64(), bad.len()), (Some(5), 5));
    assert!(bad.iter().all(|f| f["reason"].is_string()), "{bad:?}");
    let (_, stats) = json("stats lib/Demo.olean");
    let kinds = stats["total"]["kinds"].as_array().expect("a list");
    let sum: u64 = kinds.iter().map(|k| k["bytes"].as_u64().expect("a number")).sum();
    assert_eq!(
        sum + stats["total"]["frame_bytes"].as_u64().expect("a number"),
        bytes
    );
    let (_, diff) = json("diff a b");
    let count = |key: &str| diff[key].as_u64().expect("a number");
    let all = ["identical", "same_graph", "different", "only_in_a", "only_in_b"];
    assert_eq!(all.map(count), [1, 1, 1, 1, 1]);
    assert_eq!(diff["equal"], false);
}
