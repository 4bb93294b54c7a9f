//! `olean ls`: the declarations of modules, with kinds, attributes and sizes.

use crate::decls::fold;
use crate::decls::kind::{Flags, Kind};
use crate::decls::load::{Modules, Read};
use crate::decls::module::Module;
use crate::decls::sizes::{self, Sizes};
use crate::error::{Failure, Result};
use crate::outcome::{Failed, Outcome};
use crate::output::Output;
use crate::prove::{self, Deps};
use crate::render::{DIM, TITLE, bytes, clean, count, cut, cut_left, plural};
use crate::text::wrapped;
use regex::Regex;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

/// List the declarations of modules: kind, name, attributes, size
///
/// All parts of a module that lie beside each other are one list. `size` counts the bytes of the objects that only
/// this declaration reaches, `shared` those that it reaches and others do too. Where only the public part of a module
/// is there, the list says so: proofs and private declarations are in .olean.private.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Files of modules, or folders
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A file or folder that they may point into, besides the parts of their own modules; may be given again
    #[arg(long, value_name = "FILE")]
    deps: Vec<PathBuf>,
    /// Sort all declarations, not module by module
    #[arg(long, value_name = "BY")]
    sort: Option<Sort>,
    /// Only these kinds (theorem, def, …) or attributes (instance, class, private, …)
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = KINDS)]
    kind: Vec<String>,
    /// Only names that this regular expression matches somewhere
    #[arg(long = "match", value_name = "REGEX")]
    pattern: Option<Regex>,
    /// Only the first N
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// Count what Lean adds to a declaration (constructors, recursors, equations, …) with it
    #[arg(long)]
    fold: bool,
    /// Threads [default: all cores]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
}

const EXAMPLES: &str = "Exit codes: 0 all listed, 1 some bad, 2 wrong usage or unreadable files.\n\n\
     In a pipe or a file, names are never cut.\n\n\
     Examples:\n  \
     olean ls Foo.olean\n  \
     olean ls build/lib --sort size --top 20\n  \
     olean ls build/lib --kind axiom\n  \
     olean ls build/lib --match '^Nat\\.add' --kind theorem,instance\n  \
     olean ls Foo.olean --fold --sort size\n  \
     olean ls --json Foo.olean | jq -r '.declarations[].name'";

const KINDS: [&str; 17] = [
    "theorem",
    "def",
    "axiom",
    "inductive",
    "constructor",
    "recursor",
    "opaque",
    "quot",
    "instance",
    "class",
    "structure",
    "reducible",
    "irreducible",
    "protected",
    "private",
    "unsafe",
    "partial",
];

/// What comes first.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Sort {
    /// The largest
    Size,
    /// By letters
    Name,
    /// Theorems, definitions, axioms, types, …; by letters among them
    Kind,
}

#[derive(Serialize)]
struct Report {
    schema: u32,
    declarations: Vec<Row>,
    modules: Vec<ModuleReport>,
    total: Total,
}

/// A declaration.
#[derive(Serialize)]
struct Row {
    module: String,
    name: String,
    kind: Kind,
    attributes: Vec<&'static str>,
    bytes: u64,
    shared_bytes: u64,
    /// Auxiliary declarations counted with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    folded: Option<u64>,
}

#[derive(Serialize, Clone)]
struct ModuleReport {
    module: String,
    files: Vec<String>,
    is_module: bool,
    /// Whether values and private declarations are in the files.
    whole: bool,
    declarations: u64,
    object_bytes: u64,
    /// Bytes that some declaration reaches.
    declaration_bytes: u64,
    /// Bytes that several declarations reach, each object once.
    shared_bytes: u64,
}

/// Sums over all declarations, whether they are listed or not.
#[derive(Serialize, Default)]
struct Total {
    modules: u64,
    declarations: u64,
    listed: u64,
    kinds: BTreeMap<Kind, u64>,
    object_bytes: u64,
    declaration_bytes: u64,
    shared_bytes: u64,
    /// Modules whose proofs are elsewhere.
    not_whole: u64,
    /// Files that are no modules.
    no_modules: u64,
}

/// What is found in a module.
struct Found {
    rows: Vec<Row>,
    report: ModuleReport,
    kinds: BTreeMap<Kind, u64>,
}

/// Runs it.
pub fn run(args: &Args, out: &mut Output) -> Result<Outcome> {
    let modules = Modules::find(&args.files)?;
    let deps = Deps::open(&args.deps)?;
    let jobs = args.jobs.unwrap_or_else(prove::cores);
    let several = modules.list.len() > 1;
    let at_once = args.sort.is_none() && args.top.is_none() && !out.is_json();
    let (mut failed, mut total) = (Failed::default(), Total::default());
    let (mut rows, mut reports) = (Vec::new(), Vec::new());
    let mut line = Lines::new(out, several, args.fold);
    if at_once && !modules.list.is_empty() {
        line.title(out)?;
    }
    modules.each(
        &deps,
        jobs,
        |i, module| {
            let files = &modules.list[i].files;
            Ok(find(
                args,
                &module,
                files.iter().map(|f| f.display().to_string()).collect(),
            ))
        },
        |module, read| {
            match read {
                Err(problem) => failed.note(problem),
                Ok(Read::NoModule) => {
                    total.no_modules += 1;
                    if !several {
                        failed.note(no_module(&module.files[0].display().to_string()));
                    }
                }
                Ok(Read::Module(found)) => {
                    total.add(&found);
                    reports.push(found.report);
                    if at_once {
                        for row in &found.rows {
                            line.print(row, out)?;
                        }
                    } else {
                        rows.extend(found.rows);
                    }
                }
            }
            Ok(())
        },
    )?;
    match args.sort {
        Some(Sort::Size) => rows.sort_by_key(|r| Reverse(r.bytes)),
        Some(Sort::Name) => rows.sort_by(|a, b| a.name.cmp(&b.name)),
        Some(Sort::Kind) => rows.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name))),
        None => {}
    }
    rows.truncate(args.top.unwrap_or(usize::MAX));
    if out.is_json() {
        total.listed = rows.len() as u64;
        out.json(&Report {
            schema: 1,
            declarations: rows,
            modules: reports,
            total,
        })?;
        return Ok(failed.code());
    }
    if !at_once && !rows.is_empty() {
        line.title(out)?;
        for row in &rows {
            line.print(row, out)?;
        }
    }
    summary(&total, line.listed, &reports, out)?;
    Ok(failed.code())
}

/// A file that holds something else than a module.
pub fn no_module(path: &str) -> Failure {
    Failure::Refused {
        path: path.to_owned(),
        text: "its root is no module data, so there are no declarations; olean dump shows what is there"
            .to_owned(),
    }
}

fn find(args: &Args, module: &Module<'_, '_>, files: Vec<String>) -> Found {
    let all: Vec<usize> = (0..module.decls.len()).collect();
    let parents = if args.fold {
        fold::parents(&module.decls)
    } else {
        all.clone()
    };
    let sizes = sizes::sizes(module, &parents, module.decls.len());
    let mut folded = vec![0u64; all.len()];
    for (i, &parent) in parents.iter().enumerate() {
        folded[parent] += u64::from(parent != i);
    }
    let mut kinds = BTreeMap::new();
    for d in &module.decls {
        *kinds.entry(d.kind).or_insert(0) += 1;
    }
    let mut listed: Vec<usize> = all;
    listed.retain(|&i| parents[i] == i && is_wanted(args, module, i));
    listed.sort_by(|&a, &b| module.decls[a].name.cmp(&module.decls[b].name));
    let rows = listed.into_iter().map(|i| {
        let d = &module.decls[i];
        Row {
            module: module.name.clone(),
            name: d.name.clone(),
            kind: d.kind,
            attributes: d.flags.words(),
            bytes: sizes.of[i].exclusive,
            shared_bytes: sizes.of[i].shared,
            folded: args.fold.then_some(folded[i]),
        }
    });
    Found {
        rows: rows.collect(),
        report: report(module, files, &sizes),
        kinds,
    }
}

fn report(module: &Module<'_, '_>, files: Vec<String>, sizes: &Sizes) -> ModuleReport {
    ModuleReport {
        module: module.name.clone(),
        files,
        is_module: module.is_module,
        whole: module.is_whole(),
        declarations: module.decls.len() as u64,
        object_bytes: sizes.objects,
        declaration_bytes: sizes.shared + sizes.of.iter().map(|s| s.exclusive).sum::<u64>(),
        shared_bytes: sizes.shared,
    }
}

fn is_wanted(args: &Args, module: &Module<'_, '_>, i: usize) -> bool {
    let d = &module.decls[i];
    let of_kind = |k: &String| {
        let word = k.as_str();
        word == d.kind.word()
            || d.flags.words().contains(&word)
            || word == "structure" && d.flags.has(Flags::STRUCTURE)
    };
    (args.kind.is_empty() || args.kind.iter().any(of_kind))
        && args.pattern.as_ref().is_none_or(|p| p.is_match(&d.name))
}

impl Total {
    fn add(&mut self, found: &Found) {
        let r = &found.report;
        self.modules += 1;
        self.declarations += r.declarations;
        self.object_bytes += r.object_bytes;
        self.declaration_bytes += r.declaration_bytes;
        self.shared_bytes += r.shared_bytes;
        self.not_whole += u64::from(!r.whole);
        for (kind, n) in &found.kinds {
            *self.kinds.entry(*kind).or_insert(0) += n;
        }
    }
}

/// Lines of the list: sizes, kind, name and attributes, module. On a terminal they are cut to its width.
struct Lines {
    width: usize,
    /// Columns for the module; 0 for none.
    module: usize,
    shared: bool,
    listed: u64,
}

/// Columns of a size, `1023.9 KiB`, and of a kind.
const SIZE: usize = 10;
const KIND: usize = 11;
/// A terminal with fewer columns shows no sizes of shared objects.
const WIDE: usize = 72;

impl Lines {
    fn new(out: &Output, several: bool, _fold: bool) -> Self {
        let width = if out.is_terminal() {
            out.width()
        } else {
            usize::MAX
        };
        Self {
            width,
            module: match width {
                _ if !several => 0,
                usize::MAX => usize::MAX,
                w => (w / 4).min(40),
            },
            shared: width >= WIDE,
            listed: 0,
        }
    }

    fn title(&self, out: &mut Output) -> Result<()> {
        let shared = if self.shared {
            format!("{:>SIZE$}  ", "shared")
        } else {
            String::new()
        };
        let module = if self.module > 0 { "  module" } else { "" };
        writeln!(
            out,
            "{DIM}{:>SIZE$}  {shared}{:<KIND$}  name{module}{DIM:#}",
            "size", "kind"
        )?;
        Ok(())
    }

    fn print(&mut self, row: &Row, out: &mut Output) -> Result<()> {
        self.listed += 1;
        let mut left = format!("{:>SIZE$}  ", bytes(row.bytes));
        if self.shared {
            left += &format!("{:>SIZE$}  ", bytes(row.shared_bytes));
        }
        left += &format!("{:<KIND$}  ", row.kind);
        let mut more = row.attributes.join(" ");
        if let Some(n) = row.folded.filter(|&n| n > 0) {
            more = format!("{more} +{}", count(n)).trim_start().to_owned();
        }
        let module = match self.module {
            0 => String::new(),
            most => cut_left(&clean(&row.module), most),
        };
        let gap = |s: &str| if s.is_empty() { 0 } else { s.chars().count() + 2 };
        let room = self.width.saturating_sub(left.chars().count());
        let least = 12.min(room);
        // The name comes first; what says more about it has what is left.
        let name = cut(&clean(&row.name), room.saturating_sub(gap(&module)).max(least));
        let room = room.saturating_sub(name.chars().count());
        let more = cut(&more, room.saturating_sub(gap(&module) + 2));
        let module = if gap(&module) > room {
            String::new()
        } else {
            module
        };
        write!(out, "{left}{name}")?;
        if !more.is_empty() && more != "…" {
            write!(out, "  {DIM}{more}{DIM:#}")?;
        }
        if !module.is_empty() {
            write!(out, "  {DIM}{module}{DIM:#}")?;
        }
        writeln!(out)?;
        Ok(())
    }
}

fn summary(t: &Total, listed: u64, reports: &[ModuleReport], out: &mut Output) -> Result<()> {
    let width = out.width();
    if t.modules == 0 {
        return Ok(());
    }
    let mut kinds: Vec<String> = Vec::new();
    for kind in Kind::ALL {
        if let Some(&n) = t.kinds.get(&kind) {
            let word = if n == 1 { kind.word() } else { kind.plural() };
            kinds.push(format!("{} {word}", count(n)));
        }
    }
    let modules = match t.modules {
        1 => String::new(),
        n => format!(" in {}", plural(n, "module")),
    };
    let of = match t.declarations {
        n if n == listed => String::new(),
        _ => format!("{} of ", count(listed)),
    };
    let mut lines = vec![format!("{of}{}{modules}", plural(t.declarations, "declaration"))];
    if !kinds.is_empty() {
        lines[0] += ": ";
        lines[0] += &kinds.join(", ");
    }
    let rest = t.object_bytes - t.declaration_bytes;
    lines.push(format!(
        "{}: {} of one declaration, {} of several, {} of extensions and lists of names",
        bytes(t.object_bytes),
        bytes(t.declaration_bytes - t.shared_bytes),
        bytes(t.shared_bytes),
        bytes(rest)
    ));
    if t.not_whole > 0 {
        let which = match reports.iter().filter(|r| !r.whole).count() {
            1 if t.modules == 1 => "only the public part is here".to_owned(),
            n => format!("of {} only the public part is here", plural(n as u64, "module")),
        };
        lines.push(format!(
            "{which}: proofs and private declarations are in .olean.private"
        ));
    }
    if t.no_modules > 0 {
        lines.push(format!(
            "{} passed over: no module data",
            plural(t.no_modules, "file")
        ));
    }
    for line in lines {
        for (i, piece) in wrapped(&line, width).into_iter().enumerate() {
            let indent = if i > 0 { "  " } else { "" };
            writeln!(out, "{indent}{TITLE}{piece}{TITLE:#}")?;
        }
    }
    Ok(())
}
