//! Where results go: never onto what is read, into what is no regular file, all of a set or nothing.

use crate::files;
use crate::run::{code, olean, output, stdout};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use testkit::olean::{Node, Spec, Val};

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A module of one part whose root is an array of these values.
fn module(base: u64, values: Vec<Val>) -> Vec<u8> {
    let mut spec = Spec::new(true, true, 2);
    spec.base = base;
    spec.root = spec.push(Node::Array(values));
    spec.write().bytes
}

/// All files below a folder with what is in them.
fn content(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(content(&path));
        } else {
            let bytes = fs::read(&path).unwrap_or_default();
            found.push((path.display().to_string(), bytes));
        }
    }
    found.sort();
    found
}

#[test]
fn nothing_is_written_onto_what_is_read() {
    let dir = testkit::temp_dir("onto");
    let path = dir.path();
    fs::create_dir(path.join("in")).expect("a folder");
    for name in ["A.olean", "A.olean.private"] {
        fs::copy(files::dir().join("lib/Demo.olean"), path.join("in").join(name)).expect("a copy");
    }
    fs::copy(
        files::dir().join("lib/Demo.olean.private"),
        path.join("in/A.olean.private"),
    )
    .expect("a copy");
    symlink("in", path.join("link")).expect("a link");
    symlink("in/A.olean", path.join("other.olean")).expect("a link");
    fs::hard_link(path.join("in/A.olean"), path.join("hard.olean")).expect("a link");
    fs::create_dir(path.join("out")).expect("a folder");
    symlink("../in/A.olean", path.join("out/A.olean")).expect("a link");
    let before = content(path);
    for line in [
        "narrow in in",
        "narrow in link",
        "narrow link in",
        "narrow in ./in/../in",
        "narrow in out",
        "narrow in/A.olean in/A.olean",
        "narrow in/A.olean other.olean",
        "narrow other.olean hard.olean",
        // A part that is read along, and a dependency.
        "narrow in/A.olean.private in/A.olean",
        "narrow --deps hard.olean in/A.olean.private other.olean",
        "widen in in",
        "relocate in/A.olean --base 0x10000 -o in/A.olean",
        "relocate in/A.olean --base 0x10000 -o hard.olean",
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        let output = output(path, &args);
        assert_eq!(code(&output), 2, "{line}: {}", stderr(&output));
        assert!(
            stderr(&output).contains("another place"),
            "{line}: {}",
            stderr(&output)
        );
        assert!(content(path) == before, "{line}");
    }
}

#[test]
fn a_folder_is_written_whole_or_not_at_all() {
    let dir = testkit::temp_dir("whole");
    let path = dir.path();
    let write = |name: &str, bytes: &[u8]| {
        let to = path.join(name);
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        fs::write(to, bytes).expect("it can be written");
    };
    write("in/sub/Good.olean", &module(0x5000_0000_0000, vec![Val::Box(1)]));
    // Nothing tells what this number is.
    write(
        "in/Large.olean",
        &module(0x5100_0000_0000, vec![Val::Box(1 << 40)]),
    );
    write("in/Large.ir", &module(0x5200_0000_0000, vec![]));
    let all = output(path, &["narrow", "in", "out"]);
    assert_eq!(code(&all), 1);
    assert_eq!(stdout(&all), "");
    let said = stderr(&all);
    assert_eq!(said.matches("the boxed scalar").count(), 1, "{said}");
    assert!(
        said.contains("nothing written: 1 of 2 modules refused; --keep-going writes the others"),
        "{said}"
    );
    assert!(!path.join("out").exists());
    // What was there stays, and so does its folder.
    write("old/sub/Good.olean", b"old");
    assert_eq!(code(&output(path, &["narrow", "in", "old"])), 1);
    assert_eq!(content(&path.join("old")).len(), 1);
    assert_eq!(
        fs::read(path.join("old/sub/Good.olean")).expect("it is there"),
        b"old"
    );

    let most = output(path, &["narrow", "in", "out", "--keep-going"]);
    assert_eq!(code(&most), 1);
    assert!(
        stderr(&most).contains("refused: 1 of 2 modules; 1 file of the others written"),
        "{}",
        stderr(&most)
    );
    let written = content(&path.join("out"));
    // A module of which one file is refused is left out whole.
    assert_eq!(written.len(), 1, "{written:?}");
    assert!(written[0].0.ends_with("out/sub/Good.olean"));
}

#[test]
fn a_set_that_cannot_be_finished_is_taken_back() {
    let dir = testkit::temp_dir("taken-back");
    let path = dir.path();
    for (name, base) in [
        ("A", 0x5000_0000_0000),
        ("B", 0x5100_0000_0000),
        ("C", 0x5200_0000_0000),
    ] {
        fs::create_dir_all(path.join("in")).expect("a folder");
        fs::write(
            path.join(format!("in/{name}.olean")),
            module(base, vec![Val::Box(1)]),
        )
        .expect("written");
    }
    fs::create_dir_all(path.join("out/B.olean")).expect("a folder in the way");
    fs::write(path.join("out/A.olean"), "old").expect("it can be written");
    let failed = output(path, &["narrow", "in", "out"]);
    assert_eq!(code(&failed), 2, "{}", stderr(&failed));
    assert_eq!(
        content(&path.join("out")),
        [(path.join("out/A.olean").display().to_string(), b"old".to_vec())]
    );
}

#[test]
fn a_replaced_file_keeps_its_mode_and_its_links() {
    let dir = testkit::temp_dir("mode");
    let to = dir.path().join("to.olean");
    let link = dir.path().join("link.olean");
    fs::write(&to, "old").expect("it can be written");
    fs::set_permissions(&to, fs::Permissions::from_mode(0o640)).expect("its mode can be set");
    symlink("to.olean", &link).expect("a link");
    let link = link.to_str().expect("UTF-8");
    let moved = ["relocate", "lib/Demo.olean", "--base", "0x10000", "-o", link];
    assert_eq!(code(&output(files::dir(), &moved)), 0);
    assert!(Path::new(link).is_symlink());
    let meta = fs::metadata(&to).expect("it is there");
    assert_eq!(meta.permissions().mode() & 0o7777, 0o640);
    assert!(meta.len() > 1000);
}

/// The bytes that `relocate` makes.
fn expected() -> Vec<u8> {
    output(
        files::dir(),
        &["relocate", "lib/Demo.olean", "--base", "0x10000", "-o", "-"],
    )
    .stdout
}

fn relocate_to(to: &str) -> Command {
    olean(
        files::dir(),
        &["relocate", "lib/Demo.olean", "--base", "0x10000", "-o", to],
    )
}

#[test]
fn what_is_no_regular_file_is_written_into() {
    let expected = expected();
    assert!(expected.len() > 1000);
    let device = relocate_to("/dev/null").output().expect("it runs");
    assert_eq!(code(&device), 0, "{}", stderr(&device));
    assert!(!fs::metadata("/dev/null").expect("it is there").is_file());
    for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        let piped = relocate_to(name).output().expect("it runs");
        assert_eq!((code(&piped), piped.stdout == expected), (0, true), "{name}");
        assert!(
            fs::symlink_metadata("/dev/stdout")
                .expect("it is there")
                .is_symlink()
        );
    }
    // A file behind standard output is written where the shell has it open.
    let dir = testkit::temp_dir("written-into");
    let to = dir.path().join("to");
    let file = File::create(&to).expect("a file");
    assert!(
        relocate_to("/dev/stdout")
            .stdout(file)
            .status()
            .expect("it runs")
            .success()
    );
    assert_eq!(fs::read(&to).expect("it is there"), expected);

    let pipe = dir.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .expect("mkfifo")
            .success()
    );
    let mut writer = relocate_to(pipe.to_str().expect("UTF-8"))
        .stdout(Stdio::null())
        .spawn()
        .expect("it runs");
    let mut bytes = Vec::new();
    File::open(&pipe)
        .and_then(|mut f| f.read_to_end(&mut bytes))
        .expect("it is written");
    assert!(writer.wait().expect("it ends").success());
    assert!(bytes == expected && !fs::metadata(&pipe).expect("it is there").is_file());

    let mut shell = Command::new("bash");
    let script = format!(
        "\"$0\" relocate lib/Demo.olean --base 0x10000 -o >(cat > {}) > /dev/null; wait $!; sleep 0.2",
        to.display()
    );
    shell.args(["-c", &script]).arg(env!("CARGO_BIN_EXE_olean"));
    assert!(
        shell
            .current_dir(files::dir())
            .status()
            .expect("bash runs")
            .success()
    );
    assert_eq!(fs::read(&to).expect("it is there"), expected);
}

#[test]
fn dependencies_do_not_swallow_what_follows() {
    let found = output(
        files::dir(),
        &["verify", "--deps", "lib/Demo.olean", "bad/Part.olean.private"],
    );
    assert_eq!(code(&found), 0, "{}", stderr(&found));
    let help = output(files::dir(), &["verify", "--help"]);
    assert!(stdout(&help).contains("--deps <FILE>\n"));
}

#[test]
fn a_dependency_may_have_dependencies_of_its_own() {
    let dir = testkit::temp_dir("deps");
    let path = dir.path();
    fs::create_dir(path.join("lib")).expect("a folder");
    // `Z` points into `M`, which points into `A.olean.server`, which points into `A.olean`: not in the order of names.
    let mut at = 0;
    for (name, base) in [
        ("lib/B.olean", 0x5000_1000_0000u64),
        ("lib/B.olean.server", 0x5000_1001_0000),
        ("lib/A.olean", 0x5100_2000_0000),
        ("Z.olean", 0x5200_3000_0000),
    ] {
        let mut spec = Spec::new(true, true, 2);
        spec.base = base;
        let text = spec.push(Node::Str(name.to_owned()));
        let mut values = vec![text];
        if at != 0 {
            values.push(Val::Word(at));
        }
        spec.root = spec.push(Node::Array(values));
        let written = spec.write();
        at = base + written.offsets[1] as u64;
        fs::write(path.join(name), &written.bytes).expect("it can be written");
    }
    let narrowed = output(path, &["narrow", "Z.olean", "z32.olean", "--deps", "lib"]);
    assert_eq!(code(&narrowed), 0, "{}", stderr(&narrowed));
    // Its dependencies narrowed by themselves lie where it points to.
    for (from, to) in [
        ("lib/A.olean", "lib32/A.olean"),
        ("lib/B.olean", "lib32/B.olean"),
        ("lib/B.olean.server", "lib32/B.olean.server"),
    ] {
        fs::create_dir_all(path.join("lib32")).expect("a folder");
        let deps = output(path, &["narrow", from, to, "--deps", "lib"]);
        assert_eq!(code(&deps), 0, "{from}: {}", stderr(&deps));
    }
    let proved = output(path, &["verify", "z32.olean", "--deps", "lib32"]);
    assert_eq!(code(&proved), 0, "{}{}", stdout(&proved), stderr(&proved));
}

/// A file with a name and a literal that need more than 31 bits, and the values they are.
fn large_numbers() -> Vec<u8> {
    let mut spec = Spec::new(true, true, 2);
    spec.base = 0x5000_0000_0000;
    let text = spec.push(Node::Str("x".to_owned()));
    let prefix = spec.push(Node::Ctor(1, vec![Val::Box(0), text], vec![1; 8]));
    let name = spec.push(Node::Ctor(2, vec![prefix, Val::Box(1 << 40)], vec![2; 8]));
    let again = spec.push(Node::Ctor(2, vec![name, Val::Box(1 << 40)], vec![3; 8]));
    let literal = spec.push(Node::Ctor(0, vec![Val::Box(u64::from(u32::MAX))], vec![]));
    let lit = spec.push(Node::Ctor(9, vec![literal], vec![4; 8]));
    spec.root = spec.push(Node::Array(vec![again, lit]));
    spec.write().bytes
}

#[test]
fn large_numbers_in_names_and_literals_become_bignums() {
    let dir = testkit::temp_dir("large");
    let path = dir.path();
    fs::write(path.join("A.olean"), large_numbers()).expect("it can be written");
    for layout in ["gmp", "native"] {
        let narrowed = output(path, &["narrow", "A.olean", "b.olean", "--bignums", layout]);
        assert_eq!(code(&narrowed), 0, "{}", stderr(&narrowed));
        let hashes = output(path, &["hash", "A.olean", "b.olean"]);
        let digests: Vec<&str> = stdout(&hashes).lines().map(|l| &l[..32]).collect();
        assert_eq!(digests.len(), 2, "{}", stderr(&hashes));
        assert_eq!(digests[0], digests[1]);
        let stats = output(path, &["stats", "b.olean"]);
        // The number that two components share is written once.
        assert!(
            stdout(&stats)
                .lines()
                .any(|l| l.split_whitespace().take(2).eq(["mpz", "2"])),
            "{}",
            stdout(&stats)
        );
        assert_eq!(code(&output(path, &["verify", "b.olean"])), 0);
    }
    // The same number where nothing tells what it is.
    fs::write(
        path.join("C.olean"),
        module(0x5000_0000_0000, vec![Val::Box(1 << 40)]),
    )
    .expect("written");
    let refused = output(path, &["narrow", "C.olean", "c.olean"]);
    assert_eq!(code(&refused), 1);
    assert!(
        stderr(&refused)
            .contains("object 0 at 0x60 (array): the boxed scalar 1099511627776 does not fit in 31 bits"),
        "{}",
        stderr(&refused)
    );
}
