//! What a process would get from an image now, without starting one.

use super::open::{self, Image};
use super::refresh::{State, compare};
use crate::error::Result;
use std::path::Path;

/// How the image stands to its sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// Git hash of its files.
    pub githash: String,
    /// Where it begins in memory.
    pub base: u64,
    /// Its bytes.
    pub size: u64,
    /// Files in it.
    pub files: u64,
    /// Those of them that are what they were.
    pub same: u64,
    /// Those with other times, inodes or devices, but the same size: a refresh may take them in.
    pub may_be_copies: u64,
    /// Those of another size, or gone.
    pub changed: u64,
}

/// Looks at the image `path` and at its sources.
pub fn outlook(path: &Path) -> Result<Outlook> {
    let image = Image::open(path)?;
    let tables = image.tables()?;
    let states = compare(&tables, &open::paths(&tables));
    let count = |wanted: fn(&State) -> bool| states.iter().filter(|s| wanted(s)).count() as u64;
    let same = count(|s| *s == State::Same);
    let may_be_copies = count(|s| matches!(s, State::Differs(what) if *what != "size"));
    Ok(Outlook {
        githash: olean_reader::format::header::field_text(&image.header.githash),
        base: image.header.base,
        size: image.layout.size(),
        files: states.len() as u64,
        same,
        may_be_copies,
        changed: states.len() as u64 - same - may_be_copies,
    })
}
