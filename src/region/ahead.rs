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

/// How many first parts have been read since one was not in memory.
static MODULES: AtomicU32 = AtomicU32::new(0);
/// How many of each of [`OTHERS`].
static PARTS: [AtomicU32; OTHERS.len()] = [const { AtomicU32::new(0) }; OTHERS.len()];

/// How often a system may refuse to say whether a file is in memory before it is not asked any more: some file systems
/// do not know, and some sandboxes know no such question.
const REFUSALS: u32 = 8;
static REFUSED: AtomicU32 = AtomicU32::new(0);

/// Reads the start of the file into `out`, having asked for the rest of it if it is not in memory; answers the bytes
/// read.
///
/// # Errors
/// What `pread` says.
pub(super) fn read_start(path: &CStr, file: &File, out: &mut [u8]) -> io::Result<usize> {
    let Some(at_once) = read_at_once(file, out) else {
        note(path, true);
        file.will_need(MOST);
        return file.read_at(out, 0);
    };
    if is_of_use() {
        note(path, false);
    }
    match at_once == out.len() {
        true => Ok(at_once),
        false => file.read_at(out, 0),
    }
}

/// The bytes that came without waiting, 0 where the system does not say how many would; `None` if they have to be
/// waited for.
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

/// Counts the file, and if it is the first of a module and not in memory, asks for the others.
fn note(path: &CStr, cold: bool) {
    let path = path.to_bytes();
    if let Some(part) = OTHERS.iter().position(|end| path.ends_with(end.as_bytes())) {
        PARTS[part].fetch_add(1, Relaxed);
        return;
    }
    let Some(stem) = path.strip_suffix(FIRST.as_bytes()) else {
        return;
    };
    let modules = MODULES.fetch_add(1, Relaxed);
    if cold {
        let parts = OTHERS.iter().zip(&PARTS);
        let usual = parts.filter(|(_, read)| read.load(Relaxed) > modules / 2);
        for (end, _) in usual {
            if let Ok(part) = CString::new([stem, end.as_bytes()].concat()) {
                ask_for(&part);
            }
        }
    }
}

/// Whether files that were read so far were not in memory.
pub(super) fn is_of_use() -> bool {
    MODULES.load(Relaxed) > 0
}

/// Asks for a file, if it is there.
pub(super) fn ask_for(path: &CStr) {
    if let Ok(file) = File::open_at_once(path) {
        file.will_need(MOST);
    }
}
