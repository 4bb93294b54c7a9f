//! Runs of the real `lean` over a tree: compiling it module by module, importing it whole, stock or with a
//! library preloaded; and reading the reports that a preloaded lean-region leaves.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::RealLean;
use crate::process::{self, Output};
use crate::tree::{Module, Tree};

/// How many compilers run at once.
const JOBS: usize = 2;

/// What a run of `lean` differs in from a plain one.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// A library for `LD_PRELOAD`.
    pub preload: Option<PathBuf>,
    /// Variables to set.
    pub env: Vec<(OsString, OsString)>,
}

impl Options {
    /// The stock compiler.
    pub fn stock() -> Self {
        Self::default()
    }

    /// The compiler with `library` preloaded.
    pub fn preloaded(library: impl Into<PathBuf>) -> Self {
        Self {
            preload: Some(library.into()),
            env: Vec::new(),
        }
    }

    /// These options and one variable more.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// These options, each process leaving its report in the directory `dir`; [`reports`] reads them.
    pub fn report(self, dir: &Path) -> Self {
        self.env("LEAN_REGION_REPORT", dir.join("%p.json"))
    }

    /// Takes over into `command`: variables of Lean, of lean-region and of the dynamic linker that the
    /// test process has are removed first.
    pub fn apply<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        for (name, _) in std::env::vars_os() {
            if name
                .to_str()
                .is_some_and(|name| name.starts_with("LEAN") || name.starts_with("LD_"))
            {
                command.env_remove(name);
            }
        }
        if let Some(library) = &self.preload {
            command.env("LD_PRELOAD", library);
        }
        command.envs(self.env.iter().cloned())
    }
}

/// `lean` in the directory `dir`, which is also its search path; arguments are the caller's to add.
pub fn command(lean: &RealLean, dir: &Path, options: &Options) -> Command {
    let mut command = Command::new(&lean.program);
    options
        .apply(&mut command)
        .current_dir(dir)
        .env("LEAN_PATH", ".")
        .args(["-R", "."]);
    command
}

/// Compiles one module of `tree` to its region files.
pub fn compile_module(lean: &RealLean, tree: &Tree, module: &Module, options: &Options) -> Output {
    process::run(
        command(lean, &tree.dir, options)
            .arg("-o")
            .arg(module.olean())
            .arg(module.source()),
    )
}

/// Compiles the whole tree, two modules at a time where their imports allow it; panics when one fails or has
/// something to say. The outputs are in the modules' order.
#[track_caller]
pub fn compile(lean: &RealLean, tree: &Tree, options: &Options) -> Vec<Output> {
    let mut outputs: Vec<Option<Output>> = vec![None; tree.modules.len()];
    for layer in layers(tree) {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            while let Some(&index) = layer.get(next.fetch_add(1, Ordering::Relaxed)) {
                done.push((index, compile_module(lean, tree, &tree.modules[index], options)));
            }
            done
        };
        let done = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..JOBS).map(|_| scope.spawn(work)).collect();
            workers
                .into_iter()
                .flat_map(|worker| worker.join().expect("a compiling thread"))
                .collect::<Vec<_>>()
        });
        for (index, output) in done {
            let output = output.success();
            assert!(
                output.stdout.is_empty() && output.stderr.is_empty(),
                "not silent: {output}"
            );
            outputs[index] = Some(output);
        }
    }
    outputs
        .into_iter()
        .map(|output| output.expect("each module stands in a layer"))
        .collect()
}

/// The modules' indices, grouped so that each imports only modules of earlier groups.
fn layers(tree: &Tree) -> Vec<Vec<usize>> {
    let mut depth = vec![0; tree.modules.len()];
    let mut layers: Vec<Vec<usize>> = Vec::new();
    for (index, module) in tree.modules.iter().enumerate() {
        depth[index] = module
            .imports
            .iter()
            .map(|&import| depth[import] + 1)
            .max()
            .unwrap_or(0);
        layers.resize_with(layers.len().max(depth[index] + 1), Vec::new);
        layers[depth[index]].push(index);
    }
    layers
}

/// Imports the whole compiled tree by elaborating `All`, writing nothing, with `--stats`.
#[track_caller]
pub fn import_all(lean: &RealLean, tree: &Tree, options: &Options) -> Output {
    process::run(
        command(lean, &tree.dir, options)
            .arg("--stats")
            .arg(tree.all().source()),
    )
    .success()
}

/// The number behind `label` in the output of `--stats`, such as `number of memory-mapped modules`.
#[track_caller]
pub fn stat(output: &Output, label: &str) -> u64 {
    let line = output
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix(label)?.strip_prefix(':'));
    line.and_then(|rest| rest.trim().parse().ok())
        .unwrap_or_else(|| panic!("no `{label}`: {output}"))
}

/// The lines that `--stats` prints, but for the number of regions that found their address free: that differs
/// between any two processes, for the allocator or a stack may lie there.
#[must_use]
pub fn stats_anywhere(output: &Output) -> Vec<&str> {
    let lines = output.stdout.lines();
    lines
        .filter(|line| !line.starts_with("number of memory-mapped modules"))
        .collect()
}

/// Every region file in the tree's directory (names with `.olean` or `.ir` in them), by path relative to it.
pub fn region_files(tree: &Tree) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    collect(&tree.dir, Path::new(""), &mut files);
    files
}

fn collect(root: &Path, below: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    let dir = root.join(below);
    for entry in fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
        let entry = entry.unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        let relative = below.join(entry.file_name());
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(root, &relative, files);
        } else if name
            .split('.')
            .skip(1)
            .any(|part| part == "olean" || part == "ir")
        {
            let bytes = fs::read(entry.path()).unwrap_or_else(|e| panic!("{}: {e}", entry.path().display()));
            files.insert(relative, bytes);
        }
    }
}

/// Whether there is a report in the directory `dir`.
pub fn has_reports(dir: &Path) -> bool {
    let mut entries = fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    entries.any(|entry| {
        let path = entry.unwrap_or_else(|e| panic!("{}: {e}", dir.display())).path();
        path.extension().is_some_and(|extension| extension == "json")
    })
}

/// All reports in the directory `dir` ([`Options::report`]).
pub fn reports(dir: &Path) -> Vec<Value> {
    let entries = fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    entries
        .map(|entry| {
            let path = entry.unwrap_or_else(|e| panic!("{}: {e}", dir.display())).path();
            let text = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        })
        .collect()
}
