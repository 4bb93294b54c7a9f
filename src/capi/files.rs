//! Region files proved and hashed where they lie, without a host and without loading them: for files that come from
//! somewhere else.

use super::guarded;
use crate::os::file::{File, errno_text};
use olean_reader::format::room;
use olean_reader::{DepBytes, File as Parsed, Graph, Options, Region, Width, verify_region};
use std::ffi::{CStr, c_char};

/// A whole file in memory. Not mapped: whoever may have made it may also cut it short while it is looked at.
struct Whole {
    name: String,
    bytes: Vec<u8>,
}

impl Whole {
    fn read(path: &CStr) -> Result<Self, String> {
        let name = path.to_string_lossy().into_owned();
        let failed = |e: &dyn std::fmt::Display| format!("{name}: {e}");
        let file = File::open(path).map_err(|e| failed(&errno_text(&e)))?;
        let stat = file.stat().map_err(|e| failed(&errno_text(&e)))?;
        if stat.st_mode & libc::S_IFMT != libc::S_IFREG {
            return Err(failed(&"it is not a regular file"));
        }
        let size = usize::try_from(stat.st_size).map_err(|e| failed(&e))?;
        let mut bytes = room::filled(0_u8, size, "the content of the file").map_err(|e| failed(&e))?;
        let got = file.read_at(&mut bytes, 0).map_err(|e| failed(&errno_text(&e)))?;
        bytes.truncate(got);
        Ok(Self { name, bytes })
    }

    fn parse(&self) -> Result<Parsed<'_>, String> {
        Parsed::parse(&self.bytes, &self.name, Some(Width::W64)).map_err(|e| e.to_string())
    }
}

/// The files named at `paths`.
///
/// # Safety
/// `paths` points to `count` terminated strings, or `count` is 0.
unsafe fn files(paths: *const *const c_char, count: usize) -> Result<Vec<Whole>, String> {
    let mut files = room::room(count, "the list of files").map_err(|e| e.to_string())?;
    for i in 0..count {
        // SAFETY: `paths` has `count` pointers by the contract, and `i` is less.
        let path = unsafe { paths.add(i).read() };
        // SAFETY: each is NULL, which is refused, or a terminated string.
        files.push(unsafe { one(path)? });
    }
    Ok(files)
}

/// The file at `path`.
///
/// # Safety
/// `path` is NULL or a terminated string.
unsafe fn one(path: *const c_char) -> Result<Whole, String> {
    if path.is_null() {
        return Err("the name of the file is NULL".to_owned());
    }
    // SAFETY: not NULL, so a terminated string.
    Whole::read(unsafe { CStr::from_ptr(path) })
}

/// Proves each dependency's objects.
fn walk(deps: &[Whole]) -> Result<Vec<Region<'_>>, String> {
    let mut regions = room::room(deps.len(), "the list of files").map_err(|e| e.to_string())?;
    for dep in deps {
        regions.push(Region::walk(dep.parse()?).map_err(|e| e.to_string())?);
    }
    Ok(regions)
}

/// Proves a region file without loading it: that header and sections are sound, every object is whole, every pointer
/// leads to the start of an object in the file or in a dependency, and none leads back to where it came from. For files
/// from somewhere else, before they are read: a read looks at no more than it needs. It cannot show that the file holds
/// what its maker says.
///
/// @param file       the file's path
/// @param deps       paths of the files that it may point into, in any order; may be NULL if `dep_count` is 0. Their
///                   objects are proved too, but not where their pointers lead: verify each by a call of its own
/// @param dep_count  paths at `deps`
/// @return 0 if the file is sound; -1 if it is not, or a file cannot be read or memory is short: lean_region_last_error
///         names file, place and reason
///
/// Owns and keeps nothing, and needs no Lean. The files are read into memory whole. May be called from several threads
/// at once. Nothing may change the file between this call and the read of it.
///
/// # Safety
/// `file` is a terminated string; `deps` points to `dep_count` of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_verify(
    file: *const c_char,
    deps: *const *const c_char,
    dep_count: usize,
) -> i32 {
    let verified = guarded(|| {
        // SAFETY: `file` and the `dep_count` strings at `deps` are terminated by the contract, and nobody changes
        // them during this call.
        let (main, deps) = unsafe { (one(file)?, files(deps, dep_count)?) };
        walk(&deps)?;
        let mut bytes = room::room(deps.len(), "the list of files").map_err(|e| e.to_string())?;
        bytes.extend(deps.iter().map(|dep| DepBytes {
            bytes: &dep.bytes,
            name: &dep.name,
        }));
        verify_region(&main.bytes, &bytes, &Options { name: &main.name }).map_err(|e| e.to_string())
    });
    verified.map_or(-1, |_| 0)
}

/// The hash of what a region file holds (the graphhash that `olean hash` prints): the same for equal values, wherever
/// and in which order their objects lie in the file and however they are shared. Proves the file first, as
/// `lean_region_verify` does.
///
/// @param file      the file's path
/// @param deps      paths of all files that it and its dependencies point into; may be NULL if `dep_count` is 0
/// @param dep_count paths at `deps`
/// @param out       where the 16 bytes of the hash go
/// @return 0 on success; -1 if the file is not sound or points into a file that is not given, or a file cannot be read
///         (see lean_region_last_error), and then `out` is as it was
///
/// Owns and keeps nothing, and needs no Lean. May be called from several threads at once.
///
/// # Safety
/// `file` is a terminated string; `deps` points to `dep_count` of them; `out` to 16 writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lean_region_hash(
    file: *const c_char,
    deps: *const *const c_char,
    dep_count: usize,
    out: *mut u8,
) -> i32 {
    let hashed = guarded(|| {
        // SAFETY: `file` and the `dep_count` strings at `deps` are terminated by the contract, and nobody changes
        // them during this call.
        let (main, deps) = unsafe { (one(file)?, files(deps, dep_count)?) };
        let regions = walk(&deps)?;
        let mut into = room::room(regions.len(), "the list of files").map_err(|e| e.to_string())?;
        into.extend(regions.iter());
        let region = Region::check(main.parse()?, &into).map_err(|e| e.to_string())?;
        let graph = Graph::new(&region, &into).map_err(|e| e.to_string())?;
        if graph.outside() > 0 {
            return Err(format!(
                "{}: a dependency points into a file that is not given: name all files that it leads to",
                main.name
            ));
        }
        Ok(graph.digests().map_err(|e| e.to_string())?.graphhash.0)
    });
    let Ok(hash) = hashed else {
        return -1;
    };
    // SAFETY: a hash has 16 bytes, so many are writable at `out` by the contract, and the hash is a
    // value of this function, which cannot overlap them.
    unsafe { out.copy_from_nonoverlapping(hash.as_ptr(), hash.len()) };
    0
}
