//! A file and the files it may point into as one space of numbered objects.

use super::error::{CheckError, Violation};
use super::format::room::{collected, filled, push, room};
use super::region::Region;
use super::walk::Object;
use crate::format::word::word;

type Result<T> = std::result::Result<T, CheckError>;

/// Number of an object among all files that are numbered together: those of the first file first, in file order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// Files whose objects are numbered together.
pub(crate) struct Space<'r, 'a> {
    pub(crate) regions: Vec<&'r Region<'a>>,
    /// First number of each region, and at the end the number of all objects.
    first: Vec<u32>,
    /// Word index of each object.
    starts: Vec<u32>,
    /// Indexes of the regions by base address.
    by_base: Vec<usize>,
}

/// What a pointer field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hit {
    Scalar(u64),
    Object(NodeId),
    /// An address in no file.
    Outside,
    /// An address in a file where no object starts.
    Inside,
}

impl<'r, 'a> Space<'r, 'a> {
    pub(crate) fn new(regions: Vec<&'r Region<'a>>) -> Result<Self> {
        const FILES: &str = "the list of files";
        let mut first = room(regions.len() + 1, FILES)?;
        first.push(0u32);
        for r in &regions {
            let n = first[first.len() - 1].checked_add(r.summary.objects);
            first.push(n.ok_or_else(|| CheckError::new(Violation::TooMany))?);
        }
        let mut starts = room(first[regions.len()] as usize, "the list of objects")?;
        for r in &regions {
            starts.extend(r.starts.iter().map(|i| i as u32));
        }
        let mut by_base = collected(0..regions.len(), FILES)?;
        by_base.sort_unstable_by_key(|&i| regions[i].file.base);
        Ok(Self {
            regions,
            first,
            starts,
            by_base,
        })
    }

    /// The number of all objects.
    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    pub(crate) fn node(&self, region: usize, index: u32) -> NodeId {
        NodeId(self.first[region] + index)
    }

    /// The index of the region that holds an object.
    #[inline]
    pub(crate) fn region_of(&self, n: NodeId) -> usize {
        if self.regions.len() == 1 {
            0
        } else {
            self.first.partition_point(|&f| f <= n.0) - 1
        }
    }

    #[inline]
    pub(crate) fn object(&self, n: NodeId) -> (&'r Region<'a>, Object) {
        let i = self.region_of(n);
        let r = self.regions[i];
        let at = self.starts[n.0 as usize] as usize * r.file.width.bytes();
        (r, r.object_at(at, n.0 - self.first[i]))
    }

    /// File offset behind the object and its padding.
    pub(crate) fn extent(&self, n: NodeId) -> usize {
        let i = self.region_of(n);
        let f = &self.regions[i].file;
        if n.0 + 1 == self.first[i + 1] {
            return f.objects.end;
        }
        self.starts[n.0 as usize + 1] as usize * f.width.bytes()
    }

    /// What the word `p` in region number `from` is.
    #[inline]
    pub(crate) fn hit(&self, from: usize, p: u64) -> Hit {
        if p & 1 != 0 {
            return Hit::Scalar(p >> 1);
        }
        let mut i = from;
        let mut offset = p.wrapping_sub(self.regions[i].file.base);
        if offset >= self.regions[i].file.bytes.len() as u64 {
            let Some(k) = self
                .by_base
                .partition_point(|&i| self.regions[i].file.base <= p)
                .checked_sub(1)
            else {
                return Hit::Outside;
            };
            i = self.by_base[k];
            offset = p - self.regions[i].file.base;
            if offset >= self.regions[i].file.bytes.len() as u64 {
                return Hit::Outside;
            }
        }
        let (r, offset) = (self.regions[i], offset as usize);
        let w = r.file.width.bytes();
        match r.starts.index_of(offset / w) {
            Some(n) if offset.is_multiple_of(w) => Hit::Object(NodeId(self.first[i] + n)),
            _ => Hit::Inside,
        }
    }

    /// The pointer fields of an object.
    #[inline]
    pub(crate) fn fields(&self, n: NodeId) -> impl ExactSizeIterator<Item = Hit> + '_ {
        let from = self.region_of(n);
        let (r, o) = self.object(n);
        let w = r.file.width;
        r.file.bytes[o.fields..o.fields + o.count * w.bytes()]
            .chunks_exact(w.bytes())
            .map(move |c| self.hit(from, word(c, 0, w)))
    }

    /// The field `i` of an object.
    #[inline]
    pub(crate) fn field(&self, n: NodeId, i: usize) -> Hit {
        let (r, o) = self.object(n);
        let w = r.file.width;
        self.hit(self.region_of(n), word(r.file.bytes, o.fields + i * w.bytes(), w))
    }

    /// All objects that `roots` reach, children before parents. Pointers that hit no object are passed
    /// over.
    ///
    /// # Errors
    /// An object reaches itself.
    pub(crate) fn postorder(&self, roots: impl Iterator<Item = NodeId>) -> Result<Vec<NodeId>> {
        #[derive(Clone, Copy, PartialEq)]
        enum State {
            New,
            Open,
            Done,
        }
        const WALK: &str = "the walk over the objects";
        let mut state = filled(State::New, self.len(), WALK)?;
        let mut order = Vec::new();
        let mut stack: Vec<(NodeId, usize, usize)> = Vec::new();
        let open = |n: NodeId| (n, 0, self.object(n).1.count);
        for root in roots {
            if state[root.0 as usize] != State::New {
                continue;
            }
            state[root.0 as usize] = State::Open;
            push(&mut stack, open(root), WALK)?;
            while let Some(top) = stack.last_mut() {
                let (n, i, count) = *top;
                if i == count {
                    state[n.0 as usize] = State::Done;
                    push(&mut order, n, WALK)?;
                    stack.pop();
                    continue;
                }
                top.1 += 1;
                let Hit::Object(child) = self.field(n, i) else {
                    continue;
                };
                match state[child.0 as usize] {
                    State::New => {
                        state[child.0 as usize] = State::Open;
                        push(&mut stack, open(child), WALK)?;
                    }
                    State::Open => {
                        let (r, o) = self.object(n);
                        let e = CheckError::new(Violation::Cycle).at(o.at).object(o.reference());
                        return Err(e.nth("field", i as u64).in_file(&r.file.name));
                    }
                    State::Done => {}
                }
            }
        }
        Ok(order)
    }
}
