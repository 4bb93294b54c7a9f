//! The files that a file may point into, found by address.

use super::error::{BadPointer, CheckError, Violation};
use super::file::File;
use super::format::room::{collected, room};
use super::parse::parse;
use super::region::Region;
use crate::format::word::Width;
use std::cell::OnceCell;

type Result<T> = std::result::Result<T, CheckError>;

/// The bytes of a dependency that was proved when it was loaded. Its pointers may have been rewritten
/// since; the header holds the base address that other files know it by.
#[derive(Debug, Clone, Copy)]
pub struct DepBytes<'a> {
    /// The whole file, header and trailer included.
    pub bytes: &'a [u8],
    /// Its name, for error texts; may be empty.
    pub name: &'a str,
}

/// Dependencies sorted by base address.
pub(crate) struct Deps<'r, 'a> {
    list: Vec<Dep<'r, 'a>>,
}

/// What memory is for, in errors.
const FILES: &str = "the list of dependencies";

#[expect(
    clippy::large_enum_variant,
    reason = "a list has one kind only, and a box for each could not be had politely"
)]
enum Dep<'r, 'a> {
    Walked(&'r Region<'a>),
    /// Walked when the first pointer goes into it.
    Lazy(File<'a>, OnceCell<Region<'a>>),
}

impl<'a> Dep<'_, 'a> {
    fn file(&self) -> &File<'a> {
        match self {
            Self::Walked(r) => &r.file,
            Self::Lazy(file, _) => file,
        }
    }

    fn region(&self) -> Result<&Region<'a>> {
        match self {
            Self::Walked(r) => Ok(r),
            Self::Lazy(file, region) => match region.get() {
                Some(region) => Ok(region),
                None => {
                    let walked = Region::rewalk(file.clone())?;
                    Ok(region.get_or_init(|| walked))
                }
            },
        }
    }
}

impl<'r, 'a> Deps<'r, 'a> {
    pub(crate) fn walked(regions: &[&'r Region<'a>]) -> Result<Self> {
        let list = collected(regions.iter().map(|r| Dep::Walked(r)), FILES)?;
        Ok(Self::sorted(list))
    }

    pub(crate) fn lazy(deps: &[DepBytes<'a>], width: Width) -> Result<Self> {
        let mut list = room(deps.len(), FILES)?;
        for d in deps {
            let file = parse(d.bytes, d.name, width)?.root_at_start();
            list.push(Dep::Lazy(file, OnceCell::new()));
        }
        Ok(Self::sorted(list))
    }

    /// Dependencies that lie elsewhere than their files want, each with the address that pointers know it by.
    pub(crate) fn moved(deps: &[(DepBytes<'a>, u64)], width: Width) -> Result<Self> {
        let mut list = room(deps.len(), FILES)?;
        for (d, at) in deps {
            let mut file = parse(d.bytes, d.name, width)?.root_at_start();
            file.base = *at;
            list.push(Dep::Lazy(file, OnceCell::new()));
        }
        Ok(Self::sorted(list))
    }

    fn sorted(mut list: Vec<Dep<'r, 'a>>) -> Self {
        list.sort_unstable_by_key(|d| d.file().base);
        Self { list }
    }

    /// All of one width, and no two files want the same addresses.
    pub(crate) fn fit(&self, main: &File<'a>) -> Result<()> {
        for d in &self.list {
            let (found, expected) = (d.file().width.bits(), main.width.bits());
            if found != expected {
                let e = CheckError::new(Violation::MixedWidth { found, expected });
                return Err(e.in_file(d.file().name()));
            }
        }
        let mut files: Vec<&File<'_>> = room(self.list.len() + 1, FILES)?;
        files.extend(self.list.iter().map(Dep::file));
        files.insert(files.partition_point(|f| f.base < main.base), main);
        for pair in files.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            let size = a.bytes.len() as u64;
            if b.base - a.base < size {
                let what = Violation::Overlap {
                    base: a.base,
                    size,
                    other: b.name.clone(),
                };
                return Err(CheckError::new(what).in_file(&a.name));
            }
        }
        Ok(())
    }

    /// The tag of the dependency's object at an address, or why there is none. The outer error is that of a
    /// dependency which is itself broken.
    pub(crate) fn resolve(&self, address: u64) -> Result<std::result::Result<u8, BadPointer>> {
        let Some(i) = self
            .list
            .partition_point(|d| d.file().base <= address)
            .checked_sub(1)
        else {
            return Ok(Err(BadPointer::Outside));
        };
        let dep = &self.list[i];
        let file = dep.file();
        let offset = address - file.base;
        if offset >= file.bytes.len() as u64 {
            return Ok(Err(BadPointer::Outside));
        }
        let (offset, w) = (offset as usize, file.width.bytes());
        if !offset.is_multiple_of(w) {
            return Ok(Err(BadPointer::Unaligned));
        }
        if !dep.region()?.starts.get(offset / w) {
            return Ok(Err(BadPointer::NoObject));
        }
        Ok(Ok(file.bytes[offset + 7]))
    }
}
