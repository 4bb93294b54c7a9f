//! Incremental snapshots (`--incr-save`, `--incr-header-save`, `--incr-load`): version 3 files with tens of
//! thousands of closures, saved over the regions of several hundred imports.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use olean_reader::format::trailer::{DATA_OFFSET, Trailer};
use testkit::lean::Options;
use testkit::process::Output;
use testkit::{real_lean, temp_dir};

use crate::{count, forced, importing_file, ours, run_lean, run_ours, seen, stock_tree};

/// What a snapshot is taken of: declarations, an instance, messages, an error.
const BODY: &str = "def two : N := .s (.s .z)
instance : Default N := ⟨two⟩
#print two
theorem symmetric (a b : N) (h : Eq a b) : Eq b a := Eq.symm h
#check symmetric
#check missing
";

fn flag(name: &str, file: &Path) -> String {
    format!("--{name}={}", file.display())
}

/// Arguments that take a snapshot of `file` into `snapshot`.
fn save(file: &Path, snapshot: &Path) -> [String; 2] {
    [flag("incr-save", snapshot), file.display().to_string()]
}

fn load(file: &Path, snapshot: &Path) -> [String; 2] {
    [flag("incr-load", snapshot), file.display().to_string()]
}

fn sidecar(snapshot: &Path) -> PathBuf {
    let mut name = snapshot.as_os_str().to_owned();
    name.push(".deps");
    name.into()
}

/// Load biases and names of the libraries in a snapshot's table.
fn libraries(snapshot: &Path) -> Vec<(u64, String)> {
    let bytes = fs::read(snapshot).unwrap();
    let size = u64::from_le_bytes(bytes[88..96].try_into().unwrap());
    let at = DATA_OFFSET + size;
    let trailer = Trailer::parse(&bytes[at as usize..], at).unwrap();
    assert!(
        trailer.closures().len() > 1000,
        "{} closures",
        trailer.closures().len()
    );
    trailer
        .libraries()
        .map(|library| (library.base, String::from_utf8(library.id.to_vec()).unwrap()))
        .collect()
}

/// Takes a snapshot through ours; the call must have been ours.
fn save_with_ours(args: &[String]) -> Output {
    let (output, report) = run_ours(ours(), args);
    assert_eq!(count(&report, "save", "calls"), 1, "{report:#}");
    output
}

/// Loads a snapshot through ours; every region of the imports and the snapshot itself must have come that
/// way.
fn load_with_ours(options: Options, args: &[String]) -> Output {
    let (output, report) = run_ours(options, args);
    assert_eq!(count(&report, "read", "calls"), regions() + 1, "{report:#}");
    output
}

/// Number of region files that an import of everything reads; found out once, since tests run side by side.
fn regions() -> u64 {
    static REGIONS: LazyLock<u64> = LazyLock::new(|| {
        let file = importing_file("Count.lean", "");
        let output = run_lean(&Options::stock(), &["--stats".as_ref(), file.as_path()]).success();
        testkit::lean::stat(&output, "number of imported modules")
    });
    *REGIONS
}

#[test]
fn a_snapshot_saved_by_either_loads_in_either() {
    let dir = temp_dir("snapshots");
    let file = importing_file("Pairs.lean", BODY);
    let plain = run_lean(&Options::stock(), &[&file]);
    assert_eq!(plain.status.code(), Some(1), "{plain}");
    for kind in ["incr-save", "incr-header-save"] {
        let (by_stock, by_ours) = (dir.path().join("stock"), dir.path().join("ours"));
        let args = |snapshot: &Path| [flag(kind, snapshot), file.display().to_string()];
        assert_eq!(seen(&run_lean(&Options::stock(), &args(&by_stock))), seen(&plain));
        assert_eq!(seen(&save_with_ours(&args(&by_ours))), seen(&plain));
        assert_eq!(
            fs::read(sidecar(&by_stock)).unwrap(),
            fs::read(sidecar(&by_ours)).unwrap()
        );
        let names = |snapshot| {
            libraries(snapshot)
                .into_iter()
                .map(|(_, name)| name)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&by_stock), names(&by_ours));

        for snapshot in [&by_stock, &by_ours] {
            assert_eq!(
                seen(&run_lean(&Options::stock(), &load(&file, snapshot))),
                seen(&plain)
            );
            assert_eq!(
                seen(&load_with_ours(ours(), &load(&file, snapshot))),
                seen(&plain)
            );
            assert_eq!(
                seen(&load_with_ours(forced(), &load(&file, snapshot))),
                seen(&plain)
            );
        }
    }
}

#[test]
fn an_edited_file_reuses_the_part_before_the_edit() {
    let dir = temp_dir("edited");
    let snapshot = dir.path().join("snapshot");
    // The profiler's messages hold times that no two elaborations share, so they show where a message is from.
    let prefix =
        "set_option profiler true\nset_option profiler.threshold 0\ndef two : N := .s (.s .z)\n#print two\n";
    let file = importing_file("Edited.lean", &format!("{prefix}def three := N.s two\n"));
    let end_of_prefix = |output: &Output| {
        let end = output
            .stdout
            .find("N.z.s.s\n")
            .or_else(|| output.stdout.find("N.s (N.s N.z)\n"));
        output.stdout[..end.unwrap_or_else(|| panic!("{output}"))].to_owned()
    };
    for saving in [Options::stock(), ours()] {
        importing_file("Edited.lean", &format!("{prefix}def three := N.s two\n"));
        let saved = end_of_prefix(&run_lean(&saving, &save(&file, &snapshot)).success());
        assert!(saved.contains("elaboration took"), "{saved}");
        importing_file(
            "Edited.lean",
            &format!("{prefix}def four := N.s (N.s two)\n#print four\n#check three\n"),
        );

        assert_ne!(end_of_prefix(&run_lean(&Options::stock(), &[&file])), saved);
        let loaded = [
            run_lean(&Options::stock(), &load(&file, &snapshot)),
            load_with_ours(ours(), &load(&file, &snapshot)),
            load_with_ours(forced(), &load(&file, &snapshot)),
        ];
        for output in &loaded {
            assert_eq!(output.status.code(), Some(1), "{output}");
            assert_eq!(end_of_prefix(output), saved);
            assert!(
                output.stdout.contains("def four : N") && output.stdout.contains("`three`"),
                "{output}"
            );
        }
    }
}

#[test]
fn another_header_is_imported_as_if_there_were_no_snapshot() {
    let dir = temp_dir("header-mismatch");
    let snapshot = dir.path().join("snapshot");
    let file = importing_file("Header.lean", BODY);
    save_with_ours(&save(&file, &snapshot));
    fs::write(&file, format!("prelude\nimport Base\n{BODY}")).unwrap();
    let plain = run_lean(&Options::stock(), &[&file]);
    assert_eq!(
        seen(&run_lean(&Options::stock(), &load(&file, &snapshot))),
        seen(&plain)
    );
    assert_eq!(seen(&run_ours(ours(), &load(&file, &snapshot)).0), seen(&plain));
}

#[test]
fn a_snapshot_runs_where_the_libraries_lie_elsewhere() {
    let dir = temp_dir("elsewhere");
    let file = importing_file("Elsewhere.lean", BODY);
    let plain = run_lean(&Options::stock(), &[&file]);
    let first = dir.path().join("first");
    run_lean(&Options::stock(), &save(&file, &first));
    let saved_at = libraries(&first);
    // A run that loads the one and saves another tells by its own table where its libraries lay.
    let elsewhere = (0..50).any(|_| {
        let second = dir.path().join("second");
        let args = [
            flag("incr-load", &first),
            flag("incr-save", &second),
            file.display().to_string(),
        ];
        let (output, report) = run_ours(ours(), &args);
        assert_eq!(seen(&output), seen(&plain));
        assert_eq!(
            (count(&report, "read", "calls"), count(&report, "save", "calls")),
            (regions() + 1, 1)
        );
        // What was loaded and saved again still serves the stock loader.
        assert_eq!(
            seen(&run_lean(&Options::stock(), &load(&file, &second))),
            seen(&plain)
        );
        libraries(&second) != saved_at
    });
    assert!(
        elsewhere,
        "fifty runs at the same addresses: is address space randomisation switched off?"
    );
}

#[test]
fn a_snapshot_whose_dependency_is_gone_fails_in_the_stock_words() {
    let dir = temp_dir("gone");
    let file = importing_file("Gone.lean", BODY);
    let snapshot = dir.path().join("snapshot");
    save_with_ours(&save(&file, &snapshot));
    let deps = fs::read_to_string(sidecar(&snapshot)).unwrap();
    fs::write(sidecar(&snapshot), deps.replace("Base.olean\"", "Gone.olean\"")).unwrap();
    let stock = run_lean(&Options::stock(), &load(&file, &snapshot));
    assert!(
        !stock.status.success() && stock.stderr.contains("Gone.olean"),
        "{stock}"
    );
    assert!(!stock_tree().dir.join("Gone.olean").exists());
    let ours = run_lean(&ours(), &load(&file, &snapshot));
    assert_eq!(stock.status, ours.status);
    assert!(
        ours.stderr.starts_with(stock.stderr.lines().next().unwrap()),
        "{stock}\n{ours}"
    );
}

#[test]
fn a_snapshot_of_libraries_that_moved_loads_when_asked_for() {
    let dir = temp_dir("snapshot-moved");
    let file = importing_file("Moved.lean", BODY);
    let snapshot = dir.path().join("snapshot");
    let saved = save_with_ours(&save(&file, &snapshot));

    // The same files under another path, which the dynamic linker finds first.
    let moved = dir.path().join("lib");
    fs::create_dir(&moved).unwrap();
    let lean = real_lean();
    for entry in fs::read_dir(lean.libleanshared.parent().expect("a directory")).unwrap() {
        let entry = entry.unwrap();
        if entry.path().extension().is_some_and(|e| e == "so") {
            fs::hard_link(entry.path(), moved.join(entry.file_name())).unwrap();
        }
    }
    let elsewhere = |options: Options| options.env("LD_LIBRARY_PATH", &moved);
    let refused = run_lean(&elsewhere(ours()), &load(&file, &snapshot));
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    let wanted = format!(
        "library required for closure relocation is not loaded in this process: '{}'; the same library is loaded as \
         '{}': set LEAN_REGION_ALLOW_MOVED_LIBRARIES=1",
        libraries(&snapshot)[0].1,
        moved.join("libleanshared.so").display()
    );
    assert!(refused.stderr.contains(&wanted), "{refused}");

    let options = elsewhere(ours()).env("LEAN_REGION_ALLOW_MOVED_LIBRARIES", "1");
    let (loaded, report) = run_ours(options, &load(&file, &snapshot));
    assert_eq!(seen(&loaded), seen(&saved));
    let notes = report["notes"].as_array().expect("notes");
    assert!(
        notes.iter().any(|note| note["reason"]
            .as_str()
            .is_some_and(|r| r.contains("has the same digest"))),
        "{report:#}"
    );
}
