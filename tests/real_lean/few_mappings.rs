//! A process that may have fewer mappings than it reads regions: Lean sees no difference, and the report says why it
//! takes longer.

use std::ffi::OsString;
use std::fs;

use testkit::lean::Options;
use testkit::{c, library, temp_dir, workspace_dir};

use crate::{count, importing_file, ours, run_ours, seen};

#[test]
fn an_import_of_more_regions_than_mappings_works_and_is_explained_once() {
    let dir = temp_dir("few-mappings");
    let limit = dir.path().join("limit");
    fs::write(&limit, "600\n").unwrap();
    let mut build = c::Build::new();
    build
        .shared()
        .file(workspace_dir().join("c-tests/redirect/limit.c"))
        .arg("-ldl");
    let mut preload = OsString::from(build.build(dir.path().join("liblimit.so")));
    preload.push(":");
    preload.push(library());
    let file = importing_file("few_mappings.lean", "");
    let (usual, all) = run_ours(ours(), &[&file]);
    let options = Options::preloaded(preload).env("MAP_LIMIT", &limit);
    let (few, report) = run_ours(options, &[&file]);
    assert_eq!(seen(&few), seen(&usual));
    let [mapped, relocated] = ["mapped", "relocated"].map(|n| count(&report, "read", n));
    assert_eq!(count(&all, "read", "relocated"), 0, "{all:#}");
    assert_eq!(mapped + relocated, count(&all, "read", "calls"), "{report:#}");
    assert!(mapped > 128 && mapped < 600 && relocated > 0, "{report:#}");
    let notes = report.to_string().matches("vm.max_map_count").count();
    assert_eq!(notes, 2, "one note, which names it twice: {report:#}");
    assert!(report.to_string().contains("olean image build"), "{report:#}");
}
