//! Files that are not in memory are asked for as a whole, and so are those that will be read next.
//!
//! A disk takes long for each request and little more for a larger one, and serves several at a time. A file that is
//! mapped comes in two requests, each of which is waited for: its header, and what lies around its root. So where the
//! header is not in memory the system is asked for the whole file at once. The other parts of the module are asked for
//! too, if this process has read such parts of most modules so far; they come while this one is read. Nothing of that
//! is done where files are in memory, and nothing is waited for.

use crate::os::file::File;
use std::ffi::{CStr, CString};
use std::io;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Of a file so many bytes are asked for. Nearly all region files have fewer, and of larger ones a process may need a
/// part alone.
const MOST: u64 = 1 << 20;

/// How the file of the first part of a module ends.
const FIRST: &str = ".olean";
/// How those of the others do, and those with its compiled code.
const OTHERS: [&str; 4] = [".olean.server", ".olean.private", ".ir.sig", ".ir"];

/// How often a system may refuse to say whether a file is in memory before it is not asked any more: some file systems
/// do not know, and some sandboxes know no such question.
const REFUSALS: u32 = 8;
static REFUSED: AtomicU32 = AtomicU32::new(0);

/// After so many files in a row that were in memory the others are taken to be there too, and only one in so many is
/// asked about: a read that is not to wait takes the system a little longer than one that may.
const WARM: u32 = 64;
const ASKED: u32 = 32;
/// Files in a row that were in memory. Threads may lose a count to one another.
static IN_MEMORY: AtomicU32 = AtomicU32::new(0);

/// What has been read since a file was found not to be in memory.
struct Seen {
    /// First parts.
    modules: AtomicU32,
    /// Each of [`OTHERS`].
    parts: [AtomicU32; OTHERS.len()],
}

static SEEN: Seen = Seen::new();

impl Seen {
    const fn new() -> Self {
        Seen {
            modules: AtomicU32::new(0),
            parts: [const { AtomicU32::new(0) }; OTHERS.len()],
        }
    }

    /// Whether some module was not in memory.
    fn is_cold(&self) -> bool {
        self.modules.load(Relaxed) > 0
    }

    /// Counts the file `path`; `cold` if it is not in memory. If it is the first one of a module then, answers those
    /// that will be read after it.
    fn note(&self, path: &CStr, cold: bool) -> Vec<CString> {
        let path = path.to_bytes();
        if let Some(part) = OTHERS.iter().position(|end| path.ends_with(end.as_bytes())) {
            self.parts[part].fetch_add(1, Relaxed);
            return Vec::new();
        }
        let Some(stem) = path.strip_suffix(FIRST.as_bytes()) else {
            return Vec::new();
        };
        let modules = self.modules.fetch_add(1, Relaxed);
        let usual = |&(_, read): &(&&str, &AtomicU32)| cold && read.load(Relaxed) > modules / 2;
        let next = OTHERS.iter().zip(&self.parts).filter(usual);
        next.filter_map(|(end, _)| CString::new([stem, end.as_bytes()].concat()).ok())
            .collect()
    }
}

/// Reads the start of the file into `out`, having asked for the rest of it if it is not in memory; answers the bytes
/// read.
///
/// # Errors
/// What `pread` says.
#[inline(always)]
pub(super) fn read_start(path: &CStr, file: &File, out: &mut [u8]) -> io::Result<usize> {
    let granted = is_in_memory();
    let mut at_once = 0;
    if !granted {
        match read_at_once(file, out) {
            Some(n) => at_once = n,
            None => return read_cold(path, file, out),
        }
    }
    // Where the system does not say it nothing is known.
    pass(path, granted || at_once > 0);
    match at_once == out.len() {
        true => Ok(at_once),
        false => file.read_at(out, 0),
    }
}

/// Whether the next file is taken to be in memory without the system being asked; never where it has refused to say so.
#[inline]
pub(super) fn is_in_memory() -> bool {
    is_taken_for_granted(IN_MEMORY.load(Relaxed), REFUSED.load(Relaxed))
}

/// Counts a file that was not waited for; `in_memory` if it was, or was taken to be in memory.
#[inline]
pub(super) fn pass(path: &CStr, in_memory: bool) {
    if in_memory {
        IN_MEMORY.store(IN_MEMORY.load(Relaxed).wrapping_add(1), Relaxed);
    }
    if SEEN.is_cold() {
        SEEN.note(path, false);
    }
}

/// Whether a file is taken to be in memory after so many that were, where the system has refused so often to say.
#[inline]
fn is_taken_for_granted(in_memory: u32, refused: u32) -> bool {
    refused == 0 && in_memory >= WARM && !in_memory.is_multiple_of(ASKED)
}

/// The same of a file that is not in memory.
#[cold]
fn read_cold(path: &CStr, file: &File, out: &mut [u8]) -> io::Result<usize> {
    IN_MEMORY.store(0, Relaxed);
    SEEN.note(path, true).iter().for_each(|next| ask_for(next));
    file.will_need(MOST);
    file.read_at(out, 0)
}

/// The bytes that came without waiting, 0 where the system does not say how many would; `None` if they have to be
/// waited for.
#[inline(always)]
fn read_at_once(file: &File, out: &mut [u8]) -> Option<usize> {
    if REFUSED.load(Relaxed) >= REFUSALS {
        return Some(0);
    }
    match file.read_without_waiting(out) {
        Ok(n) => Some(n),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => None,
        Err(_) => {
            REFUSED.fetch_add(1, Relaxed);
            Some(0)
        }
    }
}

/// Whether it is of use to ask for files: some that were read were not in memory.
pub(super) fn is_of_use() -> bool {
    SEEN.is_cold()
}

/// Asks for a file, if it is there.
pub(super) fn ask_for(path: &CStr) {
    if let Ok(file) = File::open_at_once(path) {
        file.will_need(MOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(seen: &Seen, path: &CStr, cold: bool) -> Vec<String> {
        let next = seen.note(path, cold);
        next.into_iter().map(|p| p.into_string().expect("text")).collect()
    }

    #[test]
    fn files_are_asked_about_until_many_were_in_memory_and_now_and_then_after_that() {
        let asked = |files: std::ops::Range<u32>| files.filter(|&n| !is_taken_for_granted(n, 0)).count();
        assert_eq!(asked(0..WARM), WARM as usize);
        assert_eq!(asked(WARM..WARM + 10 * ASKED), 10);
        assert!(is_taken_for_granted(WARM + 1, 0) && !is_taken_for_granted(WARM + 1, 1));
    }

    #[test]
    fn parts_that_most_modules_had_are_asked_for_with_the_first_one() {
        let seen = Seen::new();
        assert!(
            noted(&seen, c"d/A.olean", true).is_empty(),
            "nothing is known yet"
        );
        for part in [c"d/A.olean.server", c"d/A.ir.sig", c"d/A.ir"] {
            assert!(noted(&seen, part, true).is_empty());
        }
        let all = ["d/B.olean.server", "d/B.ir.sig", "d/B.ir"];
        assert_eq!(noted(&seen, c"d/B.olean", true), all);
        for part in [c"d/B.olean.server", c"d/B.ir"] {
            noted(&seen, part, false);
        }
        // Of two modules one had the part: that is no more than half.
        assert_eq!(noted(&seen, c"C.olean", true), ["C.olean.server", "C.ir"]);
        assert!(
            noted(&seen, c"D.olean", false).is_empty(),
            "it is in memory, and so will the others be"
        );
        for strange in [c"", c"Snapshot", c"x.olean.tmp", c"olean"] {
            assert!(noted(&seen, strange, true).is_empty());
        }
        assert_eq!(seen.modules.load(Relaxed), 4);
    }
}
