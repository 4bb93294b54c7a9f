//! What a file that is saved anew remembers of its dependencies. The digests of those that have not changed since it
//! was saved last are taken from it instead of from hundreds of megabytes: a file with the same size, device, inode and
//! times is taken for the same one here as it is where a snapshot is loaded. A digest that is wrong, in a file
//! that is damaged, can make a snapshot stale that is not, and never the other way round.

use super::examine::{end_of_data, identity};
use super::registry::FileOf;
use crate::os::file::File;
use olean_reader::format::dependencies::{ContentDigest, Dependency};
use olean_reader::format::extension;
use olean_reader::format::header::{HEADER_SIZE, Head, ROOT_SLOT_V3, VERSION_3};
use olean_reader::format::room::collected;
use olean_reader::format::trailer::Trailer;
use std::ffi::CStr;

/// Of a file whose trailer is larger nothing is taken: a million dependencies have less.
const MOST: u64 = 256 << 20;

/// What follows the data of a file.
pub struct Earlier {
    trailer: Vec<u8>,
    at: u64,
}

impl Earlier {
    /// That of the file `path`, if it has version 3. Anything else that lies there has none.
    #[must_use]
    pub fn of(path: &CStr) -> Option<Self> {
        let file = File::open_at_once(path).ok()?;
        let size = identity(&file).ok()?.size;
        let mut start = [0; ROOT_SLOT_V3];
        if file.read_at(&mut start, 0).ok()? != start.len() {
            return None;
        }
        let (header, claimed) = start.split_first_chunk::<HEADER_SIZE>()?;
        if Head::decode(header).ok()?.version != VERSION_3 {
            return None;
        }
        let claimed = u64::from_le_bytes(*claimed.first_chunk()?);
        let at = end_of_data(usize::try_from(size).ok()?, ROOT_SLOT_V3, claimed)? as u64;
        let bytes = size.checked_sub(at).filter(|&bytes| bytes <= MOST)?;
        let mut trailer = Vec::new();
        trailer.try_reserve_exact(bytes as usize).ok()?;
        trailer.resize(bytes as usize, 0);
        let got = file.read_at(&mut trailer, at).ok()?;
        (got == trailer.len()).then_some(Earlier { trailer, at })
    }

    /// The dependencies that it remembers, by ascending base address; none if it is damaged.
    #[must_use]
    pub fn dependencies(&self) -> Vec<Dependency<'_>> {
        let found = || {
            let trailer = Trailer::parse(&self.trailer, self.at).ok()?;
            let record = extension::dependencies(trailer.extension()?).ok()??;
            collected(record.iter(), "dependencies of the file before").ok()
        };
        found().unwrap_or_default()
    }
}

/// The digest of the file `file` with the base address `base`, if one of `dependencies` (by ascending base address) was
/// this file, unchanged, and its times tell.
#[must_use]
pub fn digest(dependencies: &[Dependency<'_>], base: u64, file: &FileOf) -> Option<ContentDigest> {
    let at = dependencies.binary_search_by_key(&base, |d| d.base).ok()?;
    let saved = dependencies.get(at)?;
    saved.digest.filter(|_| !saved.racy && file.is_of(saved))
}

#[cfg(test)]
mod tests {
    use super::*;
    use olean_reader::format::dependencies::encode;
    use olean_reader::format::header::Header;
    use olean_reader::format::trailer::extension_section;
    use std::ffi::CString;
    use std::path::Path;

    fn dependency(base: u64) -> Dependency<'static> {
        Dependency {
            base,
            size: 100 + base,
            device: 3,
            inode: 4,
            modified: -5,
            changed: 6,
            digest: Some([base as u8; 16]),
            racy: false,
            path: b"a.olean",
        }
    }

    fn file(base: u64) -> FileOf {
        FileOf {
            device: 3,
            inode: 4,
            size: 100 + base,
            modified: -5,
            changed: 6,
        }
    }

    /// The bytes of a file that remembers these dependencies: a scalar as its data, and no closures.
    fn bytes(list: &mut [Dependency<'_>], version: u8) -> Vec<u8> {
        let header = Header {
            version,
            flags: 1,
            lean_version: [0; 33],
            githash: [0; 40],
            base: 1 << 20,
        };
        let mut payload = Vec::new();
        extension::push_dependencies(&mut payload, &encode(list).unwrap()).unwrap();
        let words = [8_u64, 3, 0].map(u64::to_le_bytes).concat();
        [&header.encode()[..], &words, &extension_section(&payload)].concat()
    }

    fn earlier(path: &Path, bytes: &[u8]) -> Option<Earlier> {
        std::fs::write(path, bytes).expect("written");
        Earlier::of(&CString::new(path.to_str().expect("UTF-8")).expect("no NUL"))
    }

    #[test]
    fn digests_are_those_of_files_that_have_not_changed() {
        let dir = testkit::temp_dir("earlier");
        let path = dir.path().join("a");
        let mut list = [7, 1, 5, 3].map(dependency);
        list[0].racy = true;
        list[1].digest = None;
        let found = earlier(&path, &bytes(&mut list, 3)).expect("it has version 3");
        let found = found.dependencies();
        assert_eq!(found, list);
        assert_eq!(digest(&found, 3, &file(3)), Some([3; 16]));
        assert_eq!(digest(&found, 5, &file(5)), Some([5; 16]));
        assert_eq!(digest(&found, 7, &file(7)), None, "it may have changed unseen");
        assert_eq!(digest(&found, 1, &file(1)), None, "it was not known");
        assert_eq!(digest(&found, 4, &file(3)), None);
        for change in [
            (|f| f.device += 1) as fn(&mut FileOf),
            |f| f.inode += 1,
            |f| f.size += 1,
            |f| f.modified += 1,
            |f| f.changed += 1,
        ] {
            let mut other = file(3);
            change(&mut other);
            assert_eq!(digest(&found, 3, &other), None, "{other:?}");
        }
        assert!(earlier(&path, &bytes(&mut list, 2)).is_none());
    }

    #[test]
    fn what_is_no_such_file_or_a_damaged_one_has_none() {
        let dir = testkit::temp_dir("earlier-damaged");
        let path = dir.path().join("a");
        let whole = bytes(&mut [3, 5].map(dependency), 3);
        for size in 0..whole.len() {
            let found = earlier(&path, &whole[..size]);
            assert!(
                found.is_none_or(|found| found.dependencies().is_empty()),
                "{size}"
            );
        }
        for at in 88..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x81;
            // Whatever it says, it is no reason to stop.
            _ = earlier(&path, &damaged).map(|found| found.dependencies().len());
        }
        for other in [dir.path(), Path::new("/dev/null"), Path::new("/no/such/file")] {
            let path = CString::new(other.to_str().expect("UTF-8")).expect("no NUL");
            assert!(Earlier::of(&path).is_none(), "{other:?}");
        }
    }
}
