//! Whether a snapshot is stale: the files that it was made with, as it remembers them, beside those that are there.

use crate::render::clean;
use lean_region::os::file::errno_text;
use olean_reader::File;
use olean_reader::format::dependencies::{Dependency, DependencyRecord, content_digest};
use olean_reader::format::extension;
use olean_reader::format::identity::Identity;
use serde::Serialize;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes read at once.
const STEP: usize = 1 << 20;

/// What became of the file behind one dependency.
pub enum State {
    /// It is as it was.
    Same,
    /// Only times, device or inode are others; the content is the same.
    Restored(Identity),
    /// It is another one; why.
    Changed(String),
    /// It is not there, or cannot be read; the system's error.
    Missing(io::Error),
}

/// What is said of a file that is missing behind its path: nothing, or why it cannot be read although it is there.
pub fn cause(e: &io::Error) -> String {
    match e.kind() {
        io::ErrorKind::NotFound => String::new(),
        _ => format!(": {}", errno_text(e)),
    }
}

/// The record of dependencies in a file, if it has a sound one.
pub fn record<'a>(file: &File<'a>) -> Option<DependencyRecord<'a>> {
    let payload = file.sections()?.extension?;
    extension::dependencies(payload).ok().flatten()
}

/// Looks at the file of a dependency; a path that is not absolute is relative to the working directory, as it was for
/// the Lean that made the snapshot.
pub fn look(dependency: &Dependency<'_>) -> State {
    let path = Path::new(OsStr::from_bytes(dependency.path));
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(e) => return State::Missing(e),
    };
    let now = Identity {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        modified: metadata.mtime(),
        modified_ns: metadata.mtime_nsec() as u32,
        changed: metadata.ctime(),
        changed_ns: metadata.ctime_nsec() as u32,
    };
    if now.size != dependency.size {
        return State::Changed(format!("had {} bytes and has {}", dependency.size, now.size));
    }
    if dependency.looks_like(&now) && !dependency.racy {
        return State::Same;
    }
    let digest = fs::File::open(path).and_then(|file| content_digest(file, &mut vec![0; STEP]));
    match (digest, dependency.digest) {
        (Err(e), _) => State::Missing(e),
        (Ok(now), Some(saved)) if now != saved => {
            State::Changed("has the same size and other content".to_owned())
        }
        (Ok(_), None) => State::Changed("had been replaced before the snapshot was saved".to_owned()),
        (Ok(_), Some(_)) => State::Restored(now),
    }
}

/// What the dependencies of a file come to.
#[derive(Serialize, Default)]
pub struct Dependencies {
    /// How many the file remembers.
    pub files: usize,
    /// Those that are the same by their content alone.
    pub restored: usize,
    /// Those that are not where they were.
    pub missing: usize,
    /// Those that are others.
    pub stale: usize,
    /// The first of these, and what is different.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// The first of those that are missing, and why it cannot be read if it is there.
    #[serde(skip)]
    unread: Option<String>,
}

impl Dependencies {
    /// Of a file that remembers its dependencies.
    pub fn of(file: &File<'_>) -> Option<Self> {
        let record = record(file)?;
        let mut out = Dependencies {
            files: record.len(),
            ..Dependencies::default()
        };
        for dependency in record.iter() {
            match look(&dependency) {
                State::Same => {}
                State::Restored(_) => out.restored += 1,
                State::Missing(e) => {
                    out.missing += 1;
                    let path = clean(&String::from_utf8_lossy(dependency.path));
                    out.unread.get_or_insert_with(|| format!("{path}{}", cause(&e)));
                }
                State::Changed(why) => {
                    out.stale += 1;
                    let path = clean(&String::from_utf8_lossy(dependency.path));
                    out.first.get_or_insert_with(|| format!("{path} {why}"));
                }
            }
        }
        Some(out)
    }

    /// One line about them.
    pub fn text(&self) -> String {
        let mut text = format!("{} files", self.files);
        let unread = self.unread.as_deref().unwrap_or_default();
        match (&self.first, self.missing, self.restored) {
            (Some(first), ..) => text += &format!(", {} changed since, so it is stale: {first}", self.stale),
            (None, 1.., _) => text += &format!(", {} are not there from this folder: {unread}", self.missing),
            (None, 0, 1..) => text += &format!(", {} with other times (olean refresh)", self.restored),
            (None, 0, 0) => text += ", none changed since",
        }
        text
    }
}
