//! `olean grep`: names and texts in declarations.

use crate::commands::ls::no_module;
use crate::commands::refs::wrap;
use crate::decls::kind::Kind;
use crate::decls::load::{Modules, Read};
use crate::decls::module::Module;
use crate::decls::uses::{self, What};
use crate::error::Result;
use crate::outcome::{Failed, Outcome};
use crate::output::Output;
use crate::prove::{self, Deps};
use crate::render::{DIM, TEXT, clean, plural};
use crate::text::columns;
use regex::Regex;
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

/// Search names, texts and documentation, and say in which declaration they stand
///
/// Looked through are the names of declarations, the constants that they refer to, string literals in types and values,
/// and documentation. Values are in the private parts of modules, documentation is in the server parts.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// A regular expression; (?i) at its beginning ignores case
    pattern: Regex,
    /// Files of modules, or folders
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Look only here
    #[arg(long, value_name = "WHERE", value_delimiter = ',')]
    only: Vec<What>,
    /// Threads [default: all cores]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
}

const EXAMPLES: &str = "Exit codes: 0 something found, 1 nothing found or some files are bad, 2 wrong usage or unreadable files.\n\n\
     Examples:\n  \
     olean grep 'add_(comm|assoc)' .lake/build/lib\n  \
     olean grep --only string 'unknown identifier' build\n  \
     olean grep '(?i)todo' build --only doc,string";

#[derive(Serialize)]
struct Report {
    schema: u32,
    matches: Vec<Row>,
    modules: u64,
}

#[derive(Serialize)]
struct Row {
    module: String,
    declaration: String,
    /// Absent where documentation belongs to no declaration here.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<Kind>,
    what: What,
    text: String,
}

/// Runs it.
pub fn run(args: &Args, out: &mut Output) -> Result<Outcome> {
    let modules = Modules::find(&args.files)?;
    let jobs = args.jobs.unwrap_or_else(prove::cores);
    let several = modules.list.len() > 1;
    let mut failed = Failed::default();
    let (mut matches, mut looked, mut declarations) = (Vec::new(), 0u64, BTreeSet::new());
    let deps = Deps::open(&[])?;
    modules.each(
        &deps,
        jobs,
        |_, module| Ok(look(&module, args)),
        |module, read| {
            match read {
                Err(problem) => failed.note(problem),
                Ok(Read::NoModule) if several => {}
                Ok(Read::NoModule) => failed.note(no_module(&module.files[0].display().to_string())),
                Ok(Read::Module(rows)) => {
                    looked += 1;
                    for row in rows {
                        if !out.is_json() {
                            print(&row, several, out)?;
                        }
                        declarations.insert((row.module.clone(), row.declaration.clone()));
                        matches.push(row);
                    }
                }
            }
            Ok(())
        },
    )?;
    let n = matches.len() as u64;
    if out.is_json() {
        out.json(&Report {
            schema: 1,
            matches,
            modules: looked,
        })?;
    } else {
        let matches = if n == 1 {
            "1 match".to_owned()
        } else {
            format!("{} matches", crate::render::count(n))
        };
        let of = plural(declarations.len() as u64, "declaration");
        wrap(&format!("{matches} in {of} of {}", plural(looked, "module")), out)?;
    }
    Ok(match failed.code() {
        Outcome::Good => Outcome::good_if(n > 0),
        worse => worse,
    })
}

fn look(module: &Module<'_, '_>, args: &Args) -> Vec<Row> {
    uses::matches(module, &args.pattern, &args.only)
        .into_iter()
        .map(|(declaration, i, what, text)| Row {
            module: module.name.clone(),
            declaration,
            kind: i.map(|i| module.decls[i].kind),
            what,
            text,
        })
        .collect()
}

fn print(row: &Row, several: bool, out: &mut Output) -> Result<()> {
    let width = if out.is_terminal() {
        out.width()
    } else {
        usize::MAX
    };
    let left = format!("{:<9}  ", row.what.word());
    let module = if several {
        clean(&row.module)
    } else {
        String::new()
    };
    let name = clean(&row.declaration);
    let text = match row.what {
        What::Name => String::new(),
        What::Reference => clean(&row.text),
        What::String | What::Doc => format!("{:?}", row.text),
    };
    let whole = if text.is_empty() {
        name.clone()
    } else {
        format!("{name}  {text}")
    };
    let (shown, module) = columns(&left, &whole, &module, width);
    write!(out, "{DIM}{left}{DIM:#}")?;
    match shown
        .split_at_checked(name.len())
        .filter(|(first, _)| *first == name)
    {
        Some((name, text)) => write!(out, "{name}{TEXT}{text}{TEXT:#}")?,
        None => write!(out, "{shown}")?,
    }
    if !module.is_empty() {
        write!(out, "  {DIM}{module}{DIM:#}")?;
    }
    writeln!(out)?;
    Ok(())
}
