//! A file whose header and sections are sound: what it says of itself, and where its parts lie. How it is read
//! is the matter of [`super::parse`]; its objects are that of [`super::region`].

use crate::format::object::{Bignums, Layout};
use crate::format::word::{Width, word};
use std::ops::Range;

/// An entry of the library table of version 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Library<'a> {
    /// Where the library lay in the process that wrote the file.
    pub base: u64,
    /// Its id; on Linux the path it was loaded from.
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

impl<'a> File<'a> {
    /// The file as loaders read it: the first word of the data is the root, whatever it looks like.
    pub(crate) fn root_at_start(mut self) -> Self {
        self.root_at = self.data.start;
        self.root = word(self.bytes, self.root_at, self.width);
        self.objects = self.root_at + self.width.bytes()..self.data.end;
        self
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

    /// How objects lie in the file.
    #[must_use]
    #[inline]
    pub const fn layout(&self) -> Layout {
        Layout::new(self.width, self.bignums)
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
