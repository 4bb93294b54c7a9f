//! What declarations mention: constants, names and texts. Each object is looked at once for all declarations, then
//! only the ways to what was found are followed.

use super::entries;
use super::find;
use super::module::{Module, Role};
use crate::dump::recognise::Looks;
use olean_reader::{Kind, NodeId, Value};
use regex::Regex;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Tags of `Lean.Expr` (upstream `src/Lean/Expr.lean`).
const CONST: u8 = 4;
const LIT: u8 = 9;
const PROJ: u8 = 11;

/// What is found in a declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// The name of the declaration itself.
    Name,
    /// A constant that it refers to.
    Reference,
    /// A text in it.
    String,
    /// Its documentation.
    Doc,
}

impl What {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Reference => "reference",
            Self::String => "string",
            Self::Doc => "doc",
        }
    }
}

/// The constant that an object is, if it is an expression that names one: a constant or a projection.
pub fn constant_of(module: &Module<'_, '_>, looks: &Looks, n: NodeId) -> Option<Value> {
    let value = Value::Object(n);
    let named = looks.is_expr(value) && matches!(module.graph.tag(n), CONST | PROJ);
    module.graph.child(n, 0).filter(|_| named)
}

/// The text that an object is, if it is a literal expression.
fn literal_of<'a>(module: &Module<'_, 'a>, looks: &Looks, n: NodeId) -> Option<&'a str> {
    let graph = &module.graph;
    let Some(Value::Object(literal)) = graph.child(n, 0) else {
        return None;
    };
    let is_literal =
        looks.is_expr(Value::Object(n)) && graph.tag(n) == LIT && graph.kind(literal) == Kind::Ctor;
    match graph.child(literal, 0).filter(|_| is_literal)? {
        Value::Object(text) => graph.string(text),
        _ => None,
    }
}

/// The objects from which one of `found` can be reached, those themselves included.
fn above(module: &Module<'_, '_>, order: &[NodeId], found: impl Fn(NodeId) -> bool) -> Vec<bool> {
    let mut leads = vec![false; module.graph.len()];
    for &n in order {
        let below = |v| matches!(v, Value::Object(c) if leads[c.0 as usize]);
        leads[n.0 as usize] = found(n) || module.graph.children(n).any(below);
    }
    leads
}

/// A declaration that refers to a constant.
pub struct Reference {
    /// Its index.
    pub decl: usize,
    /// The constant.
    pub constant: String,
    /// How well the constant fits what was asked for, 0 best.
    pub rank: u8,
    /// Where in the declaration it stands.
    pub roles: Vec<Role>,
}

/// The declarations that refer directly to a constant that fits a query.
pub fn references(module: &Module<'_, '_>, query: &str) -> Vec<Reference> {
    let graph = &module.graph;
    let order = module.children_first();
    let looks = Looks::in_order(graph, &order);
    let mut names: HashMap<NodeId, Option<(u8, String)>> = HashMap::new();
    let mut found: HashMap<NodeId, (u8, String)> = HashMap::new();
    for &n in &order {
        if let Some(v @ Value::Object(c)) = constant_of(module, &looks, n) {
            let fits = |name: String| Some((find::rank(query, &name)?, name));
            let name = names.entry(c).or_insert_with(|| graph.name(v).and_then(fits));
            if let Some(name) = name {
                found.insert(n, name.clone());
            }
        }
    }
    if found.is_empty() {
        return Vec::new();
    }
    let leads = above(module, &order, |n| found.contains_key(&n));
    let mut stamp = vec![usize::MAX; graph.len()];
    let (mut all, mut walks) = (Vec::new(), 0);
    for (i, d) in module.decls.iter().enumerate() {
        let mut here: BTreeMap<(u8, String), BTreeSet<Role>> = BTreeMap::new();
        for (role, v) in module.expressions(d.info) {
            walks += 1;
            let mut stack = vec![v];
            while let Some(v) = stack.pop() {
                let Value::Object(n) = v else { continue };
                let seen = std::mem::replace(&mut stamp[n.0 as usize], walks) == walks;
                if seen || !leads[n.0 as usize] {
                    continue;
                }
                if let Some(name) = found.get(&n) {
                    here.entry(name.clone()).or_default().insert(role);
                }
                stack.extend(graph.children(n));
            }
        }
        all.extend(here.into_iter().map(|((rank, constant), roles)| Reference {
            decl: i,
            constant,
            rank,
            roles: roles.into_iter().collect(),
        }));
    }
    all
}

/// What a pattern matches in a module: index of the declaration, what it is, the text. Documentation is told by the
/// name of what it documents.
pub fn matches(
    module: &Module<'_, '_>,
    pattern: &Regex,
    wanted: &[What],
) -> Vec<(String, Option<usize>, What, String)> {
    let graph = &module.graph;
    let is_wanted = |what| wanted.is_empty() || wanted.contains(&what);
    let mut all: Vec<(String, Option<usize>, What, String)> = Vec::new();
    if is_wanted(What::Name) {
        for (i, d) in module.decls.iter().enumerate() {
            if pattern.is_match(&d.name) {
                all.push((d.name.clone(), Some(i), What::Name, d.name.clone()));
            }
        }
    }
    if is_wanted(What::Reference) || is_wanted(What::String) {
        in_terms(module, pattern, &is_wanted, &mut all);
    }
    if is_wanted(What::Doc) {
        let by_name: HashMap<&str, usize> = module
            .decls
            .iter()
            .enumerate()
            .map(|(i, d)| (d.name.as_str(), i))
            .collect();
        let mut seen = HashSet::new();
        for &part in &module.parts {
            for (key, v) in entries::keyed(module, part, "docStringExt") {
                let Value::Object(pair) = v else { continue };
                let text = match graph.child(pair, 1) {
                    Some(Value::Object(s)) => graph.string(s),
                    _ => None,
                };
                if let (Some(name), Some(text)) = (key, text)
                    && pattern.is_match(text)
                    && seen.insert(name.clone())
                {
                    let i = by_name.get(name.as_str()).copied();
                    all.push((name, i, What::Doc, text.trim().to_owned()));
                }
            }
        }
    }
    all.sort();
    all
}

fn in_terms(
    module: &Module<'_, '_>,
    pattern: &Regex,
    is_wanted: &impl Fn(What) -> bool,
    all: &mut Vec<(String, Option<usize>, What, String)>,
) {
    let graph = &module.graph;
    let order = module.children_first();
    let looks = Looks::in_order(graph, &order);
    let mut names: HashMap<NodeId, Option<String>> = HashMap::new();
    let mut found: HashMap<NodeId, (What, String)> = HashMap::new();
    for &n in &order {
        if let Some(v @ Value::Object(c)) =
            constant_of(module, &looks, n).filter(|_| is_wanted(What::Reference))
        {
            let name = names
                .entry(c)
                .or_insert_with(|| graph.name(v).filter(|t| pattern.is_match(t)));
            if let Some(name) = name {
                found.insert(n, (What::Reference, name.clone()));
            }
        } else if let Some(text) = literal_of(module, &looks, n)
            && is_wanted(What::String)
            && pattern.is_match(text)
        {
            found.insert(n, (What::String, text.to_owned()));
        }
    }
    if found.is_empty() {
        return;
    }
    let leads = above(module, &order, |n| found.contains_key(&n));
    let mut stamp = vec![usize::MAX; graph.len()];
    for (i, d) in module.decls.iter().enumerate() {
        let mut texts = BTreeSet::new();
        let mut stack: Vec<Value> = module.expressions(d.info).into_iter().map(|(_, v)| v).collect();
        while let Some(v) = stack.pop() {
            let Value::Object(n) = v else { continue };
            let seen = std::mem::replace(&mut stamp[n.0 as usize], i) == i;
            if seen || !leads[n.0 as usize] {
                continue;
            }
            texts.extend(found.get(&n).cloned());
            stack.extend(graph.children(n));
        }
        for (what, text) in texts {
            all.push((d.name.clone(), Some(i), what, text));
        }
    }
}
