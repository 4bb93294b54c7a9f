//! The cheap checks of a file: header, sizes and where the root lies before it is mapped, and the root object where it
//! is in memory.
//!
//! Compaction is post-order, so a root that lies in its own file is the last object, and its end is the end of the
//! data: that notices a truncated file, one whose last blocks never reached the disk, and a wild root.

use super::ahead::read_start;
use super::closures::libraries::MissingCode;
use super::error::{ReadError, shown};
use crate::dependencies::{Dependencies, RegionView};
use crate::os::clock::Moment;
use crate::os::file::File;
use crate::os::prefetch::prefetch;
use olean_reader::format::header::{
    FLAG_GMP, HEADER_SIZE, Head, Header, HeaderError, ROOT_SLOT_V3, VERSION_3, githash,
};
use olean_reader::format::identity::Identity;
use olean_reader::format::image::ROOT_SIZE;
use olean_reader::format::object::{
    ARRAY_HEADER, Bignums, Kind, Layout, OBJECT_HEADER, ObjectHeader, align8,
};
use olean_reader::format::word::Width;
use std::ffi::CStr;
use std::io;
use std::ops::Range;
use std::ptr;

/// What the host expects of a file, and what the user wants done with it.
#[derive(Clone, Copy, Debug)]
pub struct ReadOptions<'a> {
    /// Flags byte that files of this host carry.
    pub flags: u8,
    /// Git hash that files must carry; `None` when the host does not check.
    pub githash: Option<&'a [u8; 40]>,
    /// Take the relocation path although the base address is free.
    pub force_relocate: bool,
    /// Prove the whole file before it is handed out.
    pub verify: bool,
    /// What becomes of closures whose library is not loaded.
    pub missing_code: MissingCode,
    /// Give out a copy of a small root, so that the region itself need not be touched.
    pub copy_root: bool,
}

impl ReadOptions<'_> {
    /// For files of the embedded runtime, with nothing asked for beside.
    pub const EMBEDDED: Self = ReadOptions {
        flags: FLAG_GMP,
        githash: None,
        force_relocate: false,
        verify: false,
        missing_code: MissingCode::Refuse,
        copy_root: false,
    };
}

/// A file as its first bytes and its last object describe it.
pub(super) struct Examined {
    pub head: Head,
    /// Which file it is.
    pub identity: Identity,
    pub size: usize,
    /// Offsets of root slot and end of data.
    pub data: Range<usize>,
    pub root: u64,
    pub root_place: RootPlace,
    /// The root object, if the first read brought it along.
    root_object: Option<RootObject>,
    /// Whether the first read had to wait, as a further one may have to.
    waited: bool,
}

/// A root object as it lies in the file, up to the end of the data. In a box, as most reads have none and what a read
/// knows is moved about.
pub(super) struct RootObject(Box<([u8; ROOT_SIZE], usize)>);

impl RootObject {
    /// The object with these bytes, if they are few enough.
    fn new(object: &[u8]) -> Option<Self> {
        let mut bytes = [0; ROOT_SIZE];
        bytes.get_mut(..object.len())?.copy_from_slice(object);
        Some(RootObject(Box::new((bytes, object.len()))))
    }

    pub fn bytes(&self) -> &[u8] {
        let (bytes, size) = &*self.0;
        &bytes[..*size]
    }
}

/// A file that was opened, and which one it is.
pub struct LookedAt {
    /// The file.
    pub file: File,
    /// Which one.
    pub identity: Identity,
}

impl LookedAt {
    /// Opens the file `path` and looks which one it is.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &CStr) -> io::Result<Self> {
        let file = File::open(path)?;
        let identity = identity(&file)?;
        Ok(LookedAt { file, identity })
    }
}

/// What a root is, as far as its value tells.
#[derive(Clone, Copy)]
pub(super) enum RootPlace {
    /// No object of this file. `alone` says whether there is nothing else in the data, as every known writer leaves it.
    Elsewhere { alone: bool },
    /// The object at this offset.
    At(usize),
}

/// Bytes of a file that are read first: the header, and behind it the root or the size of the data.
const START: usize = HEADER_SIZE + 16;

/// Bytes of a root object that tell how large it is.
const ROOT_START: usize = 32;

/// A read that takes more nanoseconds than this has waited for a disk or a network. Otherwise it takes about a microsecond.
const LONG: u64 = 50_000;

/// Where the root is to be copied, files up to this size are read by one call. For larger ones a second call takes
/// less than copying all that lies between.
const SMALL: usize = 8 << 10;

/// Which file it is, and how large.
#[inline(always)]
pub(super) fn identity(file: &File) -> io::Result<Identity> {
    Ok(identity_of(&file.stat()?))
}

/// The same of what the system says.
#[inline(always)]
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
#[inline(always)]
pub(super) fn examine(
    path: &CStr,
    file: &File,
    identity: Identity,
    deps: &Dependencies,
    options: &ReadOptions<'_>,
) -> Result<Examined, ReadError> {
    if options.copy_root {
        return examine_with_root(path, file, identity, deps, options);
    }
    let mut start = [0; START];
    let got = read_start(path, file, &mut start).map_err(|e| ReadError::read(path, e))?;
    let start = start.get(..got).unwrap_or(&start);
    described(path, start, identity, deps, options)
}

/// The same where the root is to be copied: of a small file it is read at once.
#[inline(never)]
fn examine_with_root(
    path: &CStr,
    file: &File,
    identity: Identity,
    deps: &Dependencies,
    options: &ReadOptions<'_>,
) -> Result<Examined, ReadError> {
    let (mut few, mut whole);
    let start: &mut [u8] = match usize::try_from(identity.size) {
        Ok(size) if size <= SMALL => {
            whole = [0; SMALL];
            &mut whole[..size.max(START)]
        }
        _ => {
            few = [0; START];
            &mut few
        }
    };
    let before = Moment::now();
    let got = read_start(path, file, start).map_err(|e| ReadError::read(path, e))?;
    let waited = before.elapsed() > LONG;
    let start = &start[..got];
    let mut examined = described(path, start, identity, deps, options)?;
    examined.waited = waited;
    if let RootPlace::At(at) = examined.root_place
        && let Some(object) = start.get(at..examined.data.end)
    {
        examined.root_object = RootObject::new(object);
    }
    Ok(examined)
}

/// What a file says of itself that begins with `start`: at least its first bytes, up to the root slot, if it has so many.
#[inline(always)]
pub(super) fn described(
    path: &CStr,
    start: &[u8],
    identity: Identity,
    deps: &Dependencies,
    options: &ReadOptions<'_>,
) -> Result<Examined, ReadError> {
    let Some(header) = start.first_chunk::<HEADER_SIZE>() else {
        return Err(ReadError::header(
            path,
            format!(
                "the file has {} bytes and a header has {HEADER_SIZE}",
                start.len()
            ),
        ));
    };
    let head = match Head::decode(header) {
        Ok(head) if head.flags == options.flags && options.githash.is_none_or(|g| g == githash(header)) => {
            head
        }
        _ => return Err(refused_header(path, header, options)),
    };
    let size = identity.size;
    let root_slot = head.root_slot();
    let Some(root) = start.get(root_slot..).and_then(<[u8]>::first_chunk) else {
        return Err(ReadError::content(
            path,
            format!("the file is truncated: it has {size} bytes and its root should be at {root_slot}"),
        ));
    };
    let root = u64::from_le_bytes(*root);
    // One beyond what a process may use is sound: the system refuses it, and the file is relocated.
    if head.base % 8 != 0 || head.base.checked_add(size).is_none() {
        return Err(ReadError::content(
            path,
            format!(
                "the base address {:#x} is none that {size} bytes can lie at",
                head.base
            ),
        ));
    }
    let size = size as usize;
    let end = match head.version {
        VERSION_3 => end_by_claim(path, start, size)?,
        _ if size.is_multiple_of(8) => size,
        _ => {
            return Err(ReadError::content(
                path,
                format!("the size of {size} bytes is no multiple of 8: the file is truncated"),
            ));
        }
    };
    let mut examined = Examined {
        head,
        identity,
        size,
        data: root_slot..end,
        root,
        root_place: RootPlace::Elsewhere { alone: false },
        root_object: None,
        waited: false,
    };
    examined.root_place = root_place(path, &examined, deps)?;
    Ok(examined)
}

/// Why a file with this header is not read.
#[cold]
fn refused_header(path: &CStr, header: &[u8; HEADER_SIZE], options: &ReadOptions<'_>) -> ReadError {
    let header = match Header::decode(header) {
        Ok(header) => header,
        Err(HeaderError::Invalid) => {
            return ReadError::header(path, "the file does not begin with `olean`");
        }
        Err(HeaderError::Version(v)) => {
            return ReadError::Incompatible {
                file: shown(path),
                detail: format!("it has the format version {v}, and this Lean reads versions 2 and 3"),
            };
        }
    };
    match options.githash {
        Some(expected) if header.flags == options.flags => {
            ReadError::githash(path, &header.lean_version, &header.githash, expected)
        }
        _ => ReadError::Incompatible {
            file: shown(path),
            detail: format!(
                "it has the flags {:#x}, and files of this Lean have {:#x}",
                header.flags, options.flags
            ),
        },
    }
}

/// Where the data of a version 3 file of `size` bytes ends that begins with `start`.
#[cold]
fn end_by_claim(path: &CStr, start: &[u8], size: usize) -> Result<usize, ReadError> {
    let claimed = start[HEADER_SIZE..]
        .first_chunk()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes));
    end_of_data(size, ROOT_SLOT_V3, claimed).ok_or_else(|| {
        ReadError::content(
            path,
            format!("the data should have {claimed} bytes, but the file has {size}: it is truncated"),
        )
    })
}

impl Examined {
    /// The root object, if it lies in the file and is small; it is read if it has not been yet, unless that may take longer
    /// than to look at it in a mapping.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn root_object(&mut self, path: &CStr, file: &File) -> Result<Option<RootObject>, ReadError> {
        let RootPlace::At(at) = self.root_place else {
            return Ok(None);
        };
        if let Some(object) = self.root_object.take() {
            return Ok(Some(object));
        }
        if self.waited {
            return Ok(None);
        }
        let mut bytes = [0; ROOT_SIZE];
        let Some(object) = bytes.get_mut(..self.data.end - at) else {
            return Ok(None);
        };
        match file.read_at(object, at as u64) {
            Ok(n) if n == object.len() => Ok(RootObject::new(object)),
            Ok(_) => Err(ReadError::read(path, io::ErrorKind::UnexpectedEof.into())),
            Err(e) => Err(ReadError::read(path, e)),
        }
    }

    /// The root object in `content`, the whole file's, if it lies in the file.
    #[inline(always)]
    pub fn root_in<'a>(&self, content: &'a [u8]) -> Option<&'a [u8]> {
        match self.root_place {
            RootPlace::At(at) => content.get(at..self.data.end),
            RootPlace::Elsewhere { .. } => None,
        }
    }
}

/// Where the data of a version 3 file ends that has `size` bytes, as the system said, and claims `claimed` bytes of
/// data from `root_slot` on. The file may have grown since it was asked for its size, so what was read of it need not
/// lie within.
pub(super) fn end_of_data(size: usize, root_slot: usize, claimed: u64) -> Option<usize> {
    // Behind the data follow at least the counts of closures and libraries.
    let most = size.checked_sub(root_slot)?.checked_sub(8)? as u64;
    (claimed >= 8 && claimed.is_multiple_of(8) && claimed <= most).then(|| root_slot + claimed as usize)
}

/// Where the root lies, by its value.
#[inline(always)]
fn root_place(path: &CStr, examined: &Examined, deps: &Dependencies) -> Result<RootPlace, ReadError> {
    let Examined { head, data, root, .. } = examined;
    let elsewhere = RootPlace::Elsewhere {
        alone: data.end == data.start + 8,
    };
    if root & 1 == 1 {
        return Ok(elsewhere);
    }
    let damaged = |detail: String| Err(ReadError::content(path, detail));
    let at = root.wrapping_sub(head.base);
    if at >= examined.size as u64 {
        let is_dep = |v: &RegionView| root.wrapping_sub(v.base) < v.size as u64;
        if root % 8 == 0 && deps.views().iter().any(is_dep) {
            return Ok(elsewhere);
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
    Ok(RootPlace::At(at))
}

/// Whether the root is a scalar alone in the data, or the last object, as every known writer leaves it. `object` is
/// the root object to the end of the data where that lies in memory; where it does not, its beginning is read.
///
/// # Errors
/// The root object does not end within the data, or its end is zeros: the file is truncated or damaged.
pub(super) fn root_is_last(
    path: &CStr,
    file: &File,
    examined: &Examined,
    object: Option<&[u8]>,
) -> Result<bool, ReadError> {
    let at = match examined.root_place {
        RootPlace::Elsewhere { alone } => return Ok(alone),
        RootPlace::At(at) => at,
    };
    let room = examined.data.end - at;
    let mut read = [0; ROOT_START];
    let start = match object {
        Some(object) => object,
        None => {
            let start = &mut read[..room.min(ROOT_START)];
            file.read_at(start, at as u64)
                .map_err(|e| ReadError::read(path, e))?;
            &read
        }
    };
    let header = ObjectHeader::of_word(word(start, 0));
    // That look has brought the page into memory. The last field mostly lies in another cache line.
    if let Some(last) = start.last() {
        prefetch(ptr::from_ref(last) as usize);
    }
    let length = match header.kind() {
        Some(Kind::Ctor) => u64::from(header.cs_sz),
        Some(kind) => length(kind, header, start, examined.head.bignums()),
        None => 0,
    };
    if !(OBJECT_HEADER as u64..=room as u64).contains(&length) {
        return Err(ReadError::content(
            path,
            format!(
                "the root object at offset {at:#x} (tag {}) does not end within the {} bytes of the file: it is \
                 truncated or damaged",
                header.tag, examined.size
            ),
        ));
    }
    // After a crash of the machine the last blocks of a file may be zeros, and the first of them may begin within the
    // root. What is not in memory is looked at as a whole when it is relocated.
    if let Some(object) = object
        && let Some(field) = last_field(header, start)
        && object.get(field..).and_then(<[u8]>::first_chunk) == Some(&[0; 8])
    {
        return Err(ReadError::content(
            path,
            format!(
                "the last field of the root object at offset {at:#x} is zero: the end of the file was never written, or is \
                 damaged"
            ),
        ));
    }
    Ok(align8(length as usize) == room)
}

/// Word `i` of an object that begins with `start`; 0 where it ends before.
#[inline]
fn word(start: &[u8], i: usize) -> u64 {
    let word = start.get(8 * i..).and_then(<[u8]>::first_chunk);
    word.map_or(0, |word| u64::from_le_bytes(*word))
}

/// Bytes of an object that is no constructor and begins with `start`; 0 if no object has so many.
#[inline(never)]
fn length(kind: Kind, header: ObjectHeader, start: &[u8], bignums: Bignums) -> u64 {
    let layout = Layout::new(Width::W64, bignums);
    // Of those that have room for more, the room counts.
    let count = match (layout.capacity_word(kind), layout.count_word(kind)) {
        (Some(at), _) => word(start, at / 8),
        (None, Some(at)) => layout.count_in(kind, word(start, at / 8)),
        (None, None) => 0,
    };
    layout.bytes(kind, header, count).unwrap_or(0)
}

/// Where the last field lies that is a pointer or a scalar in its place, of a constructor or an array that has any and
/// begins with `start`.
#[inline]
fn last_field(header: ObjectHeader, start: &[u8]) -> Option<usize> {
    match header.kind()? {
        Kind::Ctor => (header.other > 0).then(|| OBJECT_HEADER * usize::from(header.other)),
        Kind::Array => match usize::try_from(word(start, 1)).ok()? {
            0 => None,
            count => count.checked_mul(8)?.checked_add(ARRAY_HEADER - 8),
        },
        _ => None,
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
