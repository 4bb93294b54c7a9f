//! How many bytes declarations take. One pass from the roots down says for each object whether one declaration
//! reaches it or several; what a declaration shares with others is then added up declaration by declaration.

use super::module::Module;
use olean_reader::{NodeId, Value};
use std::ops::Range;

/// Bytes of a declaration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Of objects that it reaches and no other declaration does.
    pub exclusive: u64,
    /// Of objects that it reaches and others do too.
    pub shared: u64,
}

/// The sizes of a module's declarations.
#[derive(Debug, Default)]
pub struct Sizes {
    /// One for each declaration, or for each group of them.
    pub of: Vec<Size>,
    /// Bytes that several declarations reach, each object once.
    pub shared: u64,
    /// Bytes of all objects of the module.
    pub objects: u64,
}

const NOBODY: u32 = u32::MAX;
const SEVERAL: u32 = u32::MAX - 1;

/// The module's objects with their fields, numbered children first.
struct Objects {
    /// Of each object: where its children begin in `children`.
    first: Vec<u32>,
    children: Vec<u32>,
    bytes: Vec<u32>,
    ranges: Vec<(Range<u32>, u32)>,
    ordered: bool,
}

impl Objects {
    fn new(module: &Module<'_, '_>) -> Self {
        let graph = &module.graph;
        let mut ranges = Vec::new();
        let mut count = 0u32;
        for part in &module.parts {
            let nodes = graph.nodes_of(part.region);
            let len = nodes.end - nodes.start;
            ranges.push((nodes, count));
            count += len;
        }
        let mut all = Self {
            first: Vec::with_capacity(count as usize + 1),
            children: Vec::with_capacity(3 * count as usize),
            bytes: Vec::with_capacity(count as usize),
            ranges: Vec::new(),
            ordered: true,
        };
        all.ranges.clone_from(&ranges);
        for (nodes, _) in ranges {
            for n in nodes.map(NodeId) {
                let own = all.bytes.len() as u32;
                all.first.push(all.children.len() as u32);
                all.bytes.push(u32::try_from(graph.size(n)).unwrap_or(u32::MAX));
                for v in graph.children(n) {
                    if let Value::Object(c) = v
                        && let Some(c) = number(&all.ranges, c)
                    {
                        all.ordered &= c < own;
                        all.children.push(c);
                    }
                }
            }
        }
        all.first.push(all.children.len() as u32);
        all
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn below(&self, n: u32) -> &[u32] {
        &self.children[self.first[n as usize] as usize..self.first[n as usize + 1] as usize]
    }

    /// All objects, each before its children.
    fn parents_first(&self) -> Vec<u32> {
        if self.ordered {
            return (0..self.len() as u32).rev().collect();
        }
        let mut done = vec![false; self.len()];
        let mut order = Vec::with_capacity(self.len());
        let mut stack: Vec<(u32, usize)> = Vec::new();
        for root in 0..self.len() as u32 {
            if std::mem::replace(&mut done[root as usize], true) {
                continue;
            }
            stack.push((root, 0));
            while let Some(top) = stack.last_mut() {
                let (n, i) = *top;
                let Some(&child) = self.below(n).get(i) else {
                    order.push(n);
                    stack.pop();
                    continue;
                };
                top.1 += 1;
                if !std::mem::replace(&mut done[child as usize], true) {
                    stack.push((child, 0));
                }
            }
        }
        order.reverse();
        order
    }
}

/// The number of a node among the module's objects.
fn number(ranges: &[(Range<u32>, u32)], n: NodeId) -> Option<u32> {
    let (nodes, first) = ranges.iter().find(|(nodes, _)| nodes.contains(&n.0))?;
    Some(n.0 - nodes.start + first)
}

/// The sizes of groups of declarations: `group` says to which each belongs, below `groups`. With every
/// declaration its own group these are the sizes of the declarations.
pub fn sizes(module: &Module<'_, '_>, group: &[usize], groups: usize) -> Sizes {
    let objects = Objects::new(module);
    let mut owner = vec![NOBODY; objects.len()];
    let mut roots: Vec<Vec<u32>> = vec![Vec::new(); groups];
    for (decl, &g) in module.decls.iter().zip(group) {
        for info in [Some(decl.info), decl.public].into_iter().flatten() {
            let Some(n) = number(&objects.ranges, info) else {
                continue;
            };
            roots[g].push(n);
            merge(&mut owner[n as usize], g as u32);
        }
    }
    let mut sizes = Sizes {
        of: vec![Size::default(); groups],
        ..Sizes::default()
    };
    for n in objects.parents_first() {
        let (who, bytes) = (owner[n as usize], u64::from(objects.bytes[n as usize]));
        sizes.objects += bytes;
        match who {
            NOBODY => continue,
            SEVERAL => sizes.shared += bytes,
            g => sizes.of[g as usize].exclusive += bytes,
        }
        for &c in objects.below(n) {
            merge(&mut owner[c as usize], who);
        }
    }
    add_shared(&objects, &owner, &roots, &mut sizes);
    sizes
}

fn merge(owner: &mut u32, who: u32) {
    if *owner == NOBODY {
        *owner = who;
    } else if *owner != who {
        *owner = SEVERAL;
    }
}

/// Walks from each group's roots through what it reaches.
fn add_shared(objects: &Objects, owner: &[u32], roots: &[Vec<u32>], sizes: &mut Sizes) {
    let mut stamp = vec![NOBODY; objects.len()];
    let mut stack = Vec::new();
    for (g, roots) in (0u32..).zip(roots) {
        for &root in roots {
            if std::mem::replace(&mut stamp[root as usize], g) != g {
                stack.push(root);
            }
        }
        let mut shared = 0;
        while let Some(n) = stack.pop() {
            if owner[n as usize] == SEVERAL {
                shared += u64::from(objects.bytes[n as usize]);
            }
            for &c in objects.below(n) {
                if std::mem::replace(&mut stamp[c as usize], g) != g {
                    stack.push(c);
                }
            }
        }
        sizes.of[g as usize].shared = shared;
    }
}
