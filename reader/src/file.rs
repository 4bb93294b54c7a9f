//! The frame of a file of either pointer width: header, data section, and the sections of version 3
//! (spec sections 5.1, 5.3, 5.4). Objects are the matter of [`super::region`].

use super::error::{CheckError, Violation};
use crate::format::{base::BASE_ALIGN, layout, trailer::EXTENSION_MAGIC};
use std::fmt;
use std::ops::Range;

type Result<T> = std::result::Result<T, CheckError>;

/// Bytes of the header before the base address.
pub(crate) const HEADER_FIXED: usize = 80;
/// How much of a file decides its width where nothing else does.
const DETECT_BYTES: usize = 1 << 16;

/// Bytes of a pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Width {
    /// 32-bit pointers (wasm32).
    W32,
    /// 64-bit pointers.
    W64,
}

impl Width {
    /// Bytes of a word: 4 or 8.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::W32 => 4,
            Self::W64 => 8,
        }
    }

    /// Bits of a word: 32 or 64.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.bytes() as u8 * 8
    }

    /// The largest word.
    #[must_use]
    pub const fn max(self) -> u64 {
        match self {
            Self::W32 => u32::MAX as u64,
            Self::W64 => u64::MAX,
        }
    }
}

/// How bignums are laid out; bit 0 of the header's flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bignums {
    /// Sign, size, digits of 32 bits (flags 0).
    Native,
    /// GMP's struct and limbs of one word (flags 1).
    Gmp,
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Constructor, tags 0 to 243.
    Ctor,
    /// Closure.
    Closure,
    /// Array of objects.
    Array,
    /// Array of scalars.
    Sarray,
    /// String.
    String,
    /// Bignum.
    Mpz,
    /// Evaluated thunk.
    Thunk,
    /// Finished task.
    Task,
    /// Mutable reference.
    Ref,
    /// Resolved promise.
    Promise,
}

impl Kind {
    /// All kinds, in the order of their numbers (`kind as usize`).
    pub const ALL: [Self; 10] = [
        Self::Ctor,
        Self::Closure,
        Self::Array,
        Self::Sarray,
        Self::String,
        Self::Mpz,
        Self::Thunk,
        Self::Task,
        Self::Ref,
        Self::Promise,
    ];

    /// The kind of objects with this tag, `None` for tags that are never written.
    #[inline]
    #[must_use]
    pub const fn of_tag(tag: u8) -> Option<Self> {
        Some(match tag {
            0..=layout::MAX_CTOR_TAG => Self::Ctor,
            layout::TAG_PROMISE => Self::Promise,
            layout::TAG_CLOSURE => Self::Closure,
            layout::TAG_ARRAY => Self::Array,
            layout::TAG_SARRAY => Self::Sarray,
            layout::TAG_STRING => Self::String,
            layout::TAG_MPZ => Self::Mpz,
            layout::TAG_THUNK => Self::Thunk,
            layout::TAG_TASK => Self::Task,
            layout::TAG_REF => Self::Ref,
            _ => return None,
        })
    }

    /// A lower-case word for it: `ctor`, `closure`, `array`, …
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ctor => "ctor",
            Self::Closure => "closure",
            Self::Array => "array",
            Self::Sarray => "sarray",
            Self::String => "string",
            Self::Mpz => "mpz",
            Self::Thunk => "thunk",
            Self::Task => "task",
            Self::Ref => "ref",
            Self::Promise => "promise",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An entry of the library table of version 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Library<'a> {
    /// Where the library lay in the process that wrote the file.
    pub base: u64,
    /// Its id; on Linux the path it was loaded from (spec section 7.2).
    pub id: &'a [u8],
    /// File offset of the entry.
    pub offset: usize,
}

impl<'a> Library<'a> {
    /// The last component of the id's path.
    #[must_use]
    pub fn basename(&self) -> &'a [u8] {
        let cut = self
            .id
            .iter()
            .rposition(|&b| b == b'/' || b == b'\\')
            .map_or(0, |i| i + 1);
        &self.id[cut..]
    }
}

/// The sections behind the data of version 3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sections<'a> {
    /// File offset of the closure offsets' count.
    pub offset: usize,
    /// The closure offsets as they lie in the file, 8 bytes each.
    pub closures: &'a [u8],
    /// The library table.
    pub libraries: Vec<Library<'a>>,
    /// Payload of the extension section, where there is one.
    pub extension: Option<&'a [u8]>,
}

impl Sections<'_> {
    /// The closure offsets, relative to the data section.
    pub fn closure_offsets(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.closures
            .chunks_exact(8)
            .map(|c| u64::from_le_bytes(c.try_into().expect("8 bytes")))
    }
}

/// A file whose header and sections are sound. The objects are not looked at yet.
#[derive(Debug, Clone)]
pub struct File<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) name: String,
    pub(crate) width: Width,
    pub(crate) version: u8,
    pub(crate) bignums: Bignums,
    pub(crate) lean_version: &'a str,
    pub(crate) githash: &'a str,
    pub(crate) base: u64,
    pub(crate) data: Range<usize>,
    pub(crate) objects: Range<usize>,
    pub(crate) root_at: usize,
    pub(crate) root: u64,
    pub(crate) sections: Option<Sections<'a>>,
}

#[inline]
pub(crate) fn word(bytes: &[u8], at: usize, width: Width) -> u64 {
    match width {
        Width::W32 => u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))),
        Width::W64 => u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes")),
    }
}

#[inline]
pub(crate) fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("2 bytes"))
}

fn int32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

impl<'a> File<'a> {
    /// Reads header and sections. `name` is for error texts and may be empty; without `width` the width
    /// under which more of the file makes sense is taken.
    ///
    /// # Errors
    /// The first violation.
    pub fn parse(bytes: &'a [u8], name: &str, width: Option<Width>) -> Result<Self> {
        let width = match width {
            Some(w) => w,
            None => detect(bytes),
        };
        Self::parse_as(bytes, width)
            .map(|mut f| {
                name.clone_into(&mut f.name);
                f
            })
            .map_err(|e| e.in_file(name))
    }

    /// The file as loaders read it: the first word of the data is the root, whatever it looks like.
    pub(crate) fn root_at_start(mut self) -> Self {
        self.root_at = self.data.start;
        self.root = word(self.bytes, self.root_at, self.width);
        self.objects = self.root_at + self.width.bytes()..self.data.end;
        self
    }

    fn parse_as(bytes: &'a [u8], width: Width) -> Result<Self> {
        let w = width.bytes();
        let header = HEADER_FIXED + w;
        let size = bytes.len();
        if bytes.len() >= 5 && &bytes[..5] != b"olean" {
            return Err(CheckError::new(Violation::Magic).at(0).field("magic"));
        }
        if size < header {
            return Err(CheckError::new(Violation::TooShort {
                size: size as u64,
                need: header as u64,
            }));
        }
        if size / w > u32::MAX as usize {
            return Err(CheckError::new(Violation::TooLarge(size as u64)));
        }
        let version = bytes[5];
        if version != 2 && version != 3 {
            return Err(CheckError::new(Violation::Version(version))
                .at(5)
                .field("version"));
        }
        let flags = bytes[6];
        if flags & !1 != 0 {
            return Err(CheckError::new(Violation::Flags(flags)).at(6).field("flags"));
        }
        let lean_version = text(bytes, 7..40, "Lean version")?;
        let githash = text(bytes, 40..80, "githash")?;
        let base = word(bytes, HEADER_FIXED, width);
        let base_error = |v| Err(CheckError::new(v).at(HEADER_FIXED).field("base_addr"));
        if !base.is_multiple_of(BASE_ALIGN) {
            return base_error(Violation::BaseUnaligned(base));
        }
        if size as u64 > width.max() || base > (width.max() - size as u64).saturating_add(1) {
            return base_error(Violation::BaseWraps {
                base,
                size: size as u64,
            });
        }
        let (data, sections) = match version {
            2 => (header..size, None),
            _ => sections(bytes, width).map(|(d, s)| (d, Some(s)))?,
        };
        let n = data.len();
        if !n.is_multiple_of(w) {
            return Err(CheckError::new(Violation::DataNotWords(n as u64)).at(data.end - n % w));
        }
        if n < w {
            return Err(CheckError::new(Violation::NoRoot).at(data.start));
        }
        // An object starts with a zero reference count (32 zero bits), a root pointer does not.
        let (first, last) = (word(bytes, data.start, width), word(bytes, data.end - w, width));
        let is_root = |p: u64| {
            p & 1 != 0 || p.is_multiple_of(w as u64) && inside(&data, p.wrapping_sub(base)).is_some()
        };
        let root_last = first as u32 == 0 && n > w && is_root(last);
        let (root_at, root, objects) = if root_last {
            (data.end - w, last, data.start..data.end - w)
        } else {
            (data.start, first, data.start + w..data.end)
        };
        let bignums = if flags & 1 != 0 {
            Bignums::Gmp
        } else {
            Bignums::Native
        };
        Ok(Self {
            bytes,
            name: String::new(),
            width,
            version,
            bignums,
            lean_version,
            githash,
            base,
            data,
            objects,
            root_at,
            root,
            sections,
        })
    }

    /// The whole file.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The name given to [`File::parse`].
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Pointer width.
    #[must_use]
    pub fn width(&self) -> Width {
        self.width
    }

    /// Format version: 2 or 3.
    #[must_use]
    pub fn version(&self) -> u8 {
        self.version
    }

    /// Layout of bignums.
    #[must_use]
    pub fn bignums(&self) -> Bignums {
        self.bignums
    }

    /// The Lean that wrote the file, e.g. `4.28.0-pre`.
    #[must_use]
    pub fn lean_version(&self) -> &'a str {
        self.lean_version
    }

    /// The git commit of that Lean, in hex; may be empty.
    #[must_use]
    pub fn githash(&self) -> &'a str {
        self.githash
    }

    /// The address that file offset 0 wants to be mapped at.
    #[must_use]
    pub fn base(&self) -> u64 {
        self.base
    }

    /// File offsets of the data section.
    #[must_use]
    pub fn data(&self) -> Range<usize> {
        self.data.clone()
    }

    /// The root word: a boxed scalar or an address.
    #[must_use]
    pub fn root_word(&self) -> u64 {
        self.root
    }

    /// False for the order of very old releases, which have the root behind the objects.
    #[must_use]
    pub fn root_first(&self) -> bool {
        self.root_at == self.data.start
    }

    /// The sections of version 3.
    #[must_use]
    pub fn sections(&self) -> Option<&Sections<'a>> {
        self.sections.as_ref()
    }

    /// The library that holds code at `address`: the one with the greatest base not above it.
    #[must_use]
    pub fn library_of(&self, address: u64) -> Option<&Library<'a>> {
        self.sections
            .as_ref()?
            .libraries
            .iter()
            .filter(|l| l.base <= address)
            .max_by_key(|l| l.base)
    }
}

fn inside(range: &Range<usize>, offset: u64) -> Option<usize> {
    usize::try_from(offset).ok().filter(|o| range.contains(o))
}

fn text<'a>(bytes: &'a [u8], at: Range<usize>, what: &'static str) -> Result<&'a str> {
    let b = &bytes[at.clone()];
    let end = b.iter().position(|&c| c == 0).unwrap_or(b.len());
    if b[end..].iter().any(|&c| c != 0) {
        return Err(CheckError::new(Violation::TextAfterNul)
            .at(at.start + end)
            .field(what));
    }
    let not_ascii = || CheckError::new(Violation::TextNotAscii).at(at.start).field(what);
    if !b[..end].iter().all(|c| (32..127).contains(c)) {
        return Err(not_ascii());
    }
    std::str::from_utf8(&b[..end]).map_err(|_| not_ascii())
}

fn sections(bytes: &[u8], width: Width) -> Result<(Range<usize>, Sections<'_>)> {
    let w = width.bytes();
    let need = |at: usize, n: usize, what| {
        if n > bytes.len() - at {
            return Err(CheckError::new(Violation::Truncated).at(at).field(what));
        }
        Ok(())
    };
    let fits = |claimed: u64, unit: u64, at: usize, what| {
        let left = (bytes.len() - at) as u64;
        if claimed > left / unit {
            return Err(CheckError::new(Violation::DoesNotFit { claimed, left })
                .at(at)
                .field(what));
        }
        Ok((claimed * unit) as usize)
    };
    let mut p = HEADER_FIXED + w;
    need(p, w, "data_size")?;
    let claimed = word(bytes, p, width);
    p += w;
    let data = p..p + fits(claimed, 1, p, "data_size")?;
    p = data.end;
    let offset = p;
    need(p, 4, "num_closure_offsets")?;
    let n = int32(bytes, p);
    p += 4;
    let len = fits(u64::from(n), 8, p, "num_closure_offsets")?;
    let closures = &bytes[p..p + len];
    p += len;
    need(p, 4, "num_libs")?;
    let m = int32(bytes, p);
    p += 4;
    fits(u64::from(m), w as u64 + 4, p, "num_libs")?;
    // What `m` claims is bounded by the check above, but grow by what is really there.
    let mut libraries = Vec::new();
    for i in 0..m {
        if w + 4 > bytes.len() - p {
            return Err(CheckError::new(Violation::Truncated)
                .at(p)
                .nth("library", i.into()));
        }
        let base = word(bytes, p, width);
        let at = p + w + 4;
        let len = fits(u64::from(int32(bytes, p + w)), 1, at, "id_len")?;
        libraries.push(Library {
            base,
            id: &bytes[at..at + len],
            offset: p,
        });
        p = at + len;
    }
    let rest = &bytes[p..];
    let extension = if rest.is_empty() {
        None
    } else if rest.len() >= 8 && &rest[..8] == EXTENSION_MAGIC {
        if rest.len() < 16 || word(rest, 8, Width::W64) != (rest.len() - 16) as u64 {
            return Err(CheckError::new(Violation::Extension).at(p + 8));
        }
        Some(&rest[16..])
    } else {
        return Err(CheckError::new(Violation::Garbage(rest.len() as u64)).at(p));
    };
    Ok((
        data,
        Sections {
            offset,
            closures,
            libraries,
            extension,
        },
    ))
}

/// The width under which more of the file makes sense; 64 when neither does.
fn detect(bytes: &[u8]) -> Width {
    // Objects that can be walked to the end weigh most, then a root that is one, then how far the walk
    // came: a few small objects can be walked under either width, but then one of the roots is none.
    let score = |width| {
        let Ok(mut file) = File::parse_as(bytes, width) else {
            return (false, 0);
        };
        let w = width.bytes();
        let root = file.root & 1 != 0
            || file.root.is_multiple_of(w as u64)
                && inside(&file.data, file.root.wrapping_sub(file.base)).is_some();
        // The first objects decide.
        let cut = file.data.start + DETECT_BYTES / w * w;
        file.data.end = file.data.end.min(cut);
        file.objects.end = file.objects.end.min(cut);
        match super::region::count_sound(&file) {
            Ok(_) => (true, 1 + u64::from(root)),
            Err(n) => (false, 1 + u64::from(root) + 2 * n),
        }
    };
    if score(Width::W64) >= score(Width::W32) {
        Width::W64
    } else {
        Width::W32
    }
}
