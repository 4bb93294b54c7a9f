//! Digests of the files that regions came from, taken by reading them: the mappings are not touched. Many files are
//! read by some threads, which end before the answer is given. An image remembers the digests of its files: these are
//! not read.

use super::examine::identity;
use crate::os::file::File;
use crate::os::lock::Lock;
use crate::os::threads::together;
use olean_reader::format::dependencies::{ContentDigest, content_digest};
use olean_reader::format::identity::Identity;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Most threads that read.
const THREADS: usize = 4;
/// Fewer files than this are read by one thread.
const FEW: usize = 16;
/// Bytes read at once.
const STEP: usize = 128 << 10;

/// A file whose digest is wanted.
pub struct Wanted<'a> {
    /// Its path.
    pub path: CString,
    /// Whether what lies there now is the file that is meant.
    pub is_meant: &'a (dyn Fn(&Identity) -> bool + Sync),
    /// The digest, where it is known already.
    pub known: Option<ContentDigest>,
}

/// What is known of files of this process's regions, for the file is hashed once only. Its nodes are small, which the
/// reserve of memory covers.
static KNOWN: Lock<BTreeMap<Identity, ContentDigest>> = Lock::new(BTreeMap::new());

/// Why the digest of a file is not known.
#[derive(Debug)]
pub enum NoDigest {
    /// The file is another one by now.
    Replaced,
    /// The system does not let it be read, or memory for that is short.
    Unreadable(io::Error),
}

impl From<io::Error> for NoDigest {
    fn from(e: io::Error) -> Self {
        NoDigest::Unreadable(e)
    }
}

/// The digests of these files.
#[must_use]
pub fn digests(wanted: &[Wanted<'_>]) -> Vec<Result<ContentDigest, NoDigest>> {
    let threads = match wanted.iter().filter(|file| file.known.is_none()).count() {
        0..FEW => 1,
        _ => thread::available_parallelism()
            .map_or(1, usize::from)
            .min(THREADS),
    };
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut buffer, mut done) = (Vec::new(), Vec::new());
        if buffer.try_reserve_exact(STEP).is_err() || done.try_reserve_exact(wanted.len()).is_err() {
            return done;
        }
        buffer.resize(STEP, 0);
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(file) = wanted.get(index) else {
                return done;
            };
            if file.known.is_none() {
                done.push((index, digest(file, &mut buffer)));
            }
        }
    };
    // What nobody comes to is left for want of memory.
    let missing = || NoDigest::Unreadable(io::Error::from_raw_os_error(libc::ENOMEM));
    let known = wanted.iter().map(|file| file.known.ok_or_else(missing));
    let mut out: Vec<_> = known.collect();
    for (index, digest) in together(threads, work).into_iter().flatten() {
        out[index] = digest;
    }
    out
}

fn digest(wanted: &Wanted<'_>, buffer: &mut [u8]) -> Result<ContentDigest, NoDigest> {
    let file = File::open(&wanted.path)?;
    let is = identity(&file)?;
    if !(wanted.is_meant)(&is) {
        return Err(NoDigest::Replaced);
    }
    if let Some(known) = KNOWN.lock().get(&is) {
        return Ok(*known);
    }
    let whole = Whole {
        file: &file,
        at: 0,
        end: is.size,
    };
    let digest = content_digest(whole, buffer)?;
    // Whoever wrote to it meanwhile has changed its times.
    if identity(&file)? != is {
        return Err(NoDigest::Replaced);
    }
    KNOWN.lock().insert(is, digest);
    Ok(digest)
}

/// A file from its start to the end that it had when it was looked at. Nothing is asked for behind that: most files
/// come whole by one call then.
struct Whole<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Whole<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let wanted = out.len().min(rest);
        let n = self.file.read_at(&mut out[..wanted], self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}
