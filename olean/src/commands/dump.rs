//! `olean dump`: the graph of a file as indented text or as a picture.

use crate::dump::dot;
use crate::dump::tree::{Entry, Limits, More, Tree, file_of, indent};
mod names;

use crate::error::{Failure, Result};

use crate::input::Source;
use crate::module::Part;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::prove::{self, Proved};
use crate::render::{DIM, TEXT, clean, count};
use olean_reader::Graph;
use olean_reader::path::PathError;
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;

/// Show the graph of a file as indented text, names and terms readable
///
/// Each object is shown once, with the offset where it lies; `^` marks one that was shown above. Field names are those
/// of Lean where the types are known (module data, constants, expressions); elsewhere fields are numbered, and names,
/// levels and expressions are recognised by their shape.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// The file; - is standard input
    file: PathBuf,
    /// A file or folder that it may point into, besides the parts of its own module; may be given again
    #[arg(long, value_name = "FILE")]
    deps: Vec<PathBuf>,
    // Not a doc comment, where the brackets would be links.
    #[arg(
        long,
        value_name = "PATH",
        default_value = "",
        hide_default_value = true,
        help = "Where to start, as in constants[12].val.toConstantVal.type, constants[Nat.add].val, or .4[0] by number"
    )]
    path: String,
    /// Start at this declaration of the file's module
    #[arg(long, value_name = "NAME", conflicts_with_all = ["path", "ext"])]
    decl: Option<String>,
    /// Start at the entries of this extension
    #[arg(long, value_name = "NAME", conflicts_with = "path")]
    ext: Option<String>,
    /// Levels to show below the start
    #[arg(long, value_name = "N", default_value_t = 3)]
    depth: usize,
    /// Elements to show of each array or list; 0 is all
    #[arg(long, value_name = "N", default_value_t = 10)]
    limit: usize,
    /// Do not cut long texts
    #[arg(long)]
    full: bool,
    /// Write a picture for Graphviz instead
    #[arg(long)]
    dot: bool,
}

const EXAMPLES: &str = "Exit codes: 0 shown, 1 the file is bad or the path leads nowhere, 2 wrong usage or an unreadable file.\n\n\
     Examples:\n  \
     olean dump Foo.olean\n  \
     olean dump Foo.olean --path 'constants[12]' --depth 6\n  \
     olean dump Foo.olean --path 'constNames' --limit 0\n  \
     olean dump Foo.olean --decl Nat.add_comm --depth 4\n  \
     olean dump Foo.olean --ext docStringExt\n  \
     olean dump Foo.olean --path 'constants[Nat.add].val.value' --full\n  \
     olean dump Foo.olean --path 'constants[0].val.value' --full\n  \
     olean dump Foo.olean --path 'constants[0]' --depth 5 --dot | dot -Tsvg > foo.svg";

#[derive(Serialize)]
struct Report {
    schema: u32,
    path: String,
    nodes: Vec<Node>,
}

#[derive(Serialize)]
struct Node {
    level: usize,
    /// Field or index in the node above that has one level less; the path for the first.
    label: String,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    /// The dependency that the object lies in.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hidden: Option<&'static str>,
}

/// Runs it.
pub fn run(args: &Args, out: &mut Output) -> Result<Outcome> {
    let mut source = Source::one(&args.file)?;
    if args.decl.is_some() {
        source = last_part(source);
    }
    prove::one(&source, &args.deps, |p| dump(p, args, out))?;
    Ok(Outcome::Good)
}

/// The part of a file's module that says most of its declarations.
fn last_part(source: Source) -> Source {
    let part = source.path.as_deref().and_then(Part::of).filter(Part::is_olean);
    let present = part.filter(Part::is_present).map(|p| p.present());
    present.and_then(|mut all| all.pop()).map_or(source, Source::file)
}

fn dump(p: &Proved<'_, '_>, args: &Args, out: &mut Output) -> Result<()> {
    let graph = p.graph().map_err(Failure::Bad)?;
    let refuse = |text: String| Failure::Refused {
        path: p.source.name.clone(),
        text,
    };
    if let Some(query) = &args.decl {
        let found = names::constants(&graph, query).map_err(refuse)?;
        for i in found {
            start(&graph, p, args, &format!("constants[{i}]"), out)?;
        }
        return Ok(());
    }
    let path = match &args.ext {
        Some(query) => format!(
            "entries[{}].snd",
            names::extension(&graph, query).map_err(refuse)?
        ),
        None => names::numbered(&graph, &args.path).map_err(refuse)?,
    };
    start(&graph, p, args, &path, out)
}

/// Shows the graph from a path on.
fn start(graph: &Graph<'_, '_>, p: &Proved<'_, '_>, args: &Args, path: &str, out: &mut Output) -> Result<()> {
    let start = graph.follow(path).map_err(|e| Failure::Refused {
        path: p.source.name.clone(),
        text: advice(&e),
    })?;
    let limits = Limits {
        depth: args.depth,
        elements: if args.limit == 0 { usize::MAX } else { args.limit },
        width: if args.full { usize::MAX } else { out.width() },
    };
    let entries = Tree::new(graph, 1 + p.deps.len(), limits).from(start, path.trim_start_matches('.'));
    if args.dot {
        let entries: Vec<Entry> = entries.collect();
        out.write_all(dot::picture(&entries).as_bytes())?;
    } else if out.is_json() {
        out.json(&Report {
            schema: 1,
            path: p.source.name.clone(),
            nodes: entries.map(|e| node(graph, e)).collect(),
        })?;
    } else {
        for e in entries {
            line(graph, &e, out)?;
        }
    }
    Ok(())
}

/// What to say of a path that leads nowhere: what is there instead of the step that fails.
fn advice(e: &PathError) -> String {
    let PathError::NoSuch { step, path, what } = e else {
        return e.to_string();
    };
    let path = path.trim_start_matches('.');
    let numbered = match what.starts_with("array") && step.parse::<u64>().is_err() {
        true => format!("; its elements have numbers, as in {path}[12]"),
        false => String::new(),
    };
    format!("{e}{numbered}; see what is there with olean dump --path '{path}'")
}

fn line(graph: &Graph<'_, '_>, e: &Entry, out: &mut Output) -> Result<()> {
    write!(out, "{DIM}{}{DIM:#}", indent(e.level))?;
    if let More::Elements(n) = e.more {
        writeln!(out, "{DIM}… {} more; see --limit{DIM:#}", count(n))?;
        return Ok(());
    }
    let text = clean(&e.text);
    write!(out, "{DIM}{}:{DIM:#} ", clean(&e.label))?;
    if e.quoted {
        write!(out, "{TEXT}{text}{TEXT:#}")?;
    } else {
        write!(out, "{text}")?;
    }
    if let Some(n) = e.node {
        let file = file_of(graph, n).map_or(String::new(), |f| clean(f) + ":");
        write!(out, "  {DIM}@{file}0x{:x}{DIM:#}", graph.reference(n).offset)?;
    }
    match e.more {
        More::Above => write!(out, " {DIM}^{DIM:#}")?,
        More::Deeper(_) => write!(out, " {DIM}…{DIM:#}")?,
        More::Nothing | More::Elements(_) => {}
    }
    writeln!(out)?;
    Ok(())
}

fn node(graph: &Graph<'_, '_>, e: Entry) -> Node {
    let region = e.node.map(|n| graph.region_of(n)).filter(|&r| r > 0);
    Node {
        level: e.level,
        label: e.label,
        text: match e.more {
            More::Elements(n) => format!("{n} more"),
            _ => e.text,
        },
        kind: e.node.map(|n| graph.kind(n).name()),
        offset: e.node.map(|n| graph.reference(n).offset),
        file: region.map(|r| graph.region(r).file().name().to_owned()),
        hidden: match e.more {
            More::Nothing => None,
            More::Above => Some("above"),
            More::Deeper(_) => Some("depth"),
            More::Elements(_) => Some("limit"),
        },
    }
}
