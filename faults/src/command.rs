//! Commands that are searched whole: the real Lean with the library in it, the same Lean without, and the tool.

use crate::errors;
use crate::run::{Left, Program, Traced, copy, empty};
use crate::search::Search;
use crate::subject::{Point, Subject, Took, says};
use crate::trace::Call;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Which calls of a command are refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Those that the library makes from its first look at a file of ours on.
    Library,
    /// Those that the library makes before.
    Attaching,
    /// Those with files of ours, by the system's own word: a loader of which nothing is known.
    Files,
    /// All from the first one on with a file of ours, of all threads.
    Process,
}

/// A command.
pub struct Command<'a> {
    /// Where it works.
    pub search: &'a Search,
    /// What it is called.
    pub name: &'static str,
    /// Program and arguments.
    pub words: Vec<String>,
    /// Variables.
    pub env: Vec<(String, String)>,
    /// The shim, and for Lean with the library in it the library.
    pub preload: Vec<PathBuf>,
    /// What it reads, which no run changes.
    pub inputs: PathBuf,
    /// Files that lie in the directory where it runs beforehand: of old content, under the targets' names.
    pub old: Option<PathBuf>,
    /// What it makes new there.
    pub targets: Vec<&'static str>,
    /// Whether it makes the same bytes each time.
    pub same_bytes: bool,
    /// Which calls.
    pub scope: Scope,
    /// What it does when nothing is refused.
    pub baseline: OnceLock<Baseline>,
}

/// What a command does when nothing is refused.
pub struct Baseline {
    stdout: String,
    files: BTreeSet<String>,
    old: Vec<Option<Vec<u8>>>,
    new: Vec<Option<Vec<u8>>>,
}

/// Words that say of a path that it is a file of ours.
const OURS: [&str; 7] = [".olean", ".ir", "snap", ".image", ".tmp", ".json", "out."];

/// Names of what lies in a directory.
pub fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

impl Command<'_> {
    fn contents(&self, dir: &Path) -> Vec<Option<Vec<u8>>> {
        self.targets
            .iter()
            .map(|target| fs::read(dir.join(target)).ok())
            .collect()
    }

    /// The program as it is.
    pub fn plain(&self, dir: &Path) -> Program {
        Program {
            words: self.words.clone(),
            env: self.env.clone(),
            preload: self.preload.clone(),
            dir: dir.to_owned(),
        }
    }

    /// What it says that is the same each time: who makes a file says where and how fast.
    fn said<'l>(&self, left: &'l Left) -> &'l str {
        if self.scope == Scope::Process && !self.targets.is_empty() {
            ""
        } else {
            &left.stdout
        }
    }

    fn baseline(&self) -> &Baseline {
        self.baseline.get_or_init(|| {
            let dir = self.search.place(&format!("{}.baseline", self.name), 0);
            empty(&dir);
            self.prepare(&dir);
            let old = self.contents(&dir);
            let left = self
                .plain(&dir)
                .run(&Traced::Not, &self.search.place("baseline-logs", 0));
            assert!(
                left.code() == Some(0),
                "{}: {}{}",
                self.name,
                left.stdout,
                left.stderr
            );
            let mut files = names(&dir);
            files.extend(self.targets.iter().map(|&target| target.to_owned()));
            Baseline {
                stdout: self.said(&left).to_owned(),
                files,
                old,
                new: self.contents(&dir),
            }
        })
    }

    fn is_new(&self, target: usize, bytes: &Option<Vec<u8>>) -> bool {
        let b = self.baseline();
        match (bytes, &b.new[target]) {
            (Some(bytes), Some(new)) if !self.same_bytes => {
                // An image of fewer files is one: what cannot be read is left out and named.
                let as_large =
                    self.targets[target].ends_with(".image") || bytes.len().abs_diff(new.len()) < 4096;
                as_large && bytes.get(..5) == new.get(..5) && Some(bytes) != b.old[target].as_ref()
            }
            (bytes, new) => bytes == new,
        }
    }

    /// Whether the targets are all new, or each old or new.
    pub fn look(&self, dir: &Path) -> (bool, bool) {
        let b = self.baseline();
        let now = self.contents(dir);
        let new: Vec<bool> = now
            .iter()
            .enumerate()
            .map(|(i, bytes)| self.is_new(i, bytes))
            .collect();
        let whole = now
            .iter()
            .enumerate()
            .all(|(i, bytes)| new[i] || *bytes == b.old[i]);
        (new.iter().all(|&new| new), whole)
    }

    /// Files that should not be there.
    pub fn strangers(&self, dir: &Path) -> Vec<String> {
        names(dir).difference(&self.baseline().files).cloned().collect()
    }

    /// Does it once more, with nothing in its way.
    pub fn again(&self, dir: &Path) -> Result<(), String> {
        let logs = format!("{}-again", dir.display());
        let left = self.plain(dir).run(&Traced::Not, Path::new(&logs));
        let b = self.baseline();
        if left.code() != Some(0) || self.said(&left) != b.stdout || !self.look(dir).0 {
            return Err(format!(
                "tried again: {:?}\n{}{}",
                left.status, left.stdout, left.stderr
            ));
        }
        match self.strangers(dir) {
            none if none.is_empty() => Ok(()),
            some => Err(format!("tried again: left {some:?}")),
        }
    }
}

impl Subject for Command<'_> {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn prepare(&self, dir: &Path) {
        if let Some(old) = &self.old {
            copy(old, dir);
        }
    }

    fn program(&self, dir: &Path, _: Option<&Point>) -> Program {
        self.plain(dir)
    }

    fn paths(&self, call: &Call) -> Vec<String> {
        let inputs = self.inputs.to_string_lossy();
        let ours = |path: &String| {
            let file = path.rsplit('/').next().unwrap_or_default();
            !file.ends_with(".lean")
                && !path.starts_with("/proc/")
                && !path.contains(".so")
                && (path.contains(&*inputs) || OURS.iter().any(|word| file.contains(word)))
        };
        call.paths().into_iter().filter(ours).collect()
    }

    fn calls(&self, threads: &[Vec<Call>]) -> Vec<(usize, usize)> {
        let mine = |call: &Call| call.made_by("liblean_region.so");
        let about = |call: &Call| {
            let path = &call.arguments;
            let inputs = path.contains(&*self.inputs.to_string_lossy());
            !path.contains(".so") && (inputs || OURS.iter().any(|word| path.contains(word)))
        };
        let mut found = Vec::new();
        for (thread, calls) in threads.iter().enumerate() {
            // A program that it starts is none of it.
            if thread > 0 && calls.iter().any(|call| call.name == "execve") {
                continue;
            }
            let first = |wanted: &dyn Fn(&Call) -> bool| calls.iter().position(wanted).unwrap_or(calls.len());
            let reads = |call: &Call| mine(call) && about(call) && !call.arguments.contains("/proc/");
            for (at, call) in calls.iter().enumerate() {
                let takes = match self.scope {
                    Scope::Library => mine(call) && (thread > 0 || at >= first(&reads)),
                    Scope::Attaching => mine(call),
                    // The host looks for modules itself, by statx and readlink.
                    Scope::Files => {
                        about(call)
                            && !matches!(call.name.as_str(), "statx" | "readlink")
                            && !call.arguments.contains("/proc/")
                            && !call.arguments.contains(".lean")
                    }
                    Scope::Process => {
                        let start = first(&|call: &Call| {
                            call.arguments.contains(&*self.inputs.to_string_lossy()) && call.name != "execve"
                        });
                        (thread > 0 || at >= start) && !call.arguments.starts_with("2<")
                    }
                };
                // The standard library lets no folder go that it cannot close.
                let folder = self.scope == Scope::Process
                    && call.name == "close"
                    && call.paths().iter().any(|path| Path::new(path).is_dir());
                // Pipes to a program that it starts are the standard library's.
                if takes && !folder && !call.arguments.contains("<pipe:") {
                    found.push((thread, at));
                }
            }
        }
        found
    }

    fn takes(&self, point: &Point) -> bool {
        // The host and the tool need memory and an output of their own: refused for good, they end before us.
        let own = errors::is_memory(&point.call)
            || matches!(
                point.call.as_str(),
                "write" | "clone3" | "clone" | "read" | "statx"
            );
        // Memory refused to the tool ends it, as every Rust program.
        let ends = self.scope == Scope::Process && errors::is_memory(&point.call);
        let own = own || (self.scope == Scope::Process && point.call == "close");
        // anstream, through which the tool writes, begins anew with a text whose writing is interrupted.
        let ends =
            ends || (self.scope == Scope::Process && point.call == "write" && point.error == errors::EINTR);
        // Before there is a library in the process the host has nobody to tell.
        let alone = self.scope == Scope::Attaching;
        !(point.lasting && (own || alone)) && !ends
    }

    fn judge(&self, dir: &Path, left: &Left, point: Option<&Point>) -> Result<Took, String> {
        let b = self.baseline();
        let text = format!("{}{}", left.stdout, left.stderr);
        let wrong = |what: &str| Err(format!("{what}; {:?}\n{text}", left.status.map(|s| s.code())));
        if text.contains("panicked at") {
            return wrong("a panic");
        }
        let (new, whole) = self.look(dir);
        if !whole {
            return wrong("a file is neither the old one nor the new one");
        }
        let strangers = self.strangers(dir);
        if !strangers.is_empty() && point.is_none_or(|point| !point.call.starts_with("unlink")) {
            return wrong(&format!("left: {strangers:?}"));
        }
        if left.code() == Some(0) && self.said(left) == b.stdout && new {
            return Ok(Took::Bore);
        }
        let Some(point) = point else {
            return wrong("it does something else each time");
        };
        if left.code() == Some(0) && !self.targets.is_empty() {
            return wrong("success, and not what it does otherwise");
        }
        let host = errors::is_memory(&point.call) && text.contains("out of memory")
            || text.contains("error while loading shared libraries");
        let output = point.call == "write" && self.targets.is_empty();
        // Lean's messages begin with the path of the source, whatever they are about.
        let sources = self.words.iter().filter(|word| word.ends_with(".lean"));
        let about = sources.fold(text.clone(), |text, source| text.replace(source.as_str(), ""));
        let named = OURS.iter().any(|word| about.contains(word))
            || about.contains(&*self.inputs.to_string_lossy())
            || output;
        let named = named || about.contains(&*dir.to_string_lossy()) || about.contains("'.'");
        // A file that is said not to be there is one that is missing or gone, and says no more.
        let absent = point.error == errors::ENOENT && (text.contains("missing: ") || text.contains(": gone"));
        if !host && !(named && (absent || says(&text, point))) {
            return wrong("the error does not name file and cause");
        }
        self.again(dir)?;
        Ok(Took::Reported)
    }
}
