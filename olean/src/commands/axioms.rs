//! `olean axioms`: what declarations rest on.

use crate::commands::ls::no_module;
use crate::commands::refs::wrap;
use crate::decls::axioms::{self, Base, World};
use crate::decls::find;
use crate::decls::kind::Kind;
use crate::decls::load::{Modules, Read};
use crate::error::{Failure, Result};
use crate::outcome::{Failed, Outcome};
use crate::output::Output;
use crate::prove::{self, Deps};
use crate::render::{DIM, TEXT, clean, count, cut, plural};
use crate::text::wrapped;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

/// Show on which axioms declarations rest
///
/// As `#print axioms` does: the axioms in the closure of types, values and constructors. Values are in the private parts
/// of modules; without them, and for constants of modules that are not given, the set that the compiler recorded in the
/// public part counts, and is marked so. Where the set that was found and the recorded one differ, both are shown.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Files of modules, or folders; what they import has to be among them
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only these declarations, with the way to each axiom
    #[arg(long, value_name = "NAME")]
    decl: Vec<String>,
    /// List declarations that rest on no axiom too
    #[arg(long)]
    all: bool,
    /// Threads [default: all cores]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
}

const EXAMPLES: &str = "Exit codes: 0 all shown, 1 no such declaration or some files are bad, 2 wrong usage or unreadable files.\n\n\
     Examples:\n  \
     olean axioms .lake/build/lib\n  \
     olean axioms build --decl Foo.main_theorem\n  \
     olean axioms build --json | jq -r '.declarations[] | select(.axioms | index(\"sorryAx\")) | .name'";

#[derive(Serialize)]
struct Report {
    schema: u32,
    declarations: Vec<Row>,
    axioms: Vec<Axiom>,
    total: u64,
    /// Declarations that rest on no axiom.
    none: u64,
    /// Declarations of which not all is known.
    incomplete: u64,
}

#[derive(Serialize)]
struct Row {
    module: String,
    name: String,
    kind: Kind,
    /// Sorted by name.
    axioms: Vec<String>,
    source: Source,
    /// What the compiler recorded, where that differs from what was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded: Option<Vec<String>>,
    /// A constant that is in none of the modules given, or whose value is not: the axioms may be more.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<String>,
    /// For declarations that were asked for: how each axiom is reached, in the order of `axioms`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ways: Vec<Vec<String>>,
}

/// Where the axioms of a declaration are from.
#[derive(Serialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Source {
    /// Found in types and values alone.
    Computed,
    /// Found with the help of records of the compiler, or taken from one.
    Recorded,
}

#[derive(Serialize)]
struct Axiom {
    name: String,
    /// Declarations that rest on it, itself aside.
    declarations: u64,
}

/// Runs it.
pub fn run(args: &Args, out: &mut Output) -> Result<Outcome> {
    let modules = Modules::find(&args.files)?;
    let jobs = args.jobs.unwrap_or_else(prove::cores);
    let several = modules.list.len() > 1;
    let (mut failed, mut world, mut names) = (Failed::default(), World::default(), Vec::new());
    let deps = Deps::open(&[])?;
    modules.each(
        &deps,
        jobs,
        |_, module| Ok(axioms::facts(&module)),
        |module, read| {
            match read {
                Err(problem) => failed.note(problem),
                Ok(Read::NoModule) if several => {}
                Ok(Read::NoModule) => failed.note(no_module(&module.files[0].display().to_string())),
                Ok(Read::Module(facts)) => {
                    names.push(facts.module.clone());
                    world.add(names.len() as u32 - 1, facts);
                }
            }
            Ok(())
        },
    )?;
    let bases = world.bases();
    let all: Vec<(u32, &str, Kind, u32)> = world.decls().collect();
    let wanted = wanted(args, &all)?;
    let mut report = Report {
        schema: 1,
        declarations: Vec::new(),
        axioms: Vec::new(),
        total: all.len() as u64,
        none: 0,
        incomplete: 0,
    };
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for (i, &(id, name, kind, module)) in all.iter().enumerate() {
        let Some(base) = &bases[id as usize] else { continue };
        let mut row = row(&world, id, base);
        (row.module, row.name, row.kind) = (names[module as usize].clone(), name.to_owned(), kind);
        for axiom in row.axioms.iter().filter(|a| *a != name) {
            *counts.entry(axiom.clone()).or_insert(0) += 1;
        }
        report.none += u64::from(row.axioms.is_empty() && row.missing.is_none());
        report.incomplete += u64::from(row.missing.is_some());
        let listed = match &wanted {
            Some(wanted) => wanted.contains(&i),
            None => args.all || !row.axioms.is_empty() || row.recorded.is_some(),
        };
        if listed {
            if wanted.is_some() {
                row.ways = row.axioms.iter().map(|a| world.way(id, a)).collect();
            }
            report.declarations.push(row);
        }
    }
    report
        .declarations
        .sort_by(|a, b| (&a.module, &a.name).cmp(&(&b.module, &b.name)));
    report.axioms = counts
        .into_iter()
        .map(|(name, declarations)| Axiom { name, declarations })
        .collect();
    report
        .axioms
        .sort_by(|a, b| b.declarations.cmp(&a.declarations).then(a.name.cmp(&b.name)));
    if out.is_json() {
        out.json(&report)?;
        return Ok(failed.code());
    }
    for row in &report.declarations {
        print(row, wanted.is_some(), out)?;
    }
    if wanted.is_none() {
        summary(&report, out)?;
    }
    Ok(failed.code())
}

/// The declarations that were asked for.
fn wanted(args: &Args, all: &[(u32, &str, Kind, u32)]) -> Result<Option<Vec<usize>>> {
    if args.decl.is_empty() {
        return Ok(None);
    }
    let mut wanted = Vec::new();
    for name in &args.decl {
        let names = all.iter().map(|d| d.1);
        let found = find::find(name, names.clone());
        if found.is_empty() {
            let near = find::nearest(name, names);
            return Err(Failure::Refused {
                path: args.files[0].display().to_string(),
                text: format!("there is no declaration {name}{}", find::suggestion(&near)),
            });
        }
        wanted.extend(found);
    }
    Ok(Some(wanted))
}

fn row(world: &World, id: u32, base: &Base) -> Row {
    let recorded = world.recorded(id);
    // What was recorded is the whole set; what was found may lack what is in other files.
    let take = base.missing.is_some() && recorded.is_some();
    let axioms = match recorded {
        Some(recorded) if take => recorded.to_vec(),
        _ => base.axioms.clone(),
    };
    let differs = |r: &&[String]| !take && *r != base.axioms.as_slice();
    Row {
        module: String::new(),
        name: String::new(),
        kind: Kind::Axiom,
        source: if take || base.through_record {
            Source::Recorded
        } else {
            Source::Computed
        },
        recorded: recorded.filter(differs).map(<[String]>::to_vec),
        missing: if take { None } else { base.missing.clone() },
        axioms,
        ways: Vec::new(),
    }
}

fn print(row: &Row, ways: bool, out: &mut Output) -> Result<()> {
    let width = if out.is_terminal() || ways {
        out.width()
    } else {
        usize::MAX
    };
    let mut text = match row.axioms.as_slice() {
        [] => "no axioms".to_owned(),
        axioms => clean(&axioms.join(", ")),
    };
    if row.source == Source::Recorded {
        text += " (recorded)";
    }
    if let Some(recorded) = &row.recorded {
        let recorded = if recorded.is_empty() {
            "no axioms".to_owned()
        } else {
            clean(&recorded.join(", "))
        };
        text += &format!("; recorded are {recorded}");
    }
    if let Some(missing) = &row.missing {
        text += &format!("; and what {} rests on, which is not here", clean(missing));
    }
    let line = format!("{}: {text}", clean(&row.name));
    for (i, piece) in wrapped(&line, width).into_iter().enumerate() {
        let indent = if i > 0 { "  " } else { "" };
        writeln!(out, "{indent}{}", cut(&piece, width.saturating_sub(indent.len())))?;
    }
    for way in &row.ways {
        if way.len() < 2 {
            continue;
        }
        for (i, piece) in wrapped(&clean(&way.join(" → ")), width - 4)
            .into_iter()
            .enumerate()
        {
            let indent = if i > 0 { "      " } else { "    " };
            writeln!(out, "{indent}{DIM}{}{DIM:#}", cut(&piece, width - indent.len()))?;
        }
    }
    Ok(())
}

fn summary(r: &Report, out: &mut Output) -> Result<()> {
    let mut line = format!(
        "{}: {} on no axiom",
        plural(r.total, "declaration"),
        count(r.none)
    );
    if r.incomplete > 0 {
        line += &format!(", {} not known to the end", count(r.incomplete));
    }
    wrap(&line, out)?;
    let width = out.width();
    for a in r.axioms.iter().take(20) {
        let left = format!("{:>9}  ", count(a.declarations));
        writeln!(
            out,
            "{DIM}{left}{DIM:#}{TEXT}{}{TEXT:#}",
            cut(&clean(&a.name), width - left.len())
        )?;
    }
    if r.axioms.len() > 20 {
        writeln!(out, "{DIM}{:>9}  more axioms{DIM:#}", r.axioms.len() - 20)?;
    }
    Ok(())
}
