//! The source files of an image: read, digested, looked at again, and held against what a snapshot remembers of them.

use super::collect::{Part, identity};
use super::left_out::LeftOut;
use lean_region::os::file::errno_text;
use olean_reader::File;
use olean_reader::format::dependencies::{Dependency, DependencyRecord, content_digest};
use olean_reader::format::extension;
use olean_reader::format::identity::Identity;
use olean_reader::format::image::Digest;
use std::collections::HashMap;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::{fs, io};

/// Bytes read at once.
const STEP: usize = 1 << 16;

/// Holds what a snapshot remembers of the files that it was saved over, if it does, against the ones in the image: a
/// process that reads it from there compares nothing but regions.
pub fn fresh(part: &Part, file: &File<'_>, deps: &[&Part]) -> Result<(), LeftOut> {
    let Some(payload) = file.sections().and_then(|s| s.extension) else {
        return Ok(());
    };
    let record = extension::dependencies(payload).map_err(|e| LeftOut::new(part.path(), e.to_string()))?;
    let by_base: HashMap<u64, &Part> = deps.iter().map(|p| (p.header.base, *p)).collect();
    for saved in record.iter().flat_map(DependencyRecord::iter) {
        let now = by_base.get(&saved.base);
        if !now.map_or(Ok(false), |now| is_as_saved(&saved, now))? {
            let name = String::from_utf8_lossy(saved.path);
            let reason = format!("it is stale: it was made with another '{name}'; make it anew");
            return Err(LeftOut::new(part.path(), reason));
        }
    }
    Ok(())
}

/// Whether a file is the one that was remembered, by its identity or else by its content.
fn is_as_saved(saved: &Dependency<'_>, now: &Part) -> Result<bool, LeftOut> {
    if saved.size != now.identity.size {
        return Ok(false);
    }
    if saved.looks_like(&now.identity) && !saved.racy {
        return Ok(true);
    }
    let content = fs::File::open(now.path()).and_then(|file| content_digest(file, &mut [0; STEP]));
    let content = content.map_err(|e| unreadable(now, &e))?;
    Ok(saved.digest == Some(content))
}

/// Reads the file whole, if it is still the one that was looked at.
pub fn read(part: &Part, bytes: &mut [u8]) -> Result<(), LeftOut> {
    let fail = |e: io::Error| unreadable(part, &e);
    let file = fs::File::open(part.path()).map_err(fail)?;
    if identity(&file.metadata().map_err(fail)?) != part.identity {
        return Err(changed(part));
    }
    file.read_exact_at(bytes, 0).map_err(fail)
}

/// Identity and digest of a file; `None` if it changed while it was read.
pub fn settled_digest(path: &Path) -> io::Result<Option<(Identity, Digest)>> {
    let file = fs::File::open(path)?;
    let before = identity(&file.metadata()?);
    let digest = content_digest(file, &mut [0; STEP])?;
    let after = identity(&fs::metadata(path)?);
    Ok((before == after).then_some((after, digest)))
}

/// The file cannot be read, or looked at again.
pub fn unreadable(part: &Part, e: &io::Error) -> LeftOut {
    LeftOut::new(part.path(), format!("it cannot be read: {}", errno_text(e)))
}

/// The file is another one than at first.
pub fn changed(part: &Part) -> LeftOut {
    LeftOut::new(part.path(), "it changed while the image was being built")
}
