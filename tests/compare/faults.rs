//! A library that writes or hands out one wrong byte is found out.

use std::fs;

use testkit::lean::{self, Options};
use testkit::{faulty_library, process, real_lean, temp_dir, tree};

#[test]
fn one_wrong_byte_in_a_file_or_a_region_is_found() {
    let dir = temp_dir("compare-faults");
    let tree = tree::generate(&dir.path().join("tree"), 4, 4, 5);
    lean::compile(&real_lean(), &tree, &Options::stock());
    let module = tree.all();
    let run = |fault: &str, strict: &str| {
        let reports = temp_dir("compare-faults-report");
        let options = Options::preloaded(faulty_library())
            .env("LEAN_REGION_MODE", "compare")
            .env("LEAN_REGION_FAULT", fault)
            .env("LEAN_REGION_STRICT", strict)
            .report(reports.path());
        let mut command = lean::command(&real_lean(), &tree.dir, &options);
        let output = process::run(command.arg("-o").arg(module.olean()).arg(module.source()));
        (output, lean::reports(reports.path()).remove(0))
    };

    let (output, report) = run("none", "1");
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), ""), "{output}");
    assert_eq!(
        crate::assert_equal(&report)[0],
        1,
        "a sound library is found to be so"
    );

    let (output, report) = run("save", "1");
    assert_eq!(output.status.code(), Some(86), "{output}");
    assert!(
        output
            .stderr
            .starts_with("lean-region: compare: save of 'All.olean' differs"),
        "{output}"
    );
    assert_eq!(output.stderr.lines().count(), 1, "{output}");
    let compare = &report["compare"];
    assert_eq!(
        (&compare["saves_different"], &compare["reads_different"]),
        (&1.into(), &0.into())
    );
    let first = &compare["first_difference"];
    assert!(
        first["detail"]
            .as_str()
            .unwrap()
            .contains("a scalar word of the string"),
        "{first:#}"
    );
    let (ours, host) = (
        fs::read(tree.dir.join(module.olean())).unwrap(),
        fs::read(first["host_file"].as_str().unwrap()),
    );
    let differing = ours
        .iter()
        .zip(&host.expect("the host's file is kept"))
        .filter(|(a, b)| a != b)
        .count();
    assert_eq!(differing, 1, "one byte");

    let (output, report) = run("save", "");
    assert_eq!(output.status.code(), Some(0), "not strict: {output}");
    assert_eq!(report["compare"]["saves_different"], 1);

    let (output, report) = run("read", "1");
    assert_eq!(output.status.code(), Some(86), "{output}");
    assert!(
        output
            .stderr
            .contains("lean-region: compare: read of './Base.olean' differs"),
        "{output}"
    );
    assert!(crate::found(&report, "reads_different") > 0, "{report:#}");
}
