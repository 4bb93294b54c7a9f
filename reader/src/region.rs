//! A file whose objects are proved, each by itself: where they start and how many there are of each kind. One
//! linear pass. Where their pointers go is the matter of [`super::proof`].

use super::bitmap::Bitmap;
use super::error::{CheckError, ObjectRef, Violation};
use super::file::File;
use super::walk::{Object, Seen, walk};
use crate::format::object::{Bignums, Kind, ObjectHeader};
use crate::format::word::{Width, word};

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
        let like = file.clone();
        Self::walk_as_named(file).map_err(|e| Self::blame_flags(&like, e))
    }

    fn walk_as_named(file: File<'a>) -> Result<Self> {
        match file.width {
            Width::W32 => Self::scan::<4, true>(file, |_, _| Ok(())),
            Width::W64 => Self::scan::<8, true>(file, |_, _| Ok(())),
        }
    }

    /// The flags of the header instead of the bignum that `error` is about, if all objects are sound in the other
    /// layout and some bignum is not written in the one that the header names. With 32 bits the two layouts have
    /// numbers of one digit in common, and such a number may be too small in one of them alone.
    #[cold]
    pub(crate) fn blame_flags(file: &File<'a>, error: CheckError) -> CheckError {
        if error.object_ref().and_then(|o| o.kind) != Some(Kind::Mpz) {
            return error;
        }
        if matches!(error.violation(), Violation::BignumSmall) && Self::rewalk(file.clone()).is_ok() {
            return error;
        }
        let (flags, bignums) = match file.bignums {
            Bignums::Native => (0, Bignums::Gmp),
            Bignums::Gmp => (1, Bignums::Native),
        };
        let other = File {
            bignums,
            ..file.clone()
        };
        match Self::walk_as_named(other) {
            Ok(_) => CheckError::new(Violation::BignumLayout(flags))
                .at(6)
                .field("flags")
                .in_file(&file.name),
            Err(_) => error,
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

    /// The linear pass; hands each object to `sink` with the starts found so far, its own included.
    pub(crate) fn scan<const W: usize, const STRICT: bool>(
        file: File<'a>,
        mut sink: impl FnMut(&Bitmap, &Object) -> Result<()>,
    ) -> Result<Self> {
        let mut starts = Bitmap::new(file.bytes.len() / W)?;
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
        starts.finish()?;
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

    /// Whether something may write to an object while the region is in use: closures get their code addresses,
    /// references, promises, tasks and thunks change by what they are, and freeing a region writes into its
    /// structure, which cannot be told from another constructor of that shape.
    #[must_use]
    pub fn changeable(&self) -> bool {
        let kinds = [Kind::Closure, Kind::Ref, Kind::Promise, Kind::Task, Kind::Thunk];
        if kinds.iter().any(|&k| self.of_kind(k).0 > 0) {
            return true;
        }
        let bytes = self.file.bytes;
        let w = self.file.width.bytes();
        // Tag 0, two objects, then three words and a byte.
        self.starts.iter().any(|i| {
            let at = i * w;
            bytes[at + 6..at + 8] == [2, 0]
                && (49..=56).contains(&u16::from_le_bytes([bytes[at + 4], bytes[at + 5]]))
        })
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
        let (bytes, width) = (self.file.bytes, self.file.width);
        let header = ObjectHeader::of_word(word(bytes, at, Width::W64));
        let kind = header.kind().expect("the tag was proved");
        let layout = self.file.layout();
        let count = match layout.count_word(kind) {
            Some(offset) => layout.count_in(kind, word(bytes, at + offset, width)),
            None => 0,
        };
        let (first, count) = layout.pointers(kind, header, count);
        let (fields, count) = (at + first, count as usize);
        Object {
            index,
            kind,
            tag: header.tag,
            at,
            fields,
            count,
            end: fields + count * width.bytes(),
        }
    }

    pub(crate) fn reference(&self, at: usize) -> ObjectRef {
        let index = self.starts.rank_of(at / self.file.width.bytes());
        self.object_at(at, index).reference()
    }
}
