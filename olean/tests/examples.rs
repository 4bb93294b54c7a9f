//! The programs in `examples/`: each is built with nothing but the public header, run, and checked by what it prints;
//! those in C and C++ also under valgrind. Each prints itself how many objects and regions it left over.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::{TempDir, c, library, process, temp_dir, valgrind, workspace_dir};

#[path = "../../examples/rust/dependency.rs"]
mod dependency;
#[path = "../../examples/rust/image.rs"]
mod image;
#[path = "../../examples/rust/inspect.rs"]
mod inspect;
#[path = "../../examples/rust/same.rs"]
mod same;
#[path = "../../examples/rust/set.rs"]
mod set;

const NOTHING_LEFT: &str = "left over: 0 objects, 0 regions\n";

/// Builds `examples/FILE`.
fn build(file: &str, dir: &TempDir) -> PathBuf {
    let source = workspace_dir().join("examples").join(file);
    let mut build = c::Build::new();
    if file.ends_with(".cpp") {
        build.cpp().arg("-std=c++17");
    } else {
        build.arg("-std=c99");
    }
    build
        .arg("-pedantic")
        .include(workspace_dir().join("include"))
        .file(&source)
        .link(library());
    build.build(dir.path().join("program"))
}

/// What the program prints: twice, the second time under valgrind.
#[track_caller]
fn printed(program: &Path, args: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(args);
    let checked = process::run(&mut valgrind(&command)).success();
    let plain = process::run(&mut command).success();
    assert_eq!(
        (plain.stdout.as_str(), plain.stderr.as_str()),
        (checked.stdout.as_str(), "")
    );
    plain.stdout
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn saving_with_sharing() {
    let dir = temp_dir("example-share");
    let folder = text(dir.path());
    let shown = printed(&build("c/share.c", &dir), &[folder]);
    assert_eq!(
        shown,
        format!("3 elements, \"said once\", one object\n{NOTHING_LEFT}")
    );
    // The Rust examples look into the same file.
    let file = dir.path().join("share.region");
    let looked = inspect::run(text(&file)).unwrap();
    assert!(
        looked.starts_with("string \"said once\"\n2 objects, graphhash "),
        "{looked}"
    );
    assert_eq!(same::run(text(&file), text(&file)).unwrap(), "the same\n");
    let other = dir.path().join("other.region");
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.windows(4).position(|w| w == b"said").unwrap();
    bytes[at] = b'S';
    fs::write(&other, bytes).unwrap();
    assert_ne!(same::run(text(&file), text(&other)).unwrap(), "the same\n");

    let shown = printed(&build("cpp/share.cpp", &dir), &[folder]);
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(
        (lines[0], lines[2]),
        ("\"said once\", one object", NOTHING_LEFT.trim_end())
    );
    assert!(
        lines[1].starts_with("error: ") && lines[1].contains("/nothing/here"),
        "{shown}"
    );
}

#[test]
fn a_dependency_region() {
    let dir = temp_dir("example-dependency");
    let shown = printed(&build("c/dependency.c", &dir), &[text(dir.path())]);
    let expected = "the string has 100000 bytes, the file that uses it 184\nit is that of the dependency\n";
    assert_eq!(shown, format!("{expected}{NOTHING_LEFT}"));
    // In C++ the dependency is held by who needs it.
    let shown = printed(&build("cpp/dependency.cpp", &dir), &[text(dir.path())]);
    assert_eq!(
        shown,
        format!("the string has 100000 bytes, the file that uses it 184\n{NOTHING_LEFT}")
    );
    let (low, high) = (dir.path().join("low.region"), dir.path().join("high.region"));
    let looked = dependency::run(text(&high), text(&low)).unwrap();
    assert!(looked.starts_with("3 objects are reached from"), "{looked}");
    assert!(looked.ends_with("has 1\n"), "{looked}");
    assert!(dependency::run(text(&high), text(&high)).is_err());
}

#[test]
fn a_snapshot_with_all_its_modules() {
    let dir = temp_dir("example-set");
    let program = build("c/set.c", &dir);
    assert_eq!(printed(&program, &["save", text(dir.path())]), NOTHING_LEFT);
    let snapshot = dir.path().join("x.snap");
    let expected = format!("7 regions, 7 of them mapped\nthe snapshot's root has 6 children\n{NOTHING_LEFT}");
    assert_eq!(printed(&program, &["read", text(&snapshot)]), expected);
    let deleter = build("cpp/set.cpp", &dir);
    assert_eq!(
        printed(&deleter, &[text(&snapshot)]),
        format!("7 regions\nthe first one holds \"m0\"\n{NOTHING_LEFT}")
    );
    let looked = set::run(text(&snapshot)).unwrap();
    assert!(looked.starts_with("3 modules in 6 files, graphhash "), "{looked}");
    let tool = process::run(
        Command::new(env!("CARGO_BIN_EXE_olean"))
            .arg("hash")
            .arg(&snapshot)
            .current_dir(dir.path()),
    );
    let hash = looked.trim_end().rsplit(' ').next().unwrap();
    assert!(tool.success().stdout.starts_with(hash), "{looked}");

    // A file that is missing is named, and nothing is left of the others.
    fs::remove_file(dir.path().join("m1.olean")).unwrap();
    let refused = process::run(valgrind(&Command::new(&deleter)).arg(&snapshot));
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    assert!(refused.stdout.contains("m1.olean': No such file"), "{refused}");
    assert!(refused.stdout.ends_with(NOTHING_LEFT), "{refused}");
}

#[test]
fn numbers_of_any_size() {
    let dir = temp_dir("example-number");
    let shown = printed(&build("cpp/number.cpp", &dir), &[text(dir.path())]);
    let numbers = format!("-0x2a, a boxed scalar\n0x1{}, a bignum\n", "0".repeat(32));
    assert_eq!(shown, format!("{numbers}{NOTHING_LEFT}"));
}

#[test]
fn files_from_somewhere_else() {
    let dir = temp_dir("example-untrusted");
    printed(&build("c/dependency.c", &dir), &[text(dir.path())]);
    let (low, high) = (dir.path().join("low.region"), dir.path().join("high.region"));
    let program = build("c/untrusted.c", &dir);
    let shown = printed(&program, &[text(&high), text(&low)]);
    let hash = shown.trim_end().strip_prefix("sound, graphhash ").unwrap();
    assert!(
        hash.len() == 32 && hash.bytes().all(|b| b.is_ascii_hexdigit()),
        "{shown}"
    );
    let tool = process::run(
        Command::new(env!("CARGO_BIN_EXE_olean"))
            .arg("hash")
            .arg(&high)
            .arg("--deps")
            .arg(&low),
    )
    .success();
    assert!(tool.stdout.contains(hash), "{} is not of {hash}", tool.stdout);

    // Without the dependency, and damaged.
    let mut bytes = fs::read(&low).unwrap();
    bytes[96 + 7] = 255;
    let bad = dir.path().join("bad.region");
    fs::write(&bad, bytes).unwrap();
    for file in [&high, &bad] {
        let refused = process::run(valgrind(&Command::new(&program)).arg(file));
        assert_eq!(refused.status.code(), Some(1), "{refused}");
        assert!(
            refused.stdout.starts_with(&format!("refused: {}", text(file))),
            "{refused}"
        );
    }
}

#[test]
fn an_image_of_many_files() {
    let dir = temp_dir("example-image");
    let folder = text(dir.path());
    let program = build("c/image.c", &dir);
    assert_eq!(
        printed(&program, &["save", folder]),
        format!("100 files\n{NOTHING_LEFT}")
    );
    let read = format!("the numbers in 100 files make 4950\n{NOTHING_LEFT}");
    assert_eq!(printed(&program, &["read", folder]), read);

    let image = dir.path().join("all.image");
    let olean = env!("CARGO_BIN_EXE_olean");
    process::run(
        Command::new(olean)
            .args(["image", "build", folder, "-o"])
            .arg(&image),
    )
    .success();
    let mut with_image = Command::new(&program);
    with_image
        .args(["report", folder])
        .env("LEAN_REGION_IMAGE", &image);
    let shown = process::run(&mut valgrind(&with_image)).success();
    let lines: Vec<_> = shown.stdout.split_inclusive('\n').collect();
    assert_eq!([lines[0], lines[2]].concat(), read, "{shown}");
    assert_eq!(shown.stderr, "");
    let report: testkit::Value = lines[1].parse().unwrap();
    assert_eq!(report["image"]["served"], 100, "{report}");

    let files = [dir.path().join("m000.olean"), dir.path().join("m099.olean")];
    let mut cpp = Command::new(build("cpp/image.cpp", &dir));
    cpp.args(&files);
    let plain = process::run(&mut valgrind(&cpp)).success();
    assert_eq!(
        plain.stdout,
        format!("2 files, 0 of them from an image\n{NOTHING_LEFT}")
    );
    let served = process::run(valgrind(&cpp).env("LEAN_REGION_IMAGE", &image)).success();
    assert_eq!(
        served.stdout,
        format!("2 files, 2 of them from an image\n{NOTHING_LEFT}")
    );
    let looked = image::run(text(&image)).unwrap();
    assert!(looked.contains(", 100 regions from 0x"), "{looked}");
}

#[test]
fn every_example_has_a_test() {
    let this = include_str!("examples.rs");
    for folder in ["c", "cpp", "rust"] {
        let files: Vec<_> = fs::read_dir(workspace_dir().join("examples").join(folder))
            .unwrap()
            .collect();
        assert!((1..=5).contains(&files.len()), "{folder}: {}", files.len());
        for file in files {
            let name = format!("{folder}/{}", file.unwrap().file_name().to_str().unwrap());
            assert!(this.contains(&name), "{name}");
        }
    }
}
