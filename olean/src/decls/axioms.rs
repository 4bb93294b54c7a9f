//! What declarations rest on: the axioms in the closure of their types, values and constructors, as Lean's
//! `#print axioms` counts them. Declarations that refer to each other in a circle rest on the same.

use super::entries;
use super::kind::Kind;
use super::module::{Module, Role};
use super::uses;
use crate::dump::recognise::Looks;
use olean_reader::{NodeId, Value};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

/// The extension that records, for each public declaration, what it rests on.
const RECORDED: &str = "exportedAxiomsExt";

/// What one declaration of a module says.
#[derive(Debug)]
pub struct Fact {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// Constants that its type, value and constructors name, as indexes into [`Facts::names`].
    pub mentions: Vec<u32>,
    /// Whether its value is in another file.
    pub bare: bool,
    /// The axioms that the compiler recorded for it, sorted.
    pub recorded: Option<Vec<String>>,
}

/// What a module says.
#[derive(Debug)]
pub struct Facts {
    /// The module.
    pub module: String,
    /// All names that are mentioned.
    pub names: Vec<String>,
    /// Its declarations.
    pub decls: Vec<Fact>,
}

/// Reads the facts of a module.
pub fn facts(module: &Module<'_, '_>) -> Facts {
    let graph = &module.graph;
    let order = module.children_first();
    let looks = Looks::in_order(graph, &order);
    let mut recorded: HashMap<String, Vec<String>> = HashMap::new();
    for &part in module.parts.iter().rev() {
        for (key, v) in entries::keyed(module, part, RECORDED) {
            let (Some(key), Value::Object(pair)) = (key, v) else {
                continue;
            };
            if let Some(Value::Object(list)) = graph.child(pair, 1) {
                let mut names: Vec<String> = graph.children(list).filter_map(|v| graph.name(v)).collect();
                names.sort();
                recorded.entry(key).or_insert(names);
            }
        }
    }
    let mut names = Vec::new();
    let mut numbers: HashMap<String, u32> = HashMap::new();
    let mut of_node: HashMap<NodeId, Option<u32>> = HashMap::new();
    let mut number = |v: Value| -> Option<u32> {
        let Value::Object(n) = v else { return None };
        *of_node.entry(n).or_insert_with(|| {
            let name = graph.name(v)?;
            Some(*numbers.entry(name).or_insert_with_key(|name| {
                names.push(name.clone());
                names.len() as u32 - 1
            }))
        })
    };
    let mut stamp = vec![usize::MAX; graph.len()];
    let mut decls = Vec::new();
    for (i, d) in module.decls.iter().enumerate() {
        let mut mentions = HashSet::new();
        let expressions = module.expressions(d.info);
        let counted = |role: Role| role == Role::Type || d.kind != Kind::Recursor;
        let mut stack: Vec<Value> = expressions
            .into_iter()
            .filter(|(role, _)| counted(*role))
            .map(|(_, v)| v)
            .collect();
        while let Some(v) = stack.pop() {
            let Value::Object(n) = v else { continue };
            if std::mem::replace(&mut stamp[n.0 as usize], i) == i || !looks.is_expr(v) {
                continue;
            }
            // A projection names its type, which Lean does not count here; the type of what is projected has it.
            if graph.tag(n) == 4 {
                mentions.extend(uses::constant_of(module, &looks, n).and_then(&mut number));
            } else {
                stack.extend(graph.children(n));
            }
        }
        mentions.extend(module.constructors(d.info).into_iter().filter_map(&mut number));
        let mut mentions: Vec<u32> = mentions.into_iter().collect();
        mentions.sort_unstable();
        if d.kind == Kind::Quot {
            mentions.clear();
        }
        decls.push(Fact {
            kind: d.kind,
            mentions,
            bare: Kind::of_constant(graph.tag(d.info)) == Some(Kind::Axiom) && d.kind != Kind::Axiom,
            recorded: recorded.get(&d.name).cloned(),
            name: d.name.clone(),
        });
    }
    Facts {
        module: module.name.clone(),
        names,
        decls,
    }
}

/// All declarations of all modules that were read.
#[derive(Default)]
pub struct World {
    ids: HashMap<String, u32>,
    names: Vec<String>,
    /// What is known of each name.
    known: Vec<Option<Known>>,
}

struct Known {
    module: u32,
    kind: Kind,
    mentions: Vec<u32>,
    bare: bool,
    recorded: Option<Vec<String>>,
}

/// What a declaration rests on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Base {
    /// The axioms, sorted by name.
    pub axioms: Vec<String>,
    /// A constant that is in none of the modules read, if there is one below.
    pub missing: Option<String>,
    /// Whether something below counts as the compiler recorded it.
    pub through_record: bool,
}

impl World {
    /// Adds a module; the first declaration of a name counts.
    pub fn add(&mut self, number: u32, facts: Facts) {
        let ids: Vec<u32> = facts.names.iter().map(|n| self.id(n)).collect();
        for d in facts.decls {
            let id = self.id(&d.name) as usize;
            for axiom in d.recorded.iter().flatten() {
                self.id(axiom);
            }
            if self.known[id].is_none() {
                self.known[id] = Some(Known {
                    module: number,
                    kind: d.kind,
                    mentions: d.mentions.iter().map(|&m| ids[m as usize]).collect(),
                    bare: d.bare,
                    recorded: d.recorded,
                });
            }
        }
    }

    fn id(&mut self, name: &str) -> u32 {
        if let Some(&id) = self.ids.get(name) {
            return id;
        }
        let id = self.names.len() as u32;
        self.ids.insert(name.to_owned(), id);
        self.names.push(name.to_owned());
        self.known.push(None);
        id
    }

    /// The declarations: number, name, kind, number of the module.
    pub fn decls(&self) -> impl Iterator<Item = (u32, &str, Kind, u32)> + Clone {
        let all = self.known.iter().enumerate();
        all.filter_map(|(i, k)| {
            k.as_ref()
                .map(|k| (i as u32, self.names[i].as_str(), k.kind, k.module))
        })
    }

    /// What the compiler recorded for a declaration.
    pub fn recorded(&self, id: u32) -> Option<&[String]> {
        self.known[id as usize].as_ref()?.recorded.as_deref()
    }

    /// What each declaration rests on, by number.
    pub fn bases(&self) -> Vec<Option<Base>> {
        let mut sets = Sets::default();
        let groups = self.groups();
        let mut of = vec![(0u32, None::<u32>, false); self.names.len()];
        for group in groups {
            let (mut set, mut missing, mut record) = (0, None, false);
            for &n in &group {
                let Some(known) = &self.known[n as usize] else {
                    missing = missing.or(Some(n));
                    continue;
                };
                if known.kind == Kind::Axiom && !known.bare {
                    set = sets.with(set, n);
                }
                if known.bare {
                    record = true;
                    match &known.recorded {
                        None => missing = missing.or(Some(n)),
                        Some(names) => {
                            let ids = names.iter().filter_map(|name| self.ids.get(name));
                            set = ids.fold(set, |set, &id| sets.with(set, id));
                        }
                    }
                    continue;
                }
                for &m in &known.mentions {
                    let (below, lacks, through) = of[m as usize];
                    set = sets.union(set, below);
                    missing = missing.or(lacks);
                    record |= through;
                }
            }
            for &n in &group {
                of[n as usize] = (set, missing, record);
            }
        }
        let base = |(i, (set, missing, record)): (usize, (u32, Option<u32>, bool))| {
            self.known[i].as_ref()?;
            let mut axioms: Vec<String> = sets.list[set as usize]
                .iter()
                .map(|&n| self.names[n as usize].clone())
                .collect();
            axioms.sort();
            Some(Base {
                axioms,
                missing: missing.map(|n| self.names[n as usize].clone()),
                through_record: record,
            })
        };
        of.into_iter().enumerate().map(base).collect()
    }

    /// Constants that mention each other, each group after those that it mentions (Tarjan 1972, without recursion).
    fn groups(&self) -> Vec<Vec<u32>> {
        const NEW: u32 = u32::MAX;
        let len = self.names.len();
        let (mut index, mut low) = (vec![NEW; len], vec![0u32; len]);
        let mut open = vec![false; len];
        let (mut waiting, mut groups, mut count) = (Vec::new(), Vec::new(), 0);
        let below = |n: u32| {
            self.known[n as usize]
                .as_ref()
                .map_or(&[][..], |k| k.mentions.as_slice())
        };
        for root in 0..len as u32 {
            if index[root as usize] != NEW {
                continue;
            }
            let mut stack = vec![(root, 0usize)];
            while let Some(top) = stack.last_mut() {
                let (n, i) = *top;
                if i == 0 {
                    (index[n as usize], low[n as usize]) = (count, count);
                    count += 1;
                    open[n as usize] = true;
                    waiting.push(n);
                }
                if let Some(&m) = below(n).get(i) {
                    top.1 += 1;
                    if index[m as usize] == NEW {
                        stack.push((m, 0));
                    } else if open[m as usize] {
                        low[n as usize] = low[n as usize].min(index[m as usize]);
                    }
                    // A constant without mentions would come here again with i = 0; it has none to come to.
                    continue;
                }
                stack.pop();
                if let Some(&(parent, _)) = stack.last() {
                    low[parent as usize] = low[parent as usize].min(low[n as usize]);
                }
                if low[n as usize] == index[n as usize] {
                    let from = waiting.iter().rposition(|&w| w == n).unwrap_or(0);
                    let group: Vec<u32> = waiting.split_off(from);
                    group.iter().for_each(|&g| open[g as usize] = false);
                    groups.push(group);
                }
            }
        }
        groups
    }

    /// A shortest way from a declaration to an axiom, ends included.
    pub fn way(&self, from: u32, to: &str) -> Vec<String> {
        let Some(&to) = self.ids.get(to) else {
            return Vec::new();
        };
        let mut before: BTreeMap<u32, u32> = BTreeMap::from([(from, from)]);
        let mut queue = VecDeque::from([from]);
        while let Some(n) = queue.pop_front() {
            if n == to {
                let mut way = vec![n];
                let mut at = n;
                while before[&at] != at {
                    at = before[&at];
                    way.push(at);
                }
                return way
                    .iter()
                    .rev()
                    .map(|&n| self.names[n as usize].clone())
                    .collect();
            }
            let Some(known) = &self.known[n as usize] else {
                continue;
            };
            let recorded = known
                .recorded
                .iter()
                .flatten()
                .filter_map(|r| self.ids.get(r).copied());
            let recorded: Vec<u32> = recorded.filter(|_| known.bare).collect();
            for &m in known.mentions.iter().chain(&recorded) {
                before.entry(m).or_insert_with(|| {
                    queue.push_back(m);
                    n
                });
            }
        }
        Vec::new()
    }
}

/// Sets of axioms, each once.
struct Sets {
    list: Vec<Vec<u32>>,
    numbers: HashMap<Vec<u32>, u32>,
    unions: HashMap<(u32, u32), u32>,
}

impl Default for Sets {
    fn default() -> Self {
        Self {
            list: vec![Vec::new()],
            numbers: HashMap::from([(Vec::new(), 0)]),
            unions: HashMap::new(),
        }
    }
}

impl Sets {
    fn number(&mut self, set: Vec<u32>) -> u32 {
        *self.numbers.entry(set).or_insert_with_key(|set| {
            self.list.push(set.clone());
            self.list.len() as u32 - 1
        })
    }

    fn with(&mut self, set: u32, element: u32) -> u32 {
        let mut all = self.list[set as usize].clone();
        if let Err(at) = all.binary_search(&element) {
            all.insert(at, element);
        }
        self.number(all)
    }

    fn union(&mut self, a: u32, b: u32) -> u32 {
        if a == b || b == 0 {
            return a;
        }
        if a == 0 {
            return b;
        }
        let key = (a.min(b), a.max(b));
        if let Some(&set) = self.unions.get(&key) {
            return set;
        }
        let mut all = self.list[a as usize].clone();
        all.extend(&self.list[b as usize]);
        all.sort_unstable();
        all.dedup();
        let set = self.number(all);
        self.unions.insert(key, set);
        set
    }
}
