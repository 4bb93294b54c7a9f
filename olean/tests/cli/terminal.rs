//! The tool on a terminal of 80 columns.

use crate::files;
use crate::run::olean;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

const COLUMNS: u16 = 80;

/// What a terminal shows of a command, and the exit code.
fn on_terminal(dir: &Path, args: &[&str], environment: &[(&str, &str)]) -> (String, i32) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let controller = openpt(flags).expect("a terminal");
    grantpt(&controller).expect("a terminal");
    unlockpt(&controller).expect("a terminal");
    let name = ptsname(&controller, Vec::new()).expect("its name");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let terminal = File::from(rustix::fs::open(name, flags, Mode::empty()).expect("a terminal"));
    let size = Winsize {
        ws_row: 24,
        ws_col: COLUMNS,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&terminal, size).expect("a size");
    let clone = || terminal.try_clone().expect("a descriptor");
    let mut command = olean(dir, args);
    command
        .env("TERM", "xterm-256color")
        .envs(environment.iter().copied());
    let mut child = command
        .stdin(clone())
        .stdout(clone())
        .stderr(clone())
        .spawn()
        .expect("the tool runs");
    // The last descriptors on the tool's side close when it ends; reading then fails with EIO.
    drop((terminal, command));
    let mut shown = Vec::new();
    let _ = File::from(controller).read_to_end(&mut shown);
    let code = child.wait().expect("the tool ends").code().expect("no signal");
    (String::from_utf8(shown).expect("UTF-8"), code)
}

/// The text without escape sequences.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // CSI sequences end with a letter.
            let _ = chars.find(char::is_ascii_alphabetic);
        } else {
            out.push(c);
        }
    }
    out
}

/// Command lines that show something of everything.
const LINES: [&str; 11] = [
    "info lib wasm Kinds.snap bad",
    "stats lib/Demo.olean.private",
    "stats lib wasm bad --each",
    "verify lib",
    "dump lib/Demo.olean --depth 6",
    "dump lib/Demo.olean.private --depth 7",
    "dump Kinds.snap --depth 9",
    "diff a b",
    "demo --theorems 20",
    "--help",
    "dump --help",
];

#[test]
fn no_line_is_longer_than_the_terminal_is_wide() {
    for line in LINES {
        let args: Vec<&str> = line.split(' ').collect();
        let (shown, _) = on_terminal(files::dir(), &args, &[]);
        // What is on stderr may be as long as paths are.
        for l in plain(&shown)
            .lines()
            .filter(|l| !l.starts_with("error:") && !l.starts_with("hint:"))
        {
            let l = l.trim_end_matches('\r');
            assert!(l.chars().count() <= COLUMNS.into(), "olean {line}\n{l}");
        }
    }
}

#[test]
fn colour_is_for_terminals_and_never_with_no_color() {
    for line in LINES {
        let args: Vec<&str> = line.split(' ').collect();
        let coloured = |environment: &[(&str, &str)]| {
            on_terminal(files::dir(), &args, environment)
                .0
                .contains("\u{1b}[")
        };
        assert!(coloured(&[]), "olean {line}");
        assert!(!coloured(&[("NO_COLOR", "1")]), "olean {line}");
    }
    let (shown, _) = on_terminal(files::dir(), &["info", "lib", "--color", "never"], &[]);
    assert!(!shown.contains('\u{1b}'));
}

#[test]
fn nothing_in_a_file_drives_the_terminal() {
    let (shown, code) = on_terminal(files::dir(), &["dump", "wasm/Small.olean"], &[("NO_COLOR", "1")]);
    assert_eq!(code, 0);
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{7}'), "{shown:?}");
}

#[test]
fn many_files_are_verified_with_a_progress_bar() {
    let dir = testkit::temp_dir("many");
    for i in 0..40 {
        let to = dir.path().join(format!("File{i}.olean"));
        fs::copy(files::dir().join("lib/Demo.olean"), to).expect("it can be copied");
    }
    let (shown, code) = on_terminal(dir.path(), &["verify", "."], &[]);
    assert_eq!(code, 0);
    assert!(shown.contains("verifying ["), "{shown:?}");
    assert!(plain(&shown).ends_with("s\r\n"), "{shown:?}");
    let piped = olean(dir.path(), &["verify", "."])
        .output()
        .expect("the tool runs");
    assert!(!String::from_utf8_lossy(&piped.stderr).contains("verifying"));
}

#[test]
fn region_files_are_not_written_to_a_terminal() {
    let (shown, code) = on_terminal(files::dir(), &["widen", "wasm/Small.olean", "-"], &[]);
    assert_eq!(code, 2);
    assert!(shown.contains("garble the terminal"), "{shown}");
}
