//! Snapshots and the files that they were made with: refreshed where times alone differ, stale where content does.

use crate::run::{code, output};
use olean_reader::format::dependencies::{Dependency, content_digest, encode};
use olean_reader::format::extension::{self, push_dependencies};
use std::fs;
use testkit::olean::{Node, Spec};
use testkit::{Value, documents};

#[test]
fn restored_files_are_refreshed_and_changed_ones_are_stale() {
    let dir = testkit::temp_dir("refresh");
    let path = |name: &str| dir.path().join(name);
    fs::write(path("Dep.olean"), [7; 4000]).unwrap();
    let saved = Dependency {
        base: 0x1234_0000,
        size: 4000,
        device: 1,
        inode: 2,
        modified: 3,
        changed: 4,
        digest: Some(content_digest(&[7; 4000][..], &mut [0; 100]).unwrap()),
        racy: false,
        path: b"Dep.olean",
    };
    let mut spec = Spec::new(true, true, 3);
    let mut payload = extension::encode(&[], &[0; 16]);
    push_dependencies(&mut payload, &encode(&mut [saved]).unwrap()).unwrap();
    spec.extension = Some(payload);
    spec.root = spec.push(Node::Str("snapshot".to_owned()));
    let before = spec.write().bytes;
    fs::write(path("A.snap"), &before).unwrap();
    let run = |args: &[&str]| {
        let output = output(dir.path(), args);
        (
            code(&output),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };

    let (_, text) = run(&["info", "A.snap"]);
    assert!(text.contains("1 with other times (olean refresh)"), "{text}");
    let (exit, text) = run(&["refresh", "A.snap"]);
    assert!(
        exit == 0 && text.contains("times of 1 of 1 files written"),
        "{text}"
    );
    let after = fs::read(path("A.snap")).unwrap();
    assert_eq!(after.len(), before.len());
    let different = before.iter().zip(&after).filter(|(a, b)| a != b).count();
    assert!((1..=32).contains(&different), "{different} bytes");
    let (exit, text) = run(&["refresh", "A.snap"]);
    assert!(exit == 0 && text.contains("nothing to do"), "{text}");
    let (_, text) = run(&["info", "A.snap"]);
    assert!(text.contains("none changed since"), "{text}");
    let document = |args: &[&str]| -> Value { run(args).1.parse().expect("a document") };
    documents::check("olean refresh", [&document(&["refresh", "A.snap", "--json"])]);
    documents::check_known("olean info", [&document(&["info", "A.snap", "--json"])]);
    assert_eq!(run(&["verify", "A.snap"]).0, 0);

    for (content, why) in [
        (vec![8; 4000], "has the same size and other content"),
        (vec![7; 4008], "had 4000 bytes and has 4008"),
    ] {
        fs::write(path("Dep.olean"), content).unwrap();
        let (exit, text) = run(&["refresh", "A.snap"]);
        assert!(exit == 1 && text.contains(why), "{text}");
        let (exit, text) = run(&["verify", "A.snap"]);
        assert!(
            exit == 1 && text.contains("stale") && text.contains(why),
            "{text}"
        );
        assert!(run(&["info", "A.snap"]).1.contains("so it is stale"));
    }
    fs::remove_file(path("Dep.olean")).unwrap();
    let (exit, text) = run(&["refresh", "A.snap"]);
    assert!(exit == 1 && text.contains("missing: Dep.olean\n"), "{text}");
    std::os::unix::fs::symlink("Dep.olean", path("Dep.olean")).unwrap();
    let why = "Dep.olean: Too many levels of symbolic links\n";
    let (exit, text) = run(&["refresh", "A.snap"]);
    assert!(exit == 1 && text.contains(&format!("missing: {why}")), "{text}");
    // A long line is broken.
    let (_, text) = run(&["info", "A.snap"]);
    assert!(
        text.contains("1 are not there from this folder: Dep.olean: Too many"),
        "{text}"
    );
    assert_eq!(fs::read(path("A.snap")).unwrap(), after);
}
