//! Whether a file still fits the regions that it was made with. A file of version 3 that depends on regions remembers
//! what their files were (the record of dependencies in its extension section); when it is read, each of these regions
//! has been read by this process, and its file looked at then. So comparing costs nothing, and only a file whose times
//! alone differ is read once more.

use super::content::{NoDigest, Wanted, digests};
use super::earlier::{self, Earlier};
use super::error::ReadError;
use super::image::in_use as image;
use super::registry::{self, FileOf};
use crate::dependencies::Dependencies;
use crate::os::file::errno_text;
use crate::os::stderr::complain;
use crate::os::{env, notes};
use olean_reader::format::dependencies::{Dependency, DependencyRecord, encode};
use olean_reader::format::extension;
use olean_reader::format::trailer::Trailer;
use std::collections::TryReserveError;
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What happens to a file whose dependencies have changed: `error`, the default, `warn` or `ignore`.
pub const STALE: &str = "LEAN_REGION_STALE";

/// Whoever writes a file twice within this time may leave the same modification time.
const RACY: Duration = Duration::from_secs(2);

/// The path of each dependency of a call, by its place among them.
pub type Paths<'a> = &'a dyn Fn(usize) -> Option<CString>;

/// The record of the files that the regions `deps` came from, for the file `path` that is saved now. Empty if no
/// region's file is known.
///
/// # Errors
/// When there is no memory for it.
pub fn record(path: &CStr, deps: &Dependencies, paths: Paths<'_>) -> Result<Vec<u8>, TryReserveError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let racy_from = i64::try_from(now.saturating_sub(RACY).as_nanos()).unwrap_or(i64::MAX);
    let files = files(deps.views().iter().map(|view| view.begin))?;
    let mut known: Vec<(usize, FileOf, CString)> = Vec::new();
    known.try_reserve_exact(files.len())?;
    for (index, file) in files.into_iter().enumerate() {
        known.extend(file.zip(paths(index)).map(|(file, path)| (index, file, path)));
    }
    if known.is_empty() {
        return Ok(Vec::new());
    }
    let mut wanted = Vec::new();
    wanted.try_reserve_exact(known.len())?;
    wanted.extend(known.iter().map(|(index, file, path)| Wanted {
        path: path.clone(),
        file: *file,
        known: image::source_digest(deps.views()[*index].begin),
    }));
    // The file that is replaced is only looked at for what an image does not know.
    if wanted.iter().any(|wanted| wanted.known.is_none())
        && let Some(earlier) = Earlier::of(path)
    {
        let earlier = earlier.dependencies();
        for (wanted, (index, file, _)) in wanted.iter_mut().zip(&known) {
            let base = deps.views()[*index].base;
            wanted.known = wanted.known.or_else(|| earlier::digest(&earlier, base, file));
        }
    }
    let digests = digests(&wanted)?;
    let mut list: Vec<Dependency<'_>> = Vec::new();
    list.try_reserve_exact(known.len())?;
    for ((index, file, path), digest) in known.iter().zip(digests) {
        let view = deps.views()[*index];
        list.push(Dependency {
            base: view.base,
            size: view.size as u64,
            device: file.device.into(),
            inode: file.inode,
            modified: file.modified,
            changed: file.changed,
            digest: digest.ok(),
            racy: file.modified.max(file.changed) >= racy_from,
            path: path.as_bytes(),
        });
    }
    // The format wants each base once; of two regions of one base the pointers mean nothing.
    list.sort_unstable_by_key(|d| d.base);
    list.dedup_by_key(|d| d.base);
    encode(&mut list)
}

/// The files that the regions at these addresses came from, whoever owns them.
fn files(
    addresses: impl ExactSizeIterator<Item = usize> + Clone,
) -> Result<Vec<Option<FileOf>>, TryReserveError> {
    let mut files = registry::files(addresses.clone())?;
    for (file, address) in files.iter_mut().zip(addresses).filter(|(file, _)| file.is_none()) {
        *file = image::identity(address).as_ref().map(FileOf::from);
    }
    Ok(files)
}

/// What is wanted of files whose dependencies have changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stale {
    Error,
    Warn,
    Ignore,
}

impl Stale {
    /// What the variable says. Nothing stale is used without a word unless that is asked for in so many words, so a
    /// value without a meaning is said once and counts as `error`.
    fn wanted() -> Self {
        let Some(value) = env::var(STALE) else {
            return Self::Error;
        };
        let word = value.to_str().map(str::trim).unwrap_or("?");
        let known = [
            ("error", Self::Error),
            ("", Self::Error),
            ("warn", Self::Warn),
            ("ignore", Self::Ignore),
        ];
        let found = known
            .into_iter()
            .find(|(name, _)| word.eq_ignore_ascii_case(name));
        found.map_or_else(
            || {
                static SAID: AtomicBool = AtomicBool::new(false);
                if !SAID.swap(true, Ordering::Relaxed) {
                    complain(&format!(
                        "{STALE} is '{}', but must be error, warn or ignore: taken as error",
                        value.to_string_lossy()
                    ));
                }
                Self::Error
            },
            |(_, stale)| stale,
        )
    }
}

/// Checks the regions `deps` against what the trailer of the file `path` remembers, if it does.
///
/// # Errors
/// [`ReadError`]: a dependency is missing or another one, or the record is damaged.
pub fn check(
    path: &CStr,
    trailer: &Trailer<'_>,
    deps: &Dependencies,
    paths: Paths<'_>,
) -> Result<(), ReadError> {
    let wish = Stale::wanted();
    let Some(payload) = trailer.extension().filter(|_| wish != Stale::Ignore) else {
        return Ok(());
    };
    let content = |e: &dyn std::fmt::Display| ReadError::content(path, e.to_string());
    let Some(record) = extension::dependencies(payload).map_err(|e| content(&e))? else {
        return Ok(());
    };
    let no_memory = |_| content(&"out of memory: its dependencies cannot be compared");
    let mut findings = Findings::default();
    let suspects = suspects(&record, deps, &mut findings).map_err(no_memory)?;
    let restored = look_into(&suspects, deps, paths, &mut findings).map_err(no_memory)?;
    let file = Path::new(OsStr::from_bytes(path.to_bytes()));
    if restored > 0 {
        notes::add(
            file,
            format!(
                "{restored} of the {} files that it was made with have other times, and the same content, which takes \
                 time to see: `olean refresh` writes their times into it",
                record.len()
            ),
        );
    }
    let Some(text) = findings.text() else {
        return Ok(());
    };
    if wish == Stale::Warn {
        notes::add(file, text.clone());
        complain(&format!("'{}' is stale: {text}", path.to_string_lossy()));
        return Ok(());
    }
    Err(content(&format!(
        "it is stale: {text}; make it anew, or set {STALE}=warn to use it at your own risk"
    )))
}

/// What differs: the first finding in words, and how many there are.
#[derive(Default)]
struct Findings {
    first: Option<String>,
    count: usize,
}

impl Findings {
    fn add(&mut self, dependency: &Dependency<'_>, what: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.is_none() {
            let path = String::from_utf8_lossy(dependency.path);
            self.first = Some(format!("it was made with '{path}', {}", what()));
        }
    }

    fn text(self) -> Option<String> {
        let first = self.first?;
        Some(match self.count {
            1 => first,
            count => format!("{first}; {count} of its dependencies differ"),
        })
    }
}

/// A dependency whose file looks another one, or might: only its content tells.
struct Suspect<'a> {
    saved: Dependency<'a>,
    /// Its place among the regions of the call, and its file as it was when it was read.
    index: usize,
    file: FileOf,
    /// Whether it looks the same, and was written too shortly before the save to go by that.
    racy: bool,
}

/// Goes through the record: what size and address tell apart is found, what only times tell apart is answered.
fn suspects<'a>(
    record: &DependencyRecord<'a>,
    deps: &Dependencies,
    findings: &mut Findings,
) -> Result<Vec<Suspect<'a>>, TryReserveError> {
    let mut order: Vec<(u64, usize)> = Vec::new();
    order.try_reserve_exact(deps.views().len())?;
    order.extend(
        deps.views()
            .iter()
            .enumerate()
            .map(|(index, view)| (view.base, index)),
    );
    order.sort_unstable();
    let files = files(order.iter().map(|&(_, index)| deps.views()[index].begin))?;
    let mut regions = order.iter().zip(files).peekable();
    let mut suspects = Vec::new();
    for saved in record.iter() {
        while regions.next_if(|((base, _), _)| *base < saved.base).is_some() {}
        let Some((&(_, index), file)) = regions.next_if(|((base, _), _)| *base == saved.base) else {
            findings.add(&saved, || {
                format!(
                    "{} bytes at the base address {:#x}, where no region that was passed has its place: that file was \
                     built anew, or is missing among them",
                    saved.size, saved.base
                )
            });
            continue;
        };
        let size = deps.views()[index].size as u64;
        if size != saved.size {
            findings.add(&saved, || {
                format!(
                    "which had {} bytes and has {size} now: it was built anew",
                    saved.size
                )
            });
            continue;
        }
        let Some(file) = file else { continue };
        let same = file.is_of(&saved);
        if !same || saved.racy {
            suspects.try_reserve(1)?;
            suspects.push(Suspect {
                saved,
                index,
                file,
                racy: same,
            });
        }
    }
    Ok(suspects)
}

/// Compares contents; answers how many have other times and the same content.
fn look_into(
    suspects: &[Suspect<'_>],
    deps: &Dependencies,
    paths: Paths<'_>,
    findings: &mut Findings,
) -> Result<usize, TryReserveError> {
    let mut wanted = Vec::new();
    wanted.try_reserve_exact(suspects.len())?;
    wanted.extend(suspects.iter().map(|suspect| Wanted {
        path: paths(suspect.index).unwrap_or_default(),
        file: suspect.file,
        known: image::source_digest(deps.views()[suspect.index].begin),
    }));
    let mut restored = 0;
    for (suspect, now) in suspects.iter().zip(digests(&wanted)?) {
        match (suspect.saved.digest, now) {
            (Some(saved), Ok(now)) if saved == now => restored += usize::from(!suspect.racy),
            (Some(_), Ok(_)) => findings.add(&suspect.saved, || {
                "which has the same size and other content now: it was built anew".to_owned()
            }),
            (None, _) => findings.add(&suspect.saved, || {
                "which had been replaced before it was saved: its content is not known".to_owned()
            }),
            (_, Err(NoDigest::Replaced)) => findings.add(&suspect.saved, || {
                "which has been replaced since it was read, so that its content cannot be compared".to_owned()
            }),
            (_, Err(NoDigest::Unreadable(e))) => findings.add(&suspect.saved, || {
                format!(
                    "which cannot be read again, so that its content cannot be compared: {}",
                    errno_text(&e)
                )
            }),
        }
    }
    Ok(restored)
}
