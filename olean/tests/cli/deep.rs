//! Deep graphs: nothing may recurse.

use crate::run::{code, output, stdout};
use std::fs;
use testkit::olean::{Node, Spec, Val};

/// Cells of the list: much more than frames fit in a thread's stack.
const DEPTH: usize = 200_000;

/// A list of numbers whose innermost element is `last`.
fn list(last: u64) -> Vec<u8> {
    let mut spec = Spec::new(true, true, 2);
    let mut tail = Val::Box(0);
    for i in 0..DEPTH {
        let head = Val::Box(if i == 0 { last } else { 7 });
        tail = spec.push(Node::Ctor(1, vec![head, tail], vec![]));
    }
    spec.root = tail;
    spec.write().bytes
}

/// An application of an application of an application.
fn term() -> Vec<u8> {
    let mut spec = Spec::new(true, true, 2);
    let data = |more: &[u8]| [&[1; 8], more].concat();
    let mut e = spec.push(Node::Ctor(0, vec![Val::Box(0)], data(&[])));
    for _ in 0..DEPTH / 4 {
        let f = spec.push(Node::Ctor(5, vec![e, e], data(&[])));
        e = spec.push(Node::Ctor(6, vec![Val::Box(0), f, f], data(&[0; 8])));
    }
    spec.root = e;
    spec.write().bytes
}

#[test]
fn deep_graphs_are_no_trouble() {
    let dir = testkit::temp_dir("deep");
    let write =
        |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).expect("it can be written");
    write("a.olean", &list(1));
    write("b.olean", &list(2));
    write("term.olean", &term());
    for line in [
        "info a.olean",
        "stats a.olean",
        "verify .",
        "hash a.olean term.olean",
        "relocate a.olean --base 0x200000000000 -o c.olean",
        "narrow a.olean d.olean",
        "dump term.olean --depth 99",
        "diff a.olean c.olean",
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        let output = output(dir.path(), &args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(code(&output), 0, "{line}: {stderr}");
    }
    let depth = DEPTH.to_string();
    let all = output(dir.path(), &["dump", "a.olean", "--depth", &depth]);
    // Each cell and its head have a line, the end of the list as well.
    assert_eq!(stdout(&all).lines().count(), 2 * DEPTH + 1);
    let diff = output(dir.path(), &["diff", "a.olean", "b.olean"]);
    assert_eq!(code(&diff), 1);
    let text = stdout(&diff);
    assert!(text.ends_with("\n  - 1\n  + 2\n"), "{text}");
    assert!(text.len() < 400, "{text}");
    // Text that grows with the square of the depth would take for ever; a line is cut where it is too long.
    let term = output(dir.path(), &["dump", "term.olean", "--depth", "0"]);
    assert!(stdout(&term).chars().count() < 120, "{}", stdout(&term));
}
