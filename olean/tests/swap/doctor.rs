//! `olean doctor`: a Lean in which all is well, programs without one, and a runtime that can only be replaced.

use std::fs;

use testkit::hosts::build_redirected;
use testkit::{process, real_lean, temp_dir};

use crate::{json, lean_words, masked, olean, run, stock_tree};

/// What `olean doctor` prints on the real Lean, masked by [`masked`]; what depends on the machine is cut.
const HEALTHY: &str = "\
library …/liblean_region.so
· program …/lean
· libraries libleanshared.so => …/libleanshared.so
✓ replace attaches, all functions of the loader are redirected
✓ observe attaches, all functions of the loader are redirected
✓ compare attaches, all functions of the loader are redirected
· Lean 4.35.0, githash eb6cafb7290e8bd5f2937522d8d804f58f02bafc
· in …/libleanshared.so
· generation regions are of the structure generation
· allocator mimalloc-fused
· function lean_compacted_region_save, # bytes
· lean_compacted_region_read, # bytes
· lean_compacted_region_free, # bytes
· region files # files with # on the search path
";

#[test]
fn a_healthy_lean_is_explained() {
    let output = run(["doctor".to_owned()].into_iter().chain(lean_words(&[]))).success();
    let seen = masked(&output.stdout);
    assert!(seen.starts_with(HEALTHY), "{output}");
    assert!(
        seen.ends_with("verdict the library works in this Lean\n"),
        "{output}"
    );
    let topics = ["addresses", "mappings", "overcommit", "seccomp", "SELinux"];
    assert!(
        topics
            .iter()
            .all(|topic| output.stdout.contains(&format!(" {topic} "))),
        "{output}"
    );
    assert_eq!(output.stderr, "");
}

#[test]
fn the_json_document_has_the_same_findings() {
    let args = ["doctor".to_owned(), "--json".to_owned()]
        .into_iter()
        .chain(lean_words(&[]));
    let document = json(&run(args).success());
    testkit::documents::check("olean doctor -- COMMAND", [&document]);
    assert_eq!(
        (&document["schema"], &document["works"]),
        (&1.into(), &true.into())
    );
    assert_eq!(document["host"]["lean_version"], testkit::REAL_LEAN_VERSION);
    let findings = document["findings"].as_array().unwrap();
    let of = |topic: &str| {
        findings
            .iter()
            .find(|f| f["topic"] == topic)
            .unwrap_or_else(|| panic!("{document:#}"))
    };
    for mode in ["replace", "observe", "compare"] {
        assert_eq!(of(mode)["state"], "good");
    }
    let files = testkit::lean::region_files(stock_tree()).len();
    let text = of("region files")["text"].as_str().unwrap();
    assert!(text.starts_with(&format!("{files} files with ")), "{text}");
    let mappings = of("mappings")["text"].as_str().unwrap();
    assert!(mappings.contains(&format!("{files} regions")), "{mappings}");
}

#[test]
fn files_of_another_lean_and_damaged_ones_are_noticed() {
    let dir = temp_dir("doctor-files");
    let (_, bytes) = testkit::lean::region_files(stock_tree()).pop_first().unwrap();
    let mut other = bytes.clone();
    other[40..80].fill(b'0');
    fs::write(dir.path().join("A.olean"), &bytes).unwrap();
    fs::write(dir.path().join("B.olean"), &other).unwrap();
    fs::write(dir.path().join("C.olean"), "x").unwrap();
    let output = process::run(olean(dir.path()).arg("doctor").args(lean_words(&[]))).success();
    assert!(output.stdout.contains("2 files with "), "{output}");
    assert!(
        output.stdout.contains("1 file without a valid header, such as "),
        "{output}"
    );
    assert!(
        output
            .stdout
            .contains(&format!("1 file of another Lean, {}", "0".repeat(40))),
        "{output}"
    );
    assert!(
        output.stdout.contains("1 pair of files want the same addresses"),
        "{output}"
    );
}

#[test]
fn a_program_without_lean_cannot_be_helped() {
    let output = run(["doctor", "--", "true"]);
    assert_eq!(output.status.code(), Some(1), "{output}");
    assert!(
        output
            .stdout
            .contains("✗ replace       no process of it has a Lean runtime"),
        "{output}"
    );
    assert!(
        output.stdout.contains("the library does not work here"),
        "{output}"
    );
    let output = run(["doctor", "--", "no-such-program"]);
    assert_eq!(output.status.code(), Some(2), "{output}");
    assert!(
        output.stderr.contains("there is no program 'no-such-program'"),
        "{output}"
    );
    assert!(real_lean().program.is_file());
}

#[test]
fn a_function_that_cannot_be_moved_is_named() {
    let dir = temp_dir("doctor-immovable");
    let program = build_redirected(dir.path(), &["STRUCTURE", "IMMOVABLE"], &[]);
    let output = process::run(olean(dir.path()).args(["doctor", "--"]).arg(&program)).success();
    assert!(output.stdout.contains("✓ replace       attaches"), "{output}");
    for mode in ["observe", "compare"] {
        let line = output
            .stdout
            .lines()
            .find(|line| line.contains(&format!("! {mode} ")))
            .expect(mode);
        assert!(
            line.contains("lean_compacted_region_free cannot be moved: the branch at offset 9 leads back"),
            "{output}"
        );
    }
}
