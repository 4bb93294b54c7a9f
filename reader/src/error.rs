//! What is wrong with a file, where, and in which object and field.

use super::format::room::NoMemory;
use crate::format::object::Kind;
use crate::format::word::Width;
use std::fmt;

/// A violation of the format, with the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckError(Box<Details>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Details {
    what: Violation,
    file: Option<String>,
    offset: Option<u64>,
    object: Option<ObjectRef>,
    field: Option<Field>,
}

/// Names an object of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectRef {
    /// Its number in file order, from 0.
    pub index: u32,
    /// Its file offset in bytes.
    pub offset: u64,
    /// Its kind; `None` when the tag is the violation.
    pub kind: Option<Kind>,
    /// Its tag byte.
    pub tag: u8,
}

/// Names a field: of the header, of the trailer or of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// The field's name as upstream has it, or a plain word for one without a name.
    pub name: &'static str,
    /// Which one, where there are several.
    pub index: Option<u64>,
}

/// The reason of a rejection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// Not even a header.
    #[error("the file has {size} bytes, shorter than the {need} byte header")]
    TooShort {
        /// Bytes there are.
        size: u64,
        /// Bytes of the header.
        need: u64,
    },
    /// There is no memory for the check.
    #[error(transparent)]
    Memory(NoMemory),
    /// More than this reader numbers (2^32 words).
    #[error("the file has {0} bytes, more than this reader can number")]
    TooLarge(u64),
    /// The first five bytes are not `olean`.
    #[error("not an .olean file: it does not begin with the letters `olean`")]
    Magic,
    /// A version other than 2 and 3.
    #[error("version {0} is not supported, only 2 and 3")]
    Version(u8),
    /// The header of Lean 3, and of Lean 4 before its files had version numbers.
    #[error("a file of Lean 3, or of a Lean 4 from before its files had version numbers")]
    BeforeVersions,
    /// Bits besides the bignum layout.
    #[error("reserved flag bits are set: {0:#04x}")]
    Flags(u8),
    /// A padded text goes on after its end.
    #[error("bytes after the terminating NUL")]
    TextAfterNul,
    /// A header text with other characters.
    #[error("not printable ASCII")]
    TextNotAscii,
    /// The base address is not a multiple of 64 KiB.
    #[error("{0:#x} is not a multiple of 0x10000")]
    BaseUnaligned(u64),
    /// The file would reach beyond the address space.
    #[error("{base:#x} plus the file size {size} wraps around")]
    BaseWraps {
        /// The base address.
        base: u64,
        /// Bytes of the file.
        size: u64,
    },
    /// The file ends before something.
    #[error("the file is truncated here")]
    Truncated,
    /// A count or size that the rest of the file cannot hold.
    #[error("{claimed} do not fit in the {left} bytes left")]
    DoesNotFit {
        /// What the file claims.
        claimed: u64,
        /// Bytes there are.
        left: u64,
    },
    /// Bytes after the last section.
    #[error("{0} bytes of trailing garbage")]
    Garbage(u64),
    /// The extension section does not fill the rest of the file.
    #[error("the extension section does not end with the file")]
    Extension,
    /// The data section is not made of words.
    #[error("the data section has {0} bytes, not a multiple of the word size")]
    DataNotWords(u64),
    /// The data section has no room for a root.
    #[error("the data section is too short for a root pointer")]
    NoRoot,
    /// The root is the last word: the order of old releases, which no loader of today reads.
    #[error("the root pointer is the last word of the data, as very old releases wrote it")]
    RootLast,
    /// An object's reference count is not 0.
    #[error("the reference count is {0:#x}, not 0")]
    RefCount(u32),
    /// A tag that is never written.
    #[error("invalid tag {0}")]
    Tag(u8),
    /// A closure where none may be.
    #[error("closure in a version 2 file")]
    ClosureInV2,
    /// The object does not fit in the data section.
    #[error("the object extends past the end of the data")]
    PastEnd,
    /// A constructor too small for its fields or with an impossible scalar area.
    #[error("{found} bytes are impossible for {fields} fields")]
    CtorSize {
        /// `m_cs_sz`.
        found: u16,
        /// Number of pointer fields.
        fields: u8,
    },
    /// A field with another value than it must have.
    #[error("is {found}, expected {expected}")]
    Expected {
        /// The value there.
        found: u64,
        /// The value that must be there.
        expected: u64,
    },
    /// An element size other than 1, 2, 4, 8.
    #[error("element size {0}")]
    ElementSize(u8),
    /// Padding bytes that are not zero.
    #[error("nonzero padding")]
    Padding,
    /// A string without a final NUL.
    #[error("the string is not NUL-terminated")]
    Unterminated,
    /// A string that is not UTF-8.
    #[error("the string is not valid UTF-8")]
    Utf8,
    /// A bignum without digits or with a zero top digit.
    #[error("the bignum is not normalised")]
    BignumDigits,
    /// A bignum that Lean would have boxed.
    #[error("the bignum fits a boxed scalar")]
    BignumSmall,
    /// The sign byte of a native bignum.
    #[error("sign byte {0} or its padding is wrong")]
    BignumSign(u8),
    /// A bignum's digits are elsewhere than right behind it.
    #[error("the digit pointer is {found:#x}, expected {expected:#x}")]
    BignumPointer {
        /// The pointer.
        found: u64,
        /// Where the digits are.
        expected: u64,
    },
    /// Bignums that are sound in the other layout than the one that the header names, not all of them in that one.
    /// The header's flags.
    #[error("{0} says that bignums are {named}, but the file's are {found}", named = bignums(.0, 0), found = bignums(.0, 1))]
    BignumLayout(u8),
    /// Arity and number of fixed arguments that exclude each other.
    #[error("closure with arity {arity} and {fixed} fixed arguments")]
    ClosureShape {
        /// `m_arity`.
        arity: u16,
        /// `m_num_fixed`.
        fixed: u16,
    },
    /// A closure without code.
    #[error("null function")]
    ClosureNull,
    /// A pointer that hits no object.
    #[error("pointer {address:#x}: {why}")]
    Pointer {
        /// The pointer.
        address: u64,
        /// Where it goes instead.
        why: BadPointer,
    },
    /// A promise whose result is not a task.
    #[error("the promise's result is not a task")]
    PromiseResult,
    /// An object that reaches itself.
    #[error("the object is part of a cycle")]
    Cycle,
    /// A closure offset that is not the code field of a closure.
    #[error("{0:#x} is not the m_fun field of a closure")]
    ClosureOffset(u64),
    /// The same closure offset twice.
    #[error("{0:#x} is listed twice")]
    ClosureTwice(u64),
    /// Closures that the offsets leave out.
    #[error("the closure is missing from the closure offsets")]
    ClosureMissing,
    /// Libraries in another order than by base address.
    #[error("the library table is not sorted by base address")]
    LibraryOrder,
    /// A library id with a NUL in it.
    #[error("the library id contains a NUL byte")]
    LibraryNul,
    /// A library without closures.
    #[error("the library is used by no closure")]
    LibraryUnused,
    /// A closure below every library.
    #[error("function {0:#x} lies below every listed library")]
    NoLibrary(u64),
    /// Two files want the same addresses.
    #[error("dep regions have overlapping `base_addr` ranges: {base:#x} + {size} overlaps {other}")]
    Overlap {
        /// Base address of the lower one.
        base: u64,
        /// Its size.
        size: u64,
        /// The name of the other.
        other: String,
    },
    /// Files of different pointer width together.
    #[error("a {found}-bit file among {expected}-bit files")]
    MixedWidth {
        /// Bits of this file.
        found: u8,
        /// Bits of the main file.
        expected: u8,
    },
    /// More objects in all files than this reader can number.
    #[error("more than 2^32 objects in all files together")]
    TooMany,
}

/// The layout that bit 0 of the header's flags stands for, once `change` is applied to them.
fn bignums(flags: &u8, change: u8) -> &'static str {
    if (flags ^ change) & 1 == 0 {
        "native"
    } else {
        "GMP's"
    }
}

/// Where a bad pointer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPointer {
    /// It is 0.
    #[error("null pointer")]
    Null,
    /// It leaves this file and every dependency.
    #[error("outside this file and its dependencies; a dependency may be missing")]
    Outside,
    /// It is not a multiple of the word size.
    #[error("not aligned")]
    Unaligned,
    /// It hits a file, but no start of an object in it.
    #[error("no object starts there")]
    NoObject,
}

impl From<NoMemory> for CheckError {
    fn from(e: NoMemory) -> Self {
        Self::new(Violation::Memory(e))
    }
}

impl CheckError {
    /// The error of a file whose pointers have another width than those of the files it belongs to.
    #[must_use]
    pub fn mixed_width(name: &str, found: Width, expected: Width) -> Self {
        let (found, expected) = (found.bits(), expected.bits());
        Self::new(Violation::MixedWidth { found, expected }).in_file(name)
    }

    #[cold]
    pub(crate) fn new(what: Violation) -> Self {
        Self(Box::new(Details {
            what,
            file: None,
            offset: None,
            object: None,
            field: None,
        }))
    }

    pub(crate) fn at(mut self, offset: usize) -> Self {
        self.0.offset = Some(offset as u64);
        self
    }

    pub(crate) fn field(mut self, name: &'static str) -> Self {
        self.0.field = Some(Field { name, index: None });
        self
    }

    pub(crate) fn nth(mut self, name: &'static str, index: u64) -> Self {
        self.0.field = Some(Field {
            name,
            index: Some(index),
        });
        self
    }

    pub(crate) fn object(mut self, object: ObjectRef) -> Self {
        self.0.object = Some(object);
        self
    }

    pub(crate) fn in_file(mut self, name: &str) -> Self {
        if self.0.file.is_none() && !name.is_empty() {
            self.0.file = Some(name.to_owned());
        }
        self
    }

    /// The reason.
    #[must_use]
    pub fn violation(&self) -> &Violation {
        &self.0.what
    }

    /// The name of the file, where it was given one.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.0.file.as_deref()
    }

    /// The file offset in bytes of what is wrong.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// The object that is wrong.
    #[must_use]
    pub fn object_ref(&self) -> Option<ObjectRef> {
        self.0.object
    }

    /// The field that is wrong.
    #[must_use]
    pub fn field_ref(&self) -> Option<Field> {
        self.0.field
    }

    /// The text of [`Display`](fmt::Display) without file name and offset.
    #[must_use]
    pub fn reason(&self) -> String {
        struct Reason<'a>(&'a CheckError);
        impl fmt::Display for Reason<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.write_reason(f)
            }
        }
        Reason(self).to_string()
    }

    fn write_reason(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let details = &*self.0;
        if let Some(o) = details.object {
            write!(f, "{o}: ")?;
        }
        if let Some(field) = details.field {
            write!(f, "{field}: ")?;
        }
        write!(f, "{}", details.what)
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "object {} at 0x{:x}", self.index, self.offset)?;
        match self.kind {
            Some(Kind::Ctor) => write!(f, " (ctor tag {})", self.tag),
            Some(k) => write!(f, " ({k})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        match self.index {
            Some(i) => write!(f, " {i}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.0.file {
            write!(f, "{name}: ")?;
        }
        if let Some(offset) = self.0.offset {
            write!(f, "at file offset 0x{offset:x}: ")?;
        }
        self.write_reason(f)
    }
}

impl std::error::Error for CheckError {}
