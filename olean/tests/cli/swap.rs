//! `ab`, `with`, `doctor -- COMMAND` and `demo` around programs that fail, that hide what they start, that cannot be
//! preloaded into, and that are ended by a signal. With a real Lean.

use crate::run::{code, olean, output, stdout};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use testkit::Value;

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn lean() -> String {
    testkit::real_lean().program.to_str().expect("UTF-8").to_owned()
}

/// Runs the tool with the library of this build.
fn swapped(dir: &Path, command: &str, options: &[&str], program: &[&str]) -> Output {
    let library = testkit::library();
    let mut args = vec![command, "--library", library.to_str().expect("UTF-8")];
    args.extend(options);
    args.push("--");
    args.extend(program);
    output(dir, &args)
}

/// A program of some lines of shell.
fn script(dir: &Path, name: &str, lines: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, format!("#!/bin/sh\n{lines}\n")).expect("it can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode can be set");
    path.to_str().expect("UTF-8").to_owned()
}

const ONCE: [&str; 4] = ["--runs", "1", "--warmup", "0"];

#[test]
fn a_command_that_fails_gets_no_verdict() {
    let dir = testkit::temp_dir("fails");
    let failed = swapped(dir.path(), "ab", &ONCE, &[&lean(), "nowhere.lean"]);
    let text = stdout(&failed);
    assert_eq!(code(&failed), 2, "{text}{}", stderr(&failed));
    assert!(
        text.contains("verdict    none: the command failed with exit code 1, under both loaders alike"),
        "{text}"
    );
    assert!(text.contains("nowhere.lean"), "{text}");
    let options: Vec<&str> = ONCE.iter().copied().chain(["--json"]).collect();
    let json = swapped(dir.path(), "ab", &options, &[&lean(), "nowhere.lean"]);
    let document: Value = serde_json::from_slice(&json.stdout).expect("a document");
    assert_eq!(
        (&document["succeeded"], &document["exit"]),
        (&Value::Bool(false), &Value::from(1))
    );
}

#[test]
fn a_command_without_calls_of_the_loader_gets_no_verdict() {
    let dir = testkit::temp_dir("no-calls");
    let nothing = swapped(dir.path(), "ab", &ONCE, &[&lean(), "--version"]);
    let text = stdout(&nothing);
    assert_eq!(code(&nothing), 2, "{text}");
    assert!(
        text.contains("verdict    none: the command made no call of the loader"),
        "{text}"
    );
}

#[test]
fn a_lean_in_a_cleared_environment_is_not_passed_over_in_silence() {
    let dir = testkit::temp_dir("cleared");
    let lean = lean();
    let hidden = script(
        dir.path(),
        "hidden",
        &format!("for i in 1 2 3 4 5; do env -i '{lean}' \"$@\"; done"),
    );
    let doctor = swapped(dir.path(), "doctor", &[], &[&hidden]);
    let without = "was started without LD_PRELOAD in its environment";
    assert!(stdout(&doctor).contains(without), "{}", stdout(&doctor));
    assert_eq!(code(&doctor), 1);
    let ab = swapped(dir.path(), "ab", &ONCE, &[&hidden, "--version"]);
    assert_eq!(code(&ab), 2);
    assert!(stderr(&ab).contains(without), "{}", stderr(&ab));

    let both = script(
        dir.path(),
        "both",
        &format!("'{lean}' --version; for i in 1 2 3 4 5; do env -i '{lean}' --version; done"),
    );
    let ab = swapped(dir.path(), "ab", &ONCE, &[&both]);
    assert!(stdout(&ab).contains("passed over"), "{}", stdout(&ab));
    assert!(stdout(&ab).contains(without), "{}", stdout(&ab));
    let usual = swapped(dir.path(), "ab", &ONCE, &[&lean, "--version"]);
    assert!(!stdout(&usual).contains("passed over"), "{}", stdout(&usual));
}

#[test]
fn what_still_runs_is_not_called_nothing() {
    let dir = testkit::temp_dir("still-runs");
    let lean = lean();
    let later = script(
        dir.path(),
        "later",
        &format!("(sleep 2; '{lean}' --version) > /dev/null 2>&1 < /dev/null &"),
    );
    let library = testkit::library();
    let args = [
        "with",
        "--verbose",
        "--library",
        library.to_str().expect("UTF-8"),
        "--",
        &later,
    ];
    let output = output(dir.path(), &args);
    let said = stderr(&output);
    assert_eq!(code(&output), 0, "{said}");
    assert!(said.contains("attached to nothing so far"), "{said}");
    assert!(said.contains("1 process that it started still run"), "{said}");
    let usual = swapped(dir.path(), "with", &["--verbose"], &[&lean, "--version"]);
    assert!(
        stderr(&usual).contains("attached to Lean 4.35.0"),
        "{}",
        stderr(&usual)
    );
    assert!(!stderr(&usual).contains("still run"), "{}", stderr(&usual));
}

/// A small program, linked as the arguments say.
fn program(dir: &Path, name: &str, args: &[&str]) -> PathBuf {
    let source = dir.join("main.c");
    fs::write(&source, "int main(void) { return 0; }\n").expect("it can be written");
    let to = dir.join(name);
    let built = Command::new("cc")
        .args(args)
        .arg("-o")
        .arg(&to)
        .arg(&source)
        .status();
    assert!(built.expect("cc runs").success());
    to
}

#[test]
fn a_static_program_is_called_static() {
    let dir = testkit::temp_dir("static");
    for (name, args) in [("static", &["-static"][..]), ("static-pie", &["-static-pie"])] {
        let program = program(dir.path(), name, args);
        let found = swapped(dir.path(), "doctor", &[], &[program.to_str().expect("UTF-8")]);
        let text = stdout(&found);
        assert_eq!(code(&found), 1, "{text}");
        assert!(text.contains("it is linked statically"), "{text}");
        assert!(!text.contains("attaches"), "{text}");
    }
    let usual = program(dir.path(), "usual", &[]);
    let found = swapped(dir.path(), "doctor", &[], &[usual.to_str().expect("UTF-8")]);
    assert!(!stdout(&found).contains("statically"), "{}", stdout(&found));
}

#[test]
fn a_program_that_changes_its_user_gets_one_answer() {
    let dir = testkit::temp_dir("setuid");
    let own = program(dir.path(), "own", &[]);
    let owner = fs::metadata(&own).expect("it is there").uid();
    let set = |path: &Path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o4755)).expect("its mode can be set");
    };
    let is_said = |text: &str, mark: &str| {
        let mut lines = text.lines();
        lines.any(|line| line.starts_with(mark) && line.contains("it is set-user-ID"))
    };
    set(&own);
    let found = swapped(dir.path(), "doctor", &[], &[own.to_str().expect("UTF-8")]);
    assert!(is_said(stdout(&found), "!"), "{}", stdout(&found));
    // Only root can give files away; others have programs of root's.
    let foreign = if owner == 0 {
        let foreign = program(dir.path(), "foreign", &[]);
        chown(&foreign, Some(1), None).expect("root may do that");
        set(&foreign);
        foreign
    } else {
        PathBuf::from("/usr/bin/passwd")
    };
    let found = swapped(dir.path(), "doctor", &[], &[foreign.to_str().expect("UTF-8")]);
    let text = stdout(&found);
    assert_eq!(code(&found), 1, "{text}");
    assert!(is_said(text, "✗"), "{text}");
    let modes = text
        .lines()
        .filter(|l| l.contains("replace") || l.contains("observe"));
    assert_eq!(modes.count(), 0, "{text}");
}

/// What is in a folder for temporary files.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a folder");
    entries.map(|e| e.expect("an entry").path()).collect()
}

#[test]
fn signals_leave_no_folders_behind() {
    let library = testkit::library();
    let lean = lean();
    let dir = testkit::temp_dir("signals");
    let slow = script(dir.path(), "slow", &format!("'{lean}' --version; exec sleep 60"));
    let ab = ["ab", "--library", library.to_str().expect("UTF-8"), "--", &slow];
    for (number, name) in [(2, "INT"), (15, "TERM"), (1, "HUP")] {
        for args in [&["demo", "--theorems", "400000"][..], &ab] {
            let temporary = testkit::temp_dir("signals-tmp");
            let mut command = olean(dir.path(), args);
            command
                .env("TMPDIR", temporary.path())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            // Who runs the tests in the background may ignore signals, which programs inherit.
            // SAFETY: the child asks for the usual way with a signal, which is a system call alone.
            unsafe {
                command.pre_exec(move || {
                    libc::signal(number, libc::SIG_DFL);
                    Ok(())
                });
            }
            let mut child = command.spawn().expect("it runs");
            let end = Instant::now() + Duration::from_secs(30);
            while entries(temporary.path())
                .first()
                .is_none_or(|folder| entries(folder).is_empty())
            {
                assert!(Instant::now() < end, "{args:?}");
                thread::sleep(Duration::from_millis(10));
            }
            thread::sleep(Duration::from_millis(200));
            let made = entries(temporary.path());
            let mode = fs::metadata(&made[0]).expect("a folder").permissions().mode();
            assert_eq!((made.len(), mode & 0o777), (1, 0o700), "{made:?}");
            // A name that can be guessed has the number of the process in it and nothing else.
            assert!(!made[0].to_string_lossy().ends_with(&format!("-{}", child.id())));
            let killed = Command::new("kill")
                .args([&format!("-{name}"), &child.id().to_string()])
                .status();
            assert!(killed.expect("kill runs").success());
            let status = child.wait().expect("it ends");
            assert_eq!(status.signal(), Some(number), "{args:?}: {status}");
            assert_eq!(entries(temporary.path()), [] as [PathBuf; 0], "{args:?}");
        }
    }
}

#[test]
fn signals_that_were_ignored_stay_so() {
    let temporary = testkit::temp_dir("nohup");
    let mut child = Command::new("sh")
        .args(["-c", "trap '' HUP; exec \"$0\" demo --theorems 2000"])
        .arg(env!("CARGO_BIN_EXE_olean"))
        .env("TMPDIR", temporary.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("sh runs");
    while entries(temporary.path()).is_empty() {
        assert!(
            child.try_wait().expect("it can be asked").is_none(),
            "it made a folder"
        );
        thread::sleep(Duration::from_millis(5));
    }
    thread::sleep(Duration::from_millis(100));
    let killed = Command::new("kill")
        .args(["-HUP", &child.id().to_string()])
        .status();
    assert!(killed.expect("kill runs").success());
    assert!(child.wait().expect("it ends").success());
}
