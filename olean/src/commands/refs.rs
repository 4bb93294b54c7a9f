//! `olean refs`: which declarations refer to a constant.

use crate::commands::ls::no_module;
use crate::decls::find;
use crate::decls::kind::Kind;
use crate::decls::load::{Modules, Read};
use crate::decls::module::{Module, Role};
use crate::decls::uses;
use crate::error::Result;
use crate::outcome::{Failed, Outcome};
use crate::output::Output;
use crate::prove::{self, Deps};
use crate::render::{DIM, TITLE, clean, plural};
use crate::text::columns;
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

/// List the declarations that refer to a constant directly
///
/// In their types, or in their values; those are in the private parts of modules. A projection refers to its
/// structure. Private names are found as their authors wrote them.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// The constant, such as Nat.add_comm
    name: String,
    /// Files of modules, or folders
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Threads [default: all cores]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
}

const EXAMPLES: &str = "Exit codes: 0 some refer to it, 1 none does or some files are bad, 2 wrong usage or unreadable files.\n\n\
     Examples:\n  \
     olean refs Nat.add_comm .lake/build/lib\n  \
     olean refs sorryAx build --json | jq -r '.declarations[].name'";

#[derive(Serialize)]
struct Report {
    schema: u32,
    constant: String,
    declarations: Vec<Row>,
    /// Modules that were looked at.
    modules: u64,
    /// Modules without their values.
    not_whole: u64,
}

#[derive(Serialize)]
struct Row {
    module: String,
    name: String,
    kind: Kind,
    /// The constant that it refers to.
    constant: String,
    r#in: Vec<Role>,
    #[serde(skip)]
    rank: u8,
}

struct Found {
    rows: Vec<Row>,
    whole: bool,
    /// Names for suggestions, while nothing was found.
    near: Vec<String>,
}

/// Runs it.
pub fn run(args: &Args, out: &mut Output) -> Result<Outcome> {
    let modules = Modules::find(&args.files)?;
    let jobs = args.jobs.unwrap_or_else(prove::cores);
    let several = modules.list.len() > 1;
    let mut failed = Failed::default();
    let mut report = Report {
        schema: 1,
        constant: args.name.clone(),
        declarations: Vec::new(),
        modules: 0,
        not_whole: 0,
    };
    let mut near = BTreeSet::new();
    let deps = Deps::open(&[])?;
    modules.each(
        &deps,
        jobs,
        |_, module| Ok(look(&module, &args.name)),
        |module, read| {
            match read {
                Err(problem) => failed.note(problem),
                Ok(Read::NoModule) if several => {}
                Ok(Read::NoModule) => failed.note(no_module(&module.files[0].display().to_string())),
                Ok(Read::Module(found)) => {
                    report.modules += 1;
                    report.not_whole += u64::from(!found.whole);
                    near.extend(found.near);
                    report.declarations.extend(found.rows);
                }
            }
            Ok(())
        },
    )?;
    let best = report.declarations.iter().map(|r| r.rank).min();
    report.declarations.retain(|r| Some(r.rank) == best);
    let constants: BTreeSet<String> = report.declarations.iter().map(|r| r.constant.clone()).collect();
    let n = report.declarations.len() as u64;
    if out.is_json() {
        out.json(&report)?;
    } else {
        for row in &report.declarations {
            print(row, several, constants.len() > 1, out)?;
        }
        let verb = if n == 1 { "refers" } else { "refer" };
        let what = match constants.iter().next() {
            Some(one) if constants.len() == 1 => one.clone(),
            _ => args.name.clone(),
        };
        let among = plural(report.modules, "module");
        let mut line = format!(
            "{} in {among} {verb} to {}",
            plural(n, "declaration"),
            clean(&what)
        );
        if n == 0 {
            let near = find::nearest(&args.name, near.iter().map(String::as_str));
            let others: Vec<String> = near.into_iter().filter(|name| *name != args.name).collect();
            line += &clean(&find::suggestion(&others));
        }
        wrap(&line, out)?;
        if report.not_whole > 0 {
            let which = plural(report.not_whole, "module");
            wrap(
                &format!("of {which} only the public part is here: values are in .olean.private"),
                out,
            )?;
        }
    }
    Ok(match failed.code() {
        Outcome::Good => Outcome::good_if(n > 0),
        worse => worse,
    })
}

/// Prints a summary line.
pub fn wrap(line: &str, out: &mut Output) -> Result<()> {
    for (i, piece) in crate::text::wrapped(line, out.width()).into_iter().enumerate() {
        let indent = if i > 0 { "  " } else { "" };
        writeln!(out, "{indent}{TITLE}{piece}{TITLE:#}")?;
    }
    Ok(())
}

fn look(module: &Module<'_, '_>, name: &str) -> Found {
    let mut rows: Vec<Row> = uses::references(module, name)
        .into_iter()
        .map(|r| Row {
            module: module.name.clone(),
            name: module.decls[r.decl].name.clone(),
            kind: module.decls[r.decl].kind,
            constant: r.constant,
            r#in: r.roles,
            rank: r.rank,
        })
        .collect();
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    let near = if rows.is_empty() {
        find::nearest(name, module.decls.iter().map(|d| d.name.as_str()))
    } else {
        Vec::new()
    };
    Found {
        rows,
        whole: module.is_whole(),
        near,
    }
}

fn print(row: &Row, several: bool, ambiguous: bool, out: &mut Output) -> Result<()> {
    let width = if out.is_terminal() {
        out.width()
    } else {
        usize::MAX
    };
    let roles: Vec<&str> = row
        .r#in
        .iter()
        .map(|r| match r {
            Role::Type => "type",
            Role::Value => "value",
        })
        .collect();
    let left = format!("{:<11}  {:<11}  ", row.kind, roles.join(", "));
    let module = if several {
        clean(&row.module)
    } else {
        String::new()
    };
    let name = if ambiguous {
        format!("{} → {}", row.name, row.constant)
    } else {
        row.name.clone()
    };
    let (name, module) = columns(&left, &clean(&name), &module, width);
    write!(out, "{left}{name}")?;
    if !module.is_empty() {
        write!(out, "  {DIM}{module}{DIM:#}")?;
    }
    writeln!(out)?;
    Ok(())
}
