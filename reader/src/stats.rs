//! What fills a file: objects and bytes per kind, sharing, depth, the largest strings and arrays, and what
//! hangs below each field of the root.

use super::error::CheckError;
use super::graph::{Graph, Value};
use super::path::Place;
use super::space::NodeId;
use super::types::Type;
use crate::format::object::Kind;

/// Strings and arrays listed each.
pub const LARGEST: usize = 10;

/// The numbers of a file. Bytes are bytes of the file, padding included; objects of dependencies do not
/// count anywhere but in `cross`.
#[derive(Debug, Clone)]
pub struct Stats {
    /// Objects and bytes of each kind that occurs.
    pub kinds: Vec<(Kind, u32, u64)>,
    /// All objects.
    pub objects: u32,
    /// Bytes of all objects.
    pub object_bytes: u64,
    /// Bytes of header, root word and sections.
    pub frame_bytes: u64,
    /// Fields that hold a pointer.
    pub pointers: u64,
    /// Fields that hold a boxed scalar.
    pub scalars: u64,
    /// Objects that the root does not reach, and their bytes.
    pub unreachable: (u32, u64),
    /// Objects with more than one reference from objects of the file.
    pub shared: u32,
    /// Bytes that would come on top if every reference had its own copy of the object it goes to.
    pub saved_bytes: u64,
    /// The object with most references, and their number.
    pub most_shared: Option<(NodeId, u32)>,
    /// Objects on the longest path from the root; dependencies included.
    pub depth: u32,
    /// Different values among the reachable objects.
    pub distinct: u32,
    /// The largest strings, with their bytes.
    pub strings: Vec<(NodeId, u64)>,
    /// The largest arrays, with their number of elements.
    pub arrays: Vec<(NodeId, u64)>,
    /// What each field of the root reaches.
    pub root_fields: Vec<Subgraph>,
    /// Where the root is module data: each extension, what its entries are and reach.
    pub extensions: Vec<Subgraph>,
    /// Pointers into each dependency, in the order given.
    pub cross: Vec<u64>,
    /// Pointers into files that are not given.
    pub outside: u64,
}

/// A part of the graph below some field.
#[derive(Debug, Clone)]
pub struct Subgraph {
    /// Its field or extension.
    pub name: String,
    /// Elements, where it is an array.
    pub elements: u64,
    /// Objects and bytes that it reaches.
    pub reach: (u32, u64),
    /// Of those, what no part before it reaches.
    pub first: (u32, u64),
}

impl Graph<'_, '_> {
    /// Counts. Takes time and memory in proportion to the file, for each field of the root.
    ///
    /// # Errors
    /// The graph has a cycle.
    pub fn stats(&self) -> Result<Stats, CheckError> {
        let region = self.region(0);
        let digests = self.digests()?;
        let own = region.summary.objects;
        let mut s = Stats {
            kinds: Vec::new(),
            objects: own,
            object_bytes: 0,
            frame_bytes: 0,
            pointers: 0,
            scalars: 0,
            unreachable: (0, 0),
            shared: 0,
            saved_bytes: 0,
            most_shared: None,
            depth: digests.depth,
            distinct: digests.distinct,
            strings: Vec::new(),
            arrays: Vec::new(),
            root_fields: Vec::new(),
            extensions: Vec::new(),
            cross: vec![0; self.space.regions.len() - 1],
            outside: 0,
        };
        for kind in Kind::ALL {
            let (objects, bytes) = region.of_kind(kind);
            s.object_bytes += bytes;
            if objects > 0 {
                s.kinds.push((kind, objects, bytes));
            }
        }
        s.frame_bytes = region.file.bytes.len() as u64 - s.object_bytes;
        self.references(&mut s);
        self.largest(&mut s);
        let mut seen = vec![false; own as usize];
        for n in &self.reached {
            if n.0 < own {
                seen[n.0 as usize] = true;
            }
        }
        for n in (0..own).filter(|&n| !seen[n as usize]) {
            s.unreachable.0 += 1;
            s.unreachable.1 += self.size(NodeId(n)) as u64;
        }
        self.parts(&mut s);
        Ok(s)
    }

    fn references(&self, s: &mut Stats) {
        let mut count = vec![0u32; s.objects as usize];
        for n in (0..s.objects).map(NodeId) {
            for child in self.children(n) {
                match child {
                    Value::Scalar(_) => s.scalars += 1,
                    Value::Outside(_) => s.outside += 1,
                    Value::Object(c) if c.0 < s.objects => count[c.0 as usize] += 1,
                    Value::Object(c) => s.cross[self.region_of(c) - 1] += 1,
                }
                s.pointers += u64::from(!matches!(child, Value::Scalar(_)));
            }
        }
        for (n, &references) in count.iter().enumerate().filter(|(_, c)| **c > 1) {
            let n = NodeId(n as u32);
            s.shared += 1;
            s.saved_bytes += u64::from(references - 1) * self.size(n) as u64;
            if s.most_shared.is_none_or(|(_, most)| references > most) {
                s.most_shared = Some((n, references));
            }
        }
    }

    fn largest(&self, s: &mut Stats) {
        let keep = |list: &mut Vec<(NodeId, u64)>, n, size| {
            let at = list.partition_point(|&(_, other)| other >= size);
            if at < LARGEST {
                list.insert(at, (n, size));
                list.truncate(LARGEST);
            }
        };
        for n in (0..s.objects).map(NodeId) {
            match self.kind(n) {
                Kind::String => keep(&mut s.strings, n, self.string(n).map_or(0, str::len) as u64),
                Kind::Array => keep(&mut s.arrays, n, self.children_len(n) as u64),
                _ => {}
            }
        }
    }

    fn parts(&self, s: &mut Stats) {
        let place = self.root_place();
        let Value::Object(root) = place.value else { return };
        // Extensions are many, so only what each reaches first is followed; root fields are at most 255
        // where the root is a constructor, and an array as root is one part.
        if self.kind(root) != Kind::Ctor {
            return;
        }
        let mut stamp = vec![0u32; s.objects as usize];
        let mut first = vec![false; s.objects as usize];
        for i in 0..self.children_len(root) {
            let mut name = String::new();
            let Some(child) = self.step(place, root, i, &mut name) else {
                continue;
            };
            let mut part = self.part(name.trim_start_matches('.').to_owned(), child);
            self.collect(child.value, |n| {
                if std::mem::replace(&mut stamp[n.0 as usize], i as u32 + 1) == i as u32 + 1 {
                    return false;
                }
                let size = self.size(n) as u64;
                add(&mut part.reach, size);
                if !std::mem::replace(&mut first[n.0 as usize], true) {
                    add(&mut part.first, size);
                }
                true
            });
            s.root_fields.push(part);
        }
        if let Some(entries) = self
            .follow("entries")
            .ok()
            .filter(|_| matches!(place.ty, Type::Data(_)))
        {
            self.extensions(entries, s);
        }
    }

    /// Each extension with what none before it reaches; both counts of a part are that.
    fn extensions(&self, entries: Place, s: &mut Stats) {
        let Value::Object(array) = entries.value else {
            return;
        };
        let mut seen = vec![false; s.objects as usize];
        for i in 0..self.children_len(array) {
            let Some(Value::Object(pair)) = self.child(array, i) else {
                continue;
            };
            let name = self
                .child(pair, 0)
                .and_then(|v| self.name(v))
                .unwrap_or_else(|| format!("[{i}]"));
            let Some(value) = self.child(pair, 1) else {
                continue;
            };
            let mut part = self.part(
                name,
                Place {
                    value,
                    ty: Type::Any,
                    before: None,
                },
            );
            self.collect(Value::Object(pair), |n| {
                if std::mem::replace(&mut seen[n.0 as usize], true) {
                    return false;
                }
                add(&mut part.first, self.size(n) as u64);
                true
            });
            part.reach = part.first;
            s.extensions.push(part);
        }
    }

    fn part(&self, name: String, place: Place) -> Subgraph {
        let elements = match place.value {
            Value::Object(n) if self.kind(n) == Kind::Array => self.children_len(n) as u64,
            _ => 0,
        };
        Subgraph {
            name,
            elements,
            reach: (0, 0),
            first: (0, 0),
        }
    }

    /// Visits the file's own objects from `v` on, as long as `enter` says so.
    fn collect(&self, v: Value, mut enter: impl FnMut(NodeId) -> bool) {
        let own = self.region(0).summary.objects;
        let mut stack = Vec::new();
        let mut visit = |v, stack: &mut Vec<NodeId>| {
            if let Value::Object(n) = v
                && n.0 < own
                && enter(n)
            {
                stack.push(n);
            }
        };
        visit(v, &mut stack);
        while let Some(n) = stack.pop() {
            for child in self.children(n) {
                visit(child, &mut stack);
            }
        }
    }
}

fn add(sum: &mut (u32, u64), bytes: u64) {
    sum.0 += 1;
    sum.1 += bytes;
}
