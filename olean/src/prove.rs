//! From files to proved regions: every file checked together with what it may point into, on several cores,
//! results handed out in the order of the arguments.

use crate::error::{Failure, Result};
use crate::input::{self, Input, Source};
use crate::module::{self, Group};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use olean_reader::{BadPointer, CheckError, File, Graph, Region, Violation, Width};
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// From this number of files on, a terminal sees a progress bar.
const MANY: usize = 16;

/// A file whose objects are proved.
pub struct Proved<'r, 'a> {
    /// The file.
    pub source: &'r Source,
    /// Its objects.
    pub region: &'r Region<'a>,
    /// What it may point into.
    pub deps: &'r [&'r Region<'a>],
}

impl<'r, 'a> Proved<'r, 'a> {
    /// The graph of the file and its dependencies.
    pub fn graph(&self) -> std::result::Result<Graph<'r, 'a>, CheckError> {
        Graph::new(self.region, self.deps)
    }
}

/// Why there is no result for a file.
#[derive(Debug)]
pub enum Problem {
    /// It cannot be read.
    Unreadable(Failure),
    /// It is bad.
    Bad {
        /// What is wrong.
        error: CheckError,
        /// What is the matter with a dependency, if that may be the reason.
        because: Option<String>,
    },
}

impl From<CheckError> for Problem {
    fn from(error: CheckError) -> Self {
        Self::Bad { error, because: None }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Unreadable(failure) => failure,
            Problem::Bad { error, because: None } => Self::Bad(error),
            Problem::Bad {
                error,
                because: Some(because),
            } => Self::Refused {
                path: error.file().unwrap_or_default().to_owned(),
                text: format!("{because}; look at that first"),
            },
        }
    }
}

/// The files given with `--deps`.
pub struct Deps {
    files: Vec<(PathBuf, Input)>,
}

impl Deps {
    /// Opens them; folders are walked.
    pub fn open(arguments: &[PathBuf]) -> Result<Self> {
        let mut files = Vec::new();
        for source in input::sources(arguments)? {
            let Some(path) = &source.path else {
                return Err(Failure::Usage(
                    "standard input (-) cannot be a dependency; write it to a file".to_owned(),
                ));
            };
            files.push((identity(path), Input::open(&source)?));
        }
        Ok(Self { files })
    }

    /// Every file that is read when these sources are proved with these dependencies.
    pub fn read_with(&self, sources: &[Source]) -> Vec<PathBuf> {
        let groups = module::group(sources);
        let members = groups.iter().flatten().filter_map(|m| m.source.path.clone());
        members
            .chain(self.files.iter().map(|(path, _)| path.clone()))
            .collect()
    }

    fn walk(&self, jobs: usize) -> Result<Vec<Region<'_>>> {
        let next = AtomicUsize::new(0);
        let cells: Vec<OnceLock<_>> = self.files.iter().map(|_| OnceLock::new()).collect();
        let work = || {
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some((_, input)) = self.files.get(i) else {
                    return;
                };
                cells[i].get_or_init(|| File::parse(input, &input.name, None).and_then(Region::walk));
            }
        };
        on_threads(jobs.min(self.files.len()), work);
        cells
            .into_iter()
            .map(|c| {
                c.into_inner()
                    .expect("all are walked")
                    .map_err(Failure::BadDependency)
            })
            .collect()
    }
}

/// What tells whether two paths are the same file.
fn identity(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// How to go through many files.
pub struct Many<'s> {
    /// The files.
    pub sources: &'s [Source],
    /// What they may point into besides their own modules' parts.
    pub deps: &'s Deps,
    /// Threads.
    pub jobs: usize,
    /// What is being done, for the progress bar.
    pub doing: &'static str,
}

impl Many<'_> {
    /// Proves every file, lets `work` (on several threads) make something of it, and hands that to `sink` in the
    /// order of the files.
    pub fn each<T: Send>(
        &self,
        work: impl Fn(&Proved<'_, '_>) -> std::result::Result<T, CheckError> + Sync,
        mut sink: impl FnMut(&Source, std::result::Result<T, Problem>) -> Result<()>,
    ) -> Result<()> {
        let groups = module::group(self.sources);
        let jobs = self.jobs.clamp(1, groups.len().max(1));
        let walked = self.deps.walk(jobs)?;
        let shared: Vec<(&Path, &Region<'_>)> = self
            .deps
            .files
            .iter()
            .map(|(p, _)| p.as_path())
            .zip(&walked)
            .collect();
        let bar = bar(self.sources.len(), self.doing);
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (send, receive) = mpsc::channel();
        let one = |group: &Group, send: &mpsc::Sender<_>| {
            prove_group(group, &shared, &mut |i, proved| {
                let result = proved.and_then(|p| Ok(work(p)?));
                // Nobody listens any more once the output is closed.
                let _ = send.send((i, result));
            });
        };
        let take = || groups.get(next.fetch_add(1, Ordering::Relaxed));
        let mut order = InOrder {
            sources: self.sources,
            bar: &bar,
            early: BTreeMap::new(),
            due: 0,
            sink: &mut sink,
        };
        thread::scope(|scope| {
            let mut threads = 0;
            for _ in 0..jobs {
                let send = send.clone();
                let run = || {
                    let send = send;
                    while let Some(group) = take() {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        one(group, &send);
                    }
                };
                if thread::Builder::new().spawn_scoped(scope, run).is_err() {
                    break;
                }
                threads += 1;
            }
            // Where there is no thread to be had, this one does the work between handing out results.
            while let Some(group) = (threads == 0).then(take).flatten() {
                one(group, &send);
                receive
                    .try_iter()
                    .try_for_each(|(i, result)| order.hand(i, result))?;
            }
            drop(send);
            for (i, result) in receive {
                let handed = order.hand(i, result);
                handed.inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
            }
            bar.finish_and_clear();
            Ok(())
        })
    }
}

/// Hands results out in the order of the files.
struct InOrder<'o, T> {
    sources: &'o [Source],
    bar: &'o ProgressBar,
    /// Results of files behind the one that is due.
    early: BTreeMap<usize, std::result::Result<T, Problem>>,
    due: usize,
    sink: Sink<'o, T>,
}

type Sink<'o, T> = &'o mut dyn FnMut(&Source, std::result::Result<T, Problem>) -> Result<()>;

impl<T> InOrder<'_, T> {
    fn hand(&mut self, i: usize, result: std::result::Result<T, Problem>) -> Result<()> {
        self.early.insert(i, result);
        while let Some(result) = self.early.remove(&self.due) {
            let (source, sink) = (&self.sources[self.due], &mut self.sink);
            self.bar.suspend(|| sink(source, result))?;
            self.due += 1;
            self.bar.inc(1);
        }
        Ok(())
    }
}

/// Proves one file and lets `work` make something of it.
pub fn one<T>(
    source: &Source,
    deps: &[PathBuf],
    work: impl FnOnce(&Proved<'_, '_>) -> Result<T>,
) -> Result<T> {
    let deps = Deps::open(deps)?;
    let walked = deps.walk(1)?;
    let shared: Vec<(&Path, &Region<'_>)> =
        deps.files.iter().map(|(p, _)| p.as_path()).zip(&walked).collect();
    let groups = module::group(std::slice::from_ref(source));
    let (mut work, mut result) = (Some(work), None);
    prove_group(&groups[0], &shared, &mut |_, proved| {
        let work = work.take().expect("one file is asked for");
        result = Some(proved.map_err(Failure::from).and_then(work));
    });
    result.expect("the file that was asked for is visited")
}

/// Does `work` on so many threads, this one among them: where there is no other to be had, it does all.
pub fn on_threads(jobs: usize, work: impl Fn() + Sync) {
    thread::scope(|scope| {
        for _ in 1..jobs {
            if thread::Builder::new().spawn_scoped(scope, &work).is_err() {
                break;
            }
        }
        work();
    });
}

/// How many threads there are to use.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// A progress bar for so many files.
pub fn bar(files: usize, doing: &'static str) -> ProgressBar {
    if files < MANY {
        return ProgressBar::hidden();
    }
    // Draws nothing when stderr is no terminal.
    let bar = ProgressBar::with_draw_target(Some(files as u64), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{msg} [{wide_bar}] {pos}/{len} files, {eta} left")
        .expect("the template is sound")
        .progress_chars("=> ");
    bar.set_style(style);
    bar.set_message(doing);
    bar
}

type Visit<'v> = &'v mut dyn FnMut(usize, std::result::Result<&Proved<'_, '_>, Problem>);

/// Proves the files of a group in order; those that were asked for are visited.
fn prove_group(group: &Group, shared: &[(&Path, &Region<'_>)], visit: Visit<'_>) {
    let inputs: Vec<Result<Input>> = group.iter().map(|m| Input::open(&m.source)).collect();
    let own: Vec<PathBuf> = if shared.is_empty() {
        Vec::new()
    } else {
        group
            .iter()
            .filter_map(|m| m.source.path.as_deref().map(identity))
            .collect()
    };
    let others: Vec<&Region<'_>> = shared
        .iter()
        .filter(|(path, _)| !own.iter().any(|o| o == path))
        .map(|(_, region)| *region)
        .collect();
    let widths: Vec<Option<Width>> = inputs
        .iter()
        .map(|i| i.as_deref().ok().and_then(width_of))
        .collect();
    let common = most_common(&widths);
    let regions: Vec<OnceCell<Region<'_>>> = group.iter().map(|_| OnceCell::new()).collect();
    // The first dependency that is bad or missing.
    let mut lacking: Option<String> = None;
    for (i, (member, input)) in group.iter().zip(inputs.iter()).enumerate() {
        let Ok(input) = input else {
            lacking.get_or_insert_with(|| format!("its dependency '{}' cannot be read", member.source.name));
            continue;
        };
        let mut deps: Vec<&Region<'_>> = regions[..i].iter().filter_map(OnceCell::get).collect();
        deps.extend(&others);
        match prove(input, widths[i], common, &deps, member.wanted.is_some()) {
            Ok(region) => {
                let region = regions[i].get_or_init(|| region);
                if let Some(wanted) = member.wanted {
                    let proved = Proved {
                        source: &member.source,
                        region,
                        deps: &deps,
                    };
                    visit(wanted, Ok(&proved));
                }
            }
            Err(error) => {
                let because = lacking.clone().filter(|_| leaves(&error));
                lacking.get_or_insert_with(|| format!("its dependency '{}' is bad", member.source.name));
                if let Some(wanted) = member.wanted {
                    visit(wanted, Err(Problem::Bad { error, because }));
                }
            }
        }
    }
    for (member, input) in group.iter().zip(inputs) {
        if let (Some(wanted), Err(failure)) = (member.wanted, input) {
            visit(wanted, Err(Problem::Unreadable(failure)));
        }
    }
}

/// The width that a file shows by itself.
fn width_of(bytes: &[u8]) -> Option<Width> {
    if is_surely_64(bytes) {
        return Some(Width::W64);
    }
    Some(File::parse(bytes, "", None).ok()?.width())
}

/// Whether the header alone says that pointers have 64 bits, as it does for all but the smallest files: the root lies in
/// the file, which wants addresses above 4 GiB. With 32 bits the word taken for the root here would begin an object,
/// whose reference count is 0, so it would be a multiple of 4 GiB.
fn is_surely_64(bytes: &[u8]) -> bool {
    let word = |at: usize| {
        let word = bytes.get(at..at + 8)?;
        Some(u64::from_le_bytes(word.try_into().ok()?))
    };
    let (Some(base), Some(root)) = (word(80), word(88)) else {
        return false;
    };
    let inside = root.wrapping_sub(base) < bytes.len() as u64;
    bytes.get(5) == Some(&2) && base >> 32 != 0 && root as u32 != 0 && root.is_multiple_of(8) && inside
}

/// The width that most files have; where as many have the other, that of the first.
fn most_common(widths: &[Option<Width>]) -> Option<Width> {
    let count = |width: Width| widths.iter().filter(|w| **w == Some(width)).count();
    let first = widths.iter().flatten().next().copied()?;
    [Width::W64, Width::W32]
        .into_iter()
        .find(|&w| w != first && count(w) > count(first))
        .or(Some(first))
}

/// Proves a file that shows the width `own` by itself, among files of which most have the width `common`.
fn prove<'a>(
    input: &'a Input,
    own: Option<Width>,
    common: Option<Width>,
    deps: &[&Region<'a>],
    wanted: bool,
) -> std::result::Result<Region<'a>, CheckError> {
    let proved = |width| {
        let file = File::parse(input, &input.name, width)?;
        if wanted {
            Region::check(file, deps)
        } else {
            Region::walk(file)
        }
    };
    match (own, common) {
        // A few small objects can be read under either width; more cannot.
        (Some(own), Some(common)) if own != common => {
            proved(Some(common)).map_err(|_| CheckError::mixed_width(&input.name, own, common))
        }
        _ => proved(own.or(common)),
    }
}

/// Whether a file is bad because a pointer goes to none of its dependencies.
fn leaves(e: &CheckError) -> bool {
    let outside = BadPointer::Outside;
    matches!(e.violation(), Violation::Pointer { why, .. } if *why == outside)
}
