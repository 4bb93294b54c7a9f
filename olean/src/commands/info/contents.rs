//! What `olean info` tells of modules: imports, flags, how many declarations of each kind; and of folders, what all
//! files have in common and which are odd.

use crate::decls::kind::Kind;
use crate::decls::module::{Import, Module};
use crate::error::{Failure, Result};
use crate::input::Source;
use crate::module::Part;
use crate::output::Output;
use crate::prove::{self, Proved};
use crate::render::{BAD, DIM, TITLE, bytes, clean, count, cut, plural};
use crate::text::wrapped;
use olean_reader::{CheckError, File, Region};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// Odd files that are listed.
const ODD: usize = 20;

/// A part of a module.
#[derive(Serialize)]
pub struct Contents {
    /// Whether the module uses the module system.
    pub is_module: bool,
    /// Whether values and private declarations are here.
    pub whole: bool,
    /// What it imports.
    pub imports: Vec<Import>,
    /// Declarations of each kind.
    pub kinds: BTreeMap<Kind, u64>,
}

/// Reads a file that may be a part of a module; `None` if it is none, or not sound.
///
/// # Errors
/// The file cannot be read, which says nothing about what it is.
pub fn contents(source: &Source) -> Result<Option<Contents>> {
    let part = source.path.as_deref().and_then(Part::of);
    if !part.is_some_and(|part| part.is_olean()) {
        return Ok(None);
    }
    match prove::one(source, &[], |p| of(p).map_err(Failure::Bad)) {
        Ok(contents) => Ok(contents),
        Err(unread @ Failure::Io { .. }) => Err(unread),
        Err(_) => Ok(None),
    }
}

/// The same of a file by itself.
pub fn of_one(source: &Source, file: &File<'_>) -> Option<Contents> {
    let region = Region::check(file.clone(), &[]).ok()?;
    let proved = Proved {
        source,
        region: &region,
        deps: &[],
    };
    of(&proved).ok().flatten()
}

fn of(p: &Proved<'_, '_>) -> std::result::Result<Option<Contents>, CheckError> {
    let module = Module::read(p, String::new())?;
    Ok(module.map(|m| {
        let mut kinds = BTreeMap::new();
        for d in &m.decls {
            *kinds.entry(d.kind).or_insert(0) += 1;
        }
        Contents {
            is_module: m.is_module,
            whole: m.is_whole(),
            imports: m.imports,
            kinds,
        }
    }))
}

/// Prints it as lines of `olean info`.
pub fn print(c: &Contents, out: &mut Output) -> Result<()> {
    let system = if c.is_module { "used" } else { "not used" };
    let whole = if c.whole {
        ""
    } else {
        "; proofs and private declarations are in .olean.private"
    };
    line("modules", &format!("module system {system}{whole}"), out)?;
    let imports: Vec<String> = c
        .imports
        .iter()
        .map(|i| {
            let mut words = i.flags(c.is_module);
            words.push(&i.module);
            clean(&words.join(" "))
        })
        .collect();
    let imports = if imports.is_empty() {
        "nothing".to_owned()
    } else {
        imports.join(", ")
    };
    line("imports", &imports, out)?;
    let all: u64 = c.kinds.values().sum();
    let kinds: Vec<String> = Kind::ALL
        .iter()
        .filter_map(|k| Some((k, *c.kinds.get(k)?)))
        .map(|(k, n)| format!("{} {}", count(n), if n == 1 { k.word() } else { k.plural() }))
        .collect();
    let text = if all == 0 {
        "nothing".to_owned()
    } else {
        format!("{}: {}", count(all), kinds.join(", "))
    };
    line("declares", &text, out)
}

/// A line with a label, wrapped below its text.
pub fn line(label: &str, text: &str, out: &mut Output) -> Result<()> {
    const LABEL: usize = 14;
    let width = out.width();
    for (i, piece) in wrapped(text, width.saturating_sub(LABEL)).into_iter().enumerate() {
        let piece = cut(&piece, width.saturating_sub(LABEL));
        if i == 0 {
            writeln!(out, "  {DIM}{label:<10}{DIM:#}  {piece}")?;
        } else {
            writeln!(out, "{}{piece}", " ".repeat(LABEL))?;
        }
    }
    Ok(())
}

/// What the files of folders have in common.
#[derive(Serialize)]
pub struct Summary {
    files: u64,
    bytes: u64,
    /// Modules: files ending in `.olean`.
    modules: u64,
    /// Files of each part.
    parts: BTreeMap<String, u64>,
    /// Files of each release and commit.
    releases: BTreeMap<String, u64>,
    /// Files of each width, format and layout of bignums.
    formats: BTreeMap<String, u64>,
    /// Files that are otherwise than most.
    odd: Vec<Odd>,
}

/// A file that is otherwise than most.
#[derive(Serialize)]
struct Odd {
    path: String,
    what: String,
}

/// What is added up of a file.
pub struct Seen {
    /// Its path.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// The Lean that wrote it.
    pub release: String,
    /// Width, version, layout of bignums.
    pub format: String,
    /// What lies at its base address.
    pub taken_by: Option<String>,
}

/// Adds up files.
pub fn summary(files: &[Seen]) -> Summary {
    let counts = |of: &dyn Fn(&Seen) -> Option<String>| {
        let mut all = BTreeMap::new();
        for key in files.iter().filter_map(of) {
            *all.entry(key).or_insert(0u64) += 1;
        }
        all
    };
    let most = |all: &BTreeMap<String, u64>| all.iter().max_by_key(|(_, n)| **n).map(|(key, _)| key.clone());
    let part = |i: &Seen| {
        let name = Path::new(&i.path).file_name()?.to_string_lossy().into_owned();
        let suffixes = [".olean.private", ".olean.server", ".olean", ".ir.sig", ".ir"];
        let suffix = suffixes.into_iter().find(|s| name.ends_with(s));
        Some(suffix.unwrap_or("others").to_owned())
    };
    let parts = counts(&part);
    let releases = counts(&|i| Some(i.release.clone()));
    let formats = counts(&|i| Some(i.format.clone()));
    let (usual_release, usual_format) = (most(&releases), most(&formats));
    let mut odd = Vec::new();
    for i in files {
        let mut what = Vec::new();
        if Some(&i.release) != usual_release.as_ref() {
            what.push(i.release.clone());
        }
        if Some(&i.format) != usual_format.as_ref() {
            what.push(i.format.clone());
        }
        if let Some(other) = &i.taken_by {
            what.push(format!("its base address is taken by {other}"));
        }
        if !what.is_empty() {
            odd.push(Odd {
                path: i.path.clone(),
                what: what.join("; "),
            });
        }
    }
    Summary {
        files: files.len() as u64,
        bytes: files.iter().map(|i| i.bytes).sum(),
        modules: parts.get(".olean").copied().unwrap_or(0),
        parts,
        releases,
        formats,
        odd,
    }
}

/// Prints it.
pub fn print_summary(s: &Summary, out: &mut Output) -> Result<()> {
    let width = out.width();
    let head = format!("{}, {}", plural(s.files, "file"), bytes(s.bytes));
    writeln!(out, "{TITLE}{}{TITLE:#}", cut(&head, width))?;
    line("modules", &count(s.modules), out)?;
    let parts: Vec<String> = s
        .parts
        .iter()
        .map(|(part, n)| format!("{} {part}", count(*n)))
        .collect();
    line("parts", &parts.join(", "), out)?;
    for (label, all) in [("Lean", &s.releases), ("format", &s.formats)] {
        let mut all: Vec<(&String, &u64)> = all.iter().collect();
        all.sort_by(|a, b| b.1.cmp(a.1));
        let several = all.len() > 1;
        for (i, (key, n)) in all.into_iter().enumerate() {
            let files = if several {
                format!("{}: ", plural(*n, "file"))
            } else {
                String::new()
            };
            line(
                if i == 0 { label } else { "" },
                &format!("{files}{}", clean(key)),
                out,
            )?;
        }
    }
    if s.odd.is_empty() {
        return line("odd", "nothing", out);
    }
    writeln!(out, "  {DIM}odd{DIM:#}")?;
    for o in s.odd.iter().take(ODD) {
        writeln!(
            out,
            "    {BAD}{}{BAD:#}",
            crate::render::cut_left(&clean(&o.path), width - 4)
        )?;
        for piece in wrapped(&clean(&o.what), width - 6) {
            writeln!(out, "      {}", cut(&piece, width - 6))?;
        }
    }
    if s.odd.len() > ODD {
        writeln!(out, "    {DIM}… {} more; see --json{DIM:#}", s.odd.len() - ODD)?;
    }
    Ok(())
}
