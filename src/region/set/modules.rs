//! The modules of a list, read by some threads at once: each module by one of them, its parts in order, with only
//! each other as dependencies.

use crate::dependencies::{Dependencies, RegionView};
use crate::host::RegionFacts;
use crate::os::clock::Moment;
use crate::os::panics;
use crate::os::threads::together;
use crate::region::ahead;
use crate::region::error::{CallError, ReadError, shown};
use crate::region::examine::ReadOptions;
use crate::region::freshness::Paths;
use crate::region::image::mapped::Mapped;
use crate::region::image::read::Given;
use crate::region::open::open;
use crate::region::read::Placed;
use olean_reader::format::room::{NoMemory, push, room};
use olean_reader::format::sidecar::{Module, Sidecar};
use std::ffi::CStr;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What memory is asked for.
pub(super) const WHAT: &str = "the regions of the snapshot's modules";

/// So many modules before it is read, the files of one are asked for: enough that a disk always has something to do.
const AHEAD: usize = 128;

/// How files are read, for all threads.
pub struct Reader<'a> {
    /// The list.
    pub list: &'a Sidecar,
    /// Whether its relative paths are meant from the snapshot's folder, which they begin with then.
    pub beside: bool,
    /// The image of this process.
    pub image: Option<&'static Mapped>,
    /// How files are read.
    pub options: &'a ReadOptions<'a>,
    /// Whether a region may have several holders in this host.
    pub shares: bool,
}

/// Where a region comes from.
pub enum Source {
    /// The image.
    Image(Given),
    /// Its file.
    File(Placed),
}

/// A region that was read and that nobody has yet: released when it is dropped.
pub struct Found {
    /// Where it comes from.
    pub source: Source,
    /// What reading it took.
    pub time: u64,
}

impl Found {
    /// Where it lies.
    pub fn view(&self) -> RegionView {
        let view = |begin, size, base| RegionView { begin, size, base };
        match &self.source {
            Source::Image(given) => {
                let &RegionFacts {
                    buffer, size, base, ..
                } = given.facts();
                view(buffer, size, base)
            }
            Source::File(Placed::Own(loaded)) => {
                view(loaded.memory.address(), loaded.memory.size(), loaded.base)
            }
            Source::File(Placed::Shared { claim, base, .. }) => {
                let bytes = claim.bytes();
                view(bytes.as_ptr() as usize, bytes.len(), *base)
            }
        }
    }
}

/// An error of memory that was refused.
pub(super) fn refused(e: NoMemory) -> CallError {
    CallError::Argument(e.to_string())
}

impl Reader<'_> {
    /// Reads one file with these dependencies, whose paths are known.
    ///
    /// # Errors
    /// [`CallError`]; nothing is left of it.
    ///
    /// # Safety
    /// `deps` describes live regions, which nobody changes meanwhile except Lean the references in them.
    pub unsafe fn one(&self, path: &CStr, deps: &Dependencies, paths: Paths<'_>) -> Result<Found, CallError> {
        let start = Moment::now();
        // SAFETY: the regions are alive, by the contract.
        let given = self
            .image
            .and_then(|image| unsafe { Given::new(image, path, deps, self.options) });
        let source = match given {
            Some(given) => Source::Image(given),
            None => {
                let opened = open(path, deps, self.options)?;
                opened.check_dependencies(deps, paths)?;
                // SAFETY: passed on from the caller.
                let placed = unsafe {
                    match self.shares {
                        true => opened.load_once(deps, self.options)?,
                        false => Placed::Own(opened.load(deps, self.options)?),
                    }
                };
                Source::File(placed)
            }
        };
        Ok(Found {
            source,
            time: start.elapsed(),
        })
    }

    /// Reads parts that may point into each other, each into the ones before it.
    fn parts(&self, files: Range<usize>, out: &mut Vec<Found>) -> Result<(), CallError> {
        let first = out.len();
        for file in files.clone() {
            let mut views = room(out.len() - first, WHAT).map_err(refused)?;
            views.extend(out[first..].iter().map(Found::view));
            let path_of = |i| Some(self.list.file(files.start + i).to_owned());
            let path = self.list.file(file);
            // SAFETY: the regions are in `out`, which has not given them to anybody yet.
            let found = unsafe { self.one(path, &Dependencies::new(views), &path_of) };
            let found = found.map_err(|e| match self.beside {
                true => e,
                false => told_from_where(path, e),
            })?;
            push(out, found, WHAT).map_err(refused)?;
        }
        Ok(())
    }

    fn module(&self, index: usize) -> Result<Vec<Found>, CallError> {
        let Module { olean, ir } = self.list.module(index);
        let mut out = room(olean.len() + ir.len(), WHAT).map_err(refused)?;
        self.parts(olean, &mut out)?;
        self.parts(ir, &mut out)?;
        Ok(out)
    }

    /// Asks for the files of modules that will be read soon after number `index`, if files have to come from a disk.
    fn ask_ahead(&self, index: usize, asked: &Asked) {
        if self.image.is_some() || !ahead::is_of_use() {
            return;
        }
        while let Some(next) = asked.next(index, self.list.len()) {
            let Module { olean, ir } = self.list.module(next);
            olean
                .chain(ir)
                .for_each(|file| ahead::ask_for(self.list.file(file)));
        }
    }

    /// Reads all modules by up to `workers` threads, this one among them. Answers their regions in the order of the
    /// list, whoever read them.
    ///
    /// # Errors
    /// That of the first module in this order that cannot be read; nothing is left of any.
    pub fn modules(&self, workers: usize) -> Result<Vec<Vec<Found>>, CallError> {
        let (next, asked) = (AtomicUsize::new(0), Asked(AtomicUsize::new(0)));
        // The first module known to have failed. Modules are taken in their order: whoever takes a later one knows that
        // those before it have been taken, and only their errors can still come first.
        let failed = AtomicUsize::new(usize::MAX);
        let work = || {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= self.list.len().min(failed.load(Ordering::Relaxed)) {
                    return done;
                }
                self.ask_ahead(index, &asked);
                let read = panics::caught(|| self.module(index));
                let read = read.unwrap_or_else(|panic| Err(CallError::Argument(panic)));
                if read.is_err() {
                    failed.fetch_min(index, Ordering::Relaxed);
                }
                if done.try_reserve(1).is_err() {
                    // What is not entered below counts as refused.
                    failed.fetch_min(index, Ordering::Relaxed);
                    return done;
                }
                done.push((index, read));
            }
        };
        let mut out: Vec<Option<Result<Vec<Found>, CallError>>> =
            room(self.list.len(), WHAT).map_err(refused)?;
        out.resize_with(self.list.len(), || None);
        let threads = workers.min(self.list.len());
        for (index, read) in together(threads, work).into_iter().flatten() {
            out[index] = Some(read);
        }
        let mut modules = room(out.len(), WHAT).map_err(refused)?;
        for read in out {
            let bytes = size_of::<Vec<Found>>();
            modules.push(read.unwrap_or_else(|| Err(refused(NoMemory { what: WHAT, bytes })))?);
        }
        Ok(modules)
    }
}

/// Modules before this number have been asked for by some thread, or are not worth it any more.
struct Asked(AtomicUsize);

impl Asked {
    /// The next module to be asked for by a thread that reads number `index` now, of `count` modules.
    fn next(&self, index: usize, count: usize) -> Option<usize> {
        let end = (index + AHEAD).min(count);
        let first = |asked: usize| asked.max(index + 1);
        let claim = |asked| (first(asked) < end).then(|| first(asked) + 1);
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, claim);
        before.ok().map(first)
    }
}

/// Says of a file that is not there from where its path is meant.
fn told_from_where(path: &CStr, e: CallError) -> CallError {
    match e {
        CallError::Read(ReadError::Open { .. }) if path.to_bytes().first() != Some(&b'/') => {
            let text = format!(
                "{e}; the snapshot's list has '{}', which is meant from the working directory",
                shown(path)
            );
            CallError::Argument(text)
        }
        e => e,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_module_is_asked_for_once_and_before_it_is_read() {
        const COUNT: usize = 3 * AHEAD;
        let all = |asked: &Asked, index| -> Vec<usize> {
            std::iter::from_fn(|| asked.next(index, COUNT)).collect()
        };
        let asked = Asked(AtomicUsize::new(0));
        assert_eq!(all(&asked, 0), (1..AHEAD).collect::<Vec<_>>());
        assert!(all(&asked, 0).is_empty());
        assert_eq!(all(&asked, 1), [AHEAD]);
        // What has been read meanwhile is not asked for.
        assert_eq!(all(&asked, 2 * AHEAD), (2 * AHEAD + 1..COUNT).collect::<Vec<_>>());
        assert!(all(&asked, COUNT - 1).is_empty());
        let (asked, next) = (Asked(AtomicUsize::new(0)), AtomicUsize::new(0));
        let found = together(4, || {
            let mut found = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= COUNT {
                    return found;
                }
                found.extend(all(&asked, index));
            }
        });
        let mut found: Vec<usize> = found.into_iter().flatten().collect();
        found.sort_unstable();
        let once = found.len();
        found.dedup();
        assert_eq!(found.len(), once);
    }
}
