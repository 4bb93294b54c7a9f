//! Modules rebuilt from their region files as live heap objects of the runtime: its allocators, its sizes,
//! and a reference count for every edge.

use crate::runtime::Runtime;
use lean_region::object::Obj;
use olean_reader::{File, Graph, Kind, NodeId, Region, Value};

/// One module as live objects, never released.
pub struct Module {
    /// Its name.
    pub name: String,
    /// The name as an object: the key of its base address.
    pub key: Obj,
    /// One root for each part.
    pub roots: Vec<Obj>,
    /// Objects of all parts.
    pub objects: usize,
}

/// A field that stays as it is: a scalar or an object built before.
#[derive(Clone, Copy)]
enum Edge {
    Scalar(u64),
    Object(usize),
}

/// All parts as one list of objects, children first.
struct Parts<'r, 'a> {
    graphs: Vec<Graph<'r, 'a>>,
    /// Number of the first object of each part, and of all.
    first: Vec<usize>,
}

impl Parts<'_, '_> {
    /// The number of a node of the graph of part `part`, whose own objects come first there.
    fn number(&self, part: usize, n: NodeId) -> usize {
        let own = self.first[part + 1] - self.first[part];
        let n = n.0 as usize;
        if n < own { self.first[part] + n } else { n - own }
    }

    fn edge(&self, part: usize, value: Value) -> Edge {
        match value {
            Value::Scalar(v) => Edge::Scalar(v),
            Value::Object(n) => {
                // What is a bignum in a 32-bit file may be a scalar here.
                match self.graphs[part].small_nat(value).filter(|&v| v < 1 << 63) {
                    Some(v) => Edge::Scalar(v),
                    None => Edge::Object(self.number(part, n)),
                }
            }
            other => panic!("a pointer that leads out of the module: {other:?}"),
        }
    }

    fn own(&self, part: usize) -> impl Iterator<Item = NodeId> {
        (0..(self.first[part + 1] - self.first[part]) as u32).map(NodeId)
    }
}

impl Module {
    /// Builds the module whose parts are these files, of either pointer width. Panics if they are not sound
    /// or hold closures.
    #[must_use]
    pub fn rebuild(runtime: &Runtime, name: &str, files: &[Vec<u8>]) -> Module {
        let mut regions: Vec<Region<'_>> = Vec::new();
        for bytes in files {
            let file = File::parse(bytes, name, None).unwrap_or_else(|e| panic!("{name}: {e}"));
            let deps: Vec<&Region<'_>> = regions.iter().collect();
            let region = Region::check(file, &deps).unwrap_or_else(|e| panic!("{name}: {e}"));
            regions.push(region);
        }
        let mut parts = Parts {
            graphs: Vec::new(),
            first: vec![0],
        };
        for (i, region) in regions.iter().enumerate() {
            let deps: Vec<&Region<'_>> = regions[..i].iter().collect();
            let graph = Graph::new(region, &deps).unwrap_or_else(|e| panic!("{name}: {e}"));
            parts
                .first
                .push(parts.first[i] + region.summary().objects as usize);
            parts.graphs.push(graph);
        }
        let total = parts.first[regions.len()];
        let mut counts = vec![0i32; total];
        for part in 0..regions.len() {
            let graph = &parts.graphs[part];
            let fields = parts.own(part).flat_map(|n| graph.children(n));
            for value in fields.chain([graph.root()]) {
                if let Edge::Object(i) = parts.edge(part, value) {
                    counts[i] += 1;
                }
            }
        }
        let mut built: Vec<Obj> = Vec::with_capacity(total);
        for part in 0..regions.len() {
            for n in parts.own(part) {
                let index = built.len();
                // A bignum that became a scalar has no edge left.
                let object = match counts[index] {
                    0 => Obj::UNIT,
                    count => build(runtime, &parts, part, n, &built, count),
                };
                built.push(object);
            }
        }
        let roots = (0..regions.len()).map(|part| match parts.edge(part, parts.graphs[part].root()) {
            Edge::Scalar(v) => Obj::boxed(v as usize),
            Edge::Object(i) => built[i],
        });
        Module {
            name: name.to_owned(),
            // SAFETY: the runtime is initialised.
            key: unsafe { runtime.host.mk_name(name) },
            roots: roots.collect(),
            objects: counts.iter().filter(|&&c| c > 0).count(),
        }
    }

    /// The same objects as one part, whose root is the array of the parts' roots.
    #[must_use]
    pub fn in_one_part(&self, runtime: &Runtime) -> Module {
        // SAFETY: live roots, each of which gets a count for the array.
        let root = unsafe {
            self.roots.iter().for_each(|&root| runtime.host.inc(root));
            runtime.host.mk_array(&self.roots)
        };
        Module::of_root(runtime, &self.name, root, self.objects + 1)
    }

    /// One part around `root`.
    #[must_use]
    pub fn of_root(runtime: &Runtime, name: &str, root: Obj, objects: usize) -> Module {
        Module {
            name: name.to_owned(),
            // SAFETY: the runtime is initialised.
            key: unsafe { runtime.host.mk_name(name) },
            roots: vec![root],
            objects,
        }
    }
}

/// One object with its reference count.
fn build(runtime: &Runtime, parts: &Parts<'_, '_>, part: usize, n: NodeId, built: &[Obj], count: i32) -> Obj {
    let graph = &parts.graphs[part];
    let host = runtime.host;
    let fields: Vec<Obj> = graph
        .children(n)
        .map(|value| match parts.edge(part, value) {
            Edge::Scalar(v) => Obj::boxed(v as usize),
            Edge::Object(i) => built[i],
        })
        .collect();
    // SAFETY: the runtime is initialised; fields are built before their parents, which a file's order
    // guarantees (a field that is not would be out of bounds of `built`).
    let object = unsafe {
        match graph.kind(n) {
            Kind::Ctor => host.mk_ctor(graph.tag(n), &fields, graph.scalars(n)),
            Kind::Array => host.mk_array(&fields),
            Kind::String => host.mk_string(graph.string(n).expect("a string")),
            Kind::Sarray => {
                let (element, bytes) = graph.sarray(n).expect("a scalar array");
                host.mk_sarray(element, bytes)
            }
            Kind::Mpz => {
                let number = graph.bignum(n).expect("a bignum");
                let mut limbs: Vec<u64> = number.magnitude.chunks(8).map(limb).collect();
                while limbs.last() == Some(&0) {
                    limbs.pop();
                }
                let object = host.mk_int_from_limbs(number.negative, &limbs);
                object.expect("the runtime makes bignums")
            }
            Kind::Thunk => host.mk_thunk(fields[0]),
            Kind::Task => host.mk_task(fields[0]),
            Kind::Ref => host.mk_ref(fields[0]),
            Kind::Promise => host.mk_promise(fields[0]),
            Kind::Closure => panic!("a module with closures cannot be rebuilt"),
        }
    };
    if !object.is_scalar() {
        // SAFETY: a fresh object begins with its count.
        unsafe { object.ptr().cast::<i32>().write(count) };
    }
    object
}

fn limb(bytes: &[u8]) -> u64 {
    let mut limb = [0; 8];
    limb[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(limb)
}
