//! Reading a region file: open, check cheaply, map at the base address or relocate (spec section 7).
//!
//! On the fast path no byte of the mapping is touched: header, root slot and the root object are read with
//! `pread`. Compaction is post-order, so a root that lies in its own file is the last object, and its end
//! is the end of the data: that notices a truncated file and a wild root without a page fault.

use super::closures::{LibraryError, match_libraries};
use super::error::{ReadError, shown};
use crate::os::counters;
use crate::os::file::{File, errno_text};
use crate::os::map::{Filling, Memory, Missed, mapping_counts};
use crate::relocate::{self, AHEAD, Dependencies, RegionView, Target};
use olean_reader::DepBytes;
use olean_reader::format::header::{FLAG_GMP, HEADER_SIZE, Header, HeaderError, VERSION_3};
use olean_reader::format::layout::{
    ARRAY_HEADER, MAX_CTOR_TAG, MPZ_GMP_SIZE, MPZ_NATIVE_SIZE, PROMISE_SIZE, REF_SIZE, STRING_HEADER,
    TAG_ARRAY, TAG_CLOSURE, TAG_MPZ, TAG_PROMISE, TAG_REF, TAG_SARRAY, TAG_STRING, TAG_TASK, TAG_THUNK,
    THUNK_SIZE, align8,
};
use olean_reader::format::trailer::{Trailer, closure_count, ends_with_extension};
use std::ffi::{CStr, OsStr};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Once;

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
}

/// A region that was read.
pub struct Loaded {
    /// Its bytes, which it owns.
    pub memory: Memory,
    /// The root: a boxed scalar or a live address.
    pub root: usize,
    /// Base address of the file.
    pub base: u64,
    /// Whether it lies at its base address, mapped.
    pub mapped: bool,
    /// Whether its pointers went through relocation.
    pub relocated: bool,
}

/// The file as its first bytes describe it.
struct Shape {
    header: Header,
    size: usize,
    /// Offsets of root slot and end of data.
    data: Range<usize>,
    root: u64,
    /// The root is a scalar alone in the data, or the last object, as every known writer leaves it.
    regular: bool,
}

/// A file that passed the cheap checks, not yet in memory.
pub struct Opened<'a> {
    path: &'a CStr,
    file: File,
    shape: Shape,
}

/// Opens the file `path` and checks header, sizes and root. Of the dependencies only base address and size matter.
///
/// # Errors
/// [`ReadError`]; nothing stays open.
pub fn open<'a>(path: &'a CStr, deps: &Dependencies, options: &ReadOptions) -> Result<Opened<'a>, ReadError> {
    let file = File::open(path).map_err(|cause| ReadError::Open {
        file: shown(path),
        cause,
    })?;
    let shape = examine(path, &file, deps, options)?;
    Ok(Opened { path, file, shape })
}

/// Reads the region in the file `path`, whose pointers may lead into `deps`.
///
/// # Errors
/// [`ReadError`]; nothing stays mapped or open.
///
/// # Safety
/// As [`Opened::load`].
pub unsafe fn read(path: &CStr, deps: &Dependencies, options: &ReadOptions) -> Result<Loaded, ReadError> {
    // SAFETY: passed on from the caller.
    unsafe { open(path, deps, options)?.load(deps, options) }
}

impl Opened<'_> {
    /// The file's base address and size, as a region that has not been given a place yet.
    #[must_use]
    pub fn view(&self) -> RegionView {
        let base = self.shape.header.base;
        RegionView {
            begin: base as usize,
            size: self.shape.size,
            base,
        }
    }

    /// Maps the file at its base address, or reads and relocates it.
    ///
    /// # Errors
    /// [`ReadError`]; nothing stays mapped.
    ///
    /// # Safety
    /// `deps` describes live regions, whose bytes nobody changes meanwhile.
    pub unsafe fn load(self, deps: &Dependencies, options: &ReadOptions) -> Result<Loaded, ReadError> {
        let Opened { path, file, shape } = self;
        let base = shape.header.base;
        let landed = match options.force_relocate {
            true => None,
            // Whatever refuses a mapping, the content can still be read; if memory is short, that will say so.
            false => Memory::map_file_at(&file, shape.size, base)
                .map_err(|e| note_missed(path, base, &e))
                .ok(),
        };
        let mapped = landed.is_some();
        let (mut memory, mut filling) = match landed {
            Some(memory) => (memory, Filling::Done),
            None => Memory::for_copy(&file, shape.size)
                .map_err(|e| ReadError::memory(path, e))?
                .map_err(|e| ReadError::read(path, e))?,
        };
        if options.verify || !shape.regular {
            let filled = std::mem::replace(&mut filling, Filling::Done).fill(0, memory.bytes_mut());
            filled.map_err(|e| ReadError::read(path, e))?;
            // SAFETY: passed on from the caller.
            unsafe { verify(path, memory.bytes(), deps)? };
        }
        let relocated = !mapped || !deps.landed();
        let root = match relocated {
            true => rewrite(path, &shape, &mut memory, deps, filling)?,
            false => shape.root as usize,
        };
        drop(file);
        if shape.header.version == VERSION_3 {
            relocate_closures(path, &mut memory, shape.data.clone())?;
        }
        #[cfg(feature = "fault-injection")]
        super::fault::inject("read", memory.bytes_mut());
        Ok(Loaded {
            memory,
            root,
            base,
            mapped,
            relocated,
        })
    }
}

/// Brings the file's content into the memory and rewrites its pointers for where it and `deps` lie; answers the root.
fn rewrite(
    path: &CStr,
    shape: &Shape,
    memory: &mut Memory,
    deps: &Dependencies,
    filling: Filling<'_>,
) -> Result<usize, ReadError> {
    let target = Target {
        base: shape.header.base,
        address: memory.address(),
        data: shape.data.clone(),
        gmp: shape.header.flags & FLAG_GMP != 0,
        closures: shape.header.version == VERSION_3,
    };
    let mut filled = Ok(());
    let ahead = |from, words: &mut [u64]| {
        if filled.is_ok() {
            filled = filling.fill(from, bytemuck::cast_slice_mut(words));
        }
    };
    let root = relocate::relocate(memory.words_mut(), &target, deps, ahead);
    // Instead of what could not be read there are zeros, which are nothing to complain of.
    filled.map_err(|e| ReadError::read(path, e))?;
    let root = root.map_err(|e| ReadError::walk(path, &e))?;
    // Behind the data, and more than whole words.
    let rest = shape.data.end.next_multiple_of(AHEAD).min(shape.size & !7);
    let filled = filling.fill(rest, &mut memory.bytes_mut()[rest..]);
    filled.map_err(|e| ReadError::read(path, e))?;
    Ok(root as usize)
}

/// Proves the whole file, of the dependencies that pointers lead to exact objects.
///
/// # Safety
/// As [`Opened::load`].
unsafe fn verify(path: &CStr, bytes: &[u8], deps: &Dependencies) -> Result<(), ReadError> {
    let dep_bytes = |v: &RegionView| DepBytes {
        // SAFETY: by the caller's word a live region of that size, which nobody changes.
        bytes: unsafe { std::slice::from_raw_parts(v.begin as *const u8, v.size) },
        name: "",
    };
    let deps: Vec<DepBytes<'_>> = deps.views().iter().map(dep_bytes).collect();
    olean_reader::verify_region(bytes, &deps, &olean_reader::Options::default())
        .map(|_| ())
        .map_err(|e| ReadError::content(path, e.to_string()))
}

/// Says in the report why a file does not lie at its base address.
fn note_missed(path: &CStr, base: u64, missed: &Missed) {
    static COUNTED: Once = Once::new();
    let why = match missed {
        Missed::Taken => "is taken by something else".to_owned(),
        Missed::Refused(e) => {
            let mut why = format!("was refused: {}", errno_text(e));
            // Counting mappings takes long where there are many.
            if e.raw_os_error() == Some(libc::ENOMEM) {
                COUNTED.call_once(|| {
                    if let (Some(current), Some(limit)) = mapping_counts() {
                        why +=
                            &format!(" (this process has {current} mappings, vm.max_map_count is {limit})");
                    }
                });
            }
            why
        }
    };
    let file = Path::new(OsStr::from_bytes(path.to_bytes()));
    counters::note(
        file,
        format!("the base address {base:#x} {why}; read and relocated"),
    );
}

/// Rewrites the code addresses of a version 3 file's closures; of a file without closures neither the library
/// table nor the loaded libraries are looked at.
fn relocate_closures(path: &CStr, memory: &mut Memory, data: Range<usize>) -> Result<(), ReadError> {
    let content = |e: &dyn std::fmt::Display| ReadError::content(path, e.to_string());
    let (data_bytes, rest) = memory.bytes_mut().split_at_mut(data.end);
    let at = data.end as u64;
    if closure_count(rest, at).map_err(|e| content(&e))? == 0 {
        return match ends_with_extension(rest) {
            true => Err(content(&LibraryError::Altered)),
            false => Ok(()),
        };
    }
    let trailer = Trailer::parse(rest, at).map_err(|e| content(&e))?;
    let matched = match_libraries(&trailer).map_err(|e| content(&e))?;
    relocate::closures::relocate(&mut data_bytes[data.start..], &trailer, &matched.moves)
        .map_err(|e| content(&e))?;
    let file = Path::new(OsStr::from_bytes(path.to_bytes()));
    for reason in matched.notes {
        counters::note(file, reason);
    }
    Ok(())
}

/// The cheap checks: header, sizes, root.
fn examine(path: &CStr, file: &File, deps: &Dependencies, options: &ReadOptions) -> Result<Shape, ReadError> {
    let size = file.size().map_err(|cause| ReadError::Stat {
        file: shown(path),
        cause,
    })?;
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
    if header.base % 8 != 0
        || header
            .base
            .checked_add(size)
            .is_none_or(|end| end > isize::MAX as u64)
    {
        return damaged(format!(
            "the base address {:#x} is none that {size} bytes can lie at",
            header.base
        ));
    }
    let size = size as usize;
    let end = if header.version == VERSION_3 {
        let claimed = u64::from_le_bytes(start[88..96].try_into().expect("8 bytes"));
        // Behind the data follow at least the counts of closures and libraries.
        let most = (size - root_slot).saturating_sub(8) as u64;
        if claimed < 8 || claimed % 8 != 0 || claimed > most {
            return damaged(format!(
                "the data should have {claimed} bytes, but the file has {size}: it is truncated"
            ));
        }
        root_slot + claimed as usize
    } else {
        if !size.is_multiple_of(8) {
            return damaged(format!(
                "the size of {size} bytes is no multiple of 8: the file is truncated"
            ));
        }
        size
    };
    let mut shape = Shape {
        header,
        size,
        data: root_slot..end,
        root,
        regular: false,
    };
    shape.regular = root_is_last(path, &shape, deps, read)?;
    Ok(shape)
}

/// Whether the root is where every known writer puts it.
fn root_is_last(
    path: &CStr,
    shape: &Shape,
    deps: &Dependencies,
    read: impl Fn(&mut [u8], usize) -> Result<usize, ReadError>,
) -> Result<bool, ReadError> {
    let Shape {
        header, data, root, ..
    } = shape;
    let only_root = data.end == data.start + 8;
    if root & 1 == 1 {
        return Ok(only_root);
    }
    let damaged = |detail: String| Err(ReadError::content(path, detail));
    let at = root.wrapping_sub(header.base);
    if at >= shape.size as u64 {
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
    let (cs_sz, other, tag) = (
        (word(0) >> 32) as u16,
        (word(0) >> 48) as u8,
        (word(0) >> 56) as u8,
    );
    let sized = |fixed: usize, count: u64, unit: u64| {
        count.checked_mul(unit).and_then(|n| n.checked_add(fixed as u64))
    };
    let length = match tag {
        0..=MAX_CTOR_TAG | TAG_CLOSURE => Some(cs_sz.into()),
        TAG_ARRAY => sized(ARRAY_HEADER, word(2), 8),
        TAG_SARRAY => sized(ARRAY_HEADER, word(2), (other & 0x7f).into()),
        TAG_STRING => sized(STRING_HEADER, word(2), 1),
        TAG_MPZ if header.flags & FLAG_GMP != 0 => {
            sized(MPZ_GMP_SIZE, ((word(1) >> 32) as i32).unsigned_abs().into(), 8)
        }
        TAG_MPZ => sized(MPZ_NATIVE_SIZE, word(2), 4),
        TAG_THUNK | TAG_TASK => Some(THUNK_SIZE as u64),
        TAG_PROMISE => Some(PROMISE_SIZE as u64),
        TAG_REF => Some(REF_SIZE as u64),
        _ => None,
    };
    let room = (data.end - at) as u64;
    match length {
        Some(length) if got >= 8 && length >= 8 && length <= room => {
            Ok(align8(length as usize) as u64 == room)
        }
        _ => damaged(format!(
            "the root object at offset {at:#x} (tag {tag}) does not end within the {} bytes of the file: it is \
             truncated or damaged",
            shape.size
        )),
    }
}
