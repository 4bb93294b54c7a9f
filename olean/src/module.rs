//! Which files belong together: the parts of a module, and a snapshot with the files that it was saved over.

use crate::input::Source;
use olean_reader::Region;
use olean_reader::format::sidecar::{SUFFIX, Sidecar};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The parts of a module in the order in which they are saved; each may point into the ones before it.
const OLEAN_PARTS: [&str; 3] = [".olean", ".olean.server", ".olean.private"];
/// The same for compiled code, which has regions of its own.
const IR_PARTS: [&str; 2] = [".ir.sig", ".ir"];

/// A file's place among the parts of its module.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// The path without the part's suffix.
    stem: PathBuf,
    parts: &'static [&'static str],
    /// Which of them it is.
    rank: usize,
}

impl Part {
    /// The place of a file with this path; `None` if its name is none of a part.
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.as_bytes();
        // Longer suffixes first, `.ir` is none of `.ir.sig`.
        for parts in [&OLEAN_PARTS[..], &IR_PARTS[..]] {
            for (rank, suffix) in parts.iter().enumerate() {
                if let Some(stem) = name.strip_suffix(suffix.as_bytes()).filter(|s| !s.is_empty()) {
                    return Some(Self {
                        stem: path.with_file_name(OsStr::from_bytes(stem)),
                        parts,
                        rank,
                    });
                }
            }
        }
        None
    }

    /// How many parts the sequence can have.
    pub fn count(&self) -> usize {
        self.parts.len()
    }

    /// The suffix of the first part of the sequence, which tells sequences of a module apart.
    pub fn first(&self) -> &'static str {
        self.parts[0]
    }

    /// The suffix of a part of the same sequence.
    pub fn suffix_of(&self, rank: usize) -> &'static str {
        self.parts[rank]
    }

    /// Where a part of the same sequence lies.
    pub fn path(&self, rank: usize) -> PathBuf {
        with_suffix(&self.stem, self.parts[rank])
    }

    /// The path without the part's suffix.
    pub fn stem(&self) -> &Path {
        &self.stem
    }

    /// Which of its module's parts it is, counted from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Whether it holds declarations, not compiled code.
    pub fn is_olean(&self) -> bool {
        self.parts.len() == OLEAN_PARTS.len()
    }

    /// Whether both are parts of one module.
    pub fn is_beside(&self, other: &Self) -> bool {
        self.stem == other.stem && self.parts == other.parts
    }

    /// Whether the file itself is there.
    pub fn is_present(&self) -> bool {
        self.path(self.rank).exists()
    }

    /// The parts of its module that are there, in the order in which they are saved.
    pub fn present(&self) -> Vec<PathBuf> {
        let all = (0..self.parts.len()).map(|rank| self.path(rank));
        all.filter(|path| path.exists()).collect()
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut bytes = path.as_os_str().as_bytes().to_vec();
    bytes.extend(suffix.as_bytes());
    PathBuf::from(OsString::from_vec(bytes))
}

/// What tells modules apart: the path without the part's suffix, or that of a file by itself.
pub fn module_of(source: &Source) -> PathBuf {
    let path = source.path.as_deref().unwrap_or(Path::new("-"));
    Part::of(path).map_or_else(|| path.to_owned(), |part| part.stem)
}

/// Whether a region is the first part of a module that uses the module system, which Lean saves in three parts.
pub fn has_parts(region: &Region<'_>) -> bool {
    let file = region.file();
    let offset = file.root_word().wrapping_sub(file.base());
    let Some(root) = usize::try_from(offset).ok().and_then(|at| file.bytes().get(at..)) else {
        return false;
    };
    // `ModuleData`: five pointers, then `isModule` (upstream `src/Lean/Environment.lean`).
    const FIELDS: usize = 5;
    let flag = 8 + FIELDS * file.width().bytes();
    root.get(6..8) == Some(&[FIELDS as u8, 0]) && root.get(flag) == Some(&1)
}

/// Whether a region is a module's first part and another part is not beside it, though importing needs it.
pub fn lacks_parts(region: &Region<'_>) -> bool {
    let part = Part::of(Path::new(region.file().name()));
    let part = part.filter(|part| part.rank == 0 && part.parts == OLEAN_PARTS);
    part.is_some_and(|part| has_parts(region) && (1..part.parts.len()).any(|rank| !part.path(rank).exists()))
}

/// A file of a group.
#[derive(Debug, PartialEq, Eq)]
pub struct Member {
    /// The file.
    pub source: Source,
    /// Its index among the files that were asked for; `None` for one that others only depend on.
    pub wanted: Option<usize>,
}

/// Files that depend on each other, each only on earlier ones.
pub type Group = Vec<Member>;

/// Groups the files that were asked for and adds the files that they depend on.
pub fn group(sources: &[Source]) -> Vec<Group> {
    /// A module, or a file that is no part of one, with the files asked for: rank and index.
    struct Found {
        part: Option<Part>,
        files: Vec<(usize, usize)>,
    }
    let mut found: Vec<Found> = Vec::new();
    let mut of_module = HashMap::new();
    for (i, source) in sources.iter().enumerate() {
        let part = source.path.as_deref().and_then(Part::of);
        let (key, rank) = match &part {
            Some(p) => (Some((p.stem.clone(), p.parts.len())), p.rank),
            None => (None, 0),
        };
        let new = found.len();
        let at = key.map_or(new, |key| *of_module.entry(key).or_insert(new));
        if at == new {
            found.push(Found {
                part,
                files: Vec::new(),
            });
        }
        found[at].files.push((rank, i));
    }
    let complete = |mut module: Found| {
        module.files.sort_unstable();
        match &module.part {
            Some(part) => parts(part, &module.files, sources),
            None => snapshot(&sources[module.files[0].1], module.files[0].1),
        }
    };
    found.into_iter().map(complete).collect()
}

/// The parts of a module up to the last that was asked for, whether they exist or not.
fn parts(part: &Part, files: &[(usize, usize)], sources: &[Source]) -> Group {
    let last = files[files.len() - 1].0;
    let mut group = Group::new();
    for rank in 0..=last {
        let before = group.len();
        for &(_, i) in files.iter().filter(|f| f.0 == rank) {
            let source = sources[i].clone();
            group.push(Member {
                source,
                wanted: Some(i),
            });
        }
        if group.len() == before {
            let source = Source::file(part.path(rank));
            group.push(Member { source, wanted: None });
        }
    }
    group
}

/// A file that is no part of a module, after the files that its `.deps` file lists.
fn snapshot(source: &Source, i: usize) -> Group {
    let listed = source.path.as_deref().map(listed_deps).unwrap_or_default();
    let mut group: Group = listed
        .into_iter()
        .map(|path| Member {
            source: Source::file(path),
            wanted: None,
        })
        .collect();
    group.push(Member {
        source: source.clone(),
        wanted: Some(i),
    });
    group
}

/// The files that the list beside a snapshot names and that exist.
fn listed_deps(path: &Path) -> Vec<PathBuf> {
    let all = listed(path).unwrap_or_default();
    all.into_iter().filter(|p| p.is_file()).collect()
}

/// The files that the list beside a snapshot names; `None` if there is no list, or none that can be read to its end:
/// one wrong entry is enough. `X.snap.deps` is a JSON array of objects, whose values are paths relative to the folder
/// in which Lean ran.
pub fn listed(path: &Path) -> Option<Vec<PathBuf>> {
    let list = fs::read(with_suffix(path, SUFFIX)).ok()?;
    let list = Sidecar::parse(&list, b"").ok()?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let paths = (0..list.file_count()).map(|i| {
        let path = list.file(i).to_bytes();
        Path::new(OsStr::from_bytes(path.strip_prefix(b"./").unwrap_or(path)))
    });
    let found = |p: &Path| [p.to_owned(), folder.join(p)].into_iter().find(|p| p.is_file());
    Some(
        paths
            .map(|p| found(p).unwrap_or_else(|| PathBuf::from(p)))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(group: &Group) -> Vec<(&str, Option<usize>)> {
        group.iter().map(|m| (m.source.name.as_str(), m.wanted)).collect()
    }

    #[test]
    fn parts_of_a_module_come_together_in_order() {
        let paths = [
            "a/X.olean.private",
            "a/X.ir",
            "b/X.olean",
            "a/X.olean",
            "a/X.snap",
            "a/X.olean.server",
            "a/X.ir.sig",
        ];
        let sources: Vec<Source> = paths.iter().map(|p| Source::file(p.into())).collect();
        let groups = group(&sources);
        let expected = [
            vec![
                ("a/X.olean", Some(3)),
                ("a/X.olean.server", Some(5)),
                ("a/X.olean.private", Some(0)),
            ],
            vec![("a/X.ir.sig", Some(6)), ("a/X.ir", Some(1))],
            vec![("b/X.olean", Some(2))],
            vec![("a/X.snap", Some(4))],
        ];
        assert_eq!(groups.iter().map(names).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn earlier_parts_that_were_not_asked_for_are_added() {
        let groups = group(&[Source::file("X.olean.private".into())]);
        let expected = [
            ("X.olean", None),
            ("X.olean.server", None),
            ("X.olean.private", Some(0)),
        ];
        assert_eq!(names(&groups[0]), expected);
        let groups = group(&[Source::file("X.olean".into())]);
        assert_eq!(names(&groups[0]), [("X.olean", Some(0))]);
    }

    #[test]
    fn a_snapshot_comes_after_the_files_that_its_list_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("A.olean"), "").unwrap();
        let list = r#"[{"olean":"./A.olean","ir":"./gone.ir"},{"other":"A.olean"}]"#;
        fs::write(path("X.snap.deps"), list).unwrap();
        let groups = group(&[Source::file(path("X.snap"))]);
        let shown = |name| path(name).display().to_string();
        let (a, snap) = (shown("A.olean"), shown("X.snap"));
        assert_eq!(names(&groups[0]), [(a.as_str(), None), (snap.as_str(), Some(0))]);
    }
}
