//! Digests of the files that regions came from, taken by reading them: the mappings are not touched. Many files are
//! read by some threads, which end before the answer is given. An image remembers the digests of its files: these are
//! not read.

use super::examine::identity;
use super::registry::FileOf;
use crate::os::file::File;
use crate::os::lock::Lock;
use crate::os::threads::together;
use olean_reader::format::dependencies::{ContentDigest, content_digest};
use std::collections::{BTreeMap, TryReserveError};
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
pub struct Wanted {
    /// Its path.
    pub path: CString,
    /// The file that is meant: of another one that lies at the path now the digest is not taken.
    pub file: FileOf,
    /// The digest, where it is known already.
    pub known: Option<ContentDigest>,
}

/// What is known of files of this process's regions, for the file is hashed once only. Its nodes are small, which the
/// reserve of memory covers.
static KNOWN: Lock<BTreeMap<FileOf, ContentDigest>> = Lock::new(BTreeMap::new());

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
///
/// # Errors
/// There is no memory for the list of them.
pub fn digests(wanted: &[Wanted]) -> Result<Vec<Result<ContentDigest, NoDigest>>, TryReserveError> {
    let (mut out, mut unknown) = (Vec::new(), Vec::new());
    out.try_reserve_exact(wanted.len())?;
    unknown.try_reserve_exact(wanted.len())?;
    // What no thread comes to is left for want of memory.
    let missing = || NoDigest::Unreadable(io::Error::from_raw_os_error(libc::ENOMEM));
    {
        let known = KNOWN.lock();
        let of = |file: &Wanted| file.known.or_else(|| known.get(&file.file).copied());
        out.extend(wanted.iter().map(|file| of(file).ok_or_else(missing)));
    }
    unknown.extend((0..wanted.len()).filter(|&index| out[index].is_err()));
    let threads = match unknown.len() {
        0 => return Ok(out),
        1..FEW => 1,
        _ => thread::available_parallelism()
            .map_or(1, usize::from)
            .min(THREADS),
    };
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut buffer, mut done) = (Vec::new(), Vec::new());
        if buffer.try_reserve_exact(STEP).is_err() || done.try_reserve_exact(unknown.len()).is_err() {
            return done;
        }
        buffer.resize(STEP, 0);
        while let Some(&index) = unknown.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push((index, digest(&wanted[index], &mut buffer)));
        }
        done
    };
    let done = together(threads, work).into_iter().flatten();
    let mut known = KNOWN.lock();
    for (index, digest) in done {
        if let Ok(digest) = digest {
            known.insert(wanted[index].file, digest);
        }
        out[index] = digest;
    }
    Ok(out)
}

fn digest(wanted: &Wanted, buffer: &mut [u8]) -> Result<ContentDigest, NoDigest> {
    let file = File::open(&wanted.path)?;
    let whole = Whole {
        file: &file,
        at: 0,
        end: wanted.file.size,
    };
    let digest = content_digest(whole, buffer);
    // One look, afterwards: of another file what was read counts for nothing, and whoever wrote to this one since its
    // region was read, or does so now, has changed its times.
    if !wanted.file.is(&identity(&file)?) {
        return Err(NoDigest::Replaced);
    }
    Ok(digest?)
}

/// A file from its start to the end that it had when its region was read. Nothing is asked for behind that: most files
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
