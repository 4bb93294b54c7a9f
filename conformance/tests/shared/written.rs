//! Files that the library writes, judged by the independent checker: closures of C programs, and what a real Lean
//! saves through it.

use crate::alone;
use conformance::Judge;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::closures::{build_plug, build_program};
use testkit::lean::{self, Options};
use testkit::{process, real_lean, tree};

/// What the checker says of each file with its dependencies, all of which it must accept.
fn judge(files: &[(PathBuf, Vec<PathBuf>)]) -> Vec<Value> {
    let request: Vec<Value> = files
        .iter()
        .map(|(path, deps)| json!({"path": path, "deps": deps, "width": 64}))
        .collect();
    let mut judge = Judge::start(&json!({"do": "judge", "files": request}));
    let answers = files.iter().map(|(path, _)| {
        let (answer, _) = judge.answer().expect("an answer for every file");
        assert_eq!(answer["ok"], true, "{}: {}", path.display(), answer["why"]);
        answer
    });
    let answers = answers.collect();
    assert!(judge.answer().is_none());
    answers
}

#[test]
fn files_with_closures_are_sound() {
    let _alone = alone();
    let dir = testkit::temp_dir("written-closures");
    let plug = build_plug(&dir.path().join("libplug.so"), &[]);
    let program = build_program(dir.path(), "program", &[]);
    let file = |name: &str| dir.path().join(name);
    let run = |command: &str, args: &[&Path]| {
        let mut run = Command::new(&program);
        process::run(Options::stock().apply(run.arg(command).args(args))).success();
    };
    let [one, empty, pages, inner, outer] =
        ["one", "empty", "pages", "inner", "outer"].map(|name| file(&format!("{name}.olean")));
    run("save", &[&one, &plug]);
    run("without", &[&empty]);
    run("pages", &[&pages]);
    run("regions-save", &[&inner, &outer]);
    let chain = [1, 2, 3].map(|i| file(&format!("chain{i}.olean")));
    run("chain", &[&chain[0], &chain[1], &chain[2]]);

    let mut files: Vec<(PathBuf, Vec<PathBuf>)> = [one, empty, pages, inner.clone()]
        .map(|file| (file, Vec::new()))
        .into();
    files.push((outer, vec![inner]));
    files.extend((0..3).map(|i| (chain[i].clone(), chain[..i].to_vec())));
    judge(&files);
}

#[test]
fn files_of_a_real_lean_are_sound() {
    let _alone = alone();
    let dir = testkit::temp_dir("written-lean");
    let tree = tree::generate(dir.path(), 20, 10, 5);
    let lean = real_lean();
    let ours = Options::preloaded(testkit::library());
    lean::compile(&lean, &tree, &ours);
    let regions: Vec<PathBuf> = lean::region_files(&tree)
        .into_keys()
        .map(|name| tree.dir.join(name))
        .collect();
    // The parts of a module refer to each other and to nothing else.
    let module = |file: &Path| {
        let name = file.file_name().expect("a file").to_string_lossy().into_owned();
        file.with_file_name(name.split('.').next().expect("a name"))
    };
    let parts = |file: &PathBuf| {
        let others = regions
            .iter()
            .filter(|other| *other != file && module(other) == module(file));
        others.cloned().collect()
    };
    let mut files: Vec<(PathBuf, Vec<PathBuf>)> =
        regions.iter().map(|file| (file.clone(), parts(file))).collect();
    assert!(
        files.iter().any(|(_, parts)| parts.len() >= 2),
        "a module in three parts"
    );

    for kind in ["incr-save", "incr-header-save"] {
        let snapshot = tree.dir.join(kind);
        let mut save = lean::command(&lean, &tree.dir, &ours);
        save.arg(format!("--{kind}={}", snapshot.display()))
            .arg(tree.all().source());
        process::run(&mut save).success();
        files.push((snapshot, regions.clone()));
    }
    let answers = judge(&files);
    let snapshot = &answers[answers.len() - 2];
    assert!(
        snapshot["objects"].as_u64().expect("a number") > 50_000,
        "{snapshot}"
    );
}
