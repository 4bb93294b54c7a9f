//! Snapshots over modules that were built anew, touched, copied or restored since: what has changed is an error, never
//! a signal, and what has not is used, with a note where it took time to see. The stock loader uses all of them without
//! a word, and dies where the layout of a module is another one.
//!
//! Each header snapshot is made by `--incr-header-save` over one module, so its record has one entry.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use olean_reader::format::dependencies::{Dependency, encode};
use olean_reader::format::extension;
use olean_reader::{File, Region, transform};
use testkit::lean::{self, Options};
use testkit::process::{self, Output};
use testkit::{RealLean, TempDir, Value, program, temp_dir};

use crate::{only_report, ours, seen};

const LOW: &str = "prelude\ninductive N where\n  | z : N\n  | s (n : N) : N\ndef low : N := .s .z\n";
const TOP: &str = "prelude\nimport Low\ndef top : N := .s .z\n#print top\n";
const SAVE: [&str; 2] = ["--incr-header-save=Top.snap", "Top.lean"];
const LOAD: [&str; 2] = ["--incr-load=Top.snap", "Top.lean"];
/// What the module's file is found to be when only its content tells.
const OTHER_CONTENT: &str = "which has the same size and other content now: it was built anew";
/// What changes an entry of the record, and what is done to a module's file.
type Change = fn(&mut Dependency<'_>);
type Restoration = fn(&Path);
/// Another module as long as `LOW`, in whose file no object has moved.
fn as_long() -> String {
    LOW.replace("low", "lov")
}

/// Two modules, `Top` over `Low`, in a directory of their own.
struct Project {
    lean: RealLean,
    dir: TempDir,
}

impl Project {
    fn new(label: &str) -> Self {
        let project = Self {
            lean: testkit::real_lean(),
            dir: temp_dir(label),
        };
        project.build(LOW);
        fs::write(project.path("Top.lean"), TOP).unwrap();
        project
    }

    /// A project with a header snapshot, whose module had been built so long before that its times tell; and what a
    /// plain run shows.
    fn settled(label: &str) -> (Self, Output) {
        let project = Self::new(label);
        sleep(Duration::from_millis(2200));
        let plain = project.run(&ours(), &SAVE).success();
        project.edit(|d| assert!(!d.racy, "written more than two seconds before: {d:?}"));
        (project, plain)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, options: &Options, args: &[&str]) -> Output {
        let mut command: Command = lean::command(&self.lean, self.dir.path(), options);
        process::run(command.args(args))
    }

    /// Builds the module `Low` from this text.
    fn build(&self, text: &str) {
        fs::write(self.path("Low.lean"), text).unwrap();
        self.run(&Options::stock(), &["-o", "Low.olean", "Low.lean"])
            .success();
    }

    /// The file of the module `Low` when it is built from this text; what lies there stays.
    fn built(&self, text: &str) -> Vec<u8> {
        fs::write(self.path("Low.lean"), text).unwrap();
        fs::create_dir_all(self.path("other")).unwrap();
        self.run(&Options::stock(), &["-o", "other/Low.olean", "Low.lean"])
            .success();
        fs::read(self.path("other/Low.olean")).unwrap()
    }

    /// Loads the snapshot; the report's notes about it as well.
    fn load(&self, options: Options) -> (Output, Vec<String>) {
        let reports = temp_dir("stale-report");
        let output = self.run(&options.report(reports.path()), &LOAD);
        let report = only_report(reports.path());
        let notes = report["notes"].as_array().expect("notes");
        let about = |note: &&Value| note["file"].as_str().is_some_and(|f| f.ends_with("Top.snap"));
        let reason = |note: &Value| note["reason"].as_str().expect("a reason").to_owned();
        (output, notes.iter().filter(about).map(reason).collect())
    }

    /// The snapshot is used as one that fits, without a note.
    #[track_caller]
    fn assert_fresh(&self, plain: &Output, what: &str) {
        let (output, notes) = self.load(ours());
        assert_eq!(seen(&output), seen(plain), "{what}");
        assert!(notes.is_empty(), "{what}: {notes:?}");
    }

    /// The snapshot is used as one that fits, with the note that names what helps.
    #[track_caller]
    fn assert_restored(&self, plain: &Output, what: &str) {
        let (output, notes) = self.load(ours());
        assert_eq!(seen(&output), seen(plain), "{what}");
        let [note] = &notes[..] else {
            panic!("{what}: {notes:?}")
        };
        assert!(
            note.starts_with("1 of the 1 files") && note.contains("`olean refresh`"),
            "{note}"
        );
    }

    /// The snapshot is refused: the error names both files, says what differs and what to do.
    #[track_caller]
    fn assert_stale(&self, why: &str, what: &str) {
        let (output, _) = self.load(ours());
        assert_eq!(output.status.code(), Some(1), "{what}: {output}");
        let text = format!("{}{}", output.stdout, output.stderr);
        for part in [
            "failed to read 'Top.snap': it is stale: it was made with '",
            "Low.olean', ",
            why,
            "; make it anew, or set LEAN_REGION_STALE=warn to use it at your own risk",
        ] {
            assert!(text.contains(part), "{what}: no `{part}` in {output}");
        }
    }

    /// Changes the only entry of the snapshot's record, which ends the file.
    fn edit(&self, change: impl FnOnce(&mut Dependency<'_>)) {
        let bytes = fs::read(self.path("Top.snap")).unwrap();
        let file = File::parse(&bytes, "Top.snap", None).unwrap();
        let payload = file.sections().unwrap().extension.expect("an extension section");
        let record = extension::dependencies(payload).unwrap().expect("a record");
        let mut list: Vec<Dependency<'_>> = record.iter().collect();
        let saved = encode(&mut list).unwrap();
        assert!(list.len() == 1 && bytes.ends_with(&saved));
        change(&mut list[0]);
        let changed = [&bytes[..bytes.len() - saved.len()], &encode(&mut list).unwrap()].concat();
        assert_eq!(changed.len(), bytes.len());
        fs::write(self.path("Top.snap"), changed).unwrap();
    }

    fn refresh(&self) -> Output {
        let mut command = Command::new(program("olean"));
        process::run(command.args(["refresh", "Top.snap"]).current_dir(self.dir.path()))
    }
}

/// Sets the modification time, and with it the change time.
fn set_modified(file: &Path, time: SystemTime) {
    let file = fs::File::options().append(true).open(file).unwrap();
    file.set_modified(time).unwrap();
}

fn modified(file: &Path) -> SystemTime {
    fs::metadata(file).unwrap().modified().unwrap()
}

/// Makes the digest another one: whoever compares contents sees a difference, and whoever does not sees none.
fn spoil(d: &mut Dependency<'_>) {
    d.digest.as_mut().expect("a digest")[0] ^= 1;
}

#[test]
fn snapshots_of_rebuilt_modules_are_refused_and_of_restored_ones_are_not() {
    let project = Project::new("stale");
    for save in ["--incr-header-save=Top.snap", "--incr-save=Top.snap"] {
        let plain = project.run(&ours(), &[save, "Top.lean"]).success();
        let load = |options: &Options| project.run(options, &LOAD);
        assert_eq!(seen(&load(&ours())), seen(&plain));
        // Stock reads what ours saved.
        assert_eq!(seen(&load(&Options::stock())), seen(&plain));

        // Another file with other times, and the same content.
        fs::copy(project.path("Low.olean"), project.path("copy")).unwrap();
        fs::rename(project.path("copy"), project.path("Low.olean")).unwrap();
        assert_eq!(seen(&load(&ours())), seen(&plain));

        project.build(&as_long());
        project.assert_stale(OTHER_CONTENT, save);
        // Everything behind has moved.
        project.build(&LOW.replace("low", "lower.than.before"));
        project.assert_stale("it was built anew", save);
        project.build(LOW);
        assert_eq!(seen(&load(&ours())), seen(&plain));
    }
}

/// Each field of the record alone. With the digest spoilt it shows whether the content was compared: it must be where a
/// field differs, and must not be where none does.
#[test]
fn each_field_that_differs_alone_is_noticed() {
    let (project, plain) = Project::settled("stale-fields");
    let snapshot = fs::read(project.path("Top.snap")).unwrap();
    let size = fs::metadata(project.path("Low.olean")).unwrap().len();
    let fresh = || fs::write(project.path("Top.snap"), &snapshot).unwrap();
    project.assert_fresh(&plain, "nothing differs");
    project.edit(spoil);
    project.assert_fresh(&plain, "nothing differs: nobody looks at the content");

    let fields: [(&str, Change); 4] = [
        ("device", |d| d.device += 1),
        ("inode", |d| d.inode += 1),
        ("modification time", |d| d.modified -= 1),
        ("change time", |d| d.changed -= 1),
    ];
    for (field, change) in fields {
        fresh();
        project.edit(change);
        project.assert_restored(&plain, field);
        project.edit(spoil);
        project.assert_stale(OTHER_CONTENT, field);
    }

    // These two tell without the content.
    fresh();
    project.edit(|d| d.size += 8);
    project.assert_stale(
        &format!(
            "which had {} bytes and has {size} now: it was built anew",
            size + 8
        ),
        "size",
    );
    fresh();
    let mut base = 0;
    project.edit(|d| {
        d.base += 0x1_0000;
        base = d.base;
    });
    let why =
        format!("{size} bytes at the base address {base:#x}, where no region that was passed has its place");
    project.assert_stale(&why, "base address");

    // Racy: the content decides, and there is no note, for the times are as they were.
    fresh();
    project.edit(|d| d.racy = true);
    project.assert_fresh(&plain, "racy");
    project.edit(spoil);
    project.assert_stale(OTHER_CONTENT, "racy");
    // No digest: nobody knows the content.
    fresh();
    project.edit(|d| d.digest = None);
    project.assert_fresh(&plain, "no digest, and nothing differs");
    project.edit(|d| d.modified -= 1);
    project.assert_stale(
        "which had been replaced before it was saved: its content is not known",
        "no digest",
    );
}

/// What restoring a cache, copying and linking do to a file.
#[test]
fn restored_modules_are_as_fresh_with_a_note_until_the_snapshot_is_refreshed() {
    let (project, plain) = Project::settled("stale-restored");
    let low = project.path("Low.olean");
    let restorations: [(&str, Restoration); 3] = [
        // The change time alone.
        ("permissions", |low| {
            fs::set_permissions(low, fs::Permissions::from_mode(0o600)).unwrap();
        }),
        ("modification time", |low| {
            set_modified(low, modified(low) - Duration::from_secs(77))
        }),
        // A copy in its place with its modification time, as unpacking an archive gives it.
        ("a copy", |low| {
            let copy = low.with_extension("copy");
            fs::copy(low, &copy).unwrap();
            set_modified(&copy, modified(low));
            fs::rename(copy, low).unwrap();
        }),
    ];
    for (what, restore) in restorations {
        let before = fs::metadata(&low).unwrap();
        restore(&low);
        let after = fs::metadata(&low).unwrap();
        let same = |f: fn(&fs::Metadata) -> (i64, i64)| f(&before) == f(&after);
        assert!(!same(|m| (m.ctime(), m.ctime_nsec())), "{what}");
        assert_eq!(same(|m| (m.mtime(), m.mtime_nsec())), what != "modification time");
        assert_eq!(before.ino() == after.ino(), what != "a copy");

        project.assert_restored(&plain, what);
        project.assert_restored(&plain, what);
        let refreshed = project.refresh().success();
        assert!(
            refreshed.stdout.contains("times of 1 of 1 files written"),
            "{what}: {refreshed}"
        );
        project.assert_fresh(&plain, what);
        // Its content is not looked at any more.
        project.edit(spoil);
        project.assert_fresh(&plain, what);
        project.edit(spoil);
        assert_eq!(
            seen(&project.run(&Options::stock(), &LOAD)),
            seen(&plain),
            "{what}"
        );
    }
}

/// What only the content tells: as long as before, and the modification time put back.
#[test]
fn a_snapshot_that_is_saved_again_takes_over_digests_of_files_that_have_not_changed() {
    let (project, plain) = Project::settled("stale-again");
    let low = project.path("Low.olean");
    let digest = || {
        let mut found = None;
        project.edit(|d| found = d.digest);
        found.expect("a digest")
    };
    let right = digest();
    // What is taken over is seen by a digest that is wrong.
    project.edit(spoil);
    let spoiled = digest();
    assert_ne!(right, spoiled);
    project.run(&ours(), &SAVE).success();
    assert_eq!(digest(), spoiled);
    project.assert_fresh(&plain, "saved again");
    // Of a file that may have changed it is taken anew, though it has not.
    set_modified(&low, modified(&low) - Duration::from_secs(77));
    sleep(Duration::from_millis(2200));
    project.run(&ours(), &SAVE).success();
    assert_eq!(digest(), right);
    project.assert_fresh(&plain, "saved after it was touched");
    set_modified(&low, modified(&low) - Duration::from_secs(77));
    project.assert_restored(&plain, "restored");
}

#[test]
fn other_content_is_found_whatever_the_times_say() {
    let (project, plain) = Project::settled("stale-content");
    let low = project.path("Low.olean");
    let (old, new) = (fs::read(&low).unwrap(), project.built(&as_long()));
    assert!(old.len() == new.len() && old != new);
    let (time, inode) = (modified(&low), fs::metadata(&low).unwrap().ino());
    // Written into the very file: nothing but the change time is another one.
    fs::write(&low, &new).unwrap();
    set_modified(&low, time);
    assert!(modified(&low) == time && fs::metadata(&low).unwrap().ino() == inode);
    project.assert_stale(OTHER_CONTENT, "the same file");
    let refused = project.refresh();
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    // Renamed into place.
    set_modified(&project.path("other/Low.olean"), time);
    fs::rename(project.path("other/Low.olean"), &low).unwrap();
    project.assert_stale(OTHER_CONTENT, "another file");
    fs::write(&low, &old).unwrap();
    set_modified(&low, time);
    project.assert_restored(&plain, "put back");
}

/// A module that is built right before the save, and again right after with the same times, as a coarse clock gives
/// them.
#[test]
fn a_module_built_right_before_the_save_is_known_by_its_content() {
    let project = Project::new("stale-racy");
    let low = project.path("Low.olean");
    let (old, new) = (fs::read(&low).unwrap(), project.built(&as_long()));
    let mut plain = None;
    for _ in 0..20 {
        let written = SystemTime::now();
        fs::write(&low, &old).unwrap();
        plain = Some(project.run(&ours(), &SAVE).success());
        // On a busy machine it may have taken longer.
        if written.elapsed().unwrap() < Duration::from_millis(1900) {
            break;
        }
        plain = None;
    }
    let plain = plain.expect("a run of less than two seconds");
    project.edit(|d| assert!(d.racy, "written less than two seconds before: {d:?}"));
    project.assert_fresh(&plain, "as it was");
    let now_as_then = || {
        let now = fs::metadata(&low).unwrap();
        project.edit(|d| {
            d.modified = now.mtime() * 1_000_000_000 + now.mtime_nsec();
            d.changed = now.ctime() * 1_000_000_000 + now.ctime_nsec();
        });
    };
    fs::write(&low, &new).unwrap();
    now_as_then();
    project.assert_stale(OTHER_CONTENT, "built again at once");
    fs::write(&low, &old).unwrap();
    now_as_then();
    project.assert_fresh(&plain, "written again at once");
    // Refreshed later it is looked at no more.
    set_modified(&low, modified(&low) - Duration::from_secs(1));
    project.refresh().success();
    project.edit(|d| assert!(!d.racy, "{d:?}"));
}

/// Objects that lie elsewhere than the snapshot's pointers lead: a signal under stock, an error here.
#[test]
fn another_layout_is_an_error_where_stock_dies() {
    let (project, plain) = Project::settled("stale-layout");
    let low = project.path("Low.olean");
    let old = fs::read(&low).unwrap();
    // Everything behind a name is 160 bytes further on, or 8.
    let far = project.built(&LOW.replace("low", "lower.than.before"));
    let near = project.built(&LOW.replace("low", "lowwwwww"));
    assert_eq!((far.len(), near.len()), (old.len() + 160, old.len() + 8));
    // The same objects at another base address.
    let file = File::parse(&old, "Low.olean", None).unwrap();
    let region = Region::check(file, &[]).unwrap();
    let elsewhere = transform::relocate(&region, region.file().base() + 0x4000_0000).unwrap();
    let size = |bytes: &[u8]| {
        format!(
            "which had {} bytes and has {} now: it was built anew",
            old.len(),
            bytes.len()
        )
    };
    for (what, bytes, why, dies) in [
        ("160 bytes", &far, size(&far), true),
        // Stock takes one object for another there, and reports errors that the file does not have.
        ("8 bytes", &near, size(&near), false),
        (
            "elsewhere",
            &elsewhere,
            "where no region that was passed has its place".to_owned(),
            true,
        ),
    ] {
        fs::write(&low, bytes).unwrap();
        let stock = project.run(&Options::stock(), &LOAD);
        assert_eq!(stock.status.signal().is_some(), dies, "{what}: {stock}");
        assert_ne!(seen(&stock), seen(&plain), "{what}");
        project.assert_stale(&why, what);
    }
    fs::write(&low, &old).unwrap();
    project.assert_restored(&plain, "put back");
}

/// The three settings. It is the record that is wrong here and not the module, so that the snapshot can be used.
#[test]
fn what_is_wished_for_becomes_of_a_stale_snapshot() {
    let (project, plain) = Project::settled("stale-wishes");
    let set = |value: &str| ours().env("LEAN_REGION_STALE", value);
    let changes: [(&str, Change); 3] = [
        ("and has", |d| d.size += 8),
        ("no region that was passed", |d| d.base += 0x1_0000),
        (OTHER_CONTENT, |d| {
            d.changed -= 1;
            spoil(d);
        }),
    ];
    for (why, change) in changes {
        project.run(&ours(), &SAVE).success();
        project.edit(change);
        project.assert_stale(why, "by default");
        let default = project.load(ours()).0;
        for value in ["error", " ERROR ", ""] {
            assert_eq!(
                seen(&project.load(set(value)).0),
                seen(&default),
                "{why}: {value:?}"
            );
        }
        let (output, notes) = project.load(set("warn"));
        assert_eq!(
            (output.status, &output.stdout),
            (plain.status, &plain.stdout),
            "{output}"
        );
        let [line] = &output.stderr.lines().collect::<Vec<_>>()[..] else {
            panic!("one line: {output}")
        };
        assert!(
            line.starts_with("lean-region: 'Top.snap' is stale: it was made with '"),
            "{line}"
        );
        assert!(line.contains("Low.olean") && line.contains(why), "{line}");
        let [note] = &notes[..] else { panic!("{notes:?}") };
        assert!(line.ends_with(note), "{line}\n{note}");
        let (output, notes) = project.load(set("ignore"));
        assert_eq!(seen(&output), seen(&plain), "{why}");
        assert!(notes.is_empty(), "{notes:?}");
        // A word without a meaning is said, and permits nothing.
        let (output, _) = project.load(set("ignored"));
        assert_eq!(output.status, default.status, "{output}");
        assert!(
            output
                .stderr
                .contains("must be error, warn or ignore: taken as error"),
            "{output}"
        );
    }
}
