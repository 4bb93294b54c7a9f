//! The command-line tool on the whole corpus, as one folder.

use crate::alone;
use conformance::{Module, corpus, shared};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn olean(args: &[&str], paths: &[&Path]) -> Output {
    let mut command = Command::new(testkit::program("olean"));
    command.args(args).args(paths).output().expect("the tool runs")
}

fn stdout(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

#[test]
fn hashes_are_those_of_the_manifest() {
    let _alone = alone();
    let text = stdout(&olean(&["hash"], &[&shared().join("corpus")]));
    let mut modules: Vec<Module> = corpus();
    modules.sort_by(|a, b| a.path.cmp(&b.path));
    let line = |m: &Module| {
        let (graph, share) = (m.text("graphhash"), m.text("sharehash"));
        format!("{graph} {share} {}\n", m.path.display())
    };
    assert_eq!(text, modules.iter().map(line).collect::<String>());
}

#[test]
fn the_corpus_is_verified_and_a_damaged_copy_named() {
    let _alone = alone();
    assert_eq!(stdout(&olean(&["verify"], &[&shared().join("corpus")])), "");
    let dir = testkit::temp_dir("tool");
    for m in corpus() {
        let name = m.path.file_name().expect("a file");
        let mut bytes = m.bytes.clone();
        if m.text("name") == "Lean.Structure" {
            // The tag of the object at the root is no tag at all.
            let root = u32::from_le_bytes(bytes[84..88].try_into().expect("4 bytes"));
            let base = u32::from_le_bytes(bytes[80..84].try_into().expect("4 bytes"));
            bytes[(root - base) as usize + 7] = 247;
        }
        fs::write(dir.path().join(name), bytes).expect("a copy");
    }
    let output = olean(&["verify"], &[dir.path()]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        text.contains("Lean.Structure.olean: offset 0x") && text.contains("invalid tag 247"),
        "{text}"
    );
}

#[test]
fn a_folder_is_widened_and_narrowed_back() {
    let _alone = alone();
    let dir = testkit::temp_dir("tool");
    let (corpus_dir, wide, narrow) = (
        shared().join("corpus"),
        dir.path().join("wide"),
        dir.path().join("narrow"),
    );
    stdout(&olean(&["widen", "--bignums", "gmp"], &[&corpus_dir, &wide]));
    assert_eq!(stdout(&olean(&["verify"], &[&wide])), "");
    let diff = stdout(&olean(&["diff", "--stat", "--json"], &[&corpus_dir, &wide]));
    let diff: serde_json::Value = serde_json::from_str(&diff).expect("JSON");
    let modules = corpus();
    assert_eq!(
        (diff["equal"].as_bool(), diff["same_graph"].as_u64()),
        (Some(true), Some(modules.len() as u64))
    );
    stdout(&olean(&["narrow", "--bignums", "native"], &[&wide, &narrow]));
    for m in modules {
        let back = fs::read(narrow.join(m.path.file_name().expect("a file"))).expect("it was written");
        assert!(back == m.bytes, "{}", m.path.display());
    }
}
