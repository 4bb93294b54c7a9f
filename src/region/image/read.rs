//! Reads of the host answered from the image, or left to be answered from files.

use super::facts::Facts;
use super::mapped::{Candidate, Mapped};
use crate::dependencies::{Dependencies, RegionView};
use crate::host::{Host, RegionFacts};
use crate::object::Obj;
use crate::os::notes;
use crate::os::stderr::complain;
use crate::region::arguments::path;
use crate::region::closures::libraries::MissingCode;
use crate::region::deps::{begins, dependencies};
use crate::region::error::{CallError, ReadError};
use crate::region::examine::{LookedAt, ReadOptions};
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

/// What the image has of a file.
pub(crate) enum Answer {
    /// The region.
    Region(RegionFacts),
    /// Nothing: the file has to be read, which may have been opened for that.
    File(Option<LookedAt>),
}

/// The region in the file `fname` as the image has it.
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
) -> Result<Answer, CallError> {
    // SAFETY: both are scalars or live objects of `host`, by the contract, and stay so to the end of this call. What
    // is given out was linked against the regions in `deps`, which has just been found.
    unsafe {
        let path = path(fname)?;
        let found = match image.find_or_open(path) {
            Ok(found) => found,
            Err(file) => return Ok(Answer::File(file)),
        };
        let begins = begins(host, deps)?;
        if !image.is_linked_against(&found, begins.len(), begins) {
            return Ok(Answer::File(None));
        }
        let views = match verify {
            true => Some(dependencies(host, deps)?),
            false => None,
        };
        let views = views.as_ref().map(|found| found.views());
        let given = give_out(image, path, &found, views, MissingCode::Refuse);
        Ok(match given {
            Some(facts) => Answer::Region(image_facts(&facts)),
            None => Answer::File(None),
        })
    }
}

/// The candidate's region, if it may be given out; whatever is wrong with it is said.
///
/// # Safety
/// As [`Mapped::give_out`].
unsafe fn give_out(
    image: &Mapped,
    path: &CStr,
    candidate: &Candidate,
    verify: Option<&[RegionView]>,
    missing: MissingCode,
) -> Option<Facts> {
    // SAFETY: the contract is the same.
    let given = unsafe { image.give_out(path, candidate, verify, missing) };
    given.unwrap_or_else(|e| note_damage(path, &e))
}

/// A region of the image that was given out, and is taken back unless somebody keeps it.
pub struct Given {
    image: &'static Mapped,
    candidate: Candidate,
    facts: RegionFacts,
}

impl Given {
    /// The region in the file `path`, whose dependencies are these; `None` if the file has to be read.
    ///
    /// # Safety
    /// `deps` describes live regions.
    pub unsafe fn new(
        image: &'static Mapped,
        path: &CStr,
        deps: &Dependencies,
        options: &ReadOptions<'_>,
    ) -> Option<Self> {
        let candidate = image.find(path)?;
        let begins = deps.views().iter().map(|view| Some(view.begin));
        if !image.is_linked_against(&candidate, begins.len(), begins) {
            return None;
        }
        let verify = options.verify.then_some(deps.views());
        // SAFETY: the regions are alive, by the contract, and those that the candidate was linked against.
        let facts = unsafe { give_out(image, path, &candidate, verify, options.missing_code) }?;
        Some(Given {
            image,
            candidate,
            facts: image_facts(&facts),
        })
    }

    /// What its structure says.
    #[must_use]
    pub fn facts(&self) -> &RegionFacts {
        &self.facts
    }

    /// Leaves it to whoever will free it.
    #[must_use]
    pub fn keep(self) -> RegionFacts {
        let facts = self.facts;
        std::mem::forget(self);
        facts
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        self.image.take_back(&self.candidate);
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
            give_out(image, path, part, views, MissingCode::Refuse)
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
