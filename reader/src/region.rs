//! A file with its objects proved: where each starts, and that every pointer hits such a start in the
//! file or in a dependency. One linear pass; a second one only for pointers that go forward.

use super::bitmap::Bitmap;
use super::deps::{Deps, Target};
use super::error::{BadPointer, CheckError, ObjectRef, Violation};
use super::file::{File, Kind, Width, half, word};
use super::space::Space;
use super::walk::{Object, Seen, walk};
use crate::format::layout::{OBJECT_HEADER, TAG_CLOSURE, TAG_TASK};

type Result<T> = std::result::Result<T, CheckError>;

/// What the check counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Objects of the file.
    pub objects: u32,
    /// Pointer fields that hold a pointer.
    pub pointers: u64,
    /// Pointer fields that hold a boxed scalar.
    pub scalars: u64,
    /// Pointers into dependencies.
    pub cross: u64,
    /// Pointers to the same or a higher address of the file; compactors write none.
    pub forward: u64,
    /// Constructors whose `m_cs_sz` is no multiple of the word size: sound, but not what releases write.
    pub unrounded: u32,
    /// Bignums too large for `m_cs_sz`, which is truncated then.
    pub truncated: u32,
}

/// A file whose objects are proved.
#[derive(Debug, Clone)]
pub struct Region<'a> {
    pub(crate) file: File<'a>,
    pub(crate) starts: Bitmap,
    /// Objects and bytes per kind (padding included), by `kind as usize`.
    pub(crate) per_kind: [(u32, u64); 10],
    pub(crate) summary: Summary,
}

impl<'a> Region<'a> {
    /// Proves every object by itself, not where pointers go: enough for a dependency.
    ///
    /// # Errors
    /// The first violation.
    pub fn walk(file: File<'a>) -> Result<Self> {
        match file.width {
            Width::W32 => Self::scan::<4, true>(file, |_, _| Ok(())),
            Width::W64 => Self::scan::<8, true>(file, |_, _| Ok(())),
        }
    }

    /// Finds the objects of a file that was proved before, e.g. one in memory whose pointers have been
    /// rewritten since.
    pub(crate) fn rewalk(file: File<'a>) -> Result<Self> {
        match file.width {
            Width::W32 => Self::scan::<4, false>(file, |_, _| Ok(())),
            Width::W64 => Self::scan::<8, false>(file, |_, _| Ok(())),
        }
    }

    /// Proves everything: objects, pointers (into the file and into `deps`), no cycle, closure offsets,
    /// library table, root.
    ///
    /// # Errors
    /// The first violation.
    pub fn check(file: File<'a>, deps: &[&Region<'a>]) -> Result<Self> {
        let region = Self::check_among(file, &Deps::walked(deps))?;
        if region.summary.forward > 0 || region.summary.cross > 0 {
            let mut all = vec![&region];
            all.extend(deps);
            let space = Space::new(all)?;
            space.postorder((0..region.summary.objects).map(|n| space.node(0, n)))?;
        }
        Ok(region)
    }

    /// As [`Region::check`], except that only cycles inside the file are looked for.
    pub(crate) fn check_alone(file: File<'a>, deps: &Deps<'_, 'a>) -> Result<Self> {
        let region = Self::check_among(file, deps)?;
        if region.summary.forward > 0 {
            let space = Space::new(vec![&region])?;
            space.postorder((0..region.summary.objects).map(|n| space.node(0, n)))?;
        }
        Ok(region)
    }

    fn check_among(file: File<'a>, deps: &Deps<'_, 'a>) -> Result<Self> {
        deps.fit(&file)?;
        let name = file.name.clone();
        match file.width {
            Width::W32 => Self::prove::<4>(file, deps),
            Width::W64 => Self::prove::<8>(file, deps),
        }
        .map_err(|e| e.in_file(&name))
    }

    fn prove<const W: usize>(file: File<'a>, deps: &Deps<'_, 'a>) -> Result<Self> {
        let mut pointers = Pointers::<'_, '_, '_, W> {
            bytes: &file.bytes[..file.objects.end],
            base: file.base,
            size: file.bytes.len() as u64,
            deps,
            counts: Summary::default(),
        };
        let mut region = Self::scan::<W, true>(file.clone(), |starts, o| pointers.backward(starts, o))?;
        if pointers.counts.forward > 0 {
            for o in region.objects() {
                pointers.any(&region.starts, &o)?;
            }
        }
        let Summary {
            objects,
            unrounded,
            truncated,
            ..
        } = region.summary;
        region.summary = Summary {
            objects,
            unrounded,
            truncated,
            ..pointers.counts
        };
        region.root_target(deps)?;
        region.check_closures()?;
        Ok(region)
    }

    fn scan<const W: usize, const STRICT: bool>(
        file: File<'a>,
        mut sink: impl FnMut(&Bitmap, &Object) -> Result<()>,
    ) -> Result<Self> {
        let mut starts = Bitmap::new(file.bytes.len() / W);
        let mut per_kind = [(0, 0); 10];
        let Seen {
            objects,
            unrounded,
            truncated,
        } = walk::<W, STRICT>(&file, |o| {
            starts.set(o.at / W);
            let k = &mut per_kind[o.kind as usize];
            k.0 += 1;
            k.1 += (o.end - o.at) as u64;
            sink(&starts, o)
        })
        .map_err(|e| e.in_file(&file.name))?;
        starts.finish();
        let summary = Summary {
            objects,
            unrounded,
            truncated,
            ..Summary::default()
        };
        Ok(Self {
            file,
            starts,
            per_kind,
            summary,
        })
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &File<'a> {
        &self.file
    }

    /// What was counted; after [`Region::walk`] pointers are not.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.summary
    }

    /// Number of objects of a kind and their bytes with padding.
    #[must_use]
    pub fn of_kind(&self, kind: Kind) -> (u32, u64) {
        self.per_kind[kind as usize]
    }

    /// The proved objects again, in file order.
    pub(crate) fn objects(&self) -> impl Iterator<Item = Object> + '_ {
        let w = self.file.width.bytes();
        self.starts
            .iter()
            .zip(0..)
            .map(move |(i, index)| self.object_at(i * w, index))
    }

    /// The proved object that starts at file offset `at` and has number `index`. Its end is that of its
    /// fields; see [`Space::extent`] for the end of its bytes.
    pub(crate) fn object_at(&self, at: usize, index: u32) -> Object {
        let (bytes, w) = (self.file.bytes, self.file.width.bytes());
        let tag = bytes[at + 7];
        let kind = Kind::of_tag(tag).expect("the tag was proved");
        let body = at + OBJECT_HEADER;
        let (fields, count) = match kind {
            Kind::Ctor => (body, usize::from(bytes[at + 6])),
            Kind::Array => (body + 2 * w, word(bytes, body, self.file.width) as usize),
            Kind::Closure => {
                let fixed = (OBJECT_HEADER + w + 4).next_multiple_of(w);
                (at + fixed, usize::from(half(bytes, body + w + 2)))
            }
            Kind::Thunk | Kind::Task | Kind::Ref | Kind::Promise => (body, 1),
            Kind::Sarray | Kind::String | Kind::Mpz => (body, 0),
        };
        Object {
            index,
            kind,
            tag,
            at,
            fields,
            count,
            end: fields + count * w,
        }
    }

    pub(crate) fn reference(&self, at: usize) -> ObjectRef {
        let index = self.starts.rank_of(at / self.file.width.bytes());
        self.object_at(at, index).reference()
    }

    fn root_target(&self, deps: &Deps<'_, 'a>) -> Result<()> {
        let root = self.file.root;
        if root & 1 != 0 {
            return Ok(());
        }
        let offset = root.wrapping_sub(self.file.base);
        let found = if offset < self.file.bytes.len() as u64 {
            own(&self.starts, offset, self.file.width.bytes())
                .map(|_| ())
                .ok_or(BadPointer::NoObject)
        } else {
            deps.resolve(root)?.map(|_| ())
        };
        found.map_err(|why| {
            let why = if root == 0 { BadPointer::Null } else { why };
            CheckError::new(Violation::Pointer { address: root, why })
                .at(self.file.root_at)
                .field("root")
        })
    }

    /// The closure offsets are exactly the code fields of the closures, and each code address belongs to
    /// a library of the table (spec section 5.4).
    fn check_closures(&self) -> Result<()> {
        let Some(sections) = &self.file.sections else {
            return Ok(());
        };
        let (w, bytes) = (self.file.width.bytes(), self.file.bytes);
        let libraries = &sections.libraries;
        for (n, l) in libraries.iter().enumerate() {
            let bad = |what| Err(CheckError::new(what).at(l.offset).nth("library", n as u64));
            if n > 0 && l.base <= libraries[n - 1].base {
                return bad(Violation::LibraryOrder);
            }
            if l.id.contains(&0) {
                return bad(Violation::LibraryNul);
            }
        }
        let mut listed = Bitmap::new(bytes.len() / w);
        let mut used = vec![false; libraries.len()];
        let mut number = 0u32;
        for (n, offset) in sections.closure_offsets().enumerate() {
            let bad = |what| {
                let at = sections.offset + 4 + 8 * n;
                Err(CheckError::new(what).at(at).nth("closure offset", n as u64))
            };
            // Offsets are relative to the data section and point at `m_fun`.
            let at = offset.checked_add((self.file.data.start - OBJECT_HEADER) as u64);
            let at = at
                .filter(|&at| offset >= 8 && at < self.file.objects.end as u64)
                .map(|at| at as usize);
            let Some(at) = at.filter(|&at| {
                at.is_multiple_of(w) && self.starts.get(at / w) && bytes[at + 7] == TAG_CLOSURE
            }) else {
                return bad(Violation::ClosureOffset(offset));
            };
            if listed.replace(at / w) {
                return bad(Violation::ClosureTwice(offset));
            }
            number += 1;
            let code = word(bytes, at + OBJECT_HEADER, self.file.width);
            match libraries.partition_point(|l| l.base <= code).checked_sub(1) {
                Some(l) => used[l] = true,
                None => {
                    return Err(CheckError::new(Violation::NoLibrary(code))
                        .at(at + OBJECT_HEADER)
                        .object(self.reference(at))
                        .field("m_fun"));
                }
            }
        }
        if number != self.of_kind(Kind::Closure).0 {
            let missing = self
                .objects()
                .find(|o| o.kind == Kind::Closure && !listed.get(o.at / w));
            let o = missing.expect("fewer offsets than closures");
            return Err(CheckError::new(Violation::ClosureMissing)
                .at(o.at)
                .object(o.reference()));
        }
        match used.iter().position(|u| !u) {
            Some(n) => Err(CheckError::new(Violation::LibraryUnused)
                .at(libraries[n].offset)
                .nth("library", n as u64)),
            None => Ok(()),
        }
    }
}

/// How many objects are sound by themselves: all, or those before the first violation.
pub(crate) fn count_sound(file: &File<'_>) -> std::result::Result<u64, u64> {
    let mut n = 0;
    let sink = |_: &Object| {
        n += 1;
        Ok(())
    };
    let result = match file.width {
        Width::W32 => walk::<4, true>(file, sink),
        Width::W64 => walk::<8, true>(file, sink),
    };
    if result.is_ok() { Ok(n) } else { Err(n) }
}

/// The word index of the object that starts `offset` bytes into a file.
#[inline(always)]
fn own(starts: &Bitmap, offset: u64, w: usize) -> Option<usize> {
    let offset = offset as usize;
    let i = offset / w;
    (offset.is_multiple_of(w) && starts.get(i)).then_some(i)
}

struct Pointers<'f, 'd, 'a, const W: usize> {
    bytes: &'f [u8],
    base: u64,
    size: u64,
    deps: &'d Deps<'d, 'a>,
    counts: Summary,
}

impl<const W: usize> Pointers<'_, '_, '_, W> {
    const WIDTH: Width = if W == 4 { Width::W32 } else { Width::W64 };

    /// Checks the pointers of an object just found; forward ones are only counted, as the objects they
    /// go to are not known yet.
    #[inline(always)]
    fn backward(&mut self, starts: &Bitmap, o: &Object) -> Result<()> {
        let fields = &self.bytes[o.fields..o.fields + o.count * W];
        let mut scalars = 0;
        for (n, field) in fields.chunks_exact(W).enumerate() {
            let p = word(field, 0, Self::WIDTH);
            if p & 1 != 0 {
                scalars += 1;
                continue;
            }
            let offset = p.wrapping_sub(self.base);
            if offset < o.at as u64 {
                if own(starts, offset, W).is_none() {
                    return self.bad(o, n, p, BadPointer::NoObject);
                }
            } else if offset < self.size {
                self.counts.forward += 1;
            } else {
                self.cross(o, n, p)?;
            }
        }
        self.counts.scalars += scalars;
        self.counts.pointers += o.count as u64 - scalars;
        if o.kind == Kind::Promise {
            self.promise(starts, o)
        } else {
            Ok(())
        }
    }

    /// Checks the pointers of an object when all objects are known.
    fn any(&self, starts: &Bitmap, o: &Object) -> Result<()> {
        for n in 0..o.count {
            let p = word(self.bytes, o.fields + n * W, Self::WIDTH);
            let offset = p.wrapping_sub(self.base);
            if p & 1 == 0 && offset < self.size && own(starts, offset, W).is_none() {
                return self.bad(o, n, p, BadPointer::NoObject);
            }
        }
        if o.kind == Kind::Promise {
            self.promise(starts, o)
        } else {
            Ok(())
        }
    }

    fn cross(&mut self, o: &Object, n: usize, p: u64) -> Result<()> {
        self.counts.cross += 1;
        match self.deps.resolve(p)? {
            Ok(_) => Ok(()),
            Err(why) => self.bad(o, n, p, why),
        }
    }

    /// The result of a promise is a task; one further on in the file is looked at by [`Self::any`].
    fn promise(&self, starts: &Bitmap, o: &Object) -> Result<()> {
        let p = word(self.bytes, o.fields, Self::WIDTH);
        let offset = p.wrapping_sub(self.base);
        let tag = if p & 1 != 0 {
            None
        } else if offset < self.size {
            match own(starts, offset, W) {
                Some(i) => Some(self.bytes[i * W + 7]),
                None => return Ok(()),
            }
        } else {
            self.deps.resolve(p)?.ok().map(|Target { tag, .. }| tag)
        };
        if tag == Some(TAG_TASK) {
            return Ok(());
        }
        let e = CheckError::new(Violation::PromiseResult).at(o.fields);
        Err(e.object(o.reference()).field("m_result"))
    }

    #[cold]
    #[inline(never)]
    fn bad(&self, o: &Object, n: usize, address: u64, why: BadPointer) -> Result<()> {
        let why = match why {
            _ if address == 0 => BadPointer::Null,
            BadPointer::NoObject if !address.is_multiple_of(W as u64) => BadPointer::Unaligned,
            why => why,
        };
        let e = CheckError::new(Violation::Pointer { address, why }).at(o.fields + n * W);
        Err(e.object(o.reference()).nth("field", n as u64))
    }
}
