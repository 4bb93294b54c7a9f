//! `olean info --closure`: what importing a module loads.
//!
//! Lean follows imports with what it needs of each module: its declarations, its compiled code, or both. A file that
//! does not use the module system gets everything; one that does gets what is imported publicly, and compiled code only
//! where something is imported for compile time (upstream `src/Lean/Environment.lean`, `importModulesCore`). Of the
//! declarations all parts are mapped that are there.

use crate::commands::refs::wrap;
use crate::decls::find;
use crate::decls::module::{Import, Module};
use crate::error::{Failure, Result};
use crate::input::{self, Source};
use crate::module::Part;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::prove;
use crate::render::{DIM, TITLE, Table, bytes, clean, count, cut, plural};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Files listed.
const LARGEST: usize = 10;

#[derive(Serialize)]
struct Report {
    schema: u32,
    module: String,
    /// What a file loads that does not use the module system.
    plain: Load,
    /// What a file loads that uses it; absent for a module that does not, for such a file cannot import it.
    #[serde(skip_serializing_if = "Option::is_none")]
    module_system: Option<Load>,
    /// How many mappings a process may have; absent where the system does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_map_count: Option<u64>,
    /// Modules that are imported and lie in none of the folders.
    missing: Vec<String>,
}

#[derive(Serialize, Default)]
struct Load {
    modules: u64,
    files: u64,
    bytes: u64,
    /// The modules that load most.
    largest: Vec<Large>,
}

#[derive(Serialize)]
struct Large {
    module: String,
    files: u64,
    bytes: u64,
}

/// What is needed of a module.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Need {
    /// Its declarations.
    data: bool,
    /// Its private declarations.
    all: bool,
    /// Its compiled code.
    ir: bool,
    /// The compiled code of what it imports, too.
    ir_below: bool,
}

impl Need {
    fn or(self, other: Self) -> Self {
        Self {
            data: self.data | other.data,
            all: self.all | other.all,
            ir: self.ir | other.ir,
            ir_below: self.ir_below | other.ir_below,
        }
    }
}

/// Where modules lie, and what those that were read import.
struct Library<'a> {
    folders: &'a [PathBuf],
    imports: HashMap<String, Option<Read>>,
}

/// What a module that was read says.
#[derive(Clone)]
struct Read {
    is_module: bool,
    imports: Vec<Import>,
}

impl Library<'_> {
    /// The path of a module without suffix: components as folders, or as Lake and archives have it, in one name.
    fn stem(&self, module: &str) -> Option<PathBuf> {
        let parts = components(module);
        let nested: PathBuf = parts.iter().collect();
        let flat = parts.join(".");
        let exists = |stem: &PathBuf| with(stem, ".olean").is_file();
        let all = self.folders.iter().flat_map(|f| [f.join(&nested), f.join(&flat)]);
        all.into_iter().find(exists)
    }

    /// What a module imports; `None` if it is not here.
    fn read(&mut self, module: &str) -> Result<Option<&Read>> {
        if !self.imports.contains_key(module) {
            let read = match self.stem(module) {
                None => None,
                Some(stem) => Some(read(&with(&stem, ".olean"))?),
            };
            self.imports.insert(module.to_owned(), read);
        }
        Ok(self.imports[module].as_ref())
    }
}

fn read(path: &Path) -> Result<Read> {
    prove::one(&Source::file(path.to_owned()), &[], |p| {
        let module = Module::read(p, String::new()).map_err(Failure::Bad)?;
        module
            .map(|m| Read {
                is_module: m.is_module,
                imports: m.imports,
            })
            .ok_or_else(|| crate::commands::ls::no_module(&path.display().to_string()))
    })
}

/// Runs it.
pub fn run(module: &str, folders: &[PathBuf], out: &mut Output) -> Result<Outcome> {
    for folder in folders {
        if !folder.is_dir() {
            return Err(Failure::Usage(format!(
                "'{}' is no folder; with --closure, give the folders in which modules are looked for",
                folder.display()
            )));
        }
    }
    let mut library = Library {
        folders,
        imports: HashMap::new(),
    };
    if library.stem(module).is_none() {
        return Err(no_such(module, folders)?);
    }
    let mut missing = Vec::new();
    let plain = load(module, true, &mut library, &mut missing)?;
    let module_system = match library.read(module)? {
        Some(read) if read.is_module => Some(load(module, false, &mut library, &mut missing)?),
        _ => None,
    };
    missing.sort();
    missing.dedup();
    let limit = fs::read_to_string("/proc/sys/vm/max_map_count").ok();
    let report = Report {
        schema: 1,
        module: module.to_owned(),
        plain,
        module_system,
        max_map_count: limit.and_then(|text| text.trim().parse().ok()),
        missing,
    };
    if out.is_json() {
        out.json(&report)?;
    } else {
        print(&report, out)?;
    }
    Ok(Outcome::good_if(report.missing.is_empty()))
}

fn no_such(module: &str, folders: &[PathBuf]) -> Result<Failure> {
    let mut names = Vec::new();
    for folder in folders {
        for file in input::region_files(folder)? {
            let part = Part::of(&file).filter(|p| p.is_olean() && p.rank() == 0);
            names.extend(part.map(|p| crate::decls::load::module_name(p.stem(), Some(folder))));
        }
    }
    let near = find::nearest(module, names.iter().map(String::as_str));
    Ok(Failure::Usage(format!(
        "there is no module {module} in the folders given{}",
        find::suggestion(&near)
    )))
}

/// Follows the imports from one module on.
fn load(module: &str, private: bool, library: &mut Library<'_>, missing: &mut Vec<String>) -> Result<Load> {
    let first = Need {
        data: true,
        all: private,
        ir: private,
        ir_below: false,
    };
    let mut needs: BTreeMap<String, Need> = BTreeMap::from([(module.to_owned(), first)]);
    let mut queue = VecDeque::from([module.to_owned()]);
    while let Some(name) = queue.pop_front() {
        let need = needs[&name];
        let Some(read) = library.read(&name)? else {
            missing.push(name);
            continue;
        };
        for i in &read.imports {
            let data = need.data && (i.public || need.all);
            let all = private || need.all && i.all;
            let ir_below = need.ir_below || data && i.meta;
            let next = Need {
                data,
                all,
                ir: ir_below || all,
                ir_below,
            };
            if !next.data && !next.ir {
                continue;
            }
            let known = needs.get(&i.module).copied();
            let joined = known.map_or(next, |k| k.or(next));
            if known != Some(joined) {
                needs.insert(i.module.clone(), joined);
                queue.push_back(i.module.clone());
            }
        }
    }
    let mut sum = Load::default();
    for (name, need) in needs {
        let Some(stem) = library.stem(&name) else { continue };
        let mut large = Large {
            module: name,
            files: 0,
            bytes: 0,
        };
        let data = [".olean", ".olean.server", ".olean.private"];
        let ir = [".ir.sig", ".ir"];
        let suffixes = data
            .iter()
            .filter(|_| need.data)
            .chain(ir.iter().filter(|_| need.ir));
        for suffix in suffixes {
            if let Ok(meta) = fs::metadata(with(&stem, suffix)) {
                large.files += 1;
                large.bytes += meta.len();
            }
        }
        sum.modules += 1;
        sum.files += large.files;
        sum.bytes += large.bytes;
        sum.largest.push(large);
    }
    sum.largest.sort_by_key(|l| Reverse(l.bytes));
    sum.largest.truncate(LARGEST);
    Ok(sum)
}

fn with(stem: &Path, suffix: &str) -> PathBuf {
    let mut path = stem.as_os_str().to_owned();
    path.push(suffix);
    PathBuf::from(path)
}

/// The components of a module's name, quotes removed.
fn components(module: &str) -> Vec<String> {
    let (mut parts, mut quoted) = (vec![String::new()], false);
    for c in module.chars() {
        match c {
            '«' => quoted = true,
            '»' => quoted = false,
            '.' if !quoted => parts.push(String::new()),
            c => parts[..].last_mut().expect("never empty").push(c),
        }
    }
    parts
}

fn print(r: &Report, out: &mut Output) -> Result<()> {
    let width = out.width();
    writeln!(
        out,
        "{TITLE}{}{TITLE:#}",
        cut(&format!("import {}", clean(&r.module)), width)
    )?;
    let mut table = Table::new(&["imported by", "modules", "files", "size"]);
    for (who, load) in [
        ("no module", Some(&r.plain)),
        ("a module", r.module_system.as_ref()),
    ] {
        let Some(load) = load else { continue };
        table.row([
            who.to_owned(),
            count(load.modules),
            count(load.files),
            bytes(load.bytes),
        ]);
    }
    for line in table.lines(2, width) {
        writeln!(out, "{line}")?;
    }
    let limit = match r.max_map_count {
        Some(n) => format!(" of {} that a process may have (vm.max_map_count)", count(n)),
        None => String::new(),
    };
    let text = format!("each file is a mapping: {}{limit}", count(r.plain.files));
    for line in crate::text::wrapped(&text, width - 2) {
        writeln!(out, "  {line}")?;
    }
    writeln!(out)?;
    let mut table = Table::new(&["largest", "files", "size"]);
    for l in &r.plain.largest {
        table.row([clean(&l.module), count(l.files), bytes(l.bytes)]);
    }
    for line in table.lines(2, width) {
        writeln!(out, "{line}")?;
    }
    if !r.missing.is_empty() {
        writeln!(out)?;
        let n = plural(r.missing.len() as u64, "module");
        wrap(
            &format!("{n} not found in the folders given, nor what they import:"),
            out,
        )?;
        for name in r.missing.iter().take(LARGEST) {
            writeln!(out, "  {}", cut(&clean(name), width - 2))?;
        }
        if r.missing.len() > LARGEST {
            writeln!(out, "  {DIM}… {} more{DIM:#}", r.missing.len() - LARGEST)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::components;

    #[test]
    fn names_are_taken_apart() {
        assert_eq!(components("A.B.C"), ["A", "B", "C"]);
        assert_eq!(components("A.«b.c d».E"), ["A", "b.c d", "E"]);
    }
}
