//! `olean hash`: digests of graphs, equal for equal values wherever and however they are stored.

use crate::error::Result;
use crate::input;
use crate::outcome::{Failed, Outcome};
use crate::output::Output;
use crate::prove::{self, Deps, Many};
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;

/// Print digests of what files hold: graphhash, sharehash, path
///
/// Both digests ignore addresses, pointer width and the order of objects; the graphhash ignores sharing as well.
/// Files with the same graphhash hold equal values.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Files or folders; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A file or folder that they may point into, besides the parts of their own modules; may be given again
    #[arg(long, value_name = "FILE")]
    deps: Vec<PathBuf>,
    /// Threads [default: all cores]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
}

const EXAMPLES: &str = "Exit codes: 0 all hashed, 1 some bad, 2 wrong usage or unreadable files.\n\n\
     Examples:\n  \
     olean hash Foo.olean\n  \
     olean hash build/lib | sort | uniq -w 32 -D     (files that hold the same)";

#[derive(Serialize)]
struct Report {
    schema: u32,
    files: Vec<Hashes>,
}

#[derive(Serialize)]
struct Hashes {
    path: String,
    graphhash: String,
    sharehash: String,
    objects: u32,
    distinct: u32,
    depth: u32,
}

/// Runs it.
pub fn run(args: &Args, out: &mut Output) -> Result<Outcome> {
    let sources = input::sources(&args.files)?;
    let deps = Deps::open(&args.deps)?;
    let many = Many {
        sources: &sources,
        deps: &deps,
        jobs: args.jobs.unwrap_or_else(prove::cores),
        doing: "hashing",
    };
    let mut report = Report {
        schema: 1,
        files: Vec::new(),
    };
    let mut failed = Failed::default();
    many.each(
        |p| p.graph()?.digests(),
        |source, result| {
            match result {
                Err(problem) => failed.note(problem),
                Ok(d) if out.is_json() => report.files.push(Hashes {
                    path: source.name.clone(),
                    graphhash: d.graphhash.to_string(),
                    sharehash: d.sharehash.to_string(),
                    objects: d.objects,
                    distinct: d.distinct,
                    depth: d.depth,
                }),
                Ok(d) => writeln!(out, "{} {} {}", d.graphhash, d.sharehash, source.name)?,
            }
            Ok(())
        },
    )?;
    if out.is_json() {
        out.json(&report)?;
    }
    Ok(failed.code())
}
