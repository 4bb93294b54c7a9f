//! The names of the files that were saved in this process, for the report. A list without locks, so that it can be
//! read at any moment, also while the process ends.

use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

/// A file that was saved, and the ones before it.
struct SavedFile {
    path: PathBuf,
    before: *const SavedFile,
}

/// The last file saved; null before the first. The list is never freed: it is read at exit without a lock.
static LAST: AtomicPtr<SavedFile> = AtomicPtr::new(ptr::null_mut());
static KEEP: AtomicBool = AtomicBool::new(false);

/// Says whether the names of saved files are kept, which takes memory for as long as the process lives.
pub fn keep(keep: bool) {
    KEEP.store(keep, Relaxed);
}

/// Keeps the name of a file that was saved under `path`, if that is wanted.
pub fn add(path: &Path) {
    if !KEEP.load(Relaxed) {
        return;
    }
    // The process may change its directory.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let before = ptr::null();
    let new = Box::into_raw(Box::new(SavedFile { path, before }));
    let _ = LAST.fetch_update(Release, Acquire, |last| {
        // SAFETY: the box made above, which nobody else sees before it is in the list.
        unsafe { (*new).before = last };
        Some(new)
    });
}

/// The names of the files saved so far, each once, sorted.
#[must_use]
pub fn all() -> Vec<&'static Path> {
    let mut files = Vec::new();
    let mut next = LAST.load(Acquire).cast_const();
    // SAFETY: null or a file that was leaked into the list complete (the store released what this load acquires)
    // and is never changed or freed; so are those before it.
    while let Some(file) = unsafe { next.as_ref() } {
        files.push(file.path.as_path());
        next = file.before;
    }
    files.sort_unstable();
    files.dedup();
    files
}

/// Forgets the names: what a forked child begins with. A store only.
pub fn reset() {
    LAST.store(ptr::null_mut(), Relaxed);
}
