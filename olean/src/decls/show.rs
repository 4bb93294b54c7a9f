//! Two expressions side by side: each on one line with what differs marked. Where they do not fit, what is equal is
//! left out first, then the way to the difference. Everything is bounded by the width and by pairs of objects.

use super::digest::Digests;
use super::module::Module;
use crate::dump::term::{self, Edge, Marks};
use olean_reader::types::EXPR;
use olean_reader::{NodeId, Value};
use serde::Serialize;
use std::collections::HashSet;
use std::ops::Range;

/// At most so many pairs of objects are compared for marks.
const MAX_PAIRS: usize = 20_000;
/// What a text begins with when it starts inside a term.
const INSIDE: &str = "… ";

/// A text with what differs in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The text.
    pub text: String,
    /// Characters that differ: first, and the one behind the last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<[usize; 2]>,
}

impl Shown {
    /// A text without marks.
    pub fn plain(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            marks: Vec::new(),
        }
    }
}

/// A module with its digests.
#[derive(Clone, Copy)]
pub struct Side<'m, 'r, 'a> {
    /// The module.
    pub module: &'m Module<'r, 'a>,
    /// Its digests.
    pub digests: &'m Digests,
}

impl Side<'_, '_, '_> {
    /// The digest of a value.
    pub fn digest(&self, v: Value) -> u128 {
        self.digests.value(self.module, v)
    }
}

/// Where two expressions differ.
#[derive(Default)]
struct Walk {
    pairs: HashSet<(NodeId, NodeId)>,
    differs: [HashSet<Edge>; 2],
    touched: [HashSet<Edge>; 2],
}

/// A way down from the root of an expression.
#[derive(Default)]
struct Way {
    /// The objects, each with the number of binders above it.
    steps: Vec<(NodeId, usize)>,
    /// The names of those binders, outermost first.
    binders: Vec<Value>,
}

/// Shows two expressions that differ.
pub fn pair(a: Side<'_, '_, '_>, na: NodeId, b: Side<'_, '_, '_>, nb: NodeId, width: usize) -> [Shown; 2] {
    let mut walk = Walk::default();
    walk.run(a, na, b, nb);
    let [way_a, way_b] = ways(a, na, b, nb);
    let shown = |side: Side<'_, '_, '_>, i: usize, way: &Way| {
        let path = way.steps.as_slice();
        let at = |&(n, binders): &(NodeId, usize), elide, width: usize| {
            let marks = Marks {
                differs: &walk.differs[i],
                touched: &walk.touched[i],
                elide,
            };
            term::marked(&side.module.graph, &way.binders[..binders], n, width, marks)
        };
        let whole = at(&path[0], false, width);
        if whole.complete {
            return shown(whole.text, &whole.spans, "");
        }
        let short = at(&path[0], true, width);
        if short.complete {
            return shown(short.text, &short.spans, "");
        }
        // The nearest place to the root from which everything that differs can be seen.
        let room = width.saturating_sub(INSIDE.chars().count());
        let below = &path[1..];
        let from = below.partition_point(|step| !at(step, true, room).complete);
        let step = below.get(from).or(below.last()).unwrap_or(&path[0]);
        let line = at(step, true, room);
        shown(line.text, &line.spans, INSIDE)
    };
    [shown(a, 0, &way_a), shown(b, 1, &way_b)]
}

fn shown(text: String, spans: &[Range<usize>], before: &str) -> Shown {
    let shift = before.chars().count();
    Shown {
        text: format!("{before}{text}"),
        marks: spans.iter().map(|s| [s.start + shift, s.end + shift]).collect(),
    }
}

/// The fields of an expression that are expressions.
fn below(side: Side<'_, '_, '_>, n: NodeId) -> Vec<(usize, NodeId)> {
    let graph = &side.module.graph;
    let Some(shape) = graph.shape(EXPR, n) else {
        return Vec::new();
    };
    let first = match shape.name {
        "Expr.app" => 0,
        "Expr.lam" | "Expr.forallE" | "Expr.letE" | "Expr.mdata" => 1,
        "Expr.proj" => 2,
        _ => return Vec::new(),
    };
    let object = |i| match graph.child(n, i) {
        Some(Value::Object(c)) => Some((i, c)),
        _ => None,
    };
    (first..graph.children_len(n)).filter_map(object).collect()
}

/// Whether two objects are the same constructor of expressions.
fn alike(a: Side<'_, '_, '_>, na: NodeId, b: Side<'_, '_, '_>, nb: NodeId) -> bool {
    let name = |s: Side<'_, '_, '_>, n| s.module.graph.shape(EXPR, n).map(|c| c.name);
    name(a, na).is_some() && name(a, na) == name(b, nb)
}

/// The fields of two expressions that differ, if only such fields do or those of binders' names.
fn differing(
    a: Side<'_, '_, '_>,
    na: NodeId,
    b: Side<'_, '_, '_>,
    nb: NodeId,
) -> Vec<(usize, NodeId, NodeId)> {
    if !alike(a, na, b, nb) {
        return Vec::new();
    }
    let pairs = below(a, na).into_iter().zip(below(b, nb));
    let differs = |&((_, x), (_, y)): &((usize, NodeId), (usize, NodeId))| {
        a.digest(Value::Object(x)) != b.digest(Value::Object(y))
    };
    pairs.filter(differs).map(|((i, x), (_, y))| (i, x, y)).collect()
}

impl Walk {
    fn run(&mut self, a: Side<'_, '_, '_>, na: NodeId, b: Side<'_, '_, '_>, nb: NodeId) {
        let mut stack = vec![(na, nb, None)];
        while let Some((x, y, edges)) = stack.pop() {
            let fields = differing(a, x, b, y);
            if let Some((ex, ey)) = edges {
                self.touched[0].insert(ex);
                self.touched[1].insert(ey);
                if fields.is_empty() || self.pairs.len() > MAX_PAIRS {
                    self.differs[0].insert(ex);
                    self.differs[1].insert(ey);
                    continue;
                }
            }
            if self.pairs.insert((x, y)) {
                let next = fields.into_iter().map(|(i, p, q)| (p, q, Some(((x, i), (y, i)))));
                stack.extend(next);
            }
        }
    }
}

/// The ways from two expressions down, as long as just one field differs.
fn ways(a: Side<'_, '_, '_>, na: NodeId, b: Side<'_, '_, '_>, nb: NodeId) -> [Way; 2] {
    let mut ways = [Way::default(), Way::default()];
    let (mut x, mut y) = (na, nb);
    loop {
        for (way, n) in ways.iter_mut().zip([x, y]) {
            way.steps.push((n, way.binders.len()));
        }
        let [(i, next_x, next_y)] = differing(a, x, b, y)[..] else {
            return ways;
        };
        for (way, (side, n)) in ways.iter_mut().zip([(a, x), (b, y)]) {
            let graph = &side.module.graph;
            let body = match graph.shape(EXPR, n).map(|c| c.name) {
                Some("Expr.lam" | "Expr.forallE") => i == 2,
                Some("Expr.letE") => i == 3,
                _ => false,
            };
            if body {
                way.binders.extend(graph.child(n, 0));
            }
        }
        (x, y) = (next_x, next_y);
    }
}
