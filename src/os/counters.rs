//! What the loader did in this process, counted for the report: calls, bytes, time, and notes about files.
//! Atomics and no locks, so that the numbers can be read at any moment, also while the process ends.

use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};
use std::time::Duration;

/// Counts of one kind of call.
#[derive(Debug)]
pub struct Counter {
    calls: AtomicU64,
    errors: AtomicU64,
    bytes: AtomicU64,
    nanoseconds: AtomicU64,
    mapped: AtomicU64,
    mapped_nanoseconds: AtomicU64,
    relocated: AtomicU64,
}

/// Files written (each part of a batch is one call).
pub static SAVE: Counter = Counter::new();
/// Files read.
pub static READ: Counter = Counter::new();
/// Regions released.
pub static FREE: Counter = Counter::new();

/// The numbers of a [`Counter`] at one moment.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counts {
    /// Calls, the failed ones included.
    pub calls: u64,
    /// Calls that failed.
    pub errors: u64,
    /// Bytes of the files of successful calls.
    pub bytes: u64,
    /// Time inside the loader, failed calls included.
    pub nanoseconds: u64,
    /// Reads whose region lies in a mapping at its base address.
    pub mapped: u64,
    /// Time of those reads inside the loader.
    pub mapped_nanoseconds: u64,
    /// Reads that went through relocation.
    pub relocated: u64,
}

impl Counter {
    const fn new() -> Self {
        Self {
            calls: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            nanoseconds: AtomicU64::new(0),
            mapped: AtomicU64::new(0),
            mapped_nanoseconds: AtomicU64::new(0),
            relocated: AtomicU64::new(0),
        }
    }

    /// Counts a successful call on a file of `bytes` bytes that took `time`.
    pub fn record(&self, bytes: u64, time: Duration) {
        self.bytes.fetch_add(bytes, Relaxed);
        self.call(time);
    }

    /// Counts a failed call that took `time`.
    pub fn error(&self, time: Duration) {
        self.errors.fetch_add(1, Relaxed);
        self.call(time);
    }

    fn call(&self, time: Duration) {
        self.nanoseconds.fetch_add(nanoseconds(time), Relaxed);
        self.calls.fetch_add(1, Relaxed);
    }

    /// Counts a read of `time` whose region was handed out as it was mapped, in addition to
    /// [`record`](Self::record).
    pub fn add_mapped(&self, time: Duration) {
        self.mapped.fetch_add(1, Relaxed);
        self.mapped_nanoseconds.fetch_add(nanoseconds(time), Relaxed);
    }

    /// Counts a read that went through relocation, in addition to [`record`](Self::record).
    pub fn add_relocated(&self) {
        self.relocated.fetch_add(1, Relaxed);
    }

    /// The numbers now. Calls that are under way in other threads may be counted in part.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            calls: self.calls.load(Relaxed),
            errors: self.errors.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            nanoseconds: self.nanoseconds.load(Relaxed),
            mapped: self.mapped.load(Relaxed),
            mapped_nanoseconds: self.mapped_nanoseconds.load(Relaxed),
            relocated: self.relocated.load(Relaxed),
        }
    }

    fn reset(&self) {
        let all = [
            &self.calls,
            &self.errors,
            &self.bytes,
            &self.nanoseconds,
            &self.mapped,
            &self.mapped_nanoseconds,
            &self.relocated,
        ];
        all.iter().for_each(|number| number.store(0, Relaxed));
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A file that was saved, and the ones before it.
struct SavedFile {
    path: PathBuf,
    before: *const SavedFile,
}

/// The last file saved; null before the first. The list is never freed: it is read at exit without a lock.
static SAVED_FILES: AtomicPtr<SavedFile> = AtomicPtr::new(ptr::null_mut());
static KEEP_SAVED_FILES: AtomicBool = AtomicBool::new(false);

/// Says whether the names of saved files are kept, which takes memory for as long as the process lives.
pub fn keep_saved_files(keep: bool) {
    KEEP_SAVED_FILES.store(keep, Relaxed);
}

/// Keeps the name of a file that was saved under `path`, if that is wanted.
pub fn saved_file(path: &Path) {
    if !KEEP_SAVED_FILES.load(Relaxed) {
        return;
    }
    // The process may change its directory.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let before = ptr::null();
    let new = Box::into_raw(Box::new(SavedFile { path, before }));
    let _ = SAVED_FILES.fetch_update(Release, Acquire, |last| {
        // SAFETY: the box made above, which nobody else sees before it is in the list.
        unsafe { (*new).before = last };
        Some(new)
    });
}

/// The names of the files saved so far, each once, sorted.
#[must_use]
pub fn saved_files() -> Vec<&'static Path> {
    let mut files = Vec::new();
    let mut next = SAVED_FILES.load(Acquire).cast_const();
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

/// Something about one file that a reader of the report should know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// The file.
    pub file: String,
    /// What happened and why.
    pub reason: String,
}

/// How many notes are kept; later ones are only counted.
pub const MAX_NOTES: usize = 256;

/// Notes in the order they came. Each slot is written once and its note is never freed.
struct Notes {
    slots: [AtomicPtr<Note>; MAX_NOTES],
    noted: AtomicUsize,
}

static NOTES: Notes = Notes::new();

impl Notes {
    const fn new() -> Self {
        Self {
            slots: [const { AtomicPtr::new(ptr::null_mut()) }; MAX_NOTES],
            noted: AtomicUsize::new(0),
        }
    }

    fn add(&self, file: &Path, reason: String) {
        let index = self.noted.fetch_add(1, Relaxed);
        if let Some(slot) = self.slots.get(index) {
            let note = Note {
                file: file.to_string_lossy().into_owned(),
                reason,
            };
            slot.store(Box::into_raw(Box::new(note)), Release);
        }
    }

    fn kept(&self) -> (Vec<&'static Note>, usize) {
        let noted = self.noted.load(Relaxed);
        let kept = self.slots.iter().take(noted).filter_map(|slot| {
            // SAFETY: a slot is null or holds a note that was leaked into it complete (the store released
            // what this load acquires) and is never changed or freed.
            unsafe { slot.load(Acquire).as_ref() }
        });
        (kept.collect(), noted)
    }

    fn reset(&self) {
        self.slots
            .iter()
            .for_each(|slot| slot.store(ptr::null_mut(), Relaxed));
        self.noted.store(0, Relaxed);
    }
}

/// Keeps a note for the report, for instance why a file had to be relocated. Beyond [`MAX_NOTES`] it is
/// only counted.
pub fn note(file: &Path, reason: impl Into<String>) {
    NOTES.add(file, reason.into());
}

/// The notes kept so far and how many came in all.
#[must_use]
pub fn notes() -> (Vec<&'static Note>, usize) {
    NOTES.kept()
}

/// Sets all counts to zero and forgets the notes: what a forked child begins with. Stores only, and so
/// allowed in the child of a process with several threads.
pub fn reset() {
    [&SAVE, &READ, &FREE].iter().for_each(|counter| counter.reset());
    NOTES.reset();
    SAVED_FILES.store(ptr::null_mut(), Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_errors_and_times_add_up() {
        let counter = Counter::new();
        counter.record(100, Duration::from_nanos(5));
        counter.record(20, Duration::from_nanos(7));
        counter.error(Duration::from_micros(1));
        counter.add_mapped(Duration::from_nanos(5));
        counter.add_relocated();
        let expected = Counts {
            calls: 3,
            errors: 1,
            bytes: 120,
            nanoseconds: 1012,
            mapped: 1,
            mapped_nanoseconds: 5,
            relocated: 1,
        };
        assert_eq!(counter.counts(), expected);
        counter.reset();
        assert_eq!(counter.counts(), Counts::default());
    }

    #[test]
    fn notes_are_kept_in_order_up_to_a_bound_and_counted_beyond() {
        static NOTES: Notes = Notes::new();
        let make = || (0..100).for_each(|i| NOTES.add(Path::new("a/b.olean"), format!("r{i}")));
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(make)).collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().expect("no panic"));
        let (kept, noted) = NOTES.kept();
        assert_eq!((kept.len(), noted), (MAX_NOTES, 400));
        assert!(kept.iter().all(|note| note.file == "a/b.olean"));
        NOTES.reset();
        NOTES.add(Path::new("later"), "first again".into());
        let (kept, noted) = NOTES.kept();
        assert_eq!((kept.len(), noted), (1, 1));
        assert_eq!(kept[0].reason, "first again");
    }
}
