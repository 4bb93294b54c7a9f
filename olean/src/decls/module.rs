//! A module as one list of declarations, whatever parts it is saved in.
//!
//! With the module system a public part holds theorems and unexposed definitions as axioms without a value, and
//! `.private` all constants whole. So constants come from the last part that is there, and where that is a public
//! one, an axiom's true kind comes from the extension that records it.

use super::kind::{Flags, Kind};
use crate::module::Part as FilePart;
use crate::prove::Proved;
use olean_reader::path::Place;
use olean_reader::types::{MODULE_DATA, Type};
use olean_reader::{CheckError, Graph, Kind as ObjectKind, NodeId, Value};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Fields of `Lean.ModuleData` (upstream `src/Lean/Setup.lean`).
const IMPORTS: usize = 0;
const CONSTANTS: usize = 2;
const ENTRIES: usize = 4;

/// A part of a module.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// 0 for `.olean`, 1 for `.olean.server`, 2 for `.olean.private`.
    pub rank: usize,
    /// Its number in the graph.
    pub region: usize,
    /// Its module data.
    pub root: NodeId,
}

/// An import with its flags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Import {
    /// The module's name.
    pub module: String,
    /// `import all`: its private declarations too.
    pub all: bool,
    /// Who imports this module imports it as well.
    pub public: bool,
    /// For use at compile time.
    pub meta: bool,
}

impl Import {
    /// As the source has it, without the word `import`.
    pub fn flags(&self, is_module: bool) -> Vec<&'static str> {
        let mut words = Vec::new();
        // Outside the module system every import is passed on.
        if self.public && is_module {
            words.push("public");
        }
        if self.meta {
            words.push("meta");
        }
        if self.all {
            words.push("all");
        }
        words
    }
}

/// A declaration.
#[derive(Debug, Clone)]
pub struct Decl {
    /// Its name as Lean prints it.
    pub name: String,
    /// The name object in the last part.
    pub name_node: NodeId,
    /// Its kind.
    pub kind: Kind,
    /// Its attributes.
    pub flags: Flags,
    /// Its `ConstantInfo` in the last part that has it.
    pub info: NodeId,
    /// Its `ConstantInfo` in the public part.
    pub public: Option<NodeId>,
}

/// A module.
pub struct Module<'r, 'a> {
    /// Its name, as far as its path tells.
    pub name: String,
    /// Its parts, and the files given besides.
    pub graph: Graph<'r, 'a>,
    /// Its parts in the order in which they are saved.
    pub parts: Vec<Part>,
    /// Number of files in the graph.
    regions: usize,
    /// Whether it uses the module system.
    pub is_module: bool,
    /// What it imports.
    pub imports: Vec<Import>,
    /// What it declares, in the order of the file.
    pub decls: Vec<Decl>,
}

impl<'r, 'a> Module<'r, 'a> {
    /// The module whose last part is `p`; `None` if that is no module data.
    pub fn read(p: &Proved<'r, 'a>, name: String) -> Result<Option<Self>, CheckError> {
        let graph = p.graph()?;
        let own = p.source.path.as_deref().and_then(FilePart::of);
        let mut parts = Vec::new();
        for i in (1..=p.deps.len()).chain([0]) {
            let part = FilePart::of(Path::new(graph.region(i).file().name()));
            let beside = match (&part, &own) {
                (Some(part), Some(own)) => part.is_beside(own),
                _ => false,
            };
            if i > 0 && !beside {
                continue;
            }
            let Some(root) = module_root(&graph, graph.root_of(i)) else {
                return Ok(None);
            };
            let rank = part.map_or(0, |p| p.rank());
            parts.push(Part {
                rank,
                region: i,
                root,
            });
        }
        let mut module = Self {
            name,
            graph,
            parts,
            regions: 1 + p.deps.len(),
            is_module: false,
            imports: Vec::new(),
            decls: Vec::new(),
        };
        module.is_module = module.graph.scalars(module.first().root).first() == Some(&1);
        module.imports = module.read_imports();
        module.read_decls();
        Ok(Some(module))
    }

    /// The public part, or the first that is there.
    pub fn first(&self) -> Part {
        self.parts[0]
    }

    /// The last part: the one that says most.
    pub fn last(&self) -> Part {
        self.parts[self.parts.len() - 1]
    }

    /// Whether values and private declarations are here: in a part `.private`, or in a module without parts.
    pub fn is_whole(&self) -> bool {
        !self.is_module || self.last().rank == 2
    }

    /// The elements of a field of a part's module data.
    fn elements(&self, part: Part, field: usize) -> impl Iterator<Item = Value> + '_ {
        let array = match self.graph.child(part.root, field) {
            Some(Value::Object(n)) if self.graph.kind(n) == ObjectKind::Array => Some(n),
            _ => None,
        };
        array.into_iter().flat_map(|n| self.graph.children(n))
    }

    fn read_imports(&self) -> Vec<Import> {
        let mut imports = Vec::new();
        for v in self.elements(self.last(), IMPORTS) {
            let Value::Object(n) = v else { continue };
            let name = self.graph.child(n, 0).and_then(|v| self.graph.name(v));
            let flag = |i| self.graph.scalars(n).get(i) == Some(&1);
            imports.extend(name.map(|module| Import {
                module,
                all: flag(0),
                public: flag(1),
                meta: flag(2),
            }));
        }
        imports
    }

    fn read_decls(&mut self) {
        let mut public = HashMap::new();
        if self.parts.len() > 1 {
            for (name, info) in self.constants(self.first()) {
                public.insert(name, info);
            }
        }
        let last = self.constants(self.last());
        let mut decls: Vec<Decl> = Vec::with_capacity(last.len());
        let mut add = |(name, info): (NodeId, NodeId), public: Option<NodeId>| {
            decls.push(Decl {
                name: self.graph.name(Value::Object(name)).unwrap_or_default(),
                name_node: name,
                kind: Kind::of_constant(self.graph.tag(info)).unwrap_or(Kind::Axiom),
                flags: self.intrinsic(info),
                info,
                public,
            });
        };
        let alone = self.parts.len() == 1;
        for (name, info) in last {
            let there = if alone { Some(info) } else { public.remove(&name) };
            add((name, info), there);
        }
        // Parts share their objects; what is left has another name object, or is in the public part only.
        if !public.is_empty() {
            let by_name: HashMap<String, usize> = decls
                .iter()
                .enumerate()
                .map(|(i, d)| (d.name.clone(), i))
                .collect();
            let mut left: Vec<(NodeId, NodeId)> = public.into_iter().collect();
            left.sort_unstable();
            for (name, info) in left {
                let text = self.graph.name(Value::Object(name)).unwrap_or_default();
                match by_name.get(&text) {
                    Some(&i) => decls[i].public = Some(info),
                    None => decls.push(Decl {
                        name: text,
                        name_node: name,
                        kind: Kind::of_constant(self.graph.tag(info)).unwrap_or(Kind::Axiom),
                        flags: self.intrinsic(info),
                        info,
                        public: Some(info),
                    }),
                }
            }
        }
        self.decls = decls;
        self.read_attributes();
    }

    /// Names and infos of the constants of a part.
    fn constants(&self, part: Part) -> Vec<(NodeId, NodeId)> {
        let mut all = Vec::new();
        for v in self.elements(part, CONSTANTS) {
            let Value::Object(info) = v else { continue };
            if let Some(name) = constant_name(&self.graph, info) {
                all.push((name, info));
            }
        }
        all
    }

    /// What a constant says about itself.
    fn intrinsic(&self, info: NodeId) -> Flags {
        let mut flags = Flags::default();
        let Some(Value::Object(val)) = self.graph.child(info, 0) else {
            return flags;
        };
        let scalars = self.graph.scalars(val);
        let at = |i: usize| scalars.get(i).copied();
        let unsafe_decl = match Kind::of_constant(self.graph.tag(info)) {
            // `DefinitionSafety`: unsafe, safe, partial.
            Some(Kind::Def) => {
                if at(0) == Some(2) {
                    flags.set(Flags::PARTIAL);
                }
                at(0) == Some(0)
            }
            Some(Kind::Axiom | Kind::Opaque | Kind::Constructor) => at(0) == Some(1),
            // `isRec` and `k` come first.
            Some(Kind::Inductive | Kind::Recursor) => at(1) == Some(1),
            _ => false,
        };
        if unsafe_decl {
            flags.set(Flags::UNSAFE);
        }
        flags
    }

    /// Original kinds and attributes, as extensions record them.
    fn read_attributes(&mut self) {
        let by_node: HashMap<NodeId, usize> = self
            .decls
            .iter()
            .enumerate()
            .map(|(i, d)| (d.name_node, i))
            .collect();
        let mut found: Vec<(usize, Flags)> = Vec::new();
        let mut kinds: Vec<(usize, Kind)> = Vec::new();
        let index = |v: Option<Value>| match v? {
            Value::Object(n) => by_node.get(&n).copied(),
            _ => None,
        };
        let ends = if self.parts.len() > 1 {
            vec![self.first(), self.last()]
        } else {
            vec![self.last()]
        };
        for part in ends {
            for (ext, entries) in self.extensions_of(part) {
                let fields = |n: NodeId, i| self.graph.child(n, i);
                for v in self.graph.children(entries) {
                    let entry = match v {
                        Value::Object(n) => n,
                        _ => continue,
                    };
                    match ext {
                        "privateConstKindsExt" => {
                            let number = fields(entry, 1).and_then(|v| self.graph.small_nat(v));
                            let kind = number.and_then(Kind::of_original);
                            kinds.extend(index(fields(entry, 0)).zip(kind));
                        }
                        "protectedExt" => found.extend(index(Some(v)).map(|i| (i, Flags::PROTECTED))),
                        "classExtension" => {
                            found.extend(index(fields(entry, 0)).map(|i| (i, Flags::CLASS)));
                        }
                        "structureExt" => {
                            found.extend(index(fields(entry, 0)).map(|i| (i, Flags::STRUCTURE)));
                        }
                        "instanceExtension" => {
                            found.extend(index(self.instance(entry)).map(|i| (i, Flags::INSTANCE)));
                        }
                        "reducibilityCore" => {
                            let flag = match fields(entry, 1) {
                                Some(Value::Scalar(0)) => Some(Flags::REDUCIBLE),
                                Some(Value::Scalar(2)) => Some(Flags::IRREDUCIBLE),
                                _ => None,
                            };
                            found.extend(index(fields(entry, 0)).zip(flag));
                        }
                        _ => break,
                    }
                }
            }
        }
        for (i, kind) in kinds {
            let decl = &mut self.decls[i];
            // Only a public stand-in is something else than it looks.
            if decl.kind == Kind::Axiom && !(self.is_module && self.parts[self.parts.len() - 1].rank == 2) {
                decl.kind = kind;
            }
        }
        for (i, flag) in found {
            self.decls[i].flags.set(flag);
        }
        for decl in &mut self.decls {
            if is_private(&decl.name) {
                decl.flags.set(Flags::PRIVATE);
            }
        }
    }

    /// The name of the instance that an entry of the instance extension records. Entries say in which scope they
    /// hold: `InstanceEntry` is the field of a wrapper, and its field `globalName?` an option.
    fn instance(&self, entry: NodeId) -> Option<Value> {
        let object = |v| match v {
            Value::Object(n) => Some(n),
            _ => None,
        };
        let inner = match self.graph.children_len(entry) {
            1 => object(self.graph.child(entry, 0)?)?,
            2 => object(self.graph.child(entry, 1)?)?,
            _ => entry,
        };
        let some = |v| object(v).filter(|&n| self.graph.tag(n) == 1 && self.graph.children_len(n) == 1);
        let named = self.graph.children(inner).filter_map(some);
        let mut names = named.filter_map(|n| self.graph.child(n, 0));
        names.find(|&v| self.graph.last_component(v).is_some() || self.graph.name(v).is_some())
    }

    /// The extensions of a part: last component of the name, array of entries.
    pub fn extensions_of(&self, part: Part) -> Vec<(&'a str, NodeId)> {
        let mut all = Vec::new();
        for (name, entries) in self.extension_nodes(part) {
            all.extend(self.graph.last_component(name).map(|name| (name, entries)));
        }
        all
    }

    /// The extensions of a part: name, array of entries.
    pub fn extension_nodes(&self, part: Part) -> Vec<(Value, NodeId)> {
        let mut all = Vec::new();
        for v in self.elements(part, ENTRIES) {
            let Value::Object(pair) = v else { continue };
            if let (Some(name), Some(Value::Object(entries))) =
                (self.graph.child(pair, 0), self.graph.child(pair, 1))
                && self.graph.kind(entries) == ObjectKind::Array
            {
                all.push((name, entries));
            }
        }
        all
    }

    /// All objects of the parts and of the files given besides, children before parents.
    pub fn children_first(&self) -> Vec<NodeId> {
        let graph = &self.graph;
        let own: Vec<usize> = self.parts.iter().map(|p| p.region).collect();
        let others = (0..)
            .take_while(|&i| i < self.regions)
            .filter(|i| !own.contains(i));
        let regions: Vec<usize> = others.chain(own.iter().copied()).collect();
        let order: Vec<NodeId> = regions
            .iter()
            .flat_map(|&i| graph.nodes_of(i))
            .map(NodeId)
            .collect();
        let mut done = vec![false; graph.len()];
        let in_order = order.iter().all(|&n| {
            done[n.0 as usize] = true;
            graph
                .children(n)
                .all(|v| !matches!(v, Value::Object(c) if !done[c.0 as usize]))
        });
        if in_order {
            return order;
        }
        // Only writers other than the compactor order objects otherwise.
        let mut done = vec![false; graph.len()];
        let mut sorted = Vec::with_capacity(order.len());
        let mut stack: Vec<(NodeId, usize)> = Vec::new();
        for root in order {
            if std::mem::replace(&mut done[root.0 as usize], true) {
                continue;
            }
            stack.push((root, 0));
            while let Some(top) = stack.last_mut() {
                let (n, i) = *top;
                top.1 += 1;
                match graph.child(n, i) {
                    None => {
                        sorted.push(n);
                        stack.pop();
                    }
                    Some(Value::Object(c)) if !std::mem::replace(&mut done[c.0 as usize], true) => {
                        stack.push((c, 0));
                    }
                    Some(_) => {}
                }
            }
        }
        sorted
    }

    /// The place of a constant's `ConstantInfo`, for who follows types.
    pub fn place(&self, info: NodeId) -> Place {
        let part = self.last();
        let constants = self.graph.child_type(MODULE_DATA, part.root, CONSTANTS);
        let ty = match constants {
            Type::Array(element) => *element,
            _ => Type::Any,
        };
        Place {
            value: Value::Object(info),
            ty,
            before: None,
        }
    }

    /// The expressions of a constant: its type, its value or values, and the rules of a recursor.
    pub fn expressions(&self, info: NodeId) -> Vec<(Role, Value)> {
        let mut all = Vec::new();
        let Some(Value::Object(val)) = self.graph.child(info, 0) else {
            return all;
        };
        if let Some(Value::Object(constant)) = self.graph.child(val, 0) {
            all.extend(self.graph.child(constant, 2).map(|v| (Role::Type, v)));
        }
        match Kind::of_constant(self.graph.tag(info)) {
            Some(Kind::Def | Kind::Theorem | Kind::Opaque) => {
                all.extend(self.graph.child(val, 1).map(|v| (Role::Value, v)));
            }
            Some(Kind::Recursor) => {
                let rules = self.graph.child(val, 6);
                for rule in self.list(rules) {
                    if let Value::Object(rule) = rule {
                        all.extend(self.graph.child(rule, 2).map(|v| (Role::Value, v)));
                    }
                }
            }
            _ => {}
        }
        all
    }

    /// The constructors that an inductive type's constant lists.
    pub fn constructors(&self, info: NodeId) -> Vec<Value> {
        match self.graph.child(info, 0) {
            Some(Value::Object(val)) if Kind::of_constant(self.graph.tag(info)) == Some(Kind::Inductive) => {
                self.list(self.graph.child(val, 4))
            }
            _ => Vec::new(),
        }
    }

    /// The elements of a list.
    fn list(&self, mut v: Option<Value>) -> Vec<Value> {
        let mut all = Vec::new();
        let mut seen = HashSet::new();
        while let Some(Value::Object(n)) = v {
            if !self.graph.is_cons(n) || !seen.insert(n) {
                break;
            }
            all.extend(self.graph.child(n, 0));
            v = self.graph.child(n, 1);
        }
        all
    }
}

/// Where in a declaration an expression stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Its type.
    Type,
    /// Its value, or a rule of a recursor.
    Value,
}

/// The object of a value that looks like module data.
fn module_root(graph: &Graph<'_, '_>, v: Value) -> Option<NodeId> {
    let Value::Object(root) = v else { return None };
    let arrays = |v| matches!(v, Value::Object(n) if graph.kind(n) == ObjectKind::Array);
    (graph.shape(MODULE_DATA, root).is_some() && graph.children(root).all(arrays)).then_some(root)
}

/// The name object of a `ConstantInfo`.
fn constant_name(graph: &Graph<'_, '_>, info: NodeId) -> Option<NodeId> {
    let below = |n, i| match graph.child(n, i) {
        Some(Value::Object(c)) => Some(c),
        _ => None,
    };
    Kind::of_constant(graph.tag(info)).filter(|_| graph.kind(info) == ObjectKind::Ctor)?;
    below(below(below(info, 0)?, 0)?, 0)
}

/// Whether Lean made the name for a private declaration: `_private.MODULE.0.NAME`.
pub fn is_private(name: &str) -> bool {
    name.starts_with("_private.")
}

/// The name as its author wrote it: of `_private.A.B.0.x.y`, `x.y`.
pub fn user_name(name: &str) -> &str {
    match name.strip_prefix("_private.") {
        Some(rest) => rest.split_once(".0.").map_or(name, |(_, user)| user),
        None => name,
    }
}
