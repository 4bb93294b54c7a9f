//! Reads of the host answered from the image, or left to be answered from files.

use super::facts::Facts;
use super::mapped::Mapped;
use crate::dependencies::{Dependencies, RegionView};
use crate::host::{Host, RegionFacts};
use crate::object::Obj;
use crate::os::notes;
use crate::os::stderr::complain;
use crate::region::arguments::path;
use crate::region::deps::{begins, dependencies};
use crate::region::error::{CallError, ReadError};
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What the structure of a region of the image says.
fn image_facts(facts: &Facts) -> RegionFacts {
    RegionFacts {
        root: Obj(facts.root),
        size: facts.view.size,
        base: facts.view.base,
        buffer: facts.view.begin,
        mapped: true,
    }
}

/// The region in the file `fname` as the image has it; `None` if the file has to be read.
///
/// # Errors
/// The arguments make no sense.
///
/// # Safety
/// All arguments are scalars or live objects of `host`.
pub(crate) unsafe fn read_from_image(
    host: &Host,
    image: &'static Mapped,
    fname: Obj,
    deps: Obj,
    verify: bool,
) -> Result<Option<RegionFacts>, CallError> {
    // SAFETY: both are scalars or live objects of `host`, by the contract, and stay so to the end of this call. What
    // is given out was linked against the regions in `deps`, which has just been found.
    unsafe {
        let path = path(fname)?;
        let Some(found) = image.find(path) else {
            return Ok(None);
        };
        let begins = begins(host, deps)?;
        if !image.is_linked_against(&found, begins.len(), begins) {
            return Ok(None);
        }
        let views = match verify {
            true => Some(dependencies(host, deps)?),
            false => None,
        };
        let given = image.give_out(path, &found, views.as_deref().map(Dependencies::views));
        Ok(given
            .unwrap_or_else(|e| note_damage(path, &e))
            .map(|facts| image_facts(&facts)))
    }
}

/// Says that a region of the image is not used.
fn note_damage<T>(path: &CStr, e: &ReadError) -> Option<T> {
    let file = Path::new(OsStr::from_bytes(path.to_bytes()));
    notes::add(file, format!("its region in the image is not used: {e}"));
    complain(&format!(
        "the image has a region that is not used: {e}; the file is read instead"
    ));
    None
}

/// All parts of a module from the image, or none of them.
///
/// # Errors
/// The arguments make no sense.
///
/// # Safety
/// All arguments are scalars or live objects of `host`.
pub(crate) unsafe fn read_parts_from_image(
    image: &'static Mapped,
    fnames: &[Obj],
    verify: bool,
) -> Result<Option<Vec<RegionFacts>>, CallError> {
    let mut found = Vec::with_capacity(fnames.len());
    for &fname in fnames {
        // SAFETY: a scalar or a live object by the contract, to the end of this call.
        match image.find(unsafe { path(fname)? }) {
            Some(part) if image.follows(&part, &found) => found.push(part),
            _ => return Ok(None),
        }
    }
    let mut given: Vec<Facts> = Vec::with_capacity(found.len());
    for (part, &fname) in found.iter().zip(fnames) {
        // SAFETY: the name is a live string, as `path` has found above. The part was linked against the parts before
        // it, which have just been given out, so they are alive.
        let one = unsafe {
            let path = path(fname)?;
            let views: Vec<RegionView> = given.iter().map(|f| f.view).collect();
            let views = verify.then_some(&views[..]);
            image
                .give_out(path, part, views)
                .unwrap_or_else(|e| note_damage(path, &e))
        };
        match one {
            Some(facts) => given.push(facts),
            None => {
                found[..given.len()].iter().for_each(|part| image.take_back(part));
                return Ok(None);
            }
        }
    }
    Ok(Some(given.iter().map(image_facts).collect()))
}
