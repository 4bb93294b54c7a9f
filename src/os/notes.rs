//! Notes about files, for the report: why one had to be relocated, why two loaders could not be compared. Atomics and
//! no locks, so that they can be read at any moment, also while the process ends.

use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

/// Something about one file that a reader of the report should know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// The file.
    pub file: String,
    /// What happened and why.
    pub reason: String,
}

/// How many notes are kept; later ones are only counted.
pub const MAX: usize = 256;

/// Notes in the order they came. Each slot is written once and its note is never freed.
struct Notes {
    slots: [AtomicPtr<Note>; MAX],
    noted: AtomicUsize,
}

static NOTES: Notes = Notes::new();

impl Notes {
    const fn new() -> Self {
        Self {
            slots: [const { AtomicPtr::new(ptr::null_mut()) }; MAX],
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

/// Keeps a note for the report, for instance why a file had to be relocated. Beyond [`MAX`] it is
/// only counted.
pub fn add(file: &Path, reason: impl Into<String>) {
    NOTES.add(file, reason.into());
}

/// The notes kept so far and how many came in all.
#[must_use]
pub fn all() -> (Vec<&'static Note>, usize) {
    NOTES.kept()
}

/// Forgets the notes: what a forked child begins with. Stores only.
pub fn reset() {
    NOTES.reset();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_kept_in_order_up_to_a_bound_and_counted_beyond() {
        static NOTES: Notes = Notes::new();
        let make = || (0..100).for_each(|i| NOTES.add(Path::new("a/b.olean"), format!("r{i}")));
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(make)).collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().expect("no panic"));
        let (kept, noted) = NOTES.kept();
        assert_eq!((kept.len(), noted), (MAX, 400));
        assert!(kept.iter().all(|note| note.file == "a/b.olean"));
        NOTES.reset();
        NOTES.add(Path::new("later"), "first again".into());
        let (kept, noted) = NOTES.kept();
        assert_eq!((kept.len(), noted), (1, 1));
        assert_eq!(kept[0].reason, "first again");
    }
}
