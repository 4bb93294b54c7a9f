//! `olean image build` and its relatives: what goes in, what is left out, and that an image is whole or not there.

use super::{Files, IMAGE, olean, places, set_age};
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};
use testkit::{Value, documents};

#[test]
fn what_cannot_be_in_an_image_is_named_and_left_out_with_its_module() {
    let files = Files::saved();
    let bytes = fs::read(files.path("B.olean")).unwrap();
    fs::write(files.path("Cut.olean"), &bytes[..bytes.len() - 8]).unwrap();
    fs::write(files.path("Cut.olean.server"), &bytes).unwrap();
    let mut other = bytes.clone();
    other[40] ^= 1;
    fs::write(files.path("Other.olean"), other).unwrap();
    fs::write(files.path("Text.olean"), "no region").unwrap();
    files.age();
    let output = files.image(&["build", ".", "-o", IMAGE, "--json"]);
    assert_eq!(output.status.code(), Some(1), "{output}");
    let report: Value = output.stdout.parse().unwrap();
    documents::check("olean image build", [&report]);
    assert_eq!(report["regions"], 5);
    let left: Vec<(&str, &str)> = report["left_out"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| {
            (
                l["path"].as_str().unwrap().rsplit('/').next().unwrap(),
                l["reason"].as_str().unwrap(),
            )
        })
        .collect();
    let reason = |name: &str| {
        left.iter()
            .find(|l| l.0 == name)
            .unwrap_or_else(|| panic!("{name}: {left:?}"))
            .1
    };
    assert!(
        reason("Z.olean.server").contains("its root lies in another part"),
        "{left:?}"
    );
    assert!(
        reason("Z.olean").contains("another part of its module"),
        "{left:?}"
    );
    assert!(reason("Cut.olean").contains("offset"), "{left:?}");
    assert!(
        reason("Cut.olean.server").contains("another part of its module"),
        "{left:?}"
    );
    assert!(reason("Other.olean").contains("most files are of"), "{left:?}");
    assert!(reason("Text.olean").contains("no region file"), "{left:?}");
    assert_eq!(left.len(), 6, "{left:?}");
    assert_eq!(
        places(&files.run(&["read:A.olean", "read:Other.olean"]))[0],
        "image"
    );
}

#[test]
fn young_files_are_waited_for() {
    let files = Files::saved();
    set_age(&files.path("A.olean"), 0);
    let start = Instant::now();
    let output = files.image(&["build", "A.olean", "-o", IMAGE]).success();
    assert!(start.elapsed() >= Duration::from_secs(2), "{output}");
    assert!(output.stdout.contains("waiting for young files"), "{output}");
    assert_eq!(places(&files.run(&["read:A.olean"])), ["image"]);
}

#[test]
fn a_builder_that_is_killed_leaves_the_old_image_whole() {
    let files = Files::saved();
    files.build();
    for round in 0..20u64 {
        let mut builder = olean(files.dir.path())
            .args(["image", "build", ".", "-o", IMAGE])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(round * 700));
        builder.kill().unwrap();
        builder.wait().unwrap();
        assert_eq!(
            places(&files.run(&["read:A.olean", "read:B.olean"])),
            ["image", "image"],
            "round {round}"
        );
    }
}

#[test]
fn builders_at_the_same_time_and_readers_between_them_see_whole_images() {
    let files = Files::saved();
    files.build();
    let builders: Vec<_> = (0..4)
        .map(|_| {
            olean(files.dir.path())
                .args(["image", "build", ".", "-o", IMAGE])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(
            places(&files.run(&["read:A.olean", "read:B.olean"])),
            ["image", "image"]
        );
    }
    for mut builder in builders {
        assert_eq!(builder.wait().unwrap().code(), Some(1));
    }
    assert_eq!(
        places(&files.run(&["read:A.olean", "read:B.olean"])),
        ["image", "image"]
    );
    let left: Vec<_> = fs::read_dir(files.dir.path())
        .unwrap()
        .filter(|e| {
            e.as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .contains(".tmp.")
        })
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn documents_have_the_fields_that_the_page_describes() {
    let files = Files::saved();
    files.build();
    for command in ["info", "list", "verify", "refresh"] {
        let output = files.image(&[command, IMAGE, "--json"]).success();
        let document: Value = output.stdout.parse().unwrap();
        documents::check(&format!("olean image {command}"), [&document]);
    }
}
