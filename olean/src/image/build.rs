//! An image built: files collected, given places, rewritten, looked at once more, and written down in the tables.

use super::collect::{self, Collection, Part, identity};
use super::left_out::LeftOut;
use super::new_file::NewFile;
use super::place::Places;
use super::relink::{Fate, Placed, Relinker, verify_snapshot};
use super::source::{changed, unreadable};
use super::writer::Writer;
use crate::error::{Failure, Result};
use crate::prove;
use lean_region::dependencies::RegionView;
use olean_reader::format::image::header::SECTION;
use olean_reader::format::image::{NewEntry, NewTables, Section};
use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A file that was written to less than so long ago may be written to again without another time: times of files
/// stand still for some milliseconds, on some file systems for two seconds.
const RACY: Duration = Duration::from_secs(2);

/// What to build.
#[derive(Debug)]
pub struct Request<'a> {
    /// Files and folders.
    pub paths: &'a [PathBuf],
    /// Snapshots.
    pub snapshots: &'a [PathBuf],
    /// The image.
    pub output: &'a Path,
    /// The address that the user asks for.
    pub base: Option<u64>,
    /// Threads.
    pub jobs: usize,
    /// Prove snapshots object by object.
    pub verify: bool,
}

/// What was built.
#[derive(Debug)]
pub struct Built {
    /// The address of the image.
    pub base: u64,
    /// Regions in it.
    pub regions: u64,
    /// Those of them that something may write to.
    pub changeable: u64,
    /// Bytes of all source files in it.
    pub source_bytes: u64,
    /// Bytes of the image.
    pub bytes: u64,
    /// What was waited for young files.
    pub waited: Duration,
    /// What proving snapshots took.
    pub verified: Option<Duration>,
    /// What is not in it.
    pub left_out: Vec<LeftOut>,
}

/// A file with its region.
struct Member<'c> {
    part: &'c Part,
    placed: Placed,
    /// Its dependencies: device and inode.
    deps: Vec<(u64, u64)>,
}

/// Builds an image.
pub fn build(request: &Request<'_>) -> Result<Built> {
    let mut found = collect::collect(request.paths, request.snapshots)?;
    let waited = wait_until_settled(&mut found, request)?;
    let places = Places::of(&found, request.base)?;
    let file = NewFile::create(request.output)?;
    let bar = prove::bar(found.parts().count(), "building");
    let relinker = Relinker {
        places: &places,
        writer: Writer::new(&file),
        progress: &|n| bar.inc(n),
    };
    let mut left_out = std::mem::take(&mut found.left_out);
    let mut members: Vec<Member<'_>> = Vec::new();
    let fates = relinker.modules(&found.modules, request.jobs)?;
    let changeable_start = places.constant.end.next_multiple_of(SECTION);
    let mut next = changeable_start;
    for ((module, offsets), fate) in found.modules.iter().zip(&places.modules).zip(fates) {
        let fate = match fate {
            Fate::Changeable => relinker.changeable(module, offsets, &mut next)?,
            fate => fate,
        };
        match fate {
            Fate::Placed(placed) => {
                for (i, (part, placed)) in module.iter().zip(placed).enumerate() {
                    let deps = module[..i].iter().map(Part::file).collect();
                    members.push(Member { part, placed, deps });
                }
            }
            Fate::LeftOut(files) => left_out.extend(files),
            Fate::Changeable => unreachable!("changeable modules have been placed"),
        }
    }
    let verified = snapshots(
        &found,
        &relinker,
        request.verify,
        &mut members,
        &mut left_out,
        &mut next,
    )?;
    bar.finish_and_clear();
    look_again(&mut members, &mut left_out);
    if members.is_empty() {
        let first = left_out
            .first()
            .map_or(String::new(), |l| format!("; '{}': {}", l.path, l.reason));
        return Err(Failure::Usage(format!(
            "there is nothing to make an image of{first}"
        )));
    }
    let new = tables(&found, &places, members, changeable_start..next)?;
    let encoded = new.encode().map_err(|e| Failure::Usage(e.to_string()))?;
    let size = encoded.layout.size();
    file.finish(&encoded.header, &encoded.tables, size)?;
    Ok(Built {
        base: new.base,
        regions: new.entries.len() as u64,
        changeable: new
            .entries
            .iter()
            .filter(|e| e.section == Section::Changeable)
            .count() as u64,
        source_bytes: new.entries.iter().map(|e| e.identity.size).sum(),
        bytes: size,
        waited,
        verified,
        left_out,
    })
}

/// Waits until no file is so young that it could change unnoticed, and looks at all of them again.
fn wait_until_settled(found: &mut Collection, request: &Request<'_>) -> Result<Duration> {
    let mut waited = Duration::ZERO;
    // Files that are written again and again are left out in the end.
    for _ in 0..3 {
        let Some(wait) = time_to_settle(found.youngest(), SystemTime::now()) else {
            return Ok(waited);
        };
        thread::sleep(wait);
        waited += wait;
        *found = collect::collect(request.paths, request.snapshots)?;
    }
    let now = seconds(SystemTime::now());
    let young = |part: &Part| part.identity.youngest() + RACY.as_secs() as i64 > now;
    let why = "it was written to or changed less than two seconds ago, by its times";
    let (left_out, modules) = (&mut found.left_out, &mut found.modules);
    modules.retain(|m| {
        let any = m.iter().any(young);
        if any {
            left_out.extend(m.iter().map(|p| LeftOut::new(p.path(), why)));
        }
        !any
    });
    found.snapshots.retain(|s| {
        let any = young(&s.part);
        if any {
            left_out.push(LeftOut::new(s.part.path(), why));
        }
        !any
    });
    Ok(waited)
}

/// How long to wait for a file whose youngest time is `youngest`; `None` if it is old enough. Times that lie ahead
/// are not waited for: they come from another clock.
pub fn time_to_settle(youngest: i64, now: SystemTime) -> Option<Duration> {
    let age = seconds(now) - youngest;
    // Both are cut to whole seconds.
    let settled = RACY.as_secs() as i64 + 1;
    let wait = settled - age;
    (wait > 0).then(|| Duration::from_secs(wait.min(settled) as u64))
}

fn seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64)
}

/// Adds the snapshots; answers what proving them took.
fn snapshots<'c>(
    found: &'c Collection,
    relinker: &Relinker<'_>,
    verify: bool,
    members: &mut Vec<Member<'c>>,
    left_out: &mut Vec<LeftOut>,
    next: &mut u64,
) -> Result<Option<Duration>> {
    let known: HashMap<(u64, u64), usize> = members
        .iter()
        .enumerate()
        .map(|(i, m)| (m.part.file(), i))
        .collect();
    let mut took = None;
    for snapshot in &found.snapshots {
        (relinker.progress)(1);
        let part = &snapshot.part;
        let mut deps: Vec<usize> = Vec::with_capacity(snapshot.deps.len());
        deps.extend(snapshot.deps.iter().filter_map(|file| known.get(file)));
        if deps.len() < snapshot.deps.len() {
            let missing = snapshot.deps.len() - deps.len();
            let reason = format!("{missing} of the files that it was saved over are not in the image");
            left_out.push(LeftOut::new(part.path(), reason));
            continue;
        }
        deps.sort_unstable();
        deps.dedup();
        let parts: Vec<&Part> = deps.iter().map(|&i| members[i].part).collect();
        if verify {
            match verify_snapshot(part, &parts)? {
                Ok(time) => *took.get_or_insert(Duration::ZERO) += time,
                Err(wrong) => {
                    left_out.push(wrong);
                    continue;
                }
            }
        }
        let views: Vec<RegionView> = deps
            .iter()
            .map(|&i| RegionView {
                begin: (relinker.places.base + members[i].placed.offset) as usize,
                size: members[i].part.identity.size as usize,
                base: members[i].part.header.base,
            })
            .collect();
        match relinker.snapshot(snapshot, &parts, &views, next)? {
            Ok(placed) => {
                let deps = deps.iter().map(|&i| members[i].part.file()).collect();
                members.push(Member { part, placed, deps });
            }
            Err(wrong) => left_out.push(wrong),
        }
    }
    Ok(took)
}

/// Leaves out what is not what it was when it was read, with everything that was linked against it.
fn look_again(members: &mut Vec<Member<'_>>, left_out: &mut Vec<LeftOut>) {
    let mut gone: Vec<(u64, u64)> = Vec::new();
    members.retain(|m| {
        let now = fs::metadata(m.part.path()).map(|meta| identity(&meta));
        let same = now.as_ref().is_ok_and(|now| *now == m.part.identity);
        let because = m.deps.iter().any(|d| gone.contains(d));
        if same && !because {
            return true;
        }
        gone.push(m.part.file());
        left_out.push(match now {
            Err(e) => unreadable(m.part, &e),
            Ok(_) if !same => changed(m.part),
            Ok(_) => LeftOut::new(
                m.part.path(),
                "a file that it points into changed while the image was being built",
            ),
        });
        false
    });
}

fn tables(
    found: &Collection,
    places: &Places,
    mut members: Vec<Member<'_>>,
    changeable: std::ops::Range<u64>,
) -> Result<NewTables> {
    members.sort_by_key(|m| m.placed.offset);
    let numbers: HashMap<(u64, u64), u32> =
        members.iter().zip(0..).map(|(m, i)| (m.part.file(), i)).collect();
    let entries = members.iter().map(|m| {
        let mut deps: Vec<u32> = m.deps.iter().map(|file| numbers[file]).collect();
        deps.sort_unstable();
        NewEntry {
            identity: m.part.identity,
            offset: m.placed.offset,
            base: m.part.header.base,
            root: m.placed.root,
            root_copy: m.placed.root_copy,
            deps,
            section: m.placed.section,
            closures: m.placed.closures,
            source: m.placed.source,
            region: m.placed.region,
            paths: m
                .part
                .paths
                .iter()
                .map(|p| p.as_os_str().as_bytes().to_vec())
                .collect(),
        }
    });
    Ok(NewTables {
        base: places.base,
        flags: found.lean.flags,
        githash: found.lean.githash,
        lean_version: found.lean.version,
        built: seconds(SystemTime::now()),
        constant: places.constant.clone(),
        changeable,
        entries: entries.collect(),
    })
}
