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
        thread::scope(|s| {
            for _ in 0..jobs.min(self.files.len()) {
                s.spawn(work);
            }
        });
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
        thread::scope(|scope| {
            for _ in 0..jobs {
                let send = send.clone();
                scope.spawn(|| {
                    let send = send;
                    while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        prove_group(group, &shared, &mut |i, proved| {
                            let result = proved.and_then(|p| Ok(work(p)?));
                            // Nobody listens any more once the output is closed.
                            let _ = send.send((i, result));
                        });
                    }
                });
            }
            drop(send);
            let mut early = BTreeMap::new();
            let mut due = 0;
            for (i, result) in receive {
                early.insert(i, result);
                while let Some(result) = early.remove(&due) {
                    let handed = bar.suspend(|| sink(&self.sources[due], result));
                    handed.inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
                    due += 1;
                    bar.inc(1);
                }
            }
            bar.finish_and_clear();
            Ok(())
        })
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
    // The files of a module have one width; the largest tells it best.
    let largest = inputs.iter().flatten().max_by_key(|i| i.len());
    let width = largest.and_then(|i| Some(File::parse(i, "", None).ok()?.width()));
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
        match prove(input, width, &deps, member.wanted.is_some()) {
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

fn prove<'a>(
    input: &'a Input,
    width: Option<Width>,
    deps: &[&Region<'a>],
    wanted: bool,
) -> std::result::Result<Region<'a>, CheckError> {
    let file = File::parse(input, &input.name, width)?;
    if wanted {
        Region::check(file, deps)
    } else {
        Region::walk(file)
    }
}

/// Whether a file is bad because a pointer goes to none of its dependencies.
fn leaves(e: &CheckError) -> bool {
    let outside = BadPointer::Outside;
    matches!(e.violation(), Violation::Pointer { why, .. } if *why == outside)
}
