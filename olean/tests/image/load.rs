//! `olean load`: a real snapshot with all its modules, and what keeps one from being loaded.

use super::lean::{Prepared, prepared};
use super::olean;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;
use testkit::{Value, process, temp_dir};

/// The document of `olean load` with these arguments.
fn load(p: &Prepared, args: &[&str], env: &[(&str, &str)]) -> Value {
    let mut command = olean(&p.tree.dir);
    command.args(["load", "T.snap", "--json"]).args(args);
    command.envs(env.iter().copied());
    let output = process::run(&mut command).success();
    output.stdout.parse().expect("JSON")
}

#[test]
fn the_tool_loads_a_snapshot_with_all_its_modules() {
    let p = prepared();
    let image = p.image.to_str().expect("UTF-8");
    let list: Value = fs::read_to_string(p.tree.dir.join("T.snap.deps"))
        .unwrap()
        .parse()
        .expect("JSON");
    let modules = list.as_array().expect("modules").iter();
    let files: Vec<&str> = modules
        .flat_map(|m| m.as_object().expect("parts").values())
        .filter_map(Value::as_str)
        .collect();
    assert!(files.len() as u64 >= p.reads);
    let sizes = files.iter().chain(&["T.snap"]).map(|file| {
        let file = fs::metadata(p.tree.dir.join(file));
        file.expect("a file").len()
    });
    let size: u64 = sizes.sum();
    let mut documents = Vec::new();
    for jobs in ["1", "3", "4"] {
        let d = load(p, &["--jobs", jobs, "--runs", "3"], &[]);
        assert_eq!(d["regions"], files.len() + 1, "{d}");
        assert_eq!(d["bytes"], size, "{d}");
        assert_eq!((&d["mapped"], &d["relocated"]), (&d["regions"], &0.into()), "{d}");
        assert_eq!(d["seconds"].as_array().map(Vec::len), Some(3), "{d}");
        documents.push(d);
    }
    let d = load(p, &[], &[("LEAN_REGION_IMAGE", image)]);
    assert_eq!(
        (&d["from_image"], &d["mapped"]),
        (&d["regions"], &d["regions"]),
        "{d}"
    );
    let around = [("LEAN_REGION_FORCE_RELOCATE", "1"), ("LEAN_IMPORT_WORKERS", "3")];
    let d = load(p, &[], &around);
    assert_eq!(
        (&d["relocated"], &d["from_image"]),
        (&d["regions"], &0.into()),
        "{d}"
    );
    let d = load(p, &[], &[("LEAN_REGION_VERIFY", "1")]);
    assert_eq!(d["mapped"], d["regions"], "{d}");
    testkit::documents::check("olean load", &documents);
}

#[test]
fn relative_paths_are_meant_from_the_folder_of_the_snapshot_if_that_is_said() {
    let (p, elsewhere) = (prepared(), temp_dir("image-load"));
    let load = |args: &[&str]| {
        let mut command = olean(elsewhere.path());
        command.arg("load").arg(p.tree.dir.join("T.snap")).args(args);
        process::run(&mut command)
    };
    let output = load(&["--beside", "--json"]).success();
    let d: Value = output.stdout.parse().expect("JSON");
    assert_eq!(d["mapped"], d["regions"], "{d}");
    let output = load(&["--json"]);
    assert_eq!(output.status.code(), Some(2), "{output}");
    assert!(output.stderr.contains("No such file"), "{output}");
}

#[test]
fn people_are_told_what_was_loaded_and_the_spread_of_the_times() {
    let p = prepared();
    let text = |args: &[&str]| {
        let mut command = olean(&p.tree.dir);
        command.args(["load", "T.snap"]).args(args);
        command.env("LEAN_REGION_IMAGE", &p.image);
        process::run(&mut command).success().stdout
    };
    let regions = load(p, &[], &[])["regions"].as_u64().expect("a number");
    let several = text(&["--runs", "4"]);
    let lines: Vec<&str> = several.lines().collect();
    let all = format!(": {regions} mapped, 0 relocated, {regions} from the image");
    assert!(
        lines[0].starts_with(&format!("{regions} regions, ")) && lines[0].ends_with(&all),
        "{several}"
    );
    let ms = |text: &str| -> f64 {
        let number = text.strip_suffix(" ms").and_then(|n| n.parse().ok());
        number.unwrap_or_else(|| panic!("{text}: {several}"))
    };
    for (line, what) in lines[1..].iter().zip(["loaded in ", "freed in "]) {
        let (median, rest) = line
            .strip_prefix(what)
            .and_then(|rest| rest.split_once(" ("))
            .expect(&several);
        let (least, rest) = rest.split_once(" … ").expect(&several);
        let most = rest.strip_suffix(", 4 runs)").expect(&several);
        let (least, median, most) = (ms(least), ms(median), ms(most));
        assert!(0.0 < most && least <= median && median <= most, "{several}");
    }
    assert_eq!(lines.len(), 3, "{several}");
    // One run has no spread.
    let one = text(&[]);
    for line in one.lines().skip(1) {
        assert!(line.ends_with(" ms") && !line.contains('('), "{one}");
    }
}

#[test]
fn what_cannot_be_loaded_says_why() {
    let p = prepared();
    let fails = |args: &[&str], says: &[&str]| {
        let output = process::run(olean(&p.tree.dir).arg("load").args(args));
        assert_eq!(output.status.code(), Some(2), "{output}");
        says.iter()
            .for_each(|text| assert!(output.stderr.contains(text), "{text}: {output}"));
    };
    fails(&["nothing.snap"], &["nothing.snap.deps", "No such file"]);
    fails(&["All.olean"], &["All.olean.deps", "the list of the files"]);
    fails(&["T.snap", "--jobs", "0"], &["--jobs"]);
}

/// How many first parts of modules are opened without waiting, which nobody does but who asks for a file; and whether
/// the file system knows what it has in memory.
fn asked_for(dir: &Path) -> (usize, bool) {
    let calls = dir.join("calls");
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-qq", "-e", "trace=openat,preadv2", "-o"])
        .arg(&calls)
        .arg(env!("CARGO_BIN_EXE_olean"))
        .args(["load", "T.snap"])
        .current_dir(dir);
    process::run(&mut strace).success();
    let calls = fs::read_to_string(calls).expect("calls");
    let asked = |line: &&str| line.contains(".olean\", ") && line.contains("O_NONBLOCK");
    let count = calls.lines().filter(asked).count();
    (count, !calls.contains("EOPNOTSUPP"))
}

#[test]
fn modules_that_are_not_in_memory_are_asked_for_before_it_is_their_turn() {
    let (p, dir) = (prepared(), temp_dir("load-cold"));
    let text = fs::read_to_string(p.tree.dir.join("T.snap.deps")).unwrap();
    let list: Value = text.parse().expect("JSON");
    let modules = list.as_array().expect("modules");
    let parts = modules
        .iter()
        .flat_map(|m| m.as_object().expect("parts").values());
    let mut files: Vec<&str> = parts.filter_map(Value::as_str).collect();
    files.extend(["T.snap", "T.snap.deps"]);
    for name in &files {
        let to = dir.path().join(name);
        fs::create_dir_all(to.parent().expect("a folder")).unwrap();
        fs::copy(p.tree.dir.join(name), &to).unwrap();
    }
    let (asked, knows) = asked_for(dir.path());
    assert_eq!(asked, 0, "everything is in memory");
    for name in &files {
        let file = File::open(dir.path().join(name)).unwrap();
        file.sync_all().unwrap();
        // SAFETY: advice about an open file.
        let forgotten = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        assert_eq!(forgotten, 0);
    }
    // All but the first sixteen, and some that are read before it is known that files come from a disk.
    let (asked, _) = asked_for(dir.path());
    if !knows {
        assert_eq!(asked, 0, "nobody can tell what is in memory");
        return;
    }
    assert!(
        asked + 20 >= modules.len() && asked > 20,
        "{asked} of {}",
        modules.len()
    );
}
