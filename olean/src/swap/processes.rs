//! The processes that a command starts, by `/proc`: those that run on after it, and each Lean among them that was
//! started with another environment, so that nothing was preloaded into it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Makes this process the parent of all processes below it whose parents end (prctl(2)).
pub fn adopt_orphans() {
    // SAFETY: the call takes numbers only. Where it fails, orphans have another parent and are not counted.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
}

/// The children of this process that have not ended.
pub fn running_children() -> Vec<u32> {
    let mut children = children(std::process::id());
    children.retain(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The state follows the name, which is in parentheses and may hold some itself.
        let state = stat.rsplit_once(") ").map_or("Z", |(_, rest)| rest);
        !state.starts_with(['Z', 'X'])
    });
    children
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let lists = threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Looks for Leans that the library is not in.
#[derive(Debug, Default)]
pub struct Watch {
    /// Processes that looked like one, with their programs and how often they did.
    seen: BTreeMap<u32, (PathBuf, u32)>,
}

/// A process that is being started has no environment for a moment, so that it has to look the same twice.
const TIMES: u32 = 2;

impl Watch {
    /// Looks at the processes below `root` once.
    pub fn look(&mut self, root: u32, library: &Path) {
        let mut next = vec![root];
        while let Some(pid) = next.pop() {
            next.extend(children(pid));
            if self.seen.get(&pid).is_some_and(|(_, times)| *times >= TIMES) {
                continue;
            }
            match lean_without(pid, library) {
                Some(program) => self.seen.entry(pid).or_insert((program, 0)).1 += 1,
                None => drop(self.seen.remove(&pid)),
            }
        }
    }

    /// The programs of the Leans that were found, each once.
    pub fn found(&self) -> Vec<PathBuf> {
        let often = self.seen.values().filter(|(_, times)| *times >= TIMES);
        let mut found: Vec<PathBuf> = often.map(|(program, _)| program.clone()).collect();
        found.sort();
        found.dedup();
        found
    }
}

/// The program of a process that is a Lean and whose environment does not preload `library`.
fn lean_without(pid: u32, library: &Path) -> Option<PathBuf> {
    // The program first: an environment that is read later is that program's, not the one of whoever started it.
    let program = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let is_lean = program.file_name().is_some_and(|name| name == "lean") || {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        maps.contains("/libleanshared")
    };
    if !is_lean {
        return None;
    }
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let preloads = environment
        .split(|&b| b == 0)
        .filter_map(|variable| variable.strip_prefix(b"LD_PRELOAD="))
        .flat_map(|list| list.split(|b| matches!(b, b':' | b' ')));
    let preloaded = preloads
        .map(OsStr::from_bytes)
        .any(|one| one == library.as_os_str());
    (!preloaded).then_some(program)
}
