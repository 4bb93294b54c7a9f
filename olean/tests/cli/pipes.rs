//! Standard input and output as pipes.

use crate::files;
use crate::run::{code, olean, output, output_from, stdout};
use std::fs;
use std::io::Read;
use std::process::Stdio;

#[test]
fn a_file_may_come_from_standard_input() {
    let bytes = fs::read(files::dir().join("lib/Demo.olean")).expect("it exists");
    for command in ["info", "stats", "verify", "hash", "dump"] {
        let piped = output_from(files::dir(), &[command, "-"], &bytes);
        let direct = output(files::dir(), &[command, "lib/Demo.olean"]);
        assert_eq!(code(&piped), 0, "{command}");
        let renamed = stdout(&direct).replace("lib/Demo.olean", "<stdin>");
        assert_eq!(stdout(&piped), renamed, "{command}");
    }
    let diff = output_from(files::dir(), &["diff", "-", "lib/Demo.olean"], &bytes);
    assert_eq!((code(&diff), stdout(&diff)), (0, "identical: the same bytes\n"));
    let twice = output_from(files::dir(), &["diff", "-", "-"], &bytes);
    assert_eq!(code(&twice), 2);
    let nothing = output(files::dir(), &["verify", "-"]);
    assert_eq!(code(&nothing), 1);
}

#[test]
fn a_file_may_go_to_standard_output() {
    let moved = output(
        files::dir(),
        &[
            "relocate",
            "lib/Demo.olean",
            "--base",
            "0x200000000000",
            "-o",
            "-",
        ],
    );
    assert_eq!(code(&moved), 0);
    let diff = output_from(files::dir(), &["diff", "-", "lib/Demo.olean"], &moved.stdout);
    assert_eq!(
        (code(&diff), stdout(&diff)),
        (0, "same graph, other bytes: base address\n")
    );
    let wide = output(files::dir(), &["widen", "wasm/Small.olean", "-"]);
    let hash = |output: &std::process::Output| stdout(output)[..32].to_owned();
    assert_eq!(
        hash(&output_from(files::dir(), &["hash", "-"], &wide.stdout)),
        hash(&output(files::dir(), &["hash", "wasm/Small.olean"]))
    );
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let mut child = olean(
        files::dir(),
        &["dump", "lib/Demo.olean.private", "--depth", "99", "--limit", "0"],
    )
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .expect("the tool runs");
    let mut first = [0; 16];
    let mut pipe = child.stdout.take().expect("a pipe");
    pipe.read_exact(&mut first).expect("it prints something");
    drop(pipe);
    let output = child.wait_with_output().expect("the tool ends");
    assert_eq!(code(&output), 0);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("/dev/full");
    let status = olean(files::dir(), &["info", "lib"])
        .stdout(full)
        .stderr(Stdio::null())
        .status();
    assert_eq!(status.expect("the tool runs").code(), Some(2));
}

#[test]
fn a_pipe_sees_no_colour_unless_it_asks() {
    let colour = |args: &[&str]| stdout(&output(files::dir(), args)).contains('\u{1b}');
    for command in ["info", "stats", "verify", "hash", "dump"] {
        let (path, reason) = ("lib/Demo.olean", "in a pipe");
        assert!(!colour(&[command, path]), "{command} {reason}");
    }
    assert!(colour(&["info", "lib", "--color", "always"]));
    assert!(!colour(&["info", "lib", "--color", "never"]));
}

#[test]
fn the_order_of_lines_does_not_depend_on_threads() {
    let one = output(files::dir(), &["hash", "lib", "a", "b", "-j", "1"]);
    let many = output(files::dir(), &["hash", "lib", "a", "b", "-j", "7"]);
    assert_eq!(stdout(&one), stdout(&many));
}
