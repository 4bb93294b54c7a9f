//! What is read: no endless devices, no pipes that nobody writes into, files that are cut meanwhile, streams that nobody
//! reads, and what is said of files that are none.

use crate::files;
use crate::run::{code, olean, output, output_from, stdout};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use testkit::Value;

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_has_no_end_is_not_read() {
    let dir = testkit::temp_dir("endless");
    let pipe = dir.path().join("pipe.olean");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .expect("mkfifo")
            .success()
    );
    let pipe = pipe.to_str().expect("UTF-8");
    for command in ["info", "verify", "stats", "hash", "dump"] {
        for file in ["/dev/zero", pipe] {
            let refused = output(files::dir(), &[command, file]);
            assert_eq!(code(&refused), 2, "{command} {file}: {}", stderr(&refused));
            assert!(
                stderr(&refused).contains("is no regular file"),
                "{}",
                stderr(&refused)
            );
            assert!(
                stderr(&refused).contains("with - for the file"),
                "{}",
                stderr(&refused)
            );
        }
    }
    // Of standard input the first bytes decide.
    let mut zeros = olean(files::dir(), &["verify", "-"]);
    let found = zeros
        .stdin(File::open("/dev/zero").expect("it is there"))
        .output()
        .expect("it runs");
    assert_eq!(code(&found), 1);
    assert!(
        stdout(&found).contains("not an .olean file"),
        "{}",
        stdout(&found)
    );
}

#[test]
fn what_is_passed_over_in_a_folder_is_said() {
    let dir = testkit::temp_dir("passed-over");
    let path = dir.path();
    fs::copy(files::dir().join("lib/Empty.olean"), path.join("A.olean")).expect("a copy");
    for name in ["X.olean.tmp.17.0", "Y.ir.tmp.1.2"] {
        fs::write(path.join(name), "half").expect("it can be written");
    }
    symlink("nowhere", path.join("Link.olean")).expect("a link");
    symlink(".", path.join("Folder.olean")).expect("a link");
    assert!(
        Command::new("mkfifo")
            .arg(path.join("P.olean"))
            .status()
            .expect("mkfifo")
            .success()
    );
    let text = output(path, &["verify", "."]);
    let said = stderr(&text);
    assert_eq!(code(&text), 0, "{said}");
    for line in [
        "passed over: dangling link ./Link.olean",
        "passed over: 2 temporary files, such as ./X.olean.tmp.17.0",
        "passed over: pipe or device ./P.olean",
        "good: 1 file",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let json = output(path, &["verify", ".", "--json"]);
    let document: Value = serde_json::from_slice(&json.stdout).expect("a document");
    assert_eq!(document["passed_over"].as_array().map(Vec::len), Some(4));
    assert_eq!(document["passed_over"][0]["is"], "dangling link");
    let quiet = output(path, &["verify", ".", "--quiet"]);
    assert_eq!(stderr(&quiet), "");
}

#[test]
fn a_file_that_is_cut_while_it_is_read_is_an_error() {
    // Such files say that they have a page, and have less.
    let short = "/sys/kernel/mm/transparent_hugepage/enabled";
    let cut = output(files::dir(), &["verify", short]);
    assert_eq!(code(&cut), 2, "{}", stderr(&cut));
    assert!(stderr(&cut).contains("bytes and was cut to"), "{}", stderr(&cut));

    let dir = testkit::temp_dir("cut");
    let path = dir.path().join("A.olean");
    let bytes = fs::read(files::dir().join("lib/Demo.olean")).expect("it is there");
    let bytes = bytes.repeat(2000);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                fs::write(&path, &bytes).expect("it can be written");
                let file = File::options().write(true).open(&path).expect("it opens");
                file.set_len(5000).expect("it can be cut");
            }
        });
        for _ in 0..30 {
            // No signal ends it.
            assert_ne!(code(&output(dir.path(), &["verify", "A.olean"])), 0);
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn nothing_depends_on_a_stream_that_can_be_written() {
    let full = || File::options().write(true).open("/dev/full").expect("/dev/full");
    for (line, expected) in [
        ("verify lib", 0),
        ("verify bad", 1),
        ("verify nowhere.olean", 2),
        ("diff a b", 1),
        ("hash lib", 0),
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        let status = olean(files::dir(), &args)
            .stderr(full())
            .stdout(Stdio::null())
            .status();
        assert_eq!(status.expect("it runs").code(), Some(expected), "{line}");
        let closed = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 2>&- >/dev/null"])
            .arg(env!("CARGO_BIN_EXE_olean"))
            .args(&args)
            .current_dir(files::dir())
            .status();
        assert_eq!(closed.expect("sh runs").code(), Some(expected), "{line}");
    }
    for line in [
        "--help",
        "verify --help",
        "--version",
        "completions bash",
        "man",
        "nonsense",
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        let status = olean(files::dir(), &args).stdout(full()).stderr(full()).status();
        let code = status.expect("it runs").code();
        assert!(matches!(code, Some(0 | 2)), "{line}: {code:?}");
    }
}

#[test]
fn without_threads_the_work_is_done_all_the_same() {
    // No thread can have such a stack.
    let none = |line: &str| {
        let args: Vec<&str> = line.split(' ').collect();
        let mut command = olean(files::dir(), &args);
        command
            .env("RUST_MIN_STACK", (1u64 << 46).to_string())
            .output()
            .expect("it runs")
    };
    for line in [
        "verify lib a b -j 4 --deps lib",
        "verify bad -j 2",
        "hash lib a",
        "stats lib",
        "doctor lib",
        "demo --theorems 5",
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        let (usual, alone) = (output(files::dir(), &args), none(line));
        assert_eq!(code(&alone), code(&usual), "{line}: {}", stderr(&alone));
        if !line.starts_with("demo") {
            assert_eq!(stdout(&alone), stdout(&usual), "{line}");
        }
    }
}

#[test]
fn what_a_helper_could_not_find_out_is_not_claimed() {
    // Started by the dynamic linker, the program's own file is the linker, which knows nothing of the helper.
    let program = env!("CARGO_BIN_EXE_olean");
    let bytes = fs::read(program).expect("it is there");
    let at = bytes
        .windows(4)
        .position(|w| w == b"/lib")
        .expect("the path of the linker");
    let linker = bytes[at..].split(|&b| b == 0).next().expect("a path");
    let linker = std::str::from_utf8(linker).expect("UTF-8");
    assert!(linker.contains("ld-linux"), "{linker}");
    let through = |args: &[&str]| {
        let mut command = Command::new(linker);
        command
            .arg(program)
            .args(args)
            .current_dir(files::dir())
            .output()
            .expect("it runs")
    };
    let text = through(&["info", "lib/Demo.olean"]);
    assert_eq!(code(&text), 0, "{}", stderr(&text));
    assert!(
        stdout(&text).contains("not known whether it is free"),
        "{}",
        stdout(&text)
    );
    assert!(!stdout(&text).contains("in a fresh process"), "{}", stdout(&text));
    let json: Value =
        serde_json::from_slice(&through(&["info", "--json", "lib/Demo.olean"]).stdout).expect("JSON");
    assert!(json["files"][0]["base_unknown"].is_string());
    assert!(json["files"][0]["base_free"].is_null());
}

#[test]
fn what_is_wrong_is_called_what_it_is() {
    let dir = testkit::temp_dir("called");
    let path = dir.path();
    let write = |name: &str, bytes: &[u8]| fs::write(path.join(name), bytes).expect("it can be written");
    write("tiny.olean", b"hi\n");
    let mut old = b"oleanfile!!!!!!!".to_vec();
    old.resize(4096, 7);
    write("old.olean", &old);
    let mut first = fs::read(files::dir().join("lib/Demo.olean")).expect("it is there");
    first[5] = 1;
    write("first.olean", &first);
    let mut snap = fs::read(files::dir().join("Kinds.snap")).expect("it is there");
    assert_eq!(snap[6], 1);
    snap[6] = 0;
    write("flags.olean", &snap);
    for (name, reason, hint) in [
        ("tiny.olean", "not an .olean file", "this is no region file"),
        (
            "old.olean",
            "a file of Lean 3, or of a Lean 4 from before its files had version numbers",
            "only files of Lean 4",
        ),
        (
            "first.olean",
            "version 1 is not supported",
            "only files of Lean 4",
        ),
        (
            "flags.olean",
            "offset 0x6: flags: 0 says that bignums are native, but the file's are GMP's",
            "one byte of the header is wrong",
        ),
    ] {
        let found = output(path, &["verify", name]);
        assert_eq!(code(&found), 1, "{name}");
        assert!(stdout(&found).contains(reason), "{name}: {}", stdout(&found));
        assert!(stderr(&found).contains(hint), "{name}: {}", stderr(&found));
    }
    for (step, expected) in [
        ("constants[Eq.mpr]", "there is no declaration Eq.mpr"),
        (
            "constants[0].vaal",
            "; see what is there with olean dump --path 'constants[0]'",
        ),
    ] {
        let found = output(files::dir(), &["dump", "lib/Demo.olean", "--path", step]);
        assert_eq!(code(&found), 1);
        assert!(stderr(&found).contains(expected), "{}", stderr(&found));
    }
}

#[test]
fn differences_in_json_have_each_name_once() {
    let json = output(files::dir(), &["diff", "--json", "a", "b"]);
    let text = stdout(&json);
    let different: Vec<&str> = text
        .split('{')
        .filter(|object| object.contains("\"verdict\": \"different\""))
        .collect();
    assert_eq!(different.len(), 1);
    for name in ["\"a\":", "\"b\":", "\"value_a\":", "\"value_b\":", "\"at\":"] {
        assert_eq!(
            different[0].matches(name).count(),
            1,
            "{name} in {}",
            different[0]
        );
    }
}

#[test]
fn what_cannot_be_compared_is_not_equal() {
    let dir = testkit::temp_dir("not-compared");
    for folder in ["a", "b"] {
        fs::create_dir(dir.path().join(folder)).expect("a folder");
        let good = files::dir().join("lib/Demo.olean");
        fs::copy(&good, dir.path().join(folder).join("Good.olean")).expect("a copy");
        fs::write(
            dir.path().join(folder).join("Bad.olean"),
            format!("text in {folder}"),
        )
        .expect("written");
    }
    let json = output(dir.path(), &["diff", "--json", "a", "b"]);
    let document: Value = serde_json::from_slice(&json.stdout).expect("a document");
    assert_eq!(code(&json), 1);
    assert_eq!(
        (&document["equal"], &document["not_compared"]),
        (&Value::Bool(false), &Value::from(1))
    );
    assert_eq!(document["files"][0]["verdict"], "not_compared");
    assert!(document["files"][0]["because"].is_string());
    let text = output(dir.path(), &["diff", "a", "b"]);
    assert_eq!(stdout(&text), "2 files: 1 identical, 1 not compared\n");
    let one = output(dir.path(), &["diff", "--json", "a/Good.olean", "a/nowhere.olean"]);
    let document: Value = serde_json::from_slice(&one.stdout).expect("a document");
    assert_eq!((code(&one), &document["equal"]), (2, &Value::Bool(false)));
}

#[test]
fn a_file_may_still_come_from_a_pipe_as_standard_input() {
    let bytes = fs::read(files::dir().join("lib/Demo.olean")).expect("it is there");
    let found = output_from(Path::new("/"), &["verify", "-"], &bytes);
    assert_eq!(code(&found), 0, "{}", stderr(&found));
}
