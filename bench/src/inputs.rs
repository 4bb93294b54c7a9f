//! What is saved and read: modules that the real Lean compiled, modules of a directory of region files, and
//! synthetic shapes.

use crate::module::Module;
use crate::report::grouped;
use crate::runtime::Runtime;
use crate::shapes;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use testkit::lean::{self, Options};
use testkit::tree::{self, Tree};

/// Seed of the generated modules.
const SEED: u64 = 20;
/// The generated trees: modules, and declarations of each. Many small modules and a few large ones, as in real
/// libraries (4,500 objects on average); the last has more than 100,000 objects.
const TREES: [(usize, usize); 4] = [(60, 2), (40, 8), (8, 60), (1, 700)];

/// Several modules.
pub struct Corpus {
    /// What the table calls them.
    pub name: String,
    /// The modules.
    pub modules: Vec<Module>,
}

impl Corpus {
    /// Objects of all modules.
    #[must_use]
    pub fn objects(&self) -> usize {
        self.modules.iter().map(|m| m.objects).sum()
    }
}

/// The generated modules, compiled once per target directory, as live objects.
#[must_use]
pub fn generated(runtime: &Runtime) -> Corpus {
    let mut modules = Vec::new();
    for (count, decls) in TREES {
        let tree = compiled(count, decls);
        // `Base` and `All` are the same in every tree.
        let named = if modules.is_empty() {
            &tree.modules
        } else {
            &tree.modules[1..=count]
        };
        modules.extend(named.iter().map(|m| rebuild(runtime, &tree, m)));
    }
    Corpus {
        name: format!("{} generated modules", modules.len()),
        modules,
    }
}

/// A tree compiled by the real Lean, kept in the target directory under a name that tells its parameters.
fn compiled(modules: usize, decls: usize) -> Tree {
    let version = testkit::REAL_LEAN_VERSION;
    let dir = testkit::target_dir().join(format!("bench-inputs/{modules}-{decls}-{SEED}-{version}"));
    let done = dir.join("compiled");
    if done.is_file() {
        // Generating is quick and gives the same modules again; the region files are there already.
        return tree::generate(&dir, modules, decls, SEED);
    }
    let _ = fs::remove_dir_all(&dir);
    eprintln!("bench: the real Lean compiles {modules} modules of {decls} declarations, once");
    let tree = tree::generate(&dir, modules, decls, SEED);
    let _ = lean::compile(&testkit::real_lean(), &tree, &Options::stock());
    fs::write(&done, "").unwrap_or_else(|e| panic!("{}: {e}", done.display()));
    tree
}

/// The module of a compiled tree, with all its parts.
fn rebuild(runtime: &Runtime, tree: &Tree, module: &tree::Module) -> Module {
    let olean = tree.dir.join(module.olean());
    let part = |ending: &str| {
        let mut path = olean.clone().into_os_string();
        path.push(ending);
        PathBuf::from(path)
    };
    let files = ["", ".server", ".private"].map(part);
    Module::rebuild(runtime, &module.name, &read_existing(&files))
}

fn read_existing(files: &[PathBuf]) -> Vec<Vec<u8>> {
    let existing = files.iter().filter(|f| f.is_file());
    let read = |f: &PathBuf| fs::read(f).unwrap_or_else(|e| panic!("{}: {e}", f.display()));
    existing.map(read).collect()
}

/// The modules in a directory of region files of either pointer width, each in one part.
#[must_use]
pub fn directory(runtime: &Runtime, dir: &Path) -> Corpus {
    let mut files = BTreeMap::new();
    let entries = fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    for entry in entries {
        let path = entry.unwrap_or_else(|e| panic!("{}: {e}", dir.display())).path();
        if path.extension().is_some_and(|e| e == "olean") {
            let name = path.file_stem().expect("a file").to_string_lossy().into_owned();
            files.insert(name, path);
        }
    }
    let mut modules = Vec::new();
    for (name, path) in &files {
        let bytes = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        modules.push(Module::rebuild(runtime, name, &[bytes]));
    }
    Corpus {
        name: format!("{} modules of {}", modules.len(), dir.display()),
        modules,
    }
}

/// The synthetic shapes.
#[must_use]
pub fn synthetic(runtime: &Runtime) -> Vec<Module> {
    let n = 200_000;
    let (mixed, objects) = shapes::mixed(runtime, 1_000_000, 1);
    [
        ("deep list", shapes::list(runtime, n), n),
        ("wide array", shapes::wide_array(runtime, n), n + 1),
        ("many strings", shapes::strings(runtime, n), n + 1),
        ("unshared tree", shapes::tree(runtime, 17), (1 << 17) - 1),
        ("one giant array", shapes::giant_array(runtime, 4_000_000), 1),
        ("mixed objects", mixed, objects),
    ]
    .map(|(name, root, objects)| Module::of_root(runtime, name, root, objects))
    .into()
}

/// A line about the modules of a corpus.
#[must_use]
pub fn describe(corpus: &Corpus) -> String {
    let largest = corpus
        .modules
        .iter()
        .max_by_key(|m| m.objects)
        .expect("not empty");
    let small = corpus.modules.iter().filter(|m| m.objects < 1000).count();
    format!(
        "{}: {} objects; the largest is {} with {}, {small} have fewer than 1,000",
        corpus.name,
        grouped(corpus.objects()),
        largest.name,
        grouped(largest.objects)
    )
}
