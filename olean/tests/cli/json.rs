//! `--json`: one document, whatever happens.

use crate::files;
use crate::run::{code, output};
use testkit::{Value, documents};

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

/// Commands that are held against the page here; others are where there are files for them.
#[test]
fn documents_have_the_fields_that_the_page_describes() {
    let made = testkit::temp_dir("json-fields");
    let to = made.path().join("x.olean");
    let to = to.to_str().expect("UTF-8");
    for (section, lines) in [
        (
            "olean stats",
            vec!["stats lib wasm Kinds.snap", "stats lib/Demo.olean.private"],
        ),
        ("olean hash", vec!["hash lib"]),
        (
            "olean dump",
            vec!["dump Kinds.snap", "dump lib/Demo.olean --limit 1"],
        ),
        (
            "olean widen, olean narrow",
            vec![
                &*format!("widen wasm/Small.olean {to}"),
                &*format!("narrow lib/Demo.olean {to}"),
            ],
        ),
        (
            "olean relocate",
            vec![&*format!("relocate lib/Demo.olean --base 0x10000 -o {to}")],
        ),
        ("olean verify", vec!["verify lib bad"]),
        ("olean demo", vec!["demo --theorems 5"]),
    ] {
        let printed: Vec<Value> = lines.into_iter().map(|line| json(line).1).collect();
        documents::check(section, &printed);
    }
    let (_, info) = json("info Kinds.snap wasm/Small.olean bad/Text.olean bad/Pointer.olean");
    documents::check_known("olean info", [&info]);
}

#[test]
fn every_command_with_a_document_is_on_the_page() {
    let sections = documents::sections();
    let is_described = |command: &str| {
        let named = format!("olean {command}");
        sections.iter().flat_map(|s| s.split(", ")).any(|s| {
            let rest = s.strip_prefix(&named);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        })
    };
    let commands = |args: &[&str]| -> Vec<String> {
        let help = output(files::dir(), args);
        let text = String::from_utf8(help.stdout).expect("UTF-8");
        let from = text.find("Commands:").expect("a list of commands");
        let lines = text[from..].lines().skip(1).take_while(|line| !line.is_empty());
        let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    let without = ["with", "completions", "man", "image"];
    let of_image = commands(&["image", "-h"])
        .into_iter()
        .map(|name| format!("image {name}"));
    let all: Vec<String> = commands(&["-h"]).into_iter().chain(of_image).collect();
    assert!(all.len() > 20, "{all:?}");
    for command in all.iter().filter(|c| !c.ends_with("help")) {
        assert!(
            without.contains(&&**command) || is_described(command),
            "docs/json.md has no section `olean {command}`"
        );
    }
}
