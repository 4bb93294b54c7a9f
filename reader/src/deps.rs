//! The files that a file may point into, found by address.

use super::error::{BadPointer, CheckError, Violation};
use super::file::File;
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

enum Dep<'r, 'a> {
    Walked(&'r Region<'a>),
    /// Walked when the first pointer goes into it.
    Lazy(Box<(File<'a>, OnceCell<Region<'a>>)>),
}

impl<'a> Dep<'_, 'a> {
    fn file(&self) -> &File<'a> {
        match self {
            Self::Walked(r) => &r.file,
            Self::Lazy(lazy) => &lazy.0,
        }
    }

    fn region(&self) -> Result<&Region<'a>> {
        match self {
            Self::Walked(r) => Ok(r),
            Self::Lazy(lazy) => {
                let (file, region) = &**lazy;
                match region.get() {
                    Some(region) => Ok(region),
                    None => {
                        let walked = Region::rewalk(file.clone())?;
                        Ok(region.get_or_init(|| walked))
                    }
                }
            }
        }
    }
}

impl<'r, 'a> Deps<'r, 'a> {
    pub(crate) fn walked(regions: &[&'r Region<'a>]) -> Self {
        Self::sorted(regions.iter().map(|r| Dep::Walked(r)).collect())
    }

    pub(crate) fn lazy(deps: &[DepBytes<'a>], width: Width) -> Result<Self> {
        let dep = |d: &DepBytes<'a>| {
            let file = parse(d.bytes, d.name, width)?.root_at_start();
            Ok(Dep::Lazy(Box::new((file, OnceCell::new()))))
        };
        Ok(Self::sorted(deps.iter().map(dep).collect::<Result<_>>()?))
    }

    /// Dependencies that lie elsewhere than their files want, each with the address that pointers know it by.
    pub(crate) fn moved(deps: &[(DepBytes<'a>, u64)], width: Width) -> Result<Self> {
        let parse = |(d, at): &(DepBytes<'a>, u64)| {
            let mut file = parse(d.bytes, d.name, width)?.root_at_start();
            file.base = *at;
            Ok(Dep::Lazy(Box::new((file, OnceCell::new()))))
        };
        Ok(Self::sorted(deps.iter().map(parse).collect::<Result<_>>()?))
    }

    fn sorted(mut list: Vec<Dep<'r, 'a>>) -> Self {
        list.sort_by_key(|d| d.file().base);
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
        let mut files: Vec<&File<'_>> = self.list.iter().map(Dep::file).collect();
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
