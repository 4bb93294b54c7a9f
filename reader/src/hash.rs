//! Digests of a graph that do not depend on where and in which order its objects lie: `graphhash`, blind
//! to sharing, and `sharehash`, which sees it.

use super::error::CheckError;
use super::graph::{self, Graph, Value};
use super::space::NodeId;
use crate::format::object::Kind;
use crate::format::room::{NoMemory, filled, push};
use blake2::digest::consts::U16;
use blake2::{Blake2b, Digest as _};
use std::collections::{HashMap, HashSet};
use std::fmt;

type Blake = Blake2b<U16>;

/// 16 bytes of BLAKE2b; shown in hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash128(pub [u8; 16]);

impl fmt::Display for Hash128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Hash128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The digests of a graph and what falls out on the way.
#[derive(Debug, Clone)]
pub struct Digests {
    /// Digest of the root, the same for equal values.
    pub graphhash: Hash128,
    /// Digest of the graph with its sharing. Bignums in [0, 2^63) count as scalars.
    pub sharehash: Hash128,
    /// Reachable objects that are numbered in `sharehash`.
    pub objects: u32,
    /// Reachable bignums in [0, 2^63).
    pub small_bignums: u32,
    /// Different digests among `objects`: what is left after equal values are merged.
    pub distinct: u32,
    /// Objects among `objects` with more than one reference.
    pub shared: u32,
    /// Objects on the longest path from the root, ends included.
    pub depth: u32,
    of_node: Vec<Hash128>,
    heights: Vec<u32>,
}

impl Digests {
    /// The digest of an object that the root reaches.
    #[must_use]
    pub fn node(&self, n: NodeId) -> Hash128 {
        self.of_node[n.0 as usize]
    }

    /// The digest of a value that the root reaches; an address in no file has the digest of its word.
    #[must_use]
    pub fn value(&self, v: Value) -> Hash128 {
        match v {
            Value::Object(n) => self.node(n),
            Value::Scalar(v) => scalar(v),
            Value::Outside(p) => digest(&[b"?".as_slice(), &p.to_le_bytes()].concat()),
        }
    }

    /// Objects on the longest path from this object down, which the root reaches.
    #[must_use]
    pub fn height(&self, n: NodeId) -> u32 {
        self.heights[n.0 as usize]
    }
}

/// What memory is asked for.
const HASHES: &str = "the hashes of the objects";

/// A table of `items` could not grow.
fn no_memory(items: usize) -> NoMemory {
    NoMemory {
        what: HASHES,
        bytes: items.saturating_mul(2 * size_of::<(u64, Hash128)>()),
    }
}

fn digest(bytes: &[u8]) -> Hash128 {
    Hash128(Blake::digest(bytes).into())
}

fn scalar(v: u64) -> Hash128 {
    let mut bytes = [0; 9];
    bytes[0] = b'S';
    bytes[1..].copy_from_slice(&v.to_le_bytes());
    digest(&bytes[..9 - v.leading_zeros() as usize / 8])
}

impl Graph<'_, '_> {
    /// The digests of the graph. Addresses in no file (see [`Graph::outside`]) are taken as they are;
    /// such digests compare with nothing but files of the same dependencies.
    ///
    /// # Errors
    /// An object reaches itself, or there is not enough memory.
    pub fn digests(&self) -> Result<Digests, CheckError> {
        let Value::Object(root) = self.root() else {
            return self.scalar_digests();
        };
        let order = self.space.postorder(std::iter::once(root))?;
        let small = self.small_bignums()?;
        let zero = Hash128([0; 16]);
        let mut d = Digests {
            graphhash: zero,
            sharehash: zero,
            objects: 0,
            small_bignums: 0,
            distinct: 0,
            shared: 0,
            depth: 0,
            of_node: filled(zero, self.len(), HASHES)?,
            heights: filled(1, self.len(), HASHES)?,
        };
        let mut scalars: HashMap<u64, Hash128> = HashMap::new();
        let mut buffer = Vec::new();
        for n in order {
            self.payload_in(n, size_of::<Hash128>(), &mut buffer)?;
            let mut height = 1;
            for child in self.children(n) {
                let h = match child {
                    Value::Object(c) => {
                        height = height.max(d.heights[c.0 as usize] + 1);
                        d.of_node[c.0 as usize]
                    }
                    Value::Scalar(v) => {
                        scalars.try_reserve(1).map_err(|_| no_memory(scalars.len()))?;
                        *scalars.entry(v).or_insert_with(|| scalar(v))
                    }
                    Value::Outside(_) => d.value(child),
                };
                buffer.extend_from_slice(&h.0);
            }
            d.of_node[n.0 as usize] = digest(&buffer);
            d.heights[n.0 as usize] = height;
        }
        d.graphhash = d.node(root);
        let mut distinct = HashSet::new();
        let most = self.reached.len();
        distinct.try_reserve(most).map_err(|_| no_memory(most))?;
        for n in &self.reached {
            if small.contains_key(n) {
                d.small_bignums += 1;
            } else {
                distinct.insert(d.node(*n));
            }
        }
        d.distinct = distinct.len() as u32;
        if !small.contains_key(&root) {
            d.depth = d.height(root);
        }
        self.share(&small, &mut d)?;
        Ok(d)
    }

    fn scalar_digests(&self) -> Result<Digests, CheckError> {
        let mut d = Digests {
            graphhash: Hash128([0; 16]),
            sharehash: Hash128([0; 16]),
            objects: 0,
            small_bignums: 0,
            distinct: 0,
            shared: 0,
            depth: 0,
            of_node: Vec::new(),
            heights: Vec::new(),
        };
        d.graphhash = d.value(self.root());
        self.share(&HashMap::new(), &mut d)?;
        Ok(d)
    }

    /// The reachable bignums that count as scalars.
    fn small_bignums(&self) -> Result<HashMap<NodeId, u64>, CheckError> {
        let value = |&n: &NodeId| Some((n, self.bignum(n)?.small()?));
        let mut small = HashMap::new();
        for (n, value) in self.reached.iter().filter_map(value) {
            small.try_reserve(1).map_err(|_| no_memory(small.len()))?;
            small.insert(n, value);
        }
        Ok(small)
    }

    fn share(&self, small: &HashMap<NodeId, u64>, d: &mut Digests) -> Result<(), CheckError> {
        const NONE: u32 = u32::MAX;
        let mut hash = Blake::new();
        let mut number = filled(NONE, self.len(), HASHES)?;
        let mut shared = filled(false, self.reached.len(), HASHES)?;
        let mut order = Vec::new();
        match self.root() {
            Value::Object(root) if !small.contains_key(&root) => {
                number[root.0 as usize] = 0;
                push(&mut order, root, HASHES)?;
            }
            // A root that is a scalar or counts as one.
            root => {
                let code = match root {
                    Value::Object(n) => small[&n] << 1 | 1,
                    Value::Scalar(v) => v << 1 | 1,
                    Value::Outside(p) => p,
                };
                hash.update(b"V");
                hash.update(code.to_le_bytes());
            }
        }
        let mut next = 0;
        let mut buffer = Vec::new();
        while let Some(&n) = order.get(next) {
            next += 1;
            self.payload_in(n, size_of::<u64>(), &mut buffer)?;
            for child in self.children(n) {
                let code = match child {
                    Value::Scalar(v) => v << 1 | 1,
                    Value::Outside(p) => p,
                    Value::Object(c) => match (number[c.0 as usize], small.get(&c)) {
                        (_, Some(v)) => v << 1 | 1,
                        (NONE, None) => {
                            let k = order.len() as u32;
                            number[c.0 as usize] = k;
                            push(&mut order, c, HASHES)?;
                            u64::from(k) << 1
                        }
                        (k, None) => {
                            shared[k as usize] = true;
                            u64::from(k) << 1
                        }
                    },
                };
                buffer.extend_from_slice(&code.to_le_bytes());
            }
            hash.update(&buffer);
        }
        hash.update(b"E");
        hash.update((order.len() as u64).to_le_bytes());
        d.sharehash = Hash128(hash.finalize().into());
        d.objects = order.len() as u32;
        d.shared = shared.iter().filter(|&&s| s).count() as u32;
        Ok(())
    }

    /// [`Graph::payload`] alone in `out`, with room for `per_child` bytes more for each field.
    fn payload_in(&self, n: NodeId, per_child: usize, out: &mut Vec<u8>) -> Result<(), CheckError> {
        // Besides the object's own bytes a few for letters and lengths, and of a closure its library.
        let library = self.closure(n).map_or(0, |closure| closure.library.len());
        let bytes = self.size(n) + library + 32 + per_child * self.children_len(n);
        out.clear();
        out.try_reserve(bytes)
            .map_err(|_| NoMemory { what: HASHES, bytes })?;
        self.payload(n, out);
        Ok(())
    }

    /// Letter and contents of an object as they are hashed, its fields aside.
    pub(crate) fn payload(&self, n: NodeId, out: &mut Vec<u8>) {
        let (r, o) = self.space.object(n);
        match o.kind {
            Kind::Ctor => {
                let area = graph::scalar_area(r, &o);
                let len = area.iter().rposition(|&b| b != 0).map_or(0, |i| i + 1);
                out.extend([b'C', o.tag, o.count as u8]);
                out.extend((len as u16).to_le_bytes());
                out.extend(&area[..len]);
            }
            Kind::String => {
                out.push(b'T');
                out.extend(graph::string_bytes(r, &o));
            }
            Kind::Array => {
                out.push(b'A');
                out.extend((o.count as u64).to_le_bytes());
            }
            Kind::Sarray => {
                let (element, bytes) = graph::sarray_bytes(r, &o);
                out.extend([b'B', element]);
                out.extend((bytes.len() as u64 / u64::from(element)).to_le_bytes());
                out.extend(bytes);
            }
            Kind::Mpz => {
                let v = graph::bignum(r, &o);
                out.push(if v.negative { b'N' } else { b'S' });
                out.extend(v.magnitude);
            }
            Kind::Thunk => out.push(b'K'),
            Kind::Task => out.push(b'J'),
            Kind::Ref => out.push(b'R'),
            Kind::Promise => out.push(b'P'),
            Kind::Closure => {
                let c = graph::closure(r, &o);
                out.push(b'F');
                out.extend(c.arity.to_le_bytes());
                out.extend(c.fixed.to_le_bytes());
                out.extend((c.library.len() as u16).to_le_bytes());
                out.extend(c.library);
                out.extend(c.offset.to_le_bytes());
            }
        }
    }
}
