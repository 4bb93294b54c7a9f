//! An image brought up to date with files that are the same but for their times, inodes or devices: copies, restored
//! caches, remounted disks. The regions stay as they are; what changed is left to be built anew.

use super::build::time_to_settle;
use super::collect::identity;
use super::new_file::NewFile;
use super::open::{self, Image};
use super::source::settled_digest;
use crate::error::{Failure, Result};
use crate::prove;
use lean_region::os::file::{WRITTEN_AT_ONCE, errno_text};
use olean_reader::format::identity::Identity;
use olean_reader::format::image::header::PAGE;
use olean_reader::format::image::{NewEntry, NewTables, Tables};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::SystemTime;

/// How a source file stands to its entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The very same file.
    Same,
    /// Another identity, and what differs in it; the content was not looked at.
    Differs(&'static str),
    /// Another identity, the same content.
    Copy(Identity),
    /// Other content.
    Changed,
    /// It is not there.
    Gone,
    /// It is there, and cannot be looked at or read: the number of the system's error.
    Unreadable(i32),
}

impl State {
    /// Of a file that the system refused.
    fn refused(e: &io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::NotFound => State::Gone,
            _ => State::Unreadable(e.raw_os_error().unwrap_or_default()),
        }
    }
}

/// Why a file with that error's number cannot be looked at or read.
pub fn unreadable(errno: i32) -> String {
    let text = errno_text(&io::Error::from_raw_os_error(errno));
    format!("cannot be read: {text}")
}

/// How every source file stands to its entry, by `stat` alone.
pub fn compare(tables: &Tables<'_>, paths: &[Vec<PathBuf>]) -> Vec<State> {
    let state = |index: usize| {
        let entry = tables.entry(index as u32)?;
        let states = paths[index].iter().map(|path| match fs::metadata(path) {
            Err(e) => State::refused(&e),
            Ok(meta) => match entry.identity.difference(&identity(&meta)) {
                None => State::Same,
                Some(what) => State::Differs(what),
            },
        });
        // Of several names the best one counts.
        states.min_by_key(|s| match s {
            State::Same => 0,
            State::Gone => 3,
            State::Unreadable(_) => 2,
            _ => 1,
        })
    };
    (0..paths.len())
        .map(|i| state(i).unwrap_or(State::Changed))
        .collect()
}

/// Writes the image anew with the identities that its sources have now, if any differ and their content does not; answers
/// how each entry stood.
pub fn refresh(image: &Image, jobs: usize) -> Result<Vec<State>> {
    let tables = image.tables()?;
    let paths = open::paths(&tables);
    let mut states = compare(&tables, &paths);
    let open: Vec<usize> = (0..states.len())
        .filter(|&i| matches!(states[i], State::Differs(_)))
        .collect();
    settle(&open, &paths);
    let bar = prove::bar(open.len(), "hashing");
    let next = AtomicUsize::new(0);
    let results: Vec<OnceLock<State>> = open.iter().map(|_| OnceLock::new()).collect();
    prove::on_threads(jobs.min(open.len()), || {
        while let Some(&i) = open.get(next.fetch_add(1, Ordering::Relaxed)) {
            let at = open.partition_point(|&o| o < i);
            results[at].get_or_init(|| hash(&tables, i, &paths[i]));
            bar.inc(1);
        }
    });
    bar.finish_and_clear();
    for (i, result) in open.into_iter().zip(results) {
        states[i] = result.into_inner().unwrap_or(State::Changed);
    }
    if states.iter().any(|s| matches!(s, State::Copy(_))) {
        write(image, &tables, &paths, &states)?;
    }
    Ok(states)
}

/// Waits until files that were just written would change their times with the next write.
fn settle(files: &[usize], paths: &[Vec<PathBuf>]) {
    let now = SystemTime::now();
    let youngest = files
        .iter()
        .flat_map(|&i| &paths[i])
        .filter_map(|p| fs::metadata(p).ok());
    let wait = youngest
        .map(|m| identity(&m).youngest())
        .max()
        .and_then(|y| time_to_settle(y, now));
    wait.into_iter().for_each(thread::sleep);
}

/// Whether one of the names of an entry has the content that the entry was made of.
fn hash(tables: &Tables<'_>, index: usize, paths: &[PathBuf]) -> State {
    let written = tables.digests(index as u32).map(|(source, _)| source);
    let size = tables.entry(index as u32).map(|e| e.identity.size);
    let mut state = State::Gone;
    for path in paths {
        let found = fs::metadata(path).and_then(|meta| match Some(meta.len()) == size {
            true => settled_digest(path),
            false => Ok(None),
        });
        match found {
            Ok(Some((now, digest))) if Some(digest) == written => return State::Copy(now),
            Ok(_) => state = State::Changed,
            Err(e) if state == State::Gone => state = State::refused(&e),
            Err(_) => {}
        }
    }
    state
}

/// A new file with the same regions and the new identities.
fn write(image: &Image, tables: &Tables<'_>, paths: &[Vec<PathBuf>], states: &[State]) -> Result<()> {
    let damaged = || Failure::Refused {
        path: image.path.display().to_string(),
        text: "its index is damaged; build it again with olean image build".to_owned(),
    };
    let mut entries = Vec::with_capacity(states.len());
    for (i, state) in states.iter().enumerate() {
        let entry = tables.entry(i as u32).ok_or_else(damaged)?;
        let (source, region) = tables.digests(i as u32).ok_or_else(damaged)?;
        entries.push(NewEntry {
            identity: match state {
                State::Copy(now) => *now,
                _ => entry.identity,
            },
            offset: entry.offset,
            base: entry.base,
            root: entry.root,
            root_copy: tables.root_copy(i as u32, &entry).copied(),
            deps: tables
                .chain(i as u32, &entry)
                .ok_or_else(damaged)?
                .flatten()
                .collect(),
            section: entry.section,
            closures: entry.closures,
            source,
            region,
            paths: paths[i]
                .iter()
                .map(|p| p.as_os_str().as_bytes().to_vec())
                .collect(),
        });
    }
    let header = &image.header;
    let new = NewTables {
        base: header.base,
        flags: header.flags,
        githash: header.githash,
        lean_version: header.lean_version,
        built: header.built,
        constant: image.layout.constant.clone(),
        changeable: image.layout.changeable.clone(),
        entries,
    };
    let encoded = new.encode().map_err(|e| Failure::Usage(e.to_string()))?;
    let file = NewFile::create(&image.path)?;
    let from = File::open(&image.path).map_err(Failure::io("open", &image.path))?;
    copy(&from, file.file(), image.layout.size()).map_err(Failure::io("copy", &image.path))?;
    file.finish(&encoded.header, &encoded.tables, encoded.layout.size())
}

/// Copies everything behind the first page, inside the file system where that can be done.
fn copy(from: &File, to: &File, size: u64) -> io::Result<()> {
    let mut at = PAGE as i64;
    while (at as u64) < size {
        let (mut here, mut there) = (at, at);
        let left = (size - at as u64) as usize;
        // SAFETY: both descriptors are open, both offsets writable.
        let n = unsafe {
            libc::copy_file_range(
                from.as_raw_fd(),
                &raw mut here,
                to.as_raw_fd(),
                &raw mut there,
                left,
                0,
            )
        };
        match n {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n if n > 0 => at += n as i64,
            _ => {
                use std::os::unix::fs::FileExt;
                let mut buffer = vec![0; WRITTEN_AT_ONCE.min(left)];
                from.read_exact_at(&mut buffer, at as u64)?;
                to.write_all_at(&buffer, at as u64)?;
                at += buffer.len() as i64;
            }
        }
    }
    Ok(())
}

/// The path of an image on the command line, which a refresh replaces: links are followed.
pub fn real_path(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}
