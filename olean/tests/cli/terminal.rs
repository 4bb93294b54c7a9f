//! The tool on a terminal of 80 columns.

use crate::files;
use crate::pty::{self, plain};
use crate::run::olean;
use std::fs;
use std::path::Path;

const COLUMNS: u16 = 80;

/// What such a terminal shows of a command, and the exit code.
fn on_terminal(dir: &Path, args: &[&str], environment: &[(&str, &str)]) -> (String, i32) {
    pty::on_terminal(COLUMNS, dir, args, environment)
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

/// Command lines about declarations, which fit narrow terminals too.
const DECLARATIONS: [&str; 11] = [
    "ls lib",
    "ls lib/Demo.olean --sort size --fold",
    "diff old new",
    "diff old/Demo.olean new/Demo.olean --limit 0",
    "diff --stat old new",
    "info lib",
    "info --closure Demo lib",
    "axioms lib --all",
    "axioms lib/Demo.olean --decl Demo.add_assoc_0",
    "refs Nat lib",
    "grep . lib",
];

#[test]
fn what_is_said_of_declarations_fits_forty_columns_and_more() {
    for columns in [40, 80, 200] {
        for line in DECLARATIONS {
            let args: Vec<&str> = line.split(' ').collect();
            let (shown, code) = pty::on_terminal(columns, files::dir(), &args, &[]);
            let text = plain(&shown);
            assert!(
                code < 2 && text.lines().count() > 0,
                "olean {line}: {code}\n{text}"
            );
            for l in text
                .lines()
                .filter(|l| !l.starts_with("error:") && !l.starts_with("hint:"))
            {
                let l = l.trim_end_matches('\r');
                assert!(
                    l.chars().count() <= columns.into(),
                    "olean {line} at {columns}\n{l}"
                );
            }
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
