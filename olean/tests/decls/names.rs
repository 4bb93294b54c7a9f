//! `olean dump` by names, and all commands on narrow terminals.

use crate::pty;
use crate::run::{code, output, stdout};
use crate::trees::dir;

fn said(args: &[&str]) -> (String, String, i32) {
    let output = output(dir(), args);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (stdout(&output).to_owned(), stderr, code(&output))
}

#[test]
fn declarations_and_extensions_are_found_by_name() {
    for (query, name) in [
        ("Known.proof", "`Known.proof"),
        ("hidden", "`_private.Known.0.Known.hidden"),
        ("Known.hidden", "`_private.Known.0.Known.hidden"),
        ("tief 3", "`Known.«tief 3»"),
        ("Known.«tief 3»", "`Known.«tief 3»"),
    ] {
        let (text, stderr, code) = said(&["dump", "old/Known.olean", "--decl", query]);
        assert_eq!(code, 0, "{query}: {stderr}");
        assert!(text.contains(&format!("name: {name}  @")), "{query}: {text}");
    }
    // The value is in the private part, which is found beside.
    let (text, _, _) = said(&["dump", "old/Known.olean", "--decl", "Known.proof"]);
    assert!(
        text.contains("TheoremVal") && text.contains("value: fun (p : Prop)"),
        "{text}"
    );
    let (text, _, _) = said(&["dump", "old/Known.olean.server", "--ext", "docStringExt"]);
    assert!(text.contains("\"A doc comment. \""), "{text}");
    let (text, _, _) = said(&[
        "dump",
        "old/Known.olean.private",
        "--path",
        "constants[Known.univ].val.value",
    ]);
    assert!(text.contains("fun (α : Type u) => fun (a : α) => a"), "{text}");
    let (text, _, _) = said(&[
        "dump",
        "old/Known.olean.private",
        "--path",
        "constants[Known.«tief 3»].val.value",
        "--full",
    ]);
    assert!(text.contains("eine Zeichenkette"), "{text}");
    let (text, _, _) = said(&["dump", "old/Known.olean", "--decl", "z"]);
    assert!(text.contains("`Known.Even.z"), "{text}");
}

#[test]
fn names_that_are_not_there_get_suggestions() {
    for (args, expected) in [
        (["--decl", "Known.prof"], "did you mean Known.proof"),
        (["--ext", "docStringEx"], "docStringExt"),
        (["--path", "constants[Known.prof]"], "did you mean Known.proof"),
        (["--ext", "zzzzzzzz"], "and"),
    ] {
        let all: Vec<&str> = ["dump", "old/Known.olean.server"]
            .into_iter()
            .chain(args)
            .collect();
        let (_, stderr, code) = said(&all);
        assert_eq!(code, 1, "{args:?}");
        assert!(stderr.contains(expected), "{args:?}: {stderr}");
    }
}

#[test]
fn outputs_fit_terminals_from_forty_columns_up() {
    const LINES: [&str; 12] = [
        "ls old",
        "ls old/Known.olean --fold --sort size",
        "diff old new",
        "diff old/Known.olean new/Known.olean --limit 0",
        "diff --stat old new",
        "info old/Known.olean.private",
        "info old",
        "info --closure Plain old",
        "axioms old --all",
        "axioms old --decl plain",
        "refs N.s old",
        "grep . old",
    ];
    for columns in [40, 80, 200] {
        for line in LINES {
            let args: Vec<&str> = line.split(' ').collect();
            let (shown, code) = pty::on_terminal(columns, dir(), &args, &[]);
            assert!(code < 2, "olean {line}: {shown}");
            for l in pty::plain(&shown).lines() {
                let l = l.trim_end_matches('\r');
                assert!(
                    l.chars().count() <= columns.into(),
                    "olean {line} at {columns}\n{l}"
                );
            }
        }
    }
}
