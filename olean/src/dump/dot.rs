//! A graph as a Graphviz picture.

use super::tree::Entry;
use crate::render::cut;
use olean_reader::NodeId;
use std::collections::HashSet;
use std::fmt::Write as _;

/// Characters of a label.
const MAX_LABEL: usize = 40;

/// The picture of the lines of a tree: an arrow for each field between objects that are shown.
pub fn picture(entries: &[Entry]) -> String {
    let mut text =
        "digraph region {\n  node [shape=box, fontname=\"monospace\", fontsize=10];\n  edge [fontsize=9];\n"
            .to_owned();
    let mut nodes: HashSet<NodeId> = HashSet::new();
    // Lines of a tree come parents first: the last object on each level is the parent of the next line.
    let mut parents: Vec<Option<NodeId>> = Vec::new();
    for e in entries {
        parents.truncate(e.level);
        let parent = e
            .level
            .checked_sub(1)
            .and_then(|l| parents.get(l).copied().flatten());
        parents.push(e.node);
        let Some(n) = e.node else { continue };
        if nodes.insert(n) {
            let label = cut(&e.text, MAX_LABEL);
            let style = if e.quoted {
                ", style=filled, fillcolor=honeydew"
            } else {
                ""
            };
            // Writing to a string does not fail.
            let _ = writeln!(text, "  n{} [label={}{style}];", n.0, quoted(&label));
        }
        if let Some(p) = parent {
            let _ = writeln!(text, "  n{} -> n{} [label={}];", p.0, n.0, quoted(&e.label));
        }
    }
    text += "}\n";
    text
}

/// A string of the DOT language.
fn quoted(s: &str) -> String {
    let mut out = String::from('"');
    for c in s.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
