//! Names in place of numbers: declarations and extensions as people call them, in paths and by themselves.

use crate::decls::find;
use olean_reader::types::MODULE_DATA;
use olean_reader::{Graph, Kind, Value};

/// Names that are listed where a query is no help.
const LISTED: usize = 8;

/// Fields of module data whose elements have names, and where in an element the name is.
const NAMED: [(&str, usize, &[usize]); 5] = [
    ("imports", 0, &[0]),
    ("constNames", 1, &[]),
    ("constants", 2, &[0, 0, 0]),
    ("extraConstNames", 3, &[]),
    ("entries", 4, &[0]),
];

/// The numbers of the constants that a query means.
pub fn constants(graph: &Graph<'_, '_>, query: &str) -> Result<Vec<usize>, String> {
    lookup(graph, "constants", "declaration", query)
}

/// The number of the extension that a query means: its name, or the end of it.
pub fn extension(graph: &Graph<'_, '_>, query: &str) -> Result<usize, String> {
    let found = lookup(graph, "entries", "extension", query)?;
    one(graph, "entries", query, &found)
}

/// A path with numbers in place of the names in its brackets.
pub fn numbered(graph: &Graph<'_, '_>, path: &str) -> Result<String, String> {
    let trimmed = path.trim_start_matches('.');
    let Some((field, _, _)) = NAMED.iter().find(|(field, ..)| {
        let rest = trimmed.strip_prefix(field);
        rest.is_some_and(|r| r.starts_with('['))
    }) else {
        return Ok(path.to_owned());
    };
    // Names may hold brackets themselves, but quoted ones only.
    let inner = &trimmed[field.len() + 1..];
    let (mut quoted, mut end) = (false, None);
    for (i, c) in inner.char_indices() {
        match c {
            '«' => quoted = true,
            '»' => quoted = false,
            ']' if !quoted => {
                end = Some(i);
                break;
            }
            _ => {}
        }
    }
    let Some(end) = end else {
        return Ok(path.to_owned());
    };
    let name = &inner[..end];
    if name.is_empty() || name.chars().all(|c| c.is_ascii_digit()) {
        return Ok(path.to_owned());
    }
    let what = match *field {
        "entries" => "extension",
        "imports" => "import",
        _ => "declaration",
    };
    let found = lookup(graph, field, what, name)?;
    let i = one(graph, field, name, &found)?;
    Ok(format!("{field}[{i}]{}", &inner[end + 1..]))
}

fn one(graph: &Graph<'_, '_>, field: &str, query: &str, found: &[usize]) -> Result<usize, String> {
    match found {
        [one] => Ok(*one),
        several => {
            let all = names(graph, field);
            let fit: Vec<&str> = several.iter().map(|&i| all[i].as_str()).collect();
            Err(format!("several fit {query}: {}", fit.join(", ")))
        }
    }
}

fn lookup(graph: &Graph<'_, '_>, field: &str, what: &str, query: &str) -> Result<Vec<usize>, String> {
    let names = names(graph, field);
    let found = find::find(query, names.iter().map(String::as_str));
    if !found.is_empty() {
        return Ok(found);
    }
    if names.is_empty() {
        return Err(format!("there is no {what} here at all"));
    }
    let near = find::nearest(query, names.iter().map(String::as_str));
    let mut text = format!("there is no {what} {query}");
    if near.is_empty() {
        let some: Vec<&str> = names.iter().take(LISTED).map(String::as_str).collect();
        text += &format!("; there are {}", some.join(", "));
        if names.len() > LISTED {
            text += &format!(
                " and {} more: see olean dump --path {field}",
                names.len() - LISTED
            );
        }
    } else {
        text += &find::suggestion(&near);
    }
    Err(text)
}

/// The names of the elements of a field of the root, if that is module data.
fn names(graph: &Graph<'_, '_>, field: &str) -> Vec<String> {
    let object = |v: Option<Value>| match v {
        Some(Value::Object(n)) => Some(n),
        _ => None,
    };
    let Some((_, number, way)) = NAMED.iter().find(|(name, ..)| *name == field) else {
        return Vec::new();
    };
    let root = object(Some(graph.root())).filter(|&n| graph.shape(MODULE_DATA, n).is_some());
    let array = root.and_then(|n| object(graph.child(n, *number)));
    let Some(array) = array.filter(|&n| graph.kind(n) == Kind::Array) else {
        return Vec::new();
    };
    let name = |v: Value| {
        let end = way.iter().try_fold(v, |v, &i| match v {
            Value::Object(n) if graph.kind(n) == Kind::Ctor => graph.child(n, i),
            _ => None,
        });
        end.and_then(|v| graph.name(v)).unwrap_or_default()
    };

    graph.children(array).map(name).collect()
}
