//! From arguments to whole modules: every module with all the parts that lie beside each other, proved.

use super::module::Module;
use crate::error::{Failure, Result};
use crate::input::{self, Source};
use crate::module::Part;
use crate::prove::{Deps, Many, Problem};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A module to read.
#[derive(Debug, Clone)]
pub struct ModuleFiles {
    /// Its name, as far as its path tells.
    pub name: String,
    /// The parts that are there, in the order in which they are saved; never none.
    pub files: Vec<PathBuf>,
}

/// The modules that arguments stand for; `-` is none.
#[derive(Debug)]
pub struct Modules {
    /// Them, each once.
    pub list: Vec<ModuleFiles>,
    sources: Vec<Source>,
    /// Of each source: its module, and whether it is the last part.
    of: Vec<(usize, bool)>,
}

/// A module that could not be read, or what was made of it.
pub enum Read<T> {
    /// What the work made of it.
    Module(T),
    /// The file holds something else, as a snapshot does.
    NoModule,
}

impl Modules {
    /// Finds them: of a folder all below it, of a file its module.
    pub fn find(arguments: &[PathBuf]) -> Result<Self> {
        let mut list: Vec<ModuleFiles> = Vec::new();
        let mut known: HashMap<PathBuf, usize> = HashMap::new();
        for argument in arguments {
            if argument == Path::new("-") {
                return Err(Failure::Usage(
                    "a module is read with its parts, so standard input (-) does not do here; write it to a file"
                        .to_owned(),
                ));
            }
            let folder = argument.is_dir();
            let files = if folder {
                input::region_files(argument)?
            } else {
                vec![argument.clone()]
            };
            let before = list.len();
            for file in files {
                let part = Part::of(&file).filter(Part::is_olean);
                if part.is_none() && folder {
                    continue;
                }
                let key = part.as_ref().map_or(file.clone(), |p| p.stem().to_owned());
                if known.contains_key(&key) {
                    continue;
                }
                known.insert(key.clone(), list.len());
                let files = match &part {
                    Some(p) => p.present(),
                    None => vec![file.clone()],
                };
                list.push(ModuleFiles {
                    name: module_name(&key, folder.then_some(argument)),
                    // A file that is not there is an error that the user has to see.
                    files: if files.is_empty() { vec![file] } else { files },
                });
            }
            if folder && list.len() == before && known.is_empty() {
                return Err(Failure::NothingFound(argument.clone()));
            }
        }
        let (mut sources, mut of) = (Vec::new(), Vec::new());
        for (i, module) in list.iter().enumerate() {
            for (k, file) in module.files.iter().enumerate() {
                sources.push(Source::file(file.clone()));
                of.push((i, k + 1 == module.files.len()));
            }
        }
        Ok(Self { list, sources, of })
    }

    /// Proves all parts of every module, lets `work` (on several threads) make something of it, and hands that to
    /// `sink` in order; problems with parts go there too.
    pub fn each<T: Send>(
        &self,
        deps: &Deps,
        jobs: usize,
        work: impl Fn(usize, Module<'_, '_>) -> std::result::Result<T, olean_reader::CheckError> + Sync,
        mut sink: impl FnMut(&ModuleFiles, std::result::Result<Read<T>, Problem>) -> Result<()>,
    ) -> Result<()> {
        let at: HashMap<&Path, usize> = self
            .sources
            .iter()
            .enumerate()
            .filter_map(|(i, s)| Some((s.path.as_deref()?, i)))
            .collect();
        let many = Many {
            sources: &self.sources,
            deps,
            jobs,
            doing: "reading",
        };
        let mut i = 0;
        many.each(
            |p| {
                let source = p.source.path.as_deref().and_then(|path| at.get(path));
                let Some((module, true)) = source.map(|&s| self.of[s]) else {
                    return Ok(None);
                };
                match Module::read(p, self.list[module].name.clone())? {
                    None => Ok(Some(Read::NoModule)),
                    Some(m) => work(module, m).map(|t| Some(Read::Module(t))),
                }
            },
            |_, result| {
                let module = &self.list[self.of[i].0];
                i += 1;
                match result {
                    Ok(None) => Ok(()),
                    Ok(Some(read)) => sink(module, Ok(read)),
                    Err(problem) => sink(module, Err(problem)),
                }
            },
        )
    }
}

/// The name that a path without suffix stands for: of the path below `folder`, or of the file alone.
pub fn module_name(stem: &Path, folder: Option<&PathBuf>) -> String {
    let below = folder.and_then(|f| stem.strip_prefix(f).ok());
    let path = below.unwrap_or_else(|| Path::new(stem.file_name().unwrap_or(stem.as_os_str())));
    let parts: Vec<String> = path.iter().map(|c| c.to_string_lossy().into_owned()).collect();
    parts.join(".")
}
