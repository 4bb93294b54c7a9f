//! Which files belong in an image: the region files below the arguments as modules, snapshots with what they were
//! saved over. Looks at nothing but names, `stat` and headers.

use super::left_out::{LeftOut, absolute};
use crate::error::{Failure, Result};
use crate::input::{self, Source};
use crate::module;
use olean_reader::format::header::{HEADER_SIZE, Header, field_text};
use olean_reader::format::identity::Identity;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File, Metadata};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A region file that may go into the image.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its names, absolute; the first is the one that it is read by.
    pub paths: Vec<PathBuf>,
    /// What it was when it was looked at first.
    pub identity: Identity,
    /// Its header.
    pub header: Header,
}

impl Part {
    /// The name that it is read by.
    pub fn path(&self) -> &Path {
        &self.paths[0]
    }

    /// Which file it is, apart from its content.
    pub fn file(&self) -> (u64, u64) {
        (self.identity.device, self.identity.inode)
    }
}

/// Files of which each may point into the ones before it.
pub type Module = Vec<Part>;

/// A snapshot.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Its file.
    pub part: Part,
    /// Device and inode of every file that it was saved over.
    pub deps: Vec<(u64, u64)>,
}

/// What belongs in an image.
#[derive(Debug, Default)]
pub struct Collection {
    /// Modules, in the order of their paths.
    pub modules: Vec<Module>,
    /// Snapshots, in the order they were given.
    pub snapshots: Vec<Snapshot>,
    /// What does not.
    pub left_out: Vec<LeftOut>,
    /// Base addresses and sizes of all files that were looked at, left out or not.
    pub bases: Vec<(u64, u64)>,
    /// Flags, git hash and Lean version of most files.
    pub lean: Lean,
}

/// What all files of an image have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lean {
    /// Flags byte.
    pub flags: u8,
    /// Git hash.
    pub githash: [u8; 40],
    /// Version.
    pub version: [u8; 33],
}

impl Default for Lean {
    fn default() -> Self {
        Self {
            flags: 0,
            githash: [0; 40],
            version: [0; 33],
        }
    }
}

impl Lean {
    fn of(header: &Header) -> Self {
        Self {
            flags: header.flags,
            githash: header.githash,
            version: header.lean_version,
        }
    }

    fn is(&self, header: &Header) -> bool {
        (self.flags, self.githash) == (header.flags, header.githash)
    }

    /// The Lean in words.
    pub fn text(&self) -> String {
        lean_text(&self.version, &self.githash, self.flags)
    }
}

fn lean_text(version: &[u8], githash: &[u8], flags: u8) -> String {
    format!(
        "Lean {} {} (flags {flags})",
        field_text(version),
        field_text(githash)
    )
}

/// A file as `stat` knows it.
pub fn identity(meta: &Metadata) -> Identity {
    Identity {
        device: meta.dev(),
        inode: meta.ino(),
        size: meta.size(),
        modified: meta.mtime(),
        modified_ns: meta.mtime_nsec() as u32,
        changed: meta.ctime(),
        changed_ns: meta.ctime_nsec() as u32,
    }
}

/// Looks at a file.
fn part(path: &Path) -> std::result::Result<Part, String> {
    let io = |what: &str, e: &std::io::Error| {
        format!("it cannot be {what}: {}", lean_region::os::file::errno_text(e))
    };
    let file = File::open(path).map_err(|e| io("opened", &e))?;
    let meta = file.metadata().map_err(|e| io("looked at", &e))?;
    if !meta.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let mut start = [0; HEADER_SIZE];
    let n = file.read_at(&mut start, 0).map_err(|e| io("read", &e))?;
    let header = Header::decode(&start[..n]).map_err(|e| format!("it is no region file: {e}"))?;
    Ok(Part {
        paths: vec![absolute(path)],
        identity: identity(&meta),
        header,
    })
}

/// Everything below `paths`, the `snapshots`, and what they list.
pub fn collect(paths: &[PathBuf], snapshots: &[PathBuf]) -> Result<Collection> {
    let mut found = Collection::default();
    let mut snapshots = snapshots.to_vec();
    // What has a list beside it is a snapshot, however it is given.
    let (more, paths): (Vec<_>, Vec<_>) = paths.iter().cloned().partition(|p| module::listed(p).is_some());
    snapshots.extend(more);
    let mut seen = HashSet::new();
    snapshots.retain(|s| seen.insert(absolute(s)));
    let mut sources = input::sources(&paths)?;
    if sources.iter().any(|s| s.path.is_none()) {
        return Err(Failure::Usage(
            "an image is made of files, not of standard input (-)".to_owned(),
        ));
    }
    let mut listed = Vec::new();
    for snapshot in &snapshots {
        let deps = module::listed(snapshot).unwrap_or_default();
        sources.extend(deps.iter().cloned().map(Source::file));
        listed.push(deps);
    }
    // Those that are snapshots stay out as well.
    sources.retain(|s| seen.insert(absolute(s.path.as_deref().unwrap_or(Path::new("-")))));

    let mut modules: Vec<Module> = Vec::new();
    for group in module::group(&sources) {
        let mut parts = Module::new();
        let mut wrong: Option<LeftOut> = None;
        for member in group {
            let path = member.source.path.expect("a file");
            match part(&path) {
                Ok(part) => parts.push(part),
                // A part that nobody asked for and that is not there is none.
                Err(_) if member.wanted.is_none() && !path.exists() => {}
                Err(reason) => {
                    wrong.get_or_insert_with(|| LeftOut::new(&path, reason));
                }
            }
        }
        found
            .bases
            .extend(parts.iter().map(|p| (p.header.base, p.identity.size)));
        match wrong {
            None => modules.push(parts),
            Some(wrong) => found.leave_out(&parts, wrong),
        }
    }
    let mut wanted = Vec::new();
    for (path, deps) in snapshots.iter().zip(listed) {
        match part(path) {
            Ok(part) => {
                found.bases.push((part.header.base, part.identity.size));
                wanted.push((part, deps));
            }
            Err(reason) => found.left_out.push(LeftOut::new(path, reason)),
        }
    }
    found.lean = majority(modules.iter().flatten().chain(wanted.iter().map(|(p, _)| p)));
    for module in modules {
        found.add(module);
    }
    found.alias();
    for (part, deps) in wanted {
        match found.other_lean(&part) {
            Some(wrong) => found.left_out.push(wrong),
            None => found.add_snapshot(part, &deps),
        }
    }
    Ok(found)
}

/// What most files have in common.
fn majority<'p>(parts: impl Iterator<Item = &'p Part>) -> Lean {
    let mut counts: HashMap<(u8, [u8; 40]), (u64, Lean)> = HashMap::new();
    for part in parts {
        let lean = Lean::of(&part.header);
        counts.entry((lean.flags, lean.githash)).or_insert((0, lean)).0 += 1;
    }
    let most = counts.into_iter().max_by_key(|(key, (count, _))| (*count, *key));
    most.map(|(_, (_, lean))| lean).unwrap_or_default()
}

impl Collection {
    /// Leaves a module out whole for what is wrong with one of its files.
    fn leave_out(&mut self, parts: &[Part], wrong: LeftOut) {
        let because = format!("another part of its module is left out: '{}'", wrong.path);
        self.left_out.push(wrong);
        self.left_out
            .extend(parts.iter().map(|p| LeftOut::new(p.path(), because.clone())));
    }

    fn other_lean(&self, part: &Part) -> Option<LeftOut> {
        let h = &part.header;
        let text = || {
            format!(
                "it is of {}, and most files are of {}",
                lean_text(&h.lean_version, &h.githash, h.flags),
                self.lean.text()
            )
        };
        (!self.lean.is(h)).then(|| LeftOut::new(part.path(), text()))
    }

    fn add(&mut self, mut module: Module) {
        match module.iter().position(|p| !self.lean.is(&p.header)) {
            None => self.modules.push(module),
            Some(i) => {
                let wrong = self.other_lean(&module.remove(i)).expect("it is of another Lean");
                self.leave_out(&module, wrong);
            }
        }
    }

    /// Makes one module of modules that are the same files under several names. An image knows a file by device and
    /// inode, so no file can be part of two different modules.
    fn alias(&mut self) {
        let mut known: HashMap<(u64, u64), usize> = HashMap::new();
        let mut kept: Vec<Module> = Vec::new();
        for mut module in std::mem::take(&mut self.modules) {
            let Some(&first) = module.iter().find_map(|p| known.get(&p.file())) else {
                let files: Vec<_> = module.iter().map(Part::file).collect();
                let distinct: HashSet<_> = files.iter().collect();
                if distinct.len() < files.len() {
                    let part = module.remove(0);
                    let wrong = LeftOut::new(part.path(), "two parts of its module are one file");
                    self.leave_out(&module, wrong);
                    continue;
                }
                known.extend(files.into_iter().map(|file| (file, kept.len())));
                kept.push(module);
                continue;
            };
            let same = kept[first].len() == module.len()
                && kept[first].iter().zip(&module).all(|(a, b)| a.file() == b.file());
            if same {
                for (part, other) in kept[first].iter_mut().zip(module) {
                    part.paths.extend(other.paths);
                }
            } else {
                let i = module
                    .iter()
                    .position(|p| known.contains_key(&p.file()))
                    .expect("one is known");
                let part = module.remove(i);
                let wrong = LeftOut::new(
                    part.path(),
                    format!(
                        "it is a part of the module of '{}' as well (a link)",
                        kept[first][0].path().display()
                    ),
                );
                self.leave_out(&module, wrong);
            }
        }
        self.modules = kept;
    }

    fn add_snapshot(&mut self, part: Part, deps: &[PathBuf]) {
        let mut files = Vec::with_capacity(deps.len());
        for dep in deps {
            match fs::metadata(dep) {
                Ok(meta) => files.push((meta.dev(), meta.ino())),
                Err(_) => {
                    let reason = format!("it was saved over '{}', which is not there", dep.display());
                    self.left_out.push(LeftOut::new(part.path(), reason));
                    return;
                }
            }
        }
        self.snapshots.push(Snapshot { part, deps: files });
    }

    /// The latest time that any file was written or changed at, in seconds.
    pub fn youngest(&self) -> i64 {
        self.parts().map(|p| p.identity.youngest()).max().unwrap_or(0)
    }

    /// All files.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.modules
            .iter()
            .flatten()
            .chain(self.snapshots.iter().map(|s| &s.part))
    }
}
