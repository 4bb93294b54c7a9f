//! docs/format.md is exact enough to write another reader from: `format_page/reader.py` knows the layout only from the
//! tables of that page, and reads files of every kind that the test kit's writer makes, files of a real Lean, and
//! a snapshot.

use std::fs;
use std::path::Path;
use std::process::Command;

use olean_reader::format::word::Width;
use olean_reader::{File, Region};
use testkit::lean::{self, Options};
use testkit::olean::{Rng, Spec, Val};
use testkit::{Value, process, real_lean, temp_dir, tree, workspace_dir};

/// What the other reader finds in a file, with the page at `page`.
fn other_reader(page: &Path, file: &Path, width: usize) -> process::Output {
    let mut command = Command::new("python3");
    command.arg(workspace_dir().join("tests/format_page/reader.py"));
    process::run(command.arg(page).arg(file).arg(width.to_string()))
}

/// The same with the committed page, as JSON.
#[track_caller]
fn read(file: &Path, width: usize) -> Value {
    let output = other_reader(&workspace_dir().join("docs/format.md"), file, width).success();
    output.stdout.parse().unwrap_or_else(|e| panic!("{e}: {output}"))
}

#[test]
fn files_of_every_kind_are_read_by_the_tables_alone() {
    let dir = temp_dir("format-page");
    let file = dir.path().join("a.olean");
    let mut rng = Rng(23);
    for (wide, gmp, version) in [
        (true, true, 2),
        (true, false, 2),
        (false, true, 2),
        (false, false, 2),
        (true, true, 3),
        (true, false, 3),
        (false, true, 3),
        (false, false, 3),
    ] {
        let entropy: Vec<u64> = (0..120).map(|_| rng.draw()).collect();
        let mut spec = Spec::random(wide, gmp, version, &entropy, &[]);
        spec.extension = (version == 3).then(|| b"any payload".to_vec());
        let written = spec.write();
        fs::write(&file, &written.bytes).unwrap();
        let found = read(&file, spec.word());
        assert_eq!(found["version"], version);
        assert_eq!(found["gmp"], gmp);
        assert_eq!(found["lean_version"], "4.99.0-test");
        assert_eq!(found["githash"], "0123456789abcdef0123456789abcdef01234567");
        assert_eq!(found["base"], spec.base);
        let Val::Node(root) = spec.root else {
            panic!("the root is an object");
        };
        assert_eq!(found["root"], spec.base + written.offsets[root] as u64);
        let starts: Vec<usize> = found["objects"]
            .as_array()
            .unwrap()
            .iter()
            .map(|o| o["at"].as_u64().unwrap() as usize)
            .collect();
        assert_eq!(starts, written.offsets, "{wide} {gmp} {version}");
        // Our own reader proves that the file is one, and counts the same pointers.
        let parsed = File::parse(&written.bytes, "a", None).unwrap();
        let summary = Region::check(parsed, &[]).unwrap().summary();
        assert_eq!(pointers(&found), summary.pointers, "{wide} {gmp} {version}");
        if version == 3 {
            assert_eq!(found["extension"], 11);
            let libraries = found["libraries"].as_array().unwrap();
            assert_eq!(libraries.len(), spec.libraries.len());
            for (one, (base, id)) in libraries.iter().zip(&spec.libraries) {
                assert_eq!(one[0], *base);
                assert_eq!(one[1].as_str().unwrap().as_bytes(), id);
            }
            let closures = found["closures"].as_array().unwrap();
            assert!(!closures.is_empty());
            for at in closures {
                let start = at.as_u64().unwrap() as usize - 8;
                assert!(starts.contains(&start), "no object begins at {start}");
                assert_eq!(written.bytes[start + 7], 245);
            }
        }
    }
}

/// Pointer fields that hold a pointer.
fn pointers(found: &Value) -> u64 {
    let objects = found["objects"].as_array().unwrap();
    let words = objects.iter().flat_map(|o| o["words"].as_array().unwrap());
    words.filter(|w| w.as_u64().unwrap() % 2 == 0).count() as u64
}

#[test]
fn files_and_snapshots_of_a_real_lean_are_read_by_the_tables_alone() {
    let dir = temp_dir("format-page-real");
    let tree = tree::generate(&dir.path().join("tree"), 3, 6, 9);
    lean::compile(&real_lean(), &tree, &Options::stock());
    let mut command = lean::command(&real_lean(), &tree.dir, &Options::stock());
    process::run(command.args(["--incr-save=All.snap", "All.lean"])).success();
    let mut files: Vec<_> = lean::region_files(&tree)
        .into_keys()
        .map(|p| tree.dir.join(p))
        .collect();
    files.push(tree.dir.join("All.snap"));
    for file in files {
        let bytes = fs::read(&file).unwrap();
        let parsed = File::parse(&bytes, "", Some(Width::W64)).unwrap();
        let walked = Region::walk(parsed).unwrap().summary();
        let found = read(&file, 8);
        let objects = found["objects"].as_array().unwrap().len();
        assert_eq!(objects, walked.objects as usize, "{}", file.display());
        assert_eq!(found["githash"], parsed_githash(&bytes), "{}", file.display());
    }
}

fn parsed_githash(bytes: &[u8]) -> String {
    File::parse(bytes, "", None).unwrap().githash().to_owned()
}

#[test]
fn a_page_that_says_something_else_reads_nothing() {
    let dir = temp_dir("format-page-wrong");
    let file = dir.path().join("a.olean");
    let mut rng = Rng(5);
    let entropy: Vec<u64> = (0..60).map(|_| rng.draw()).collect();
    fs::write(&file, Spec::random(true, true, 2, &entropy, &[]).write().bytes).unwrap();
    let page = fs::read_to_string(workspace_dir().join("docs/format.md")).unwrap();
    let wrong = dir.path().join("format.md");
    for (row, other) in [
        ("| 249 | string | 32 |", "| 249 | string | 40 |"),
        (
            "| 80 + 2w | to the end | objects |",
            "| 80 + 3w | to the end | objects |",
        ),
        ("| 246 | array | 24 | 16 | w |", "| 246 | array | 24 | 16 | 1 |"),
    ] {
        assert!(page.contains(row), "the page has no row `{row}`");
        fs::write(&wrong, page.replace(row, other)).unwrap();
        assert!(
            !other_reader(&wrong, &file, 8).status.success(),
            "`{other}` was not noticed"
        );
    }
}
