//! The whole proof of a file: every pointer hits the start of an object in the file or in a dependency, nothing
//! reaches itself, closure offsets and library table fit the closures, and the root is one.

use super::bitmap::Bitmap;
use super::deps::Deps;
use super::error::{BadPointer, CheckError, Violation};
use super::file::File;
use super::format::room::{filled, room};
use super::region::{Region, Summary};
use super::space::Space;
use super::walk::Object;
use crate::format::object::{Kind, OBJECT_HEADER, TAG_CLOSURE, TAG_TASK};
use crate::format::word::{Width, word};

type Result<T> = std::result::Result<T, CheckError>;

impl<'a> Region<'a> {
    /// Proves everything: objects, pointers (into the file and into `deps`), no cycle, closure offsets,
    /// library table, root.
    ///
    /// # Errors
    /// The first violation.
    pub fn check(file: File<'a>, deps: &[&Region<'a>]) -> Result<Self> {
        let region = Self::check_among(file, &Deps::walked(deps)?)?;
        if region.summary.forward > 0 || region.summary.cross > 0 {
            let mut all = room(deps.len() + 1, "the list of files")?;
            all.push(&region);
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
        let like = file.clone();
        match file.width {
            Width::W32 => Self::prove::<4>(file, deps),
            Width::W64 => Self::prove::<8>(file, deps),
        }
        .map_err(|e| Self::blame_flags(&like, e.in_file(&like.name)))
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
    /// a library of the table.
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
        let mut listed = Bitmap::new(bytes.len() / w)?;
        let mut used = filled(false, libraries.len(), "the list of libraries")?;
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
            self.deps.resolve(p)?.ok()
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
