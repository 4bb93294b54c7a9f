//! The graph of a file: objects, kinds, children and contents, over a proved [`Region`] and the files it
//! points into. Iterative everywhere.

use super::error::{BadPointer, CheckError, ObjectRef, Violation};
use super::region::Region;
use super::space::{Hit, NodeId, Space};
use super::walk::{Object, mpz_parts};
use crate::format::object::{Kind, OBJECT_HEADER, element_size};
use crate::format::room::{filled, push};
use crate::format::word::{half, word};
use std::collections::HashSet;

type Result<T> = std::result::Result<T, CheckError>;

/// What a pointer field or a root holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// A boxed scalar, unboxed.
    Scalar(u64),
    /// An object.
    Object(NodeId),
    /// An address in none of the files.
    Outside(u64),
}

/// A bignum: sign and magnitude, little endian without zero bytes at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bignum<'a> {
    /// Whether it is below zero.
    pub negative: bool,
    /// The bytes of its magnitude.
    pub magnitude: &'a [u8],
}

impl Bignum<'_> {
    /// Its value, when it is nonnegative and below 2^63: a boxed scalar on another machine perhaps.
    #[must_use]
    pub fn small(&self) -> Option<u64> {
        if self.negative || self.magnitude.len() > 8 {
            return None;
        }
        let v = self.magnitude.iter().rev().fold(0, |v, &b| v << 8 | u64::from(b));
        (v < 1 << 63).then_some(v)
    }

    /// Its decimal digits.
    #[must_use]
    pub fn to_decimal(&self) -> String {
        // Nine digits at a time; numbers of a file are short, and long ones are cut off by who shows them.
        const CHUNK: u64 = 1_000_000_000;
        let mut limbs: Vec<u32> = self
            .magnitude
            .chunks(4)
            .map(|c| c.iter().rev().fold(0, |v, &b| v << 8 | u32::from(b)))
            .collect();
        let mut chunks = Vec::new();
        while !limbs.is_empty() {
            let mut rest = 0;
            for limb in limbs.iter_mut().rev() {
                let v = rest << 32 | u64::from(*limb);
                *limb = (v / CHUNK) as u32;
                rest = v % CHUNK;
            }
            chunks.push(rest);
            while limbs.last() == Some(&0) {
                limbs.pop();
            }
        }
        let mut text = if self.negative {
            "-".to_owned()
        } else {
            String::new()
        };
        text += &chunks.pop().unwrap_or(0).to_string();
        for c in chunks.iter().rev() {
            text += &format!("{c:09}");
        }
        text
    }
}

/// What a closure is made of, its arguments aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closure<'a> {
    /// Number of arguments the function takes.
    pub arity: u16,
    /// Number of arguments that are there.
    pub fixed: u16,
    /// Address of the code in the process that wrote the file.
    pub function: u64,
    /// Last path component of the library's id; empty when no library is listed for it.
    pub library: &'a [u8],
    /// The function's offset from the base of that library.
    pub offset: u64,
}

/// The objects of a file and of the files it points into, numbered together.
pub struct Graph<'r, 'a> {
    pub(crate) space: Space<'r, 'a>,
    /// The objects that the root reaches, in breadth-first order, fields left to right.
    pub(crate) reached: Vec<NodeId>,
    root: Value,
    outside: u64,
}

impl<'r, 'a> Graph<'r, 'a> {
    /// The graph of `main`. Every pointer that its root reaches is looked at, in dependencies too.
    /// Pointers outside all files are kept as [`Value::Outside`].
    ///
    /// # Errors
    /// A pointer into one of the files hits no object, or the files do not fit together.
    pub fn new(main: &'r Region<'a>, deps: &[&'r Region<'a>]) -> Result<Self> {
        super::deps::Deps::walked(deps)?.fit(&main.file)?;
        let mut regions = vec![main];
        regions.extend(deps);
        let space = Space::new(regions)?;
        let root = match space.hit(0, main.file.root) {
            Hit::Scalar(v) => Value::Scalar(v),
            Hit::Object(n) => Value::Object(n),
            Hit::Outside => Value::Outside(main.file.root),
            Hit::Inside => return Err(bad_pointer(main.file.root).at(main.file.root_at).field("root")),
        };
        let mut graph = Self {
            space,
            reached: Vec::new(),
            root,
            outside: 0,
        };
        graph.reach()?;
        Ok(graph)
    }

    fn reach(&mut self) -> Result<()> {
        self.outside += u64::from(matches!(self.root, Value::Outside(_)));
        let Value::Object(root) = self.root else {
            return Ok(());
        };
        const REACHED: &str = "the list of objects";
        let mut seen = filled(false, self.space.len(), REACHED)?;
        seen[root.0 as usize] = true;
        push(&mut self.reached, root, REACHED)?;
        let mut next = 0;
        while let Some(&n) = self.reached.get(next) {
            next += 1;
            for (i, hit) in self.space.fields(n).enumerate() {
                match hit {
                    Hit::Scalar(_) => {}
                    Hit::Object(c) => {
                        if !std::mem::replace(&mut seen[c.0 as usize], true) {
                            push(&mut self.reached, c, REACHED)?;
                        }
                    }
                    Hit::Outside => self.outside += 1,
                    Hit::Inside => {
                        let (r, o) = self.space.object(n);
                        let w = r.file.width.bytes();
                        let p = word(r.file.bytes, o.fields + i * w, r.file.width);
                        let e = bad_pointer(p).at(o.fields + i * w).object(o.reference());
                        return Err(e.nth("field", i as u64).in_file(&r.file.name));
                    }
                }
            }
        }
        Ok(())
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Value {
        self.root
    }

    /// The root of a file of the graph, by [`Graph::region_of`]. What only the roots of dependencies reach was
    /// proved with them, if they were proved whole; a pointer of theirs that leads nowhere is
    /// [`Value::Outside`].
    #[must_use]
    pub fn root_of(&self, i: usize) -> Value {
        self.value(i, self.region(i).file.root)
    }

    /// The numbers of all objects of a file, in file order.
    #[must_use]
    pub fn nodes_of(&self, i: usize) -> std::ops::Range<u32> {
        let first = self.space.node(i, 0).0;
        first..first + self.region(i).summary.objects
    }

    /// Number of reachable fields that hold an address in none of the files.
    #[must_use]
    pub fn outside(&self) -> u64 {
        self.outside
    }

    /// The objects that the root reaches, breadth first, fields left to right.
    #[must_use]
    pub fn reached(&self) -> &[NodeId] {
        &self.reached
    }

    /// Number of all objects of all files; [`NodeId`]s are below it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.space.len()
    }

    /// Whether there are no objects at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of the file that holds an object: 0 is the main file, then the dependencies as given.
    #[must_use]
    pub fn region_of(&self, n: NodeId) -> usize {
        self.space.region_of(n)
    }

    /// A file of the graph, by [`Graph::region_of`].
    #[must_use]
    pub fn region(&self, i: usize) -> &'r Region<'a> {
        self.space.regions[i]
    }

    /// Number, file offset, kind and tag of an object.
    #[must_use]
    pub fn reference(&self, n: NodeId) -> ObjectRef {
        self.space.object(n).1.reference()
    }

    /// The kind of an object.
    #[must_use]
    pub fn kind(&self, n: NodeId) -> Kind {
        self.space.object(n).1.kind
    }

    /// The tag of an object.
    #[must_use]
    pub fn tag(&self, n: NodeId) -> u8 {
        self.space.object(n).1.tag
    }

    /// Bytes of an object in its file, padding included.
    #[must_use]
    pub fn size(&self, n: NodeId) -> usize {
        self.space.extent(n) - self.space.object(n).1.at
    }

    /// The bytes of an object in its file, padding included.
    #[must_use]
    pub fn raw(&self, n: NodeId) -> &'a [u8] {
        let (r, o) = self.space.object(n);
        &r.file.bytes[o.at..self.space.extent(n)]
    }

    /// Number of pointer fields: fields of a constructor, elements of an array, arguments of a closure.
    #[must_use]
    pub fn children_len(&self, n: NodeId) -> usize {
        self.space.object(n).1.count
    }

    /// What pointer field `i` holds; `None` when there is no such field.
    #[must_use]
    pub fn child(&self, n: NodeId, i: usize) -> Option<Value> {
        let (r, o) = self.space.object(n);
        (i < o.count).then(|| {
            let w = r.file.width;
            self.value(
                self.space.region_of(n),
                word(r.file.bytes, o.fields + i * w.bytes(), w),
            )
        })
    }

    /// What the pointer fields hold.
    pub fn children(&self, n: NodeId) -> impl ExactSizeIterator<Item = Value> + '_ {
        let from = self.space.region_of(n);
        let (r, o) = self.space.object(n);
        let w = r.file.width;
        r.file.bytes[o.fields..o.fields + o.count * w.bytes()]
            .chunks_exact(w.bytes())
            .map(move |c| self.value(from, word(c, 0, w)))
    }

    /// The objects that a value reaches, itself among them, each once; in dependencies too.
    pub fn reachable_from(&self, v: Value) -> impl Iterator<Item = NodeId> + '_ {
        let object = |v| match v {
            Value::Object(n) => Some(n),
            Value::Scalar(_) | Value::Outside(_) => None,
        };
        // Most values reach few objects of all, so those seen are a set.
        let mut seen = HashSet::new();
        let mut stack: Vec<NodeId> = object(v).into_iter().collect();
        seen.extend(stack.iter().copied());
        std::iter::from_fn(move || {
            let n = stack.pop()?;
            let found = self.children(n).filter_map(object);
            stack.extend(found.filter(|&c| seen.insert(c)));
            Some(n)
        })
    }

    fn value(&self, from: usize, p: u64) -> Value {
        match self.space.hit(from, p) {
            Hit::Scalar(v) => Value::Scalar(v),
            Hit::Object(n) => Value::Object(n),
            // Bad pointers that the root reaches were refused; others lead nowhere.
            Hit::Outside | Hit::Inside => Value::Outside(p),
        }
    }

    /// The scalar area of a constructor; empty for other kinds.
    #[must_use]
    pub fn scalars(&self, n: NodeId) -> &'a [u8] {
        let (r, o) = self.space.object(n);
        if o.kind != Kind::Ctor {
            return &[];
        }
        scalar_area(r, &o)
    }

    /// The text of a string.
    #[must_use]
    pub fn string(&self, n: NodeId) -> Option<&'a str> {
        let (r, o) = self.space.object(n);
        if o.kind != Kind::String {
            return None;
        }
        std::str::from_utf8(string_bytes(r, &o)).ok()
    }

    /// Element size and bytes of a scalar array.
    #[must_use]
    pub fn sarray(&self, n: NodeId) -> Option<(u8, &'a [u8])> {
        let (r, o) = self.space.object(n);
        (o.kind == Kind::Sarray).then(|| sarray_bytes(r, &o))
    }

    /// The value of a bignum.
    #[must_use]
    pub fn bignum(&self, n: NodeId) -> Option<Bignum<'a>> {
        let (r, o) = self.space.object(n);
        (o.kind == Kind::Mpz).then(|| bignum(r, &o))
    }

    /// The function of a closure.
    #[must_use]
    pub fn closure(&self, n: NodeId) -> Option<Closure<'a>> {
        let (r, o) = self.space.object(n);
        (o.kind == Kind::Closure).then(|| closure(r, &o))
    }

    /// A natural number: a boxed scalar or a nonnegative bignum below 2^63.
    #[must_use]
    pub fn small_nat(&self, v: Value) -> Option<u64> {
        match v {
            Value::Scalar(v) => Some(v),
            Value::Object(n) => self.bignum(n)?.small(),
            Value::Outside(_) => None,
        }
    }
}

fn bad_pointer(address: u64) -> CheckError {
    CheckError::new(Violation::Pointer {
        address,
        why: BadPointer::NoObject,
    })
}

pub(crate) fn scalar_area<'a>(r: &Region<'a>, o: &Object) -> &'a [u8] {
    let bytes = r.file.bytes;
    &bytes[o.fields + o.count * r.file.width.bytes()..o.at + usize::from(half(bytes, o.at + 4))]
}

/// The bytes of a string without the final NUL.
pub(crate) fn string_bytes<'a>(r: &Region<'a>, o: &Object) -> &'a [u8] {
    let (bytes, w) = (r.file.bytes, r.file.width);
    let size = word(bytes, o.at + OBJECT_HEADER, w) as usize;
    let start = o.at + r.file.layout().fixed(Kind::String);
    &bytes[start..start + size - 1]
}

pub(crate) fn sarray_bytes<'a>(r: &Region<'a>, o: &Object) -> (u8, &'a [u8]) {
    let (bytes, w) = (r.file.bytes, r.file.width);
    let element = element_size(bytes[o.at + 6]);
    let size = word(bytes, o.at + OBJECT_HEADER, w) as usize * usize::from(element);
    let start = o.at + r.file.layout().fixed(Kind::Sarray);
    (element, &bytes[start..start + size])
}

pub(crate) fn bignum<'a>(r: &Region<'a>, o: &Object) -> Bignum<'a> {
    let parts = mpz_parts(&r.file, o.at, r.file.objects.end - o.at).expect("the bignum was proved");
    let digits = &r.file.bytes[parts.digits..parts.digits + parts.len];
    let len = digits.iter().rposition(|&b| b != 0).map_or(0, |i| i + 1);
    Bignum {
        negative: parts.negative,
        magnitude: &digits[..len],
    }
}

pub(crate) fn closure<'a>(r: &Region<'a>, o: &Object) -> Closure<'a> {
    let (bytes, w) = (r.file.bytes, r.file.width);
    let arity = o.at + r.file.layout().arity();
    let function = word(bytes, o.at + OBJECT_HEADER, w);
    let library = r.file.library_of(function);
    Closure {
        arity: half(bytes, arity),
        fixed: half(bytes, arity + 2),
        function,
        library: library.map_or(&[], |l| l.basename()),
        offset: function - library.map_or(0, |l| l.base),
    }
}
