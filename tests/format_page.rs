//! docs/format.md is exact enough to write another reader from: `format_page/reader.py` knows the layout only from the
//! tables of that page, and reads files of every kind that the test kit's writer makes, files of a real Lean, and
//! snapshots, with the record of dependencies that this library leaves in them. `format_page/image.py` reads images.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use olean_reader::format::image::digest;
use olean_reader::format::word::Width;
use olean_reader::{File, Region};
use testkit::lean::{self, Options};
use testkit::olean::{Rng, Spec, Val};
use testkit::{Value, library, process, program, real_lean, temp_dir, tree, workspace_dir};

/// One of the programs in `format_page`, with the page at `page`.
fn python(name: &str, page: &Path) -> Command {
    let mut command = Command::new("python3");
    // No folder with compiled files is left in the sources.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
        .arg(workspace_dir().join("tests/format_page").join(name))
        .arg(page);
    command
}

/// What the other reader finds in a file.
fn other_reader(page: &Path, file: &Path, width: usize) -> process::Output {
    process::run(python("reader.py", page).arg(file).arg(width.to_string()))
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
        // A record of a kind that nobody knows: kind, length, bytes.
        let record = [&9u32.to_le_bytes()[..], &3u32.to_le_bytes(), b"any"].concat();
        spec.extension = (version == 3).then_some(record);
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

/// A compiled tree with a snapshot over it, `All.snap`, saved by this library.
fn tree_with_snapshot(dir: &Path, modules: usize) -> tree::Tree {
    let tree = tree::generate(&dir.join("tree"), modules, 6, 9);
    lean::compile(&real_lean(), &tree, &Options::stock());
    let mut command = lean::command(&real_lean(), &tree.dir, &Options::preloaded(library()));
    process::run(command.args(["--incr-save=All.snap", "All.lean"])).success();
    tree
}

#[test]
fn the_record_of_dependencies_is_read_by_the_tables_alone() {
    let dir = temp_dir("format-page-record");
    let tree = tree_with_snapshot(dir.path(), 3);
    let found = read(&tree.dir.join("All.snap"), 8);
    let dependencies = found["dependencies"]
        .as_array()
        .expect("a record of dependencies");
    let text = fs::read_to_string(tree.dir.join("All.snap.deps")).unwrap();
    let sidecar: Value = text.parse().unwrap();
    let modules = sidecar.as_array().unwrap().iter();
    let files = modules.flat_map(|module| module.as_object().unwrap().values());
    let listed = files.filter(|file| file.is_string()).count();
    assert_eq!(dependencies.len(), listed, "one for each file of the sidecar");
    for one in dependencies {
        let path = tree.dir.join(one["path"].as_str().unwrap());
        let (bytes, now) = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap());
        assert_eq!(one["base"], File::parse(&bytes, "", None).unwrap().base());
        for (field, is) in [("size", now.len()), ("device", now.dev()), ("inode", now.ino())] {
            assert_eq!(one[field], is, "{field} of {}", path.display());
        }
        assert_eq!(one["modified"], now.mtime() * 1_000_000_000 + now.mtime_nsec());
        assert_eq!(one["changed"], now.ctime() * 1_000_000_000 + now.ctime_nsec());
        let digest: String = digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        assert!(one["flags"].as_u64().unwrap() & 2 != 0, "the digest is known");
        assert_eq!(one["digest"], digest);
    }
}

#[test]
fn an_image_is_read_by_the_tables_alone() {
    let dir = temp_dir("format-page-image");
    let tree = tree_with_snapshot(dir.path(), 12);
    let image = dir.path().join("tree.image");
    let mut build = Command::new(program("olean"));
    build.args(["image", "build"]).arg(&tree.dir).arg("--snapshot");
    process::run(build.arg(tree.dir.join("All.snap")).arg("-o").arg(&image)).success();
    let page = workspace_dir().join("docs/format.md");
    let output = process::run(python("image.py", &page).arg(&image)).success();
    let found: Value = output.stdout.parse().unwrap();
    let regions = found["regions"].as_array().unwrap();
    assert_eq!(found["lean_version"], testkit::REAL_LEAN_VERSION);
    assert!(
        regions.iter().any(|r| r["flags"] == 3),
        "the snapshot is changeable and has closures"
    );
    assert!(
        regions.iter().any(|r| r["outside"] != 0),
        "some region points into others"
    );
    for file in lean::region_files(&tree).into_keys() {
        let path = fs::canonicalize(tree.dir.join(file)).unwrap();
        let region = regions.iter().find(|r| r["paths"][0] == path.to_str().unwrap());
        let region = region.unwrap_or_else(|| panic!("{} is not found", path.display()));
        let (bytes, now) = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap());
        assert_eq!(region["file_size"], now.len());
        assert_eq!(region["modified"], now.mtime());
        assert_eq!(region["modified_ns"], now.mtime_nsec());
        let walked = Region::walk(File::parse(&bytes, "", None).unwrap()).unwrap();
        assert_eq!(region["objects"], walked.summary().objects, "{}", path.display());
    }
    // A page that says something else reads nothing.
    let text = fs::read_to_string(page).unwrap();
    let wrong = dir.path().join("format.md");
    for (row, other) in [
        ("| 64 | 8 | root | the root: a", "| 56 | 8 | root | the root: a"),
        (
            "| file_slots | 4 | 8 * entries |",
            "| file_slots | 4 | 4 * entries |",
        ),
        (
            "| slot of a file | `spread * slots >> 64` |",
            "| slot of a file | `spread % slots` |",
        ),
        ("| 72 | 4 | chain | which", "| 76 | 4 | chain | which"),
    ] {
        assert!(text.contains(row), "the page has no row `{row}`");
        fs::write(&wrong, text.replace(row, other)).unwrap();
        let output = process::run(python("image.py", &wrong).arg(&image));
        assert!(!output.status.success(), "`{other}` was not noticed");
    }
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
