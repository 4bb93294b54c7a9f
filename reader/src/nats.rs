//! Which fields hold a natural number, as far as shapes tell: numeric components of names, and literals of
//! expressions. A number that a 64-bit Lean boxes and a 32-bit one cannot is a bignum there, if it is a `Nat`;
//! other types keep such values in other forms, so a field whose type is not known cannot be rewritten.

use super::graph::scalar_area;
use super::space::{Hit, NodeId, Space};
use super::walk::Object;
use crate::format::object::Kind;
use crate::format::word::{Width, word};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

/// Bytes of the scalar area in which names cache their hash, and levels and expressions their data.
const CACHED: usize = 8;
/// `Name.str` and `Name.num` (upstream `src/Init/Prelude.lean`).
const NAME_STR: u8 = 1;
const NAME_NUM: u8 = 2;
/// `Literal.natVal` and `Expr.lit` (upstream `src/Lean/Expr.lean`).
const NAT_VAL: u8 = 0;
const EXPR_LIT: u8 = 9;
/// The first number that does not fit in a boxed scalar of 32 bits.
const TOO_LARGE: u64 = 1 << 31;

/// The natural numbers of one region that do not fit in 31 bits.
pub(crate) struct Nats<'s, 'r, 'a> {
    space: &'s Space<'r, 'a>,
    region: usize,
    /// Numbers of the objects that are literals of an expression in the same region.
    literals: HashSet<u32>,
    /// Whether an object is a name, for those that were asked about.
    names: RefCell<HashMap<NodeId, bool>>,
}

impl<'s, 'r, 'a> Nats<'s, 'r, 'a> {
    /// Looks for the literals of a region. Only what points to them from the same region counts, so that every file of
    /// a module is rewritten alike, whichever of its files are given.
    pub(crate) fn of(space: &'s Space<'r, 'a>, region: usize) -> Self {
        let r = space.regions[region];
        let mut literals = HashSet::new();
        if r.file.width == Width::W64 {
            for o in r.objects() {
                let lit = o.kind == Kind::Ctor && o.tag == EXPR_LIT && o.count == 1;
                if lit && scalar_area(r, &o).len() == CACHED {
                    let p = word(r.file.bytes, o.fields, r.file.width);
                    if let Hit::Object(n) = space.hit(region, p)
                        && space.region_of(n) == region
                    {
                        literals.insert(space.object(n).1.index);
                    }
                }
            }
        }
        Self {
            space,
            region,
            literals,
            names: RefCell::default(),
        }
    }

    /// The number in field `i` of an object, if the field is known to be a `Nat` and 31 bits cannot hold it.
    pub(crate) fn large(&self, o: &Object, i: usize) -> Option<u64> {
        let r = self.space.regions[self.region];
        // The fields in question are in objects of one or two fields.
        if o.kind != Kind::Ctor || o.count > 2 || r.file.width != Width::W64 {
            return None;
        }
        let field = |i: usize| word(r.file.bytes, o.fields + i * r.file.width.bytes(), r.file.width);
        let p = field(i);
        if p & 1 == 0 || p >> 1 < TOO_LARGE {
            return None;
        }
        let nat = match (o.tag, o.count, scalar_area(r, o).len()) {
            (NAME_NUM, 2, CACHED) => i == 1 && self.is_name(field(0)),
            (NAT_VAL, 1, 0) => self.literals.contains(&o.index),
            _ => false,
        };
        nat.then_some(p >> 1)
    }

    /// Whether a value has the shape of a name, down to the anonymous one. Each object is looked at once: a chain of
    /// names may be long, and nothing proves that objects of a dependency do not reach themselves.
    fn is_name(&self, p: u64) -> bool {
        let mut known = self.names.borrow_mut();
        let mut chain = Vec::new();
        let (mut region, mut p) = (self.region, p);
        let name = loop {
            let n = match self.space.hit(region, p) {
                Hit::Scalar(0) => break true,
                Hit::Object(n) => n,
                _ => break false,
            };
            if let Some(&name) = known.get(&n) {
                break name;
            }
            // What reaches itself meets this answer, and is no name.
            known.insert(n, false);
            chain.push(n);
            let (r, o) = self.space.object(n);
            let component = matches!(o.tag, NAME_STR | NAME_NUM);
            if o.kind != Kind::Ctor || !component || o.count != 2 || scalar_area(r, &o).len() != CACHED {
                break false;
            }
            region = self.space.region_of(n);
            p = word(r.file.bytes, o.fields, r.file.width);
        };
        if name {
            known.extend(chain.into_iter().map(|n| (n, true)));
        }
        name
    }
}
