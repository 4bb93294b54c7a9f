//! The cheap checks of a file before it is mapped: header, sizes, root. No byte of a mapping is touched.
//!
//! Compaction is post-order, so a root that lies in its own file is the last object, and its end is the end of the
//! data: that notices a truncated file and a wild root without a page fault.

use super::closures::libraries::MissingCode;
use super::error::{ReadError, shown};
use crate::dependencies::{Dependencies, RegionView};
use crate::os::file::File;
use olean_reader::format::header::{HEADER_SIZE, Header, HeaderError, VERSION_3};
use olean_reader::format::identity::Identity;
use olean_reader::format::object::{Layout, ObjectHeader, align8};
use olean_reader::format::word::Width;
use std::ffi::CStr;
use std::io;
use std::ops::Range;

/// What the host expects of a file, and what the user wants done with it.
#[derive(Clone, Copy, Debug)]
pub struct ReadOptions {
    /// Flags byte that files of this host carry.
    pub flags: u8,
    /// Git hash that files must carry; `None` when the host does not check.
    pub githash: Option<[u8; 40]>,
    /// Take the relocation path although the base address is free.
    pub force_relocate: bool,
    /// Prove the whole file before it is handed out.
    pub verify: bool,
    /// What becomes of closures whose library is not loaded.
    pub missing_code: MissingCode,
}

/// A file as its first bytes and its last object describe it.
pub(super) struct Examined {
    pub header: Header,
    /// Which file it is.
    pub identity: Identity,
    pub size: usize,
    /// Offsets of root slot and end of data.
    pub data: Range<usize>,
    pub root: u64,
    /// The root is a scalar alone in the data, or the last object, as every known writer leaves it.
    pub regular: bool,
}

/// Which file it is, and how large.
pub(super) fn identity(file: &File) -> io::Result<Identity> {
    Ok(identity_of(&file.stat()?))
}

/// The same of what the system says.
pub(super) fn identity_of(st: &libc::stat) -> Identity {
    Identity {
        device: st.st_dev,
        inode: st.st_ino,
        size: st.st_size as u64,
        modified: st.st_mtime,
        modified_ns: st.st_mtime_nsec as u32,
        changed: st.st_ctime,
        changed_ns: st.st_ctime_nsec as u32,
    }
}

/// The cheap checks: header, sizes, root.
pub(super) fn examine(
    path: &CStr,
    file: &File,
    deps: &Dependencies,
    options: &ReadOptions,
) -> Result<Examined, ReadError> {
    let identity = identity(file).map_err(|cause| ReadError::Stat {
        file: shown(path),
        cause,
    })?;
    let size = identity.size;
    let read = |out: &mut [u8], at: usize| file.read_at(out, at as u64).map_err(|e| ReadError::read(path, e));
    let mut start = [0; HEADER_SIZE + 16];
    let got = read(&mut start, 0)?;
    let header = Header::decode(&start[..got]).map_err(|e| match e {
        HeaderError::Invalid if got < HEADER_SIZE => ReadError::header(
            path,
            format!("the file has {got} bytes and a header has {HEADER_SIZE}"),
        ),
        HeaderError::Invalid => ReadError::header(path, "the file does not begin with `olean`"),
        HeaderError::Version(v) => ReadError::Incompatible {
            file: shown(path),
            detail: format!("it has the format version {v}, and this Lean reads versions 2 and 3"),
        },
    })?;
    if header.flags != options.flags {
        return Err(ReadError::Incompatible {
            file: shown(path),
            detail: format!(
                "it has the flags {:#x}, and files of this Lean have {:#x}",
                header.flags, options.flags
            ),
        });
    }
    if let Some(expected) = options.githash
        && expected != header.githash
    {
        return Err(ReadError::githash(
            path,
            &header.lean_version,
            &header.githash,
            &expected,
        ));
    }
    let damaged = |detail: String| Err(ReadError::content(path, detail));
    let root_slot = header.root_slot();
    let Some(root_bytes) = start[..got].get(root_slot..root_slot + 8) else {
        return damaged(format!(
            "the file is truncated: it has {size} bytes and its root should be at {root_slot}"
        ));
    };
    let root = u64::from_le_bytes(root_bytes.try_into().expect("8 bytes"));
    // One beyond what a process may use is sound: the system refuses it, and the file is relocated.
    if header.base % 8 != 0 || header.base.checked_add(size).is_none() {
        return damaged(format!(
            "the base address {:#x} is none that {size} bytes can lie at",
            header.base
        ));
    }
    let size = size as usize;
    let end = if header.version == VERSION_3 {
        let claimed = u64::from_le_bytes(start[88..96].try_into().expect("8 bytes"));
        match end_of_data(size, root_slot, claimed) {
            Some(end) => end,
            None => {
                return damaged(format!(
                    "the data should have {claimed} bytes, but the file has {size}: it is truncated"
                ));
            }
        }
    } else {
        if !size.is_multiple_of(8) {
            return damaged(format!(
                "the size of {size} bytes is no multiple of 8: the file is truncated"
            ));
        }
        size
    };
    let mut examined = Examined {
        header,
        identity,
        size,
        data: root_slot..end,
        root,
        regular: false,
    };
    examined.regular = root_is_last(path, &examined, deps, read)?;
    Ok(examined)
}

/// Where the data of a version 3 file ends that has `size` bytes, as the system said, and claims `claimed` bytes of data
/// from `root_slot` on. The file may have grown since it was asked for its size, so what was read of it need not lie
/// within.
fn end_of_data(size: usize, root_slot: usize, claimed: u64) -> Option<usize> {
    // Behind the data follow at least the counts of closures and libraries.
    let most = size.checked_sub(root_slot)?.checked_sub(8)? as u64;
    (claimed >= 8 && claimed.is_multiple_of(8) && claimed <= most).then(|| root_slot + claimed as usize)
}

/// Whether the root is where every known writer puts it.
fn root_is_last(
    path: &CStr,
    examined: &Examined,
    deps: &Dependencies,
    read: impl Fn(&mut [u8], usize) -> Result<usize, ReadError>,
) -> Result<bool, ReadError> {
    let Examined {
        header, data, root, ..
    } = examined;
    let only_root = data.end == data.start + 8;
    if root & 1 == 1 {
        return Ok(only_root);
    }
    let damaged = |detail: String| Err(ReadError::content(path, detail));
    let at = root.wrapping_sub(header.base);
    if at >= examined.size as u64 {
        let is_dep = |v: &RegionView| root.wrapping_sub(v.base) < v.size as u64;
        if root % 8 == 0 && deps.views().iter().any(is_dep) {
            return Ok(only_root);
        }
        return damaged(format!(
            "the root {root:#x} lies neither in this file nor in a dependency: the file is truncated or damaged, or a \
             dependency is missing"
        ));
    }
    let at = at as usize;
    if at < data.start + 8 || at >= data.end || !at.is_multiple_of(8) {
        return damaged(format!("the root {root:#x} is not an object of the data"));
    }
    let mut object = [0; 32];
    let got = read(&mut object, at)?;
    let word = |i: usize| u64::from_le_bytes(object[8 * i..8 * i + 8].try_into().expect("8 bytes"));
    let object_header = ObjectHeader::of_word(word(0));
    let tag = object_header.tag;
    let layout = Layout::new(Width::W64, header.bignums());
    let length = object_header.kind().and_then(|kind| {
        // Of those that have room for more, the room counts.
        let count = match (layout.capacity_word(kind), layout.count_word(kind)) {
            (Some(at), _) => word(at / 8),
            (None, Some(at)) => layout.count_in(kind, word(at / 8)),
            (None, None) => 0,
        };
        layout.bytes(kind, object_header, count)
    });
    let room = (data.end - at) as u64;
    match length {
        Some(length) if got >= 8 && length >= 8 && length <= room => {
            Ok(align8(length as usize) as u64 == room)
        }
        _ => damaged(format!(
            "the root object at offset {at:#x} (tag {tag}) does not end within the {} bytes of the file: it is \
             truncated or damaged",
            examined.size
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_ends_before_two_counts_and_within_the_file_as_it_was_measured() {
        assert_eq!(end_of_data(96 + 16 + 8, 96, 16), Some(112));
        assert_eq!(end_of_data(96 + 16 + 7, 96, 16), None, "the counts have no room");
        for claimed in [0, 7, 12, u64::MAX - 7] {
            assert_eq!(end_of_data(4096, 96, claimed), None, "{claimed}");
        }
        // Measured before another process had written more than the header.
        assert_eq!(end_of_data(0, 96, 16), None);
        assert_eq!(end_of_data(95, 96, 8), None);
        assert_eq!(end_of_data(103, 96, 8), None);
    }
}
