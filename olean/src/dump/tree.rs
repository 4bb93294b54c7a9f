//! A graph as lines: each object once, fields below it, as deep as asked for. Iterative.

use super::recognise::Looks;
use super::term;
use olean_reader::path::Place;
use olean_reader::types::Type;
use olean_reader::{Graph, Kind, NodeId, Value};
use std::collections::HashSet;

/// How much is shown.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Levels below the start.
    pub depth: usize,
    /// Elements of an array or list.
    pub elements: usize,
    /// Characters of a line; texts are cut to fit.
    pub width: usize,
}

/// Room for an offset and a mark behind a text.
const OFFSET: usize = 14;
/// However deep a line is, so much of its text is shown.
const MIN_TEXT: usize = 24;

/// One line.
pub struct Entry {
    /// Levels below the start.
    pub level: usize,
    /// Field or index; the path for the start.
    pub label: String,
    /// What is there.
    pub text: String,
    /// Whether the text quotes what the file holds, as a name or a string does.
    pub quoted: bool,
    /// The object, if it is one.
    pub node: Option<NodeId>,
    /// Fields that are not shown because an earlier line or nobody asked for them.
    pub more: More,
}

/// Why fields are not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum More {
    /// All are shown, or there are none.
    Nothing,
    /// The object was shown before.
    Above,
    /// It lies too deep; so many fields.
    Deeper(usize),
    /// Elements that are left out.
    Elements(u64),
}

/// Shows the graph from `start` on, whose path is `path`.
pub struct Tree<'g, 'r, 'a> {
    graph: &'g Graph<'r, 'a>,
    looks: Looks,
    limits: Limits,
    shown: HashSet<NodeId>,
    stack: Vec<Todo>,
}

enum Todo {
    Place {
        place: Place,
        label: String,
        level: usize,
    },
    Rest {
        level: usize,
        count: u64,
    },
}

impl<'g, 'r, 'a> Tree<'g, 'r, 'a> {
    pub fn new(graph: &'g Graph<'r, 'a>, regions: usize, limits: Limits) -> Self {
        Self {
            graph,
            looks: Looks::new(graph, regions),
            limits,
            shown: HashSet::new(),
            stack: Vec::new(),
        }
    }

    /// The lines from `start` on.
    pub fn from(mut self, start: Place, path: &str) -> impl Iterator<Item = Entry> + use<'g, 'r, 'a> {
        let label = if path.is_empty() { "root" } else { path };
        self.stack.push(Todo::Place {
            place: start,
            label: label.to_owned(),
            level: 0,
        });
        std::iter::from_fn(move || self.next())
    }

    /// The place with a type, if its shape tells one.
    pub fn typed(&self, mut place: Place) -> Place {
        if matches!(place.ty, Type::Any) {
            place.ty = self.looks.type_of(place.value);
        }
        place
    }

    fn next(&mut self) -> Option<Entry> {
        let (place, label, level) = match self.stack.pop()? {
            Todo::Place { place, label, level } => (self.typed(place), label, level),
            Todo::Rest { level, count } => {
                return Some(Entry {
                    level,
                    label: String::new(),
                    text: String::new(),
                    quoted: false,
                    node: None,
                    more: More::Elements(count),
                });
            }
        };
        let mut entry = Entry {
            level,
            label,
            text: String::new(),
            quoted: false,
            node: None,
            more: More::Nothing,
        };
        let leaf = self.describe(place, &mut entry);
        if let (Value::Object(n), false) = (place.value, leaf) {
            self.expand(place, n, &mut entry);
        }
        Some(entry)
    }

    /// Fills in the text; whether it says all.
    fn describe(&self, place: Place, entry: &mut Entry) -> bool {
        let graph = self.graph;
        // Besides the text there are label and offset, and the name of a dependency.
        let beside = indent(entry.level).chars().count() + entry.label.chars().count() + 2 + OFFSET;
        let beside = beside
            + match place.value {
                Value::Object(n) => file_of(graph, n).map_or(0, |f| f.chars().count() + 1),
                _ => 0,
            };
        let room = self.limits.width.saturating_sub(beside).max(MIN_TEXT);
        let Value::Object(n) = place.value else {
            entry.text = graph.describe(place);
            return true;
        };
        entry.node = Some(n);
        if let Some(name) = graph.name(place.value) {
            entry.text = crate::render::cut(&format!("`{name}"), room);
            entry.quoted = true;
            return true;
        }
        if let Some(s) = graph.string(n) {
            entry.text = quote(s, room);
            entry.quoted = true;
            return true;
        }
        if term::is_term(graph, place.ty, n) {
            let line = term::line(graph, place.ty, n, room);
            (entry.text, entry.quoted) = (line.text, true);
            return line.complete;
        }
        entry.text = match place.ty {
            Type::List(_) if graph.is_cons(n) => "list".to_owned(),
            _ => graph.describe(place),
        };
        matches!(graph.kind(n), Kind::Sarray | Kind::Mpz) || graph.children_len(n) == 0
    }

    /// Puts the fields of an object on the stack.
    fn expand(&mut self, place: Place, n: NodeId, entry: &mut Entry) {
        let fields = self.graph.children_len(n);
        if self.shown.contains(&n) {
            entry.more = More::Above;
            return;
        }
        if entry.level >= self.limits.depth {
            entry.more = More::Deeper(fields);
            return;
        }
        self.shown.insert(n);
        let level = entry.level + 1;
        let mut below = Vec::new();
        if let Type::List(_) = place.ty
            && self.graph.is_cons(n)
        {
            self.elements(place, n, level, &mut below);
        } else {
            let most = match self.graph.kind(n) {
                Kind::Array => self.limits.elements,
                _ => usize::MAX,
            };
            for i in 0..fields.min(most) {
                below.extend(self.child(place, n, i, level));
            }
            if fields > most {
                let count = (fields - most) as u64;
                below.push(Todo::Rest { level, count });
            }
        }
        self.stack.extend(below.into_iter().rev());
    }

    fn child(&self, place: Place, n: NodeId, i: usize, level: usize) -> Option<Todo> {
        let mut step = String::new();
        let child = self.graph.step(place, n, i, &mut step)?;
        Some(Todo::Place {
            place: child,
            label: step.trim_start_matches('.').to_owned(),
            level,
        })
    }

    /// The elements of a list, which is walked as far as they are shown and counted on.
    fn elements(&self, mut place: Place, mut n: NodeId, level: usize, below: &mut Vec<Todo>) {
        let mut left_out = 0;
        loop {
            if below.len() < self.limits.elements {
                below.extend(self.child(place, n, 0, level));
            } else {
                left_out += 1;
            }
            let Some(rest) = self.graph.step(place, n, 1, &mut String::new()) else {
                break;
            };
            match rest.value {
                Value::Object(next) if self.graph.is_cons(next) => (place, n) = (rest, next),
                _ => break,
            }
        }
        if left_out > 0 {
            below.push(Todo::Rest {
                level,
                count: left_out,
            });
        }
    }
}

/// Levels that are shown by indentation; the rest by a number, or a deep list would print more blanks than text.
const INDENTED: usize = 16;

/// The name of the dependency that an object lies in, without folders.
pub fn file_of<'a>(graph: &Graph<'a, '_>, n: NodeId) -> Option<&'a str> {
    match graph.region_of(n) {
        0 => None,
        r => graph.region(r).file().name().rsplit('/').next(),
    }
}

/// What a line begins with.
pub fn indent(level: usize) -> String {
    let blanks = "  ".repeat(level.min(INDENTED));
    match level.saturating_sub(INDENTED) {
        0 => blanks,
        deeper => format!("{blanks}+{deeper} "),
    }
}

/// A string in quotes, cut to `room` characters.
fn quote(s: &str, room: usize) -> String {
    let all = format!("{s:?}");
    if all.chars().count() <= room {
        return all;
    }
    let size = format!(" ({} bytes)", s.len());
    let room = room.saturating_sub(size.len() + 1);
    crate::render::cut(&all, room) + "\"" + &size
}
