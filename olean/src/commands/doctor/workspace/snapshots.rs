//! Snapshots: the files that each was saved over are there, and lie where it points to.

use super::finding::{Finding, Place, Severity};
use crate::image::collect::identity;
use crate::input::{Input, Source};
use crate::module;
use crate::render::plural;
use olean_reader::format::dependencies::content_digest;
use olean_reader::format::extension;
use olean_reader::format::header::{HEADER_SIZE, Header};
use olean_reader::{File, Graph, Region, Value};
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Looks at the snapshots that have such lists beside them.
pub fn look(lists: &[PathBuf]) -> Vec<Finding> {
    let (mut stale, mut damaged) = (Vec::new(), Vec::new());
    for list in lists {
        let snapshot = list.with_extension("");
        if !snapshot.is_file() {
            continue;
        }
        let name = snapshot.display().to_string();
        match judge(&snapshot) {
            Ok(None) => {}
            Ok(Some(why)) => stale.push(Place::with(name, why)),
            Err(why) => damaged.push(Place::with(name, why)),
        }
    }
    let finding = |kind, places: Vec<Place>, what: &str, remedy| {
        (!places.is_empty()).then(|| Finding {
            kind,
            severity: Severity::Bad,
            what: format!("{} {what}", plural(places.len() as u64, "snapshot")),
            places,
            remedy,
        })
    };
    let again = "delete them; the next run without them makes them again";
    [
        finding(
            "stale-snapshot",
            stale,
            "saved over files that have changed since",
            again,
        ),
        finding("damaged-snapshot", damaged, "cannot be read", again),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Why a snapshot is out of date, or why it is none.
fn judge(snapshot: &Path) -> std::result::Result<Option<String>, String> {
    let Some(listed) = module::listed(snapshot) else {
        return Err("the list of what it was saved over is no JSON array of objects".to_owned());
    };
    if let Some(missing) = listed.iter().find(|path| !path.is_file()) {
        return Ok(Some(format!("'{}' is gone", missing.display())));
    }
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for dep in &listed {
        match range(dep) {
            Some(range) => ranges.push(range),
            None => return Ok(Some(format!("'{}' is no region file any more", dep.display()))),
        }
    }
    ranges.sort_unstable();
    let source = Source::file(snapshot.to_owned());
    let input = Input::open(&source).map_err(|e| e.to_string())?;
    let bad = |e: olean_reader::CheckError| e.reason();
    let file = File::parse(&input, &source.name, None).map_err(bad)?;
    if let Some(changed) = remembered(&file, snapshot, &listed)? {
        return Ok(Some(changed));
    }
    let region = Region::walk(file).map_err(bad)?;
    let graph = Graph::new(&region, &[]).map_err(bad)?;
    let lost = |value| match value {
        Value::Outside(address) => {
            let before = ranges.partition_point(|range| range.0 <= address).checked_sub(1);
            let hit = before.is_some_and(|i| address < ranges[i].1);
            (!hit).then_some(address)
        }
        _ => None,
    };
    let reached = graph.reached().iter().flat_map(|&n| graph.children(n));
    let lost = std::iter::once(graph.root()).chain(reached).find_map(lost);
    Ok(lost.map(|address| format!("it points to 0x{address:x}, where no listed file lies any more")))
}

/// What has become of the files that a snapshot remembers, if they are not what they were. A file whose times alone differ
/// is read.
fn remembered(
    file: &File<'_>,
    snapshot: &Path,
    listed: &[PathBuf],
) -> std::result::Result<Option<String>, String> {
    let payload = file.sections().and_then(|sections| sections.extension);
    let record = payload
        .map(extension::dependencies)
        .transpose()
        .map_err(|e| e.to_string())?;
    let Some(record) = record.flatten() else {
        return Ok(None);
    };
    let folder = snapshot.parent().unwrap_or(Path::new(""));
    for dep in record.iter() {
        let path = Path::new(OsStr::from_bytes(dep.path));
        let name = path.display();
        let there = [path.to_owned(), folder.join(path)]
            .into_iter()
            .find(|p| p.is_file());
        // A workspace that was moved has it elsewhere, as the list beside the snapshot knows.
        let there = there.or_else(|| {
            let mut listed = listed.iter();
            listed
                .find(|p| range(p).is_some_and(|r| r.0 == dep.base))
                .cloned()
        });
        let Some(there) = there else {
            return Ok(Some(format!("'{name}' is gone")));
        };
        let now = fs::metadata(&there).map_err(|e| e.to_string())?;
        if dep.looks_like(&identity(&now)) && !dep.racy {
            continue;
        }
        let changed = now.len() != dep.size || {
            let read = fs::File::open(&there).and_then(|f| content_digest(f, &mut [0; 1 << 16]));
            dep.digest
                .is_some_and(|digest| read.is_ok_and(|now| now != digest))
        };
        if changed {
            return Ok(Some(format!("'{name}' is another file now")));
        }
    }
    Ok(None)
}

/// The addresses that a region file wants.
fn range(path: &Path) -> Option<(u64, u64)> {
    let mut file = fs::File::open(path).ok()?;
    let size = file.metadata().ok()?.len();
    let mut bytes = [0; HEADER_SIZE];
    file.read_exact(&mut bytes).ok()?;
    let header = Header::decode(&bytes).ok()?;
    Some((header.base, header.base.checked_add(size)?))
}
