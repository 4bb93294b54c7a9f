//! Everything below the folders: each file proved together with the parts of its module, as `olean verify` does, and
//! what its header says.

use crate::error::{Failure, Result};
use crate::input::{self, PassedOver, Source};
use crate::module::{self, Part};
use crate::outcome::Failed;
use crate::prove::{self, Deps, Many, Problem};
use olean_reader::format::header::{HEADER_SIZE, Header, field_text};
use olean_reader::{Bignums, CheckError, Width};
use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What is known of a file's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub size: u64,
    pub base: u64,
    pub version: u8,
    pub bignums: Bignums,
    pub lean_version: String,
    pub githash: String,
    /// The width of pointers; `None` where it is not proved.
    pub width: Option<Width>,
    /// Whether it is the first of the three parts of a module.
    pub has_parts: bool,
}

/// What came of proving a file.
#[derive(Debug)]
pub enum Verdict {
    Good,
    Bad {
        error: CheckError,
        /// Whether that is so because of another part, which is missing or bad itself.
        dependent: bool,
    },
}

/// A file.
#[derive(Debug)]
pub struct Seen {
    pub path: PathBuf,
    pub part: Option<Part>,
    /// `None` where not even a header is there.
    pub facts: Option<Facts>,
    pub verdict: Verdict,
}

impl Seen {
    /// How it is called in output.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    pub fn is_good(&self) -> bool {
        matches!(self.verdict, Verdict::Good)
    }
}

/// Everything.
#[derive(Debug)]
pub struct Survey {
    /// The files that could be read, by path.
    pub files: Vec<Seen>,
    /// How many could not, of which the user was told.
    pub unreadable: u64,
    /// Lists of what snapshots depend on.
    pub lists: Vec<PathBuf>,
    /// Files named as images are.
    pub images: Vec<PathBuf>,
    pub passed_over: Vec<PassedOver>,
}

impl Survey {
    /// Looks at everything below the folders.
    pub fn of(folders: &[PathBuf], jobs: Option<usize>) -> Result<Self> {
        let (mut sources, mut lists, mut images, mut passed_over) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for folder in folders {
            if !folder.is_dir() {
                return Err(match folder.exists() {
                    true => Failure::Usage(format!(
                        "'{}' is no folder; olean verify proves single files, and a command goes behind --",
                        folder.display()
                    )),
                    false => Failure::io("open", folder)(std::io::Error::from_raw_os_error(libc::ENOENT)),
                });
            }
            let below = input::below(folder)?;
            if below.files.is_empty() && below.lists.is_empty() && below.passed_over.is_empty() {
                return Err(Failure::NothingFound(folder.clone()));
            }
            sources.extend(below.files.into_iter().map(Source::file));
            lists.extend(below.lists);
            images.extend(below.images);
            passed_over.extend(below.passed_over);
        }
        let mut seen = HashSet::new();
        sources.retain(|source| seen.insert(source.clone()));
        let mut survey = Self {
            files: Vec::with_capacity(sources.len()),
            unreadable: 0,
            lists,
            images,
            passed_over,
        };
        survey.prove(&sources, jobs)?;
        Ok(survey)
    }

    fn prove(&mut self, sources: &[Source], jobs: Option<usize>) -> Result<()> {
        let many = Many {
            sources,
            deps: &Deps::open(&[])?,
            jobs: jobs.unwrap_or_else(prove::cores),
            doing: "looking",
        };
        let mut failed = Failed::default();
        many.each(
            |p| {
                let file = p.region.file();
                Ok(Facts {
                    size: file.bytes().len() as u64,
                    base: file.base(),
                    version: file.version(),
                    bignums: file.bignums(),
                    lean_version: file.lean_version().to_owned(),
                    githash: file.githash().to_owned(),
                    width: Some(file.width()),
                    has_parts: module::has_parts(p.region),
                })
            },
            |source, result| {
                let path = source.path.clone().expect("files of folders have paths");
                let (facts, verdict) = match result {
                    Ok(facts) => (Some(facts), Verdict::Good),
                    Err(Problem::Bad { error, because }) => {
                        let other = error.file().is_some_and(|file| file != source.name);
                        let dependent = because.is_some() || other;
                        (header(&path), Verdict::Bad { error, dependent })
                    }
                    Err(problem @ Problem::Unreadable(_)) => {
                        failed.note(problem);
                        self.unreadable += 1;
                        return Ok(());
                    }
                };
                self.files.push(Seen {
                    part: Part::of(&path),
                    path,
                    facts,
                    verdict,
                });
                Ok(())
            },
        )
    }

    /// Number of modules.
    pub fn modules(&self) -> u64 {
        let modules: HashSet<&Path> = self
            .files
            .iter()
            .map(|seen| seen.part.as_ref().map_or(seen.path.as_path(), Part::stem))
            .collect();
        modules.len() as u64
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files
            .iter()
            .filter_map(|seen| Some(seen.facts.as_ref()?.size))
            .sum()
    }

    /// The good files with what their headers say.
    pub fn good(&self) -> impl Iterator<Item = (&Seen, &Facts)> {
        let good = self.files.iter().filter(|seen| seen.is_good());
        good.filter_map(|seen| Some((seen, seen.facts.as_ref()?)))
    }
}

/// What the header of a file says that could not be proved.
fn header(path: &Path) -> Option<Facts> {
    let mut file = fs::File::open(path).ok()?;
    let size = file.metadata().ok()?.len();
    let mut bytes = [0; HEADER_SIZE];
    file.read_exact(&mut bytes).ok()?;
    let header = Header::decode(&bytes).ok()?;
    Some(Facts {
        size,
        base: header.base,
        version: bytes[5],
        bignums: if bytes[6] & 1 == 0 {
            Bignums::Native
        } else {
            Bignums::Gmp
        },
        lean_version: field_text(&header.lean_version),
        githash: field_text(&header.githash),
        width: None,
        has_parts: false,
    })
}
