//! The call in terms of the host's objects: modules are read without them, and handed out by the thread that called.

use super::list;
use super::modules::{Found, Reader, Source, WHAT, refused};
use crate::dependencies::Dependencies;
use crate::host::{Generation, Host};
use crate::object::Obj;
use crate::os::env;
use crate::region::arguments::path;
use crate::region::calls;
use crate::region::closures::libraries::MissingCode;
use crate::region::error::CallError;
use crate::region::examine::ReadOptions;
use crate::region::image::in_use as image;
use crate::region::results::{ReadFacts, hand_out, hand_out_placed, served};
use crate::region::wishes::{read_options, wishes};
use olean_reader::format::room::{push, room};
use std::ffi::CStr;
use std::thread;

/// How many threads read, as for Lean's own loop.
const WORKERS: &str = "LEAN_IMPORT_WORKERS";
/// So many read where nobody says how many, and there are so many cores.
const USUAL: usize = 4;
/// More than this is of no use anywhere.
const MOST: usize = 256;

/// What is wanted of a set.
#[derive(Clone, Copy, Debug, Default)]
pub struct SetOptions {
    /// Threads that read; 0 for as many as Lean's own loop has.
    pub workers: usize,
    /// Whether relative paths in the list are meant from the snapshot's folder.
    pub beside: bool,
    /// What becomes of closures whose library is not loaded.
    pub missing_code: MissingCode,
}

/// How many threads read.
fn workers(wanted: usize) -> usize {
    let told = || env::var(WORKERS)?.to_str()?.parse().ok();
    let usual = || thread::available_parallelism().map_or(1, usize::from).min(USUAL);
    let workers = match wanted {
        0 => told().unwrap_or_else(usual),
        wanted => wanted,
    };
    workers.clamp(1, MOST)
}

/// Regions that have been handed out, in pairs with their roots: freed from the last to the first unless somebody keeps
/// them.
struct Pairs<'a> {
    host: &'a Host,
    pairs: Vec<Obj>,
}

impl Pairs<'_> {
    /// An array of them.
    ///
    /// # Safety
    /// The host can allocate on this thread.
    unsafe fn into_array(mut self) -> Obj {
        let pairs = std::mem::take(&mut self.pairs);
        // SAFETY: each is owned, and given to the array.
        unsafe { self.host.mk_array(&pairs) }
    }
}

impl Drop for Pairs<'_> {
    fn drop(&mut self) {
        for &pair in self.pairs.iter().rev() {
            // SAFETY: a pair of root and region that nobody else knows of; the region's structure has a count of its
            // own when the pair goes, which must be before its root does, and is consumed.
            unsafe {
                let region = pair.field(1);
                let region = match self.host.generation() {
                    Generation::Structure => {
                        self.host.inc(region);
                        Some(region)
                    }
                    Generation::Batch | Generation::Handle => self.host.unbox_usize(region).map(Obj),
                };
                self.host.dec(pair);
                // Nobody is left to be told of a failure.
                let _ = region.map(|region| calls::free(self.host, region));
            }
        }
    }
}

/// Reads the snapshot in the file `fname` with the modules that the list beside it names; borrowed. Answers an array
/// of pairs of root and region, owned: those of the modules in the order of the list, then the snapshot's; and what
/// each read was and took.
///
/// # Errors
/// [`CallError`]: that of the list, of the first module in its order, or of the snapshot; every region is released.
///
/// # Safety
/// `fname` is a scalar or a live object of `host`, which can allocate on this thread.
pub unsafe fn read_set(
    host: &Host,
    fname: Obj,
    wanted: &SetOptions,
) -> Result<(Obj, Vec<(ReadFacts, u64)>), CallError> {
    // SAFETY: `fname` is a scalar or a live object, by the contract, to the end of this call; the host can allocate,
    // by the same contract.
    let (snapshot, image, options) = unsafe {
        let image = image::in_use(host).filter(|_| !wishes().force_relocate);
        (path(fname)?, image, read_options(host))
    };
    let list = list::read(snapshot, wanted.beside)?;
    let options = ReadOptions {
        // Other runtimes than a Lean that saves by this library are served too.
        copy_root: false,
        missing_code: wanted.missing_code,
        ..options
    };
    let reader = Reader {
        list: &list,
        beside: wanted.beside,
        image,
        options: &options,
        // Of two handles to the same memory nobody could tell which was freed.
        shares: host.generation() == Generation::Structure,
    };
    let modules = reader.modules(workers(wanted.workers))?;
    let regions = list.file_count() + 1;
    let mut pairs = Pairs {
        host,
        pairs: room(regions, WHAT).map_err(refused)?,
    };
    let mut facts = room(regions, WHAT).map_err(refused)?;
    let mut views = room(regions, WHAT).map_err(refused)?;
    for (index, found) in modules.into_iter().flatten().enumerate() {
        views.push(found.view());
        // SAFETY: the host can allocate, by the contract.
        unsafe { hand_out_found(list.file(index), found, &mut pairs, &mut facts)? };
    }
    // Only now: whether the snapshot is fresh is seen from what is known of regions that have been handed out.
    let path_of = |index| Some(list.file(index).to_owned());
    // SAFETY: all regions have just been read, and nobody but us knows of them.
    unsafe {
        let found = reader.one(snapshot, &Dependencies::new(views), &path_of)?;
        hand_out_found(snapshot, found, &mut pairs, &mut facts)?;
        Ok((pairs.into_array(), facts))
    }
}

/// Hands out a region that was read from the file `path`.
///
/// # Safety
/// The host can allocate on this thread.
unsafe fn hand_out_found(
    path: &CStr,
    found: Found,
    pairs: &mut Pairs<'_>,
    facts: &mut Vec<(ReadFacts, u64)>,
) -> Result<(), CallError> {
    let text = path
        .to_str()
        .map_err(|e| CallError::Argument(format!("the path '{}' is no text: {e}", path.to_string_lossy())))?;
    let host = pairs.host;
    // SAFETY: the host can allocate, by the contract; the name is released after its last use, and the region alive.
    let (pair, read) = unsafe {
        let name = host.mk_string(text);
        let handed = match found.source {
            Source::Image(given) => {
                let region = given.keep();
                Ok((hand_out(host, name, &region), served(&region)))
            }
            Source::File(placed) => hand_out_placed(host, name, placed),
        };
        host.dec(name);
        handed?
    };
    pairs.pairs.push(pair);
    push(facts, (read, found.time), WHAT).map_err(refused)
}
