//! Digests of a module's objects: equal values of two builds have equal ones, wherever they lie, whatever their
//! width. What names, levels and expressions cache about themselves does not count: releases compute it in
//! different ways. Nor do the numbers in names of variables that Lean makes up anew in each run.

use super::module::Module;
use crate::dump::recognise::Looks;
use blake2::digest::consts::U16;
use blake2::{Blake2b, Digest as _};
use olean_reader::{Kind, NodeId, Value};

/// A digest of each object, and what the objects look like.
pub struct Digests {
    of: Vec<u128>,
    looks: Looks,
}

/// Bytes of cached data.
const CACHED: usize = 8;

impl Digests {
    /// Goes through all objects once.
    pub fn new(module: &Module<'_, '_>) -> Self {
        let graph = &module.graph;
        let order = module.children_first();
        let looks = Looks::in_order(graph, &order);
        let mut all = Self {
            of: vec![0; graph.len()],
            looks,
        };
        let mut buffer = Vec::new();
        let mut fresh = vec![false; graph.len()];
        for n in order {
            buffer.clear();
            if all.is_fresh(module, n, &fresh) {
                fresh[n.0 as usize] = true;
                buffer.extend(b"fresh");
            } else {
                all.payload(module, n, &mut buffer);
            }
            let bytes: [u8; 16] = Blake2b::<U16>::digest(&buffer).into();
            all.of[n.0 as usize] = u128::from_le_bytes(bytes);
        }
        all
    }

    /// The digest of a value. Small numbers are their own; a digest that looks like one does not occur.
    pub fn value(&self, module: &Module<'_, '_>, v: Value) -> u128 {
        match v {
            Value::Scalar(v) => v.into(),
            Value::Object(n) => match module.graph.small_nat(v) {
                Some(v) => v.into(),
                None => self.of[n.0 as usize],
            },
            Value::Outside(p) => 1 << 100 | u128::from(p),
        }
    }

    /// What the objects look like.
    pub fn looks(&self) -> &Looks {
        &self.looks
    }

    /// Whether an object is a name that Lean made up for a variable: `_uniq` and numbers, others in each run.
    fn is_fresh(&self, module: &Module<'_, '_>, n: NodeId, fresh: &[bool]) -> bool {
        let graph = &module.graph;
        if graph.kind(n) != Kind::Ctor || graph.children_len(n) != 2 || !self.looks.caches_data(n) {
            return false;
        }
        match (graph.tag(n), graph.child(n, 0)) {
            (1, Some(Value::Scalar(0))) => graph.last_component(Value::Object(n)) == Some("_uniq"),
            (2, Some(Value::Object(prefix))) => fresh[prefix.0 as usize],
            _ => false,
        }
    }

    fn payload(&self, module: &Module<'_, '_>, n: NodeId, out: &mut Vec<u8>) {
        let graph = &module.graph;
        let kind = graph.kind(n);
        out.push(kind as u8);
        match kind {
            Kind::Ctor => {
                out.extend([graph.tag(n), graph.children_len(n) as u8]);
                let mut scalars = graph.scalars(n);
                if self.looks.caches_data(n) {
                    scalars = scalars.get(CACHED..).unwrap_or_default();
                }
                let len = scalars.iter().rposition(|&b| b != 0).map_or(0, |i| i + 1);
                out.extend(&scalars[..len]);
            }
            Kind::String => out.extend(graph.string(n).unwrap_or_default().as_bytes()),
            Kind::Sarray => {
                let (element, bytes) = graph.sarray(n).unwrap_or_default();
                out.push(element);
                out.extend(bytes);
            }
            Kind::Mpz => {
                if let Some(v) = graph.bignum(n) {
                    out.push(v.negative.into());
                    out.extend(v.magnitude);
                }
            }
            Kind::Closure => {
                if let Some(c) = graph.closure(n) {
                    out.extend(c.arity.to_le_bytes());
                    out.extend(c.offset.to_le_bytes());
                    out.extend(c.library);
                }
            }
            Kind::Array | Kind::Thunk | Kind::Task | Kind::Ref | Kind::Promise => {}
        }
        // Children have a fixed size, so nothing before them can pass for one.
        out.push(b'/');
        for v in graph.children(n) {
            out.extend(self.value(module, v).to_le_bytes());
        }
    }
}
