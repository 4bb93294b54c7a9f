//! A plain writer of `.olean` files of every shape for tests: both pointer widths, both bignum layouts,
//! versions 2 and 3, every kind of object. It shares no code with the library.

pub use crate::rng::{Rng, split_mix};

/// An object to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// Constructor: tag, fields, scalar area.
    Ctor(u8, Vec<Val>, Vec<u8>),
    /// Closure: library number, offset in it, arity, arguments.
    Closure(usize, u32, u16, Vec<Val>),
    /// Array of objects.
    Array(Vec<Val>),
    /// Array of scalars: element size and bytes.
    Sarray(u8, Vec<u8>),
    /// String.
    Str(String),
    /// Bignum: sign and magnitude, little endian.
    Big(bool, Vec<u8>),
    /// Evaluated thunk.
    Thunk(Val),
    /// Finished task.
    Task(Val),
    /// Reference.
    Ref(Val),
    /// Promise; its value must be a task.
    Promise(Val),
}

/// A field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Val {
    /// Boxed scalar.
    Box(u64),
    /// Object of this file.
    Node(usize),
    /// Any word.
    Word(u64),
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// 64-bit pointers instead of 32-bit.
    pub wide: bool,
    /// GMP layout of bignums instead of native.
    pub gmp: bool,
    /// 2 or 3.
    pub version: u8,
    /// Base address.
    pub base: u64,
    /// The objects, in file order.
    pub nodes: Vec<Node>,
    /// The root.
    pub root: Val,
    /// Libraries of the closures: base address and id.
    pub libraries: Vec<(u64, Vec<u8>)>,
    /// Payload of the extension section, if there is to be one.
    pub extension: Option<Vec<u8>>,
}

/// A written file.
#[derive(Debug, Clone)]
pub struct Written {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// File offset of each node.
    pub offsets: Vec<usize>,
}

impl Spec {
    /// An empty file of the given shape with root 0.
    #[must_use]
    pub fn new(wide: bool, gmp: bool, version: u8) -> Self {
        Self {
            wide,
            gmp,
            version,
            base: 0x1234_0000,
            nodes: Vec::new(),
            root: Val::Box(0),
            libraries: Vec::new(),
            extension: None,
        }
    }

    /// Adds an object.
    pub fn push(&mut self, node: Node) -> Val {
        self.nodes.push(node);
        Val::Node(self.nodes.len() - 1)
    }

    /// Adds an object before all others.
    pub fn put_first(&mut self, node: Node) {
        let next = |v: &mut Val| {
            if let Val::Node(n) = v {
                *n += 1;
            }
        };
        next(&mut self.root);
        for node in &mut self.nodes {
            match node {
                Node::Ctor(_, vals, _) | Node::Closure(_, _, _, vals) | Node::Array(vals) => {
                    vals.iter_mut().for_each(next);
                }
                Node::Thunk(val) | Node::Task(val) | Node::Ref(val) | Node::Promise(val) => next(val),
                Node::Sarray(..) | Node::Str(_) | Node::Big(..) => {}
            }
        }
        self.nodes.insert(0, node);
    }

    /// Bytes of a word.
    #[must_use]
    pub fn word(&self) -> usize {
        if self.wide { 8 } else { 4 }
    }

    /// A graph drawn from `entropy`, which holds every kind that the version allows, bignums of every
    /// size and shared objects. `cross` are addresses in dependencies that fields may hold.
    #[must_use]
    pub fn random(wide: bool, gmp: bool, version: u8, entropy: &[u64], cross: &[u64]) -> Self {
        let mut spec = Self::new(wide, gmp, version);
        if version == 3 {
            spec.libraries = vec![
                (0x100_0000, b"/opt/lib/liba.so".to_vec()),
                (0x200_0000, b"libb.so".to_vec()),
            ];
        }
        let limit = if wide { 1 << 63 } else { 1 << 31 };
        for &e in entropy {
            let mut rng = Rng(e);
            let count = spec.nodes.len() as u64;
            let val = |rng: &mut Rng| match rng.below(4) {
                0 => Val::Box(rng.below(limit)),
                1 if !cross.is_empty() => Val::Word(cross[rng.below(cross.len() as u64) as usize]),
                _ if count > 0 => Val::Node((count - 1 - rng.below(count.min(12))) as usize),
                _ => Val::Box(rng.below(256)),
            };
            let vals = |rng: &mut Rng, n| (0..rng.below(n)).map(|_| val(rng)).collect::<Vec<_>>();
            let kinds = if version == 3 { 10 } else { 9 };
            let node = match rng.below(kinds + 4) {
                0 => Node::Array(vals(&mut rng, 9)),
                1 => {
                    let element = 1u8 << rng.below(4);
                    let n = rng.below(20) as usize * usize::from(element);
                    Node::Sarray(element, (0..n).map(|_| rng.draw() as u8).collect())
                }
                2 => {
                    let alphabet = ['a', 'Z', '0', 'é', 'λ', '→', '𝒟', '\n', '\0'];
                    Node::Str(
                        (0..rng.below(24))
                            .map(|_| alphabet[rng.below(9) as usize])
                            .collect(),
                    )
                }
                3 => {
                    let mut m: Vec<u8> = (0..5 + rng.below(20)).map(|_| rng.draw() as u8).collect();
                    m.push(1 + rng.below(255) as u8);
                    Node::Big(rng.below(2) == 1, m)
                }
                4 => Node::Thunk(val(&mut rng)),
                5 => Node::Task(val(&mut rng)),
                6 => Node::Ref(val(&mut rng)),
                7 => {
                    let task = spec.push(Node::Task(val(&mut rng)));
                    Node::Promise(task)
                }
                8 => Node::Ctor(243, vals(&mut rng, 256), vec![]),
                9 if version == 3 => {
                    let args = vals(&mut rng, 4);
                    let arity = args.len() as u16 + 1 + rng.below(3) as u16;
                    Node::Closure(rng.below(2) as usize, rng.below(0x10000) as u32, arity, args)
                }
                _ => {
                    let scalars = (0..rng.below(4) * 4).map(|_| rng.draw() as u8).collect();
                    Node::Ctor(rng.below(12) as u8, vals(&mut rng, 6), scalars)
                }
            };
            spec.push(node);
        }
        // A library no closure uses is a violation.
        let used: Vec<usize> = (0..spec.libraries.len())
            .filter(|&l| {
                spec.nodes
                    .iter()
                    .any(|n| matches!(n, Node::Closure(k, ..) if *k == l))
            })
            .collect();
        for n in &mut spec.nodes {
            if let Node::Closure(k, ..) = n {
                *k = used.iter().position(|u| u == k).expect("used");
            }
        }
        spec.libraries = used.iter().map(|&l| spec.libraries[l].clone()).collect();
        if !spec.nodes.is_empty() {
            // The last few objects under one root.
            let last = spec.nodes.len();
            let tail = (last.saturating_sub(5)..last).map(Val::Node).collect();
            spec.root = spec.push(Node::Ctor(0, tail, vec![1, 0, 0, 0]));
        }
        spec
    }

    /// The bytes of the file.
    ///
    /// # Panics
    /// A value does not fit the shape: tests hand in what can be written.
    #[must_use]
    pub fn write(&self) -> Written {
        let w = self.word();
        let mut out = Out { bytes: Vec::new(), w };
        out.bytes.extend(b"olean");
        out.bytes.extend([self.version, u8::from(self.gmp)]);
        out.bytes.extend(b"4.99.0-test");
        out.bytes.resize(40, 0);
        out.bytes.extend(b"0123456789abcdef0123456789abcdef01234567");
        out.word(self.base);
        if self.version == 3 {
            out.word(0);
        }
        let data = out.bytes.len();
        out.word(0);
        let mut offsets = Vec::new();
        let mut closures = Vec::new();
        let layout = self.layout(out.bytes.len());
        for (node, &at) in self.nodes.iter().zip(&layout) {
            assert_eq!(at, out.bytes.len(), "{node:?}");
            offsets.push(at);
            if let Node::Closure(..) = node {
                closures.push(at + 8 - data);
            }
            self.node(&mut out, node, &layout);
            out.align();
        }
        let end = out.bytes.len();
        let root = self.val(self.root, &layout);
        out.patch(data, root);
        if self.version == 3 {
            out.patch(data - w, (end - data) as u64);
            out.bytes.extend((closures.len() as u32).to_le_bytes());
            closures
                .iter()
                .for_each(|&c| out.bytes.extend((c as u64).to_le_bytes()));
            out.bytes.extend((self.libraries.len() as u32).to_le_bytes());
            for (base, id) in &self.libraries {
                out.word(*base);
                out.bytes.extend((id.len() as u32).to_le_bytes());
                out.bytes.extend(id);
            }
            if let Some(payload) = &self.extension {
                out.bytes.extend(b"LREGEXT1");
                out.bytes.extend((payload.len() as u64).to_le_bytes());
                out.bytes.extend(payload);
            }
        }
        Written {
            bytes: out.bytes,
            offsets,
        }
    }

    /// File offset of each object.
    fn layout(&self, mut at: usize) -> Vec<usize> {
        let w = self.word();
        let size = |n: &Node| match n {
            Node::Ctor(_, f, s) => 8 + w * f.len() + s.len(),
            Node::Closure(_, _, _, f) => (if self.wide { 24 } else { 16 }) + w * f.len(),
            Node::Array(f) => 8 + 2 * w + w * f.len(),
            Node::Sarray(_, b) => 8 + 2 * w + b.len(),
            Node::Str(s) => 8 + 3 * w + s.len() + 1,
            Node::Big(_, m) => self.mpz_struct() + m.len().next_multiple_of(self.digit()),
            Node::Thunk(_) | Node::Task(_) => 8 + 2 * w,
            Node::Ref(_) | Node::Promise(_) => 8 + w,
        };
        let place = |n| {
            let here = at;
            at += usize::next_multiple_of(size(n), w);
            here
        };
        self.nodes.iter().map(place).collect()
    }

    fn mpz_struct(&self) -> usize {
        if self.gmp {
            16 + self.word()
        } else {
            8 + 3 * self.word()
        }
    }

    fn digit(&self) -> usize {
        if self.gmp { self.word() } else { 4 }
    }

    fn val(&self, v: Val, layout: &[usize]) -> u64 {
        match v {
            Val::Box(v) => v << 1 | 1,
            Val::Node(n) => self.base + layout[n] as u64,
            Val::Word(p) => p,
        }
    }

    fn node(&self, out: &mut Out, node: &Node, layout: &[usize]) {
        let w = self.word();
        let vals = |out: &mut Out, f: &[Val]| f.iter().for_each(|&v| out.word(self.val(v, layout)));
        match node {
            Node::Ctor(tag, f, s) => {
                out.head(8 + w * f.len() + s.len(), f.len(), *tag);
                vals(out, f);
                out.bytes.extend(s);
            }
            Node::Closure(library, offset, arity, f) => {
                let fixed = if self.wide { 24 } else { 16 };
                out.head(fixed + w * f.len(), 0, 245);
                out.word(self.libraries[*library].0 + u64::from(*offset));
                out.bytes.extend(arity.to_le_bytes());
                out.bytes.extend((f.len() as u16).to_le_bytes());
                out.align();
                vals(out, f);
            }
            Node::Array(f) => {
                out.head(1, 0, 246);
                out.word(f.len() as u64);
                out.word(f.len() as u64);
                vals(out, f);
            }
            Node::Sarray(element, b) => {
                out.head(1, (*element).into(), 248);
                let n = b.len() as u64 / u64::from(*element);
                out.word(n);
                out.word(n);
                out.bytes.extend(b);
            }
            Node::Str(s) => {
                out.head(1, 0, 249);
                out.word(s.len() as u64 + 1);
                out.word(s.len() as u64 + 1);
                out.word(s.chars().count() as u64);
                out.bytes.extend(s.as_bytes());
                out.bytes.push(0);
            }
            Node::Big(negative, m) => {
                let digits = m.len().div_ceil(self.digit());
                let digits_at = self.base + (out.bytes.len() + self.mpz_struct()) as u64;
                out.head(self.mpz_struct() + digits * self.digit(), 0, 250);
                if self.gmp {
                    let n = digits as i32;
                    out.bytes.extend(n.to_le_bytes());
                    out.bytes.extend(if *negative { -n } else { n }.to_le_bytes());
                } else {
                    out.word(u64::from(*negative));
                    out.word(digits as u64);
                }
                out.word(digits_at);
                out.bytes.extend(m);
                out.bytes
                    .resize(out.bytes.len() + digits * self.digit() - m.len(), 0);
            }
            Node::Thunk(v) | Node::Task(v) => {
                out.head(
                    8 + 2 * w,
                    0,
                    if matches!(node, Node::Thunk(_)) { 251 } else { 252 },
                );
                vals(out, &[*v]);
                out.word(0);
            }
            Node::Ref(v) | Node::Promise(v) => {
                out.head(8 + w, 0, if matches!(node, Node::Ref(_)) { 253 } else { 244 });
                vals(out, &[*v]);
            }
        }
    }
}

struct Out {
    bytes: Vec<u8>,
    w: usize,
}

impl Out {
    fn word(&mut self, v: u64) {
        let b = v.to_le_bytes();
        assert!(b[self.w..].iter().all(|&b| b == 0), "{v:#x} does not fit");
        self.bytes.extend(&b[..self.w]);
    }

    fn patch(&mut self, at: usize, v: u64) {
        self.bytes[at..at + self.w].copy_from_slice(&v.to_le_bytes()[..self.w]);
    }

    fn head(&mut self, size: usize, other: usize, tag: u8) {
        self.bytes.extend([0; 4]);
        self.bytes.extend((size as u16).to_le_bytes());
        self.bytes.extend([other as u8, tag]);
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(self.w), 0);
    }
}
