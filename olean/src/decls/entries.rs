//! Entries of extensions: what they are about, and what two builds of a module have differently there.

use super::module::{Module, Part};
use super::show::{Shown, Side, pair};
use crate::render::cut;
use olean_reader::path::Place;
use olean_reader::types::{EXPR, Type};
use olean_reader::{Kind, NodeId, Value};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};

/// How deep a key is looked for.
const KEY_DEPTH: usize = 3;
/// How deep a difference inside an entry is followed.
const MAX_DEPTH: usize = 10_000;

/// The extension that records where in the source declarations stand.
pub const POSITIONS: &str = "declRangeExt";

/// An entry, said once however many parts hold it.
#[derive(Clone)]
struct Entry {
    key: Option<String>,
    value: Value,
    digest: u128,
}

/// What an extension has differently.
#[derive(Debug, Serialize)]
pub struct ExtensionDiff {
    /// The extension's name.
    pub extension: String,
    /// Keys of entries that only the second build has; entries without a key are described.
    pub added: Vec<String>,
    /// Keys of entries that only the first build has.
    pub removed: Vec<String>,
    /// Entries with the same key and other contents.
    pub changed: Vec<EntryChange>,
}

/// An entry that both builds have differently.
#[derive(Debug, Serialize)]
pub struct EntryChange {
    /// Its key.
    pub key: String,
    /// Where in it the first difference is; empty for the whole.
    pub at: String,
    /// What the first build has there.
    pub a: Shown,
    /// What the second build has there.
    pub b: Shown,
}

/// All extensions of a module by name, with the entries of all parts.
fn collect(side: Side<'_, '_, '_>) -> BTreeMap<String, Vec<Entry>> {
    let module = side.module;
    let mut all: BTreeMap<String, (Vec<Entry>, HashSet<u128>)> = BTreeMap::new();
    // What is said in several parts is said once; the last part says most.
    for &part in module.parts.iter().rev() {
        for (name, entries) in module.extension_nodes(part) {
            let name = module.graph.name(name).unwrap_or_else(|| "?".to_owned());
            let (list, seen) = all.entry(name).or_default();
            let mut here = Vec::new();
            for value in module.graph.children(entries) {
                let digest = side.digest(value);
                if !seen.contains(&digest) {
                    here.push(Entry {
                        key: key(module, value, KEY_DEPTH),
                        value,
                        digest,
                    });
                }
            }
            seen.extend(here.iter().map(|e| e.digest));
            list.extend(here);
        }
    }
    all.into_iter().map(|(name, (list, _))| (name, list)).collect()
}

/// The entries of one extension of a part, by the last component of its name, with their keys.
pub fn keyed<'m>(
    module: &'m Module<'_, '_>,
    part: Part,
    extension: &str,
) -> impl Iterator<Item = (Option<String>, Value)> + 'm {
    let all = module.extensions_of(part);
    let nodes: Vec<NodeId> = all
        .into_iter()
        .filter(|e| e.0 == extension)
        .map(|e| e.1)
        .collect();
    let values = nodes.into_iter().flat_map(|n| module.graph.children(n));
    values.map(|v| (key(module, v, KEY_DEPTH), v))
}

/// What an entry is about: the name that it is, holds, or has in its first field; else a text there.
pub fn key(module: &Module<'_, '_>, value: Value, depth: usize) -> Option<String> {
    let graph = &module.graph;
    if let Some(name) = graph.name(value) {
        return Some(name);
    }
    let Value::Object(n) = value else { return None };
    if graph.kind(n) != Kind::Ctor || depth == 0 {
        return None;
    }
    let fields: Vec<Value> = graph.children(n).collect();
    if let Some(name) = fields.iter().find_map(|&v| graph.name(v)) {
        return Some(name);
    }
    let object = |v: Value| match v {
        Value::Object(c) if graph.kind(c) == Kind::Ctor => Some(c),
        _ => None,
    };
    // Options and constants of expressions before what lies deeper.
    let inside = |c: NodeId| match (graph.tag(c), graph.children_len(c)) {
        (1, 1) | (4, 2) => graph.child(c, 0).and_then(|v| graph.name(v)),
        _ => None,
    };
    fields
        .iter()
        .filter_map(|&v| object(v))
        .find_map(inside)
        .or_else(|| {
            fields
                .iter()
                .find_map(|&v| object(v).and_then(|_| key(module, v, depth - 1)))
        })
        .or_else(|| match fields.first() {
            Some(&Value::Object(s)) => graph.string(s).map(|s| format!("{:?}", cut(s, 40))),
            _ => None,
        })
}

/// What two builds have differently, extension by extension, and how many declarations only moved in the source.
pub fn compare(a: Side<'_, '_, '_>, b: Side<'_, '_, '_>, width: usize) -> (Vec<ExtensionDiff>, u64) {
    let (mut in_a, mut in_b) = (collect(a), collect(b));
    let names: Vec<String> = {
        let mut all: Vec<String> = in_a.keys().chain(in_b.keys()).cloned().collect();
        all.sort();
        all.dedup();
        all
    };
    let (mut diffs, mut moved) = (Vec::new(), 0);
    for name in names {
        let [left, right] = [&mut in_a, &mut in_b].map(|all| all.remove(&name).unwrap_or_default());
        let (left, right) = (without(&left, &right), without(&right, &left));
        let positions = name.ends_with(POSITIONS);
        let mut diff = ExtensionDiff {
            extension: name,
            added: Vec::new(),
            removed: Vec::new(),
            changed: Vec::new(),
        };
        let mut by_key: HashMap<&str, Vec<&Entry>> = HashMap::new();
        for e in right.iter().rev() {
            if let Some(key) = &e.key {
                by_key.entry(key).or_default().push(e);
            }
        }
        let mut paired: HashSet<u128> = HashSet::new();
        for e in &left {
            let other = e.key.as_deref().and_then(|k| by_key.get_mut(k)?.pop());
            match other {
                None if positions => {}
                None => diff.removed.push(label(a, e)),
                Some(other) => {
                    paired.insert(other.digest);
                    if positions {
                        moved += 1;
                    } else {
                        diff.changed.push(change(a, e, b, other, width));
                    }
                }
            }
        }
        if !positions {
            let rest = right.iter().filter(|e| !paired.contains(&e.digest));
            diff.added.extend(rest.map(|e| label(b, e)));
        }
        if !(diff.added.is_empty() && diff.removed.is_empty() && diff.changed.is_empty()) {
            diffs.push(diff);
        }
    }
    (diffs, moved)
}

/// The entries that the other side does not have.
fn without(these: &[Entry], those: &[Entry]) -> Vec<Entry> {
    let there: HashSet<u128> = those.iter().map(|e| e.digest).collect();
    these
        .iter()
        .filter(|e| !there.contains(&e.digest))
        .cloned()
        .collect()
}

fn label(side: Side<'_, '_, '_>, e: &Entry) -> String {
    match &e.key {
        Some(key) => key.clone(),
        None => text(side, e.value, 60).text,
    }
}

/// One line about a value.
fn text(side: Side<'_, '_, '_>, value: Value, width: usize) -> Shown {
    let graph = &side.module.graph;
    if let Value::Object(n) = value {
        if let Some(s) = graph.string(n) {
            return Shown::plain(format!("{s:?}"));
        }
        if side.digests.looks().is_expr(value) {
            return Shown::plain(crate::dump::term::line(graph, EXPR, n, width).text);
        }
    }
    let ty = side.digests.looks().type_of(value);
    Shown::plain(graph.describe(Place {
        value,
        ty,
        before: None,
    }))
}

/// Follows the first field that differs until the objects themselves do, or are expressions or names.
fn change(a: Side<'_, '_, '_>, ea: &Entry, b: Side<'_, '_, '_>, eb: &Entry, width: usize) -> EntryChange {
    let (mut x, mut y) = (ea.value, eb.value);
    let mut at = String::new();
    for _ in 0..MAX_DEPTH {
        let (Value::Object(nx), Value::Object(ny)) = (x, y) else {
            break;
        };
        let (ga, gb) = (&a.module.graph, &b.module.graph);
        let leaf = |s: Side<'_, '_, '_>, v| !matches!(s.digests.looks().type_of(v), Type::Any);
        let same = ga.kind(nx) == gb.kind(ny) && ga.tag(nx) == gb.tag(ny);
        let array = ga.kind(nx) == Kind::Array;
        if !same || leaf(a, x) || leaf(b, y) || !array && ga.children_len(nx) != gb.children_len(ny) {
            break;
        }
        let fields = ga.children(nx).zip(gb.children(ny)).enumerate();
        let differs = |&(_, (p, q)): &(usize, (Value, Value))| a.digest(p) != b.digest(q);
        let Some((i, (p, q))) = fields.into_iter().find(differs) else {
            break;
        };
        at += &if array { format!("[{i}]") } else { format!(".{i}") };
        (x, y) = (p, q);
    }
    let [left, right] = match (x, y) {
        (Value::Object(nx), Value::Object(ny))
            if a.digests.looks().is_expr(x) && b.digests.looks().is_expr(y) =>
        {
            pair(a, nx, b, ny, width)
        }
        _ => strings([text(a, x, width), text(b, y, width)], width),
    };
    EntryChange {
        key: label(a, ea),
        at,
        a: left,
        b: right,
    }
}

/// Two texts cut so that what differs can be seen, and marked there.
pub fn strings(texts: [Shown; 2], width: usize) -> [Shown; 2] {
    let chars = texts.each_ref().map(|t| t.text.chars().collect::<Vec<char>>());
    let [x, y] = &chars;
    let shortest = x.len().min(y.len());
    let start = (0..shortest).find(|&i| x[i] != y[i]).unwrap_or(shortest);
    let tail = (0..shortest - start).find(|&i| x[x.len() - 1 - i] != y[y.len() - 1 - i]);
    let tail = tail.unwrap_or(shortest - start);
    // As much of what comes before as leaves room for what differs.
    let longest = x.len().max(y.len()) - tail - start;
    let skip = if x.len().max(y.len()) <= width {
        0
    } else {
        start.saturating_sub(width.saturating_sub(longest + 2).max(width / 4))
    };
    chars.each_ref().map(|c| {
        let end = c.len() - tail;
        let mut text: Vec<char> = c[skip..].to_vec();
        let mut mark = [start - skip, end - skip];
        if skip > 0 {
            text[0] = '…';
        }
        if text.len() > width {
            text.truncate(width.saturating_sub(1));
            text.push('…');
            mark = mark.map(|m| m.min(text.len()));
        }
        Shown {
            text: text.into_iter().collect(),
            marks: if mark[0] < mark[1] { vec![mark] } else { Vec::new() },
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_in_a_long_text_is_seen() {
        let (x, y) = (
            "a".repeat(200) + "X" + &"b".repeat(200),
            "a".repeat(200) + "YZ" + &"b".repeat(200),
        );
        let [x, y] = strings([Shown::plain(x), Shown::plain(y)], 40);
        let marked = |s: &Shown| {
            let [from, to] = s.marks[0];
            s.text.chars().skip(from).take(to - from).collect::<String>()
        };
        assert_eq!([marked(&x), marked(&y)], ["X", "YZ"]);
        assert!(x.text.chars().count() <= 40 && y.text.chars().count() <= 40);
        let [same, longer] = strings([Shown::plain("ab"), Shown::plain("abc")], 40);
        assert!(same.marks.is_empty());
        assert_eq!(longer.marks, [[2, 3]]);
    }
}
