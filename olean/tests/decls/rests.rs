//! `olean axioms`, judged by `#print axioms` of the real Lean in a file outside the module system.

use crate::run::{code, output, stdout};
use crate::trees::{dir, json, texts};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use testkit::{Value, lean, process, real_lean};

/// What Lean says of each name.
fn judged(names: &[&str]) -> BTreeMap<String, Vec<String>> {
    let mut source = "prelude\nimport Plain\n".to_owned();
    for name in names {
        writeln!(source, "#print axioms {name}").expect("text grows");
    }
    fs::write(dir().join("old/Judge.lean"), source).expect("a source");
    let lean = real_lean();
    let mut command = lean::command(&lean, &dir().join("old"), &lean::Options::stock());
    let said = process::run(command.arg("Judge.lean")).success().stdout;
    fs::remove_file(dir().join("old/Judge.lean")).expect("it was there");
    // A long list goes on in further lines.
    let mut all = BTreeMap::new();
    for piece in said.split('\'').collect::<Vec<_>>()[1..].chunks(2) {
        let [name, says] = piece else { panic!("{said}") };
        let list = says.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
        let axioms = list.map_or("", |(inside, _)| inside);
        let axioms = axioms
            .split(',')
            .map(|a| a.trim().to_owned())
            .filter(|a| !a.is_empty());
        all.insert((*name).to_owned(), axioms.collect());
    }
    assert_eq!(all.len(), names.len(), "{said}");
    all
}

#[test]
fn axioms_are_those_that_lean_prints() {
    let (report, _) = json(&["axioms", "old", "--all"]);
    let rows = report["declarations"].as_array().expect("a list");
    // Private names cannot be written in another module, and parts of quoted ones are left out.
    let is_plain = |r: &&Value| {
        let name = r["name"].as_str().expect("a name");
        let own =
            r["module"] == "Known" || r["module"] == "Plain" || name == "eq_of_heq" || name == "lcProof";
        own && !name.starts_with("_private") && !name.contains('«') && !name.contains("._")
    };
    let rows: Vec<&Value> = rows.iter().filter(is_plain).collect();
    let names: Vec<&str> = rows.iter().filter_map(|r| r["name"].as_str()).collect();
    assert!(names.len() > 30 && names.contains(&"plain"), "{names:?}");
    let judged = judged(&names);
    for row in rows {
        let axioms: Vec<String> = serde_json::from_value(row["axioms"].clone()).expect("a list");
        let name = row["name"].as_str().expect("a name");
        assert_eq!(axioms, judged[name], "{name}");
        assert_eq!(row["source"], "computed", "{name}");
        assert!(
            row.get("recorded").is_none() && row.get("missing").is_none(),
            "{row}"
        );
    }
}

#[test]
fn without_private_parts_records_count_and_what_is_missing_is_said() {
    let public = testkit::temp_dir("public-parts");
    for name in ["Base", "Known"] {
        let file = format!("{name}.olean");
        fs::copy(dir().join("old").join(&file), public.path().join(&file)).expect("a copy");
    }
    let (whole, _) = json(&["axioms", "old", "--all"]);
    let (part, _) = json(&["axioms", public.path().to_str().expect("UTF-8"), "--all"]);
    let by_name = |v: &Value| -> BTreeMap<String, Value> {
        let rows = v["declarations"].as_array().expect("a list").iter();
        rows.map(|r| (r["name"].as_str().expect("a name").to_owned(), r.clone()))
            .collect()
    };
    let (whole, part) = (by_name(&whole), by_name(&part));
    for (name, row) in &part {
        assert_eq!(row["axioms"], whole[name]["axioms"], "{name}");
    }
    assert_eq!(part["Known.viaLazy"]["source"], "recorded");
    // A module without what it imports: what is not known is said.
    let text = output(dir(), &["axioms", "old/Plain.olean", "--decl", "plain"]);
    assert_eq!(code(&text), 0);
    assert!(
        stdout(&text).contains("Known.sorryAx (recorded)"),
        "{}",
        stdout(&text)
    );
}

#[test]
fn a_way_to_each_axiom_is_shown() {
    let (report, _) = json(&["axioms", "old", "--decl", "plain"]);
    let row = &report["declarations"][0];
    let way: Vec<&str> = row["ways"][0]
        .as_array()
        .expect("a way")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(way, ["plain", "Known.lazy", "Known.sorryAx"]);
    let none = output(dir(), &["axioms", "old", "--decl", "nowhere.atAll"]);
    assert_eq!(code(&none), 1);
    let (report, _) = json(&["axioms", "old"]);
    assert!(texts(&report["axioms"], "name").contains(&"Known.sorryAx"));
}
