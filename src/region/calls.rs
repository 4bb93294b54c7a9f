//! What each function of the loader does: the host's objects are taken apart into arguments, files are saved, read or
//! freed, and the answer is put together as an object of the host again. The C entry points call these and wrap what
//! they answer into the host's IO result.

use super::arguments::{elements, key_base, path, region_path, take_some};
use super::chain::{BadChain, Chain};
use super::deps::dependencies;
use super::error::{CallError, SaveError};
use super::examine::ReadOptions;
use super::freshness;
use super::image::in_use as image;
use super::image::read::{Answer, read_from_image, read_parts_from_image};
use super::open::{self, Opened};
use super::read::{self, Loaded, Placed};
use super::registry::{self, By, NotReleased, Released};
use super::results::{ReadFacts, enter, facts, hand_out, hand_out_placed, served};
use super::save::{self, FileVersion};
use super::wishes::{read_options, wishes};
use crate::compactor::{CompactError, Compactor, RootCopyAt};
use crate::dependencies::{Dependencies, RegionView, Views};
use crate::host::{Generation, Host, RegionFacts};
use crate::object::Obj;
use crate::os::file::errno_text;
use crate::os::new_file::{NewFile, publish_all};
use crate::os::saved_files;
use olean_reader::format::room::{NoMemory, room};
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Saves one file: `CompactedRegion.save`. All arguments borrowed except `prev`, which is consumed; answers the
/// compactor's object, owned, and the bytes of the file.
///
/// # Errors
/// [`CallError`]; the file is as it was.
///
/// # Safety
/// All arguments are scalars or live objects of `host`; everything reachable from `data` is live and does not
/// change meanwhile except through the host's own references, tasks and thunks.
pub unsafe fn save(
    host: &Host,
    fname: Obj,
    key: Obj,
    data: Obj,
    deps: Obj,
    prev: Obj,
    allow_closures: bool,
) -> Result<(Obj, u64), CallError> {
    // SAFETY: an option is `none`, a scalar, or `some` with one field; that field is kept alive by a count of
    // its own before the option is given up.
    let chain = unsafe { take_some(host, prev) };
    // SAFETY: the contract is the same, and the count taken above keeps `chain` alive.
    let saved = unsafe { save_part(host, fname, key, data, deps, chain, allow_closures) };
    if let (Err(_), Some(chain)) = (&saved, chain) {
        // SAFETY: gives back the count taken above, which a failed `save_part` leaves to us.
        unsafe { host.dec(chain) };
    }
    saved
}

/// # Safety
/// As [`save`]; `chain` is borrowed on errors and part of the result otherwise.
unsafe fn save_part(
    host: &Host,
    fname: Obj,
    key: Obj,
    data: Obj,
    deps: Obj,
    chain: Option<Obj>,
    allow_closures: bool,
) -> Result<(Obj, u64), CallError> {
    // SAFETY: all arguments are scalars or live objects of `host`, by the contract, and stay so to the end of this
    // call, so what is borrowed of them does. `data` is as `save` asks by the same contract. The host can allocate in
    // a call of its loader. The compactor that goes into an object is nobody else's.
    unsafe {
        let path = path(fname)?;
        let identity = host.file_identity();
        let Some(object) = chain else {
            let regions = dependencies(host, deps)?;
            let record = match allow_closures {
                true => {
                    let record = freshness::record(path, &regions, &|i| region_path(host, deps, i));
                    record.map_err(|_| SaveError::Request {
                        file: super::error::shown(path),
                        detail: "out of memory: no room for the record of dependencies".to_owned(),
                    })?
                }
                false => Vec::new(),
            };
            let mut compactor = compactor(host, path, key, &regions)?;
            let version = version(allow_closures, &record);
            let saved = save::save(&mut compactor, path, data, version, &identity, host)?;
            publish(path, saved.file)?;
            return Ok((Chain::into_object(compactor, record, host), saved.size));
        };
        let mut compactor = Chain::lock(object, host).map_err(|e| bad_chain(path, e))?;
        let version = version(allow_closures, Chain::dependencies(object, host));
        let saved = save::save(&mut compactor, path, data, version, &identity, host)?;
        if let Err(e) = publish(path, saved.file) {
            compactor.poison();
            return Err(e);
        }
        Ok((object, saved.size))
    }
}

fn version(allow_closures: bool, dependencies: &[u8]) -> FileVersion<'_> {
    match allow_closures {
        true => FileVersion::V3 { dependencies },
        false => FileVersion::V2,
    }
}

fn publish(path: &CStr, file: NewFile) -> Result<(), CallError> {
    file.publish().map_err(|(step, cause)| SaveError::Write {
        file: super::error::shown(path),
        step,
        cause,
    })?;
    saved_files::add(Path::new(OsStr::from_bytes(path.to_bytes())));
    Ok(())
}

fn bad_chain(path: &CStr, e: BadChain) -> CallError {
    let detail = match e {
        BadChain::Foreign => {
            "`prev` is no compactor of this loader: it must be the result of an earlier save in this process"
        }
        BadChain::Busy => "another thread is saving with the compactor given as `prev`",
    };
    SaveError::Request {
        file: super::error::shown(path),
        detail: detail.to_owned(),
    }
    .into()
}

/// A compactor for the first part, whose file is `path`.
///
/// # Safety
/// `key` is a scalar or a live object.
unsafe fn compactor(host: &Host, path: &CStr, key: Obj, deps: &Dependencies) -> Result<Compactor, CallError> {
    // SAFETY: passed on from the caller.
    let base = unsafe { key_base(key)? };
    let no_memory = |cause| SaveError::compact(path, cause);
    let roots = root_copies(deps).map_err(|e| no_memory(e.into()))?;
    let new = Compactor::with_roots(base, deps, &roots, host.uses_gmp());
    Ok(new.map_err(no_memory)?)
}

/// The copies of roots of `deps` that were given out.
fn root_copies(deps: &Dependencies) -> Result<Vec<RootCopyAt>, NoMemory> {
    let mut copies = room(deps.views().len(), "the list of dependency regions")?;
    let begins = || deps.views().iter().map(|view| view.begin);
    registry::root_copies(begins(), &mut copies);
    copies.extend(begins().filter_map(image::root_copy));
    Ok(copies)
}

/// File name and data of a part.
///
/// # Safety
/// `part` is a scalar or a live object that outlives the result.
unsafe fn part_of<'a>(part: Obj) -> Result<(&'a CStr, Obj), CallError> {
    // SAFETY: a live object's header may be read, and a pair has two fields.
    unsafe {
        if part.is_scalar() || part.kind().tag != 0 || part.kind().other != 2 {
            return Err(CallError::Argument(
                "a part is no pair of file name and data".to_owned(),
            ));
        }
        Ok((path(part.field(0))?, part.field(1)))
    }
}

/// Saves all parts of a module with one compactor; every temporary file is complete before the first is
/// renamed. Both arguments borrowed; answers the bytes of each file.
///
/// # Errors
/// [`CallError`]; no temporary file is left. If one cannot be renamed, the earlier ones are put back; where that fails,
/// the error says which are new.
///
/// # Safety
/// As [`save()`].
pub unsafe fn save_parts(host: &Host, key: Obj, parts: Obj) -> Result<Vec<u64>, CallError> {
    // SAFETY: both arguments are scalars or live objects of `host`, by the contract, and an array keeps its elements
    // alive; they stay so to the end of this call. `part_of` looks whether a part is a pair. Each part's data is as
    // `save` asks by the same contract. The host can allocate in a call of its loader.
    unsafe {
        let parts = elements(parts, "parts")?;
        let identity = host.file_identity();
        let first = parts
            .first()
            .map_or(Ok(c""), |&part| part_of(part).map(|(path, _)| path))?;
        let mut compactor = compactor(host, first, key, &Dependencies::default())?;
        let listed = |e| SaveError::compact(first, CompactError::from(e));
        let mut files = room(parts.len(), "the list of files").map_err(listed)?;
        let mut paths = room(parts.len(), "the list of files").map_err(listed)?;
        let mut bytes = room(parts.len(), "the list of files").map_err(listed)?;
        for &part in parts {
            let (path, data) = part_of(part)?;
            let saved = save::save(&mut compactor, path, data, FileVersion::V2, &identity, host)?;
            bytes.push(saved.size);
            files.push(saved.file);
            paths.push(path);
        }
        publish_all(files).map_err(|e| SaveError::not_all(&paths, e))?;
        for path in paths {
            saved_files::add(Path::new(OsStr::from_bytes(path.to_bytes())));
        }
        Ok(bytes)
    }
}

/// Reads one file: `CompactedRegion.read`. Arguments borrowed; answers the pair of root and region, owned.
///
/// # Errors
/// [`CallError`]; nothing is left mapped.
///
/// # Safety
/// Both arguments are scalars or live objects of `host`.
pub unsafe fn read(host: &Host, fname: Obj, deps: Obj) -> Result<(Obj, ReadFacts), CallError> {
    // SAFETY: both arguments are scalars or live objects of `host`, by the contract, and stay so to the end of this
    // call. The regions that `dependencies` answers are alive as long as the host keeps them, which it does during
    // the call. `fname` is a string where it is handed out, or `path` had refused it. The host can allocate in a call
    // of its loader.
    unsafe {
        let mut looked_at = None;
        if let Some(image) = image::in_use(host).filter(|_| !wishes().force_relocate) {
            match read_from_image(host, image, fname, deps, wishes().verify)? {
                Answer::Region(facts) => return Ok((hand_out(host, fname, &facts), served(&facts))),
                Answer::File(file) => looked_at = file,
            }
        }
        let regions = dependencies(host, deps)?;
        let options = read_options(host);
        let path = path(fname)?;
        let file = match looked_at {
            Some(file) => file,
            None => open::look_at(path)?,
        };
        let opened = open::open_looked_at(path, file, &regions, &options)?;
        // Who passes none may know that nothing there is looked at.
        if !regions.views().is_empty() {
            opened.check_dependencies(&regions, &|i| region_path(host, deps, i))?;
        }
        let placed = match host.generation() {
            Generation::Structure => opened.load_once(&regions, &options)?,
            // Of two handles to the same memory nobody could tell which was freed.
            Generation::Batch | Generation::Handle => Placed::Own(opened.load(&regions, &options)?),
        };
        // A structure's own string is what it is known by as a holder.
        let name = match placed {
            Placed::Own(_) => {
                host.inc(fname);
                fname
            }
            Placed::Shared { .. } => host.copy_string(fname),
        };
        let handed = hand_out_placed(host, name, placed);
        host.dec(name);
        handed
    }
}

/// Reads a file as if its base address were taken, and releases it again: what reading comes to for a loader that
/// finds the region mapped already. Arguments borrowed.
///
/// # Errors
/// [`CallError`].
///
/// # Safety
/// As [`read()`].
pub unsafe fn relocate_only(host: &Host, fname: Obj, deps: Obj) -> Result<(), CallError> {
    // SAFETY: both arguments are scalars or live objects of `host`, by the contract, and stay so to the end of this
    // call; the host keeps the dependency regions alive as long.
    unsafe {
        let options = ReadOptions {
            force_relocate: true,
            copy_root: false,
            ..read_options(host)
        };
        let deps = dependencies(host, deps)?;
        read::read(path(fname)?, &deps, &options)?;
    }
    Ok(())
}

/// Reads all parts of a module, each with the earlier ones as dependencies; the argument is borrowed, the
/// array of pairs owned.
///
/// # Errors
/// [`CallError`]; nothing is left mapped.
///
/// # Safety
/// As [`read()`].
pub unsafe fn read_parts(host: &Host, fnames: Obj) -> Result<(Obj, Vec<ReadFacts>), CallError> {
    // SAFETY: the argument is a scalar or a live object of `host`, by the contract, and an array keeps its elements
    // alive. Each part's dependencies are the parts before it, which are owned here or by the registry. The elements
    // are strings where they are handed out, or `path` had refused them. The host can allocate in a call of its
    // loader.
    unsafe {
        let fnames = elements(fnames, "file names")?;
        if let Some(image) = image::in_use(host).filter(|_| !wishes().force_relocate && !fnames.is_empty())
            && let Some(parts) = read_parts_from_image(image, fnames, wishes().verify)?
        {
            let pairs: Vec<Obj> = fnames
                .iter()
                .zip(&parts)
                .map(|(&fname, facts)| hand_out(host, fname, facts))
                .collect();
            return Ok((host.mk_array(&pairs), parts.iter().map(served).collect()));
        }
        let options = read_options(host);
        let mut opened: Vec<Opened<'_>> = Vec::with_capacity(fnames.len());
        for &fname in fnames {
            let earlier = Dependencies::new(opened.iter().map(Opened::view).collect::<Views>());
            let part = open::open(path(fname)?, &earlier, &options)?;
            if let Some(previous) = opened.last().map(Opened::view)
                && part.view().base < previous.base + previous.size as u64
            {
                return Err(CallError::Argument(format!(
                    "failed to read file '{}': its base address {:#x} is not behind that of the part before it \
                     ({:#x}, {} bytes): give the parts of one module in the order they were saved",
                    super::error::shown(path(fname)?),
                    part.view().base,
                    previous.base,
                    previous.size
                )));
            }
            opened.push(part);
        }
        let mut loaded: Vec<Loaded> = Vec::with_capacity(opened.len());
        for part in opened {
            let views = loaded.iter().map(|l| RegionView {
                begin: l.memory.address(),
                size: l.memory.size(),
                base: l.base,
            });
            let deps = Dependencies::new(views.collect::<Views>());
            loaded.push(part.load(&deps, &options)?);
        }
        let regions = loaded.iter().map(facts).collect();
        let mut entered: Vec<RegionFacts> = Vec::with_capacity(loaded.len());
        for (&fname, loaded) in fnames.iter().zip(loaded) {
            match enter(host, fname, loaded) {
                Ok(facts) => entered.push(facts),
                Err(e) => {
                    let gone = entered.iter().map(|e| registry::release(e.buffer, By::Handle));
                    gone.for_each(drop);
                    return Err(e);
                }
            }
        }
        let pairs: Vec<Obj> = fnames
            .iter()
            .zip(&entered)
            .map(|(&fname, facts)| hand_out(host, fname, facts))
            .collect();
        Ok((host.mk_array(&pairs), regions))
    }
}

/// Frees a region given as a handle or as a structure, which is consumed.
///
/// # Errors
/// It is no live region of this loader.
///
/// # Safety
/// On structure hosts `region` is a handle, a scalar, or a live object; elsewhere any word. Nothing of the region
/// is used any more.
pub unsafe fn free(host: &Host, region: Obj) -> Result<(), CallError> {
    let unknown = |what: &str| {
        CallError::Argument(format!(
            "failed to free a region: {what}: it was freed before, or it is something else"
        ))
    };
    match registry::release(region.0, By::Handle) {
        Ok(released) => return give_back(released),
        Err(NotReleased::Shared(holders)) => {
            return Err(CallError::Argument(format!(
                "failed to free a region: {holders} structures share the one with this handle: free each of them"
            )));
        }
        Err(NotReleased::Unknown | NotReleased::Gone) => {}
    }
    if image::release(region.0) {
        return Ok(());
    }
    if host.generation() != Generation::Structure || region.is_scalar() || region.0 == 0 {
        return Err(unknown("the handle is that of no live region"));
    }
    // SAFETY: on a structure host, what is no handle is an object, by the caller's word.
    unsafe {
        let facts = host.read_region_structure(region);
        let released = facts.and_then(|f| {
            let holder = By::Holder(host.region_file_path(region).0);
            let released = registry::release(f.buffer, holder).ok();
            // Regions of an image stay in memory, whoever has them.
            released.or_else(|| image::release(f.buffer).then_some(Released::Held))
        });
        let freed = released.ok_or_else(|| unknown("the structure is that of no live region"));
        // The root is made a scalar before anything else: whoever still holds the structure must not find a pointer
        // into memory that is gone. It is also done for a structure that is no live region's but is released right
        // here, because `dec` would follow its root, and the region may be gone already, freed through a copy of the
        // structure.
        let goes = facts.is_some_and(|f| f.holds_root()) && matches!(region.rc(), 1 | -1);
        if freed.is_ok() || goes {
            host.neutralise_region(region);
        }
        host.dec(region);
        give_back(freed?)
    }
}

/// Gives the memory of a region back with its last holder.
fn give_back(released: Released) -> Result<(), CallError> {
    match released {
        Released::Held => Ok(()),
        Released::Last(memory) => memory.release().map_err(|e| {
            CallError::Argument(format!(
                "failed to free a region: {}: its memory stays in use",
                errno_text(&e)
            ))
        }),
    }
}

/// Size in bytes of the region with this handle; `None` if there is none.
#[must_use]
pub fn size(handle: usize) -> Option<usize> {
    let entered = registry::facts(handle).map(|facts| facts.view.size);
    entered.or_else(|| image::facts(handle).map(|facts| facts.view.size))
}

/// Whether the region with this handle lies mapped at its base address; `None` if there is none.
#[must_use]
pub fn is_memory_mapped(handle: usize) -> Option<bool> {
    let entered = registry::facts(handle).map(|facts| facts.mapped);
    entered.or_else(|| image::facts(handle).map(|_| true))
}

/// How many regions are alive.
#[must_use]
pub fn live() -> usize {
    registry::live() + image::live()
}
