//! `olean verify`: proves files whole, one line per bad one.

use crate::error::{self, Result};
use crate::input;
use crate::outcome::{Failed, Outcome};
use crate::output::Output;
use crate::prove::{self, Deps, Many, Problem};
use crate::render::{BAD, GOOD, bytes, clean, plural};
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

/// Prove that files are whole: every object, every pointer, every byte
///
/// Prints one line for each bad file: name, offset of what is wrong, reason. A summary goes to standard error.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Files or folders to verify; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Files or folders that they may point into, besides the parts of their own modules
    #[arg(long, value_name = "FILE", num_args = 1..)]
    deps: Vec<PathBuf>,
    /// Threads [default: all cores]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
    /// Print no summary and no hints
    #[arg(short, long)]
    quiet: bool,
}

const EXAMPLES: &str = "Exit codes: 0 all good, 1 some bad, 2 wrong usage or unreadable files.\n\n\
     Examples:\n  \
     olean verify .lake/build/lib\n  \
     olean verify Foo.olean.private          (Foo.olean and Foo.olean.server are taken along)\n  \
     olean verify Foo.snap --deps build/lib\n  \
     cat Foo.olean | olean verify -\n  \
     olean verify --json build | jq '.files[] | select(.good | not)'";

#[derive(Serialize)]
struct Report {
    schema: u32,
    good: u64,
    bad: u64,
    unreadable: u64,
    bytes: u64,
    files: Vec<Verdict>,
}

#[derive(Serialize)]
struct Verdict {
    path: String,
    good: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    objects: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Runs it.
pub fn run(args: &Args, out: &mut Output) -> Result<Outcome> {
    let start = Instant::now();
    let sources = input::sources(&args.files)?;
    let deps = Deps::open(&args.deps)?;
    let many = Many {
        sources: &sources,
        deps: &deps,
        jobs: args.jobs.unwrap_or_else(prove::cores),
        doing: "verifying",
    };
    let mut report = Report {
        schema: 1,
        good: 0,
        bad: 0,
        unreadable: 0,
        bytes: 0,
        files: Vec::new(),
    };
    let mut hints: Vec<&'static str> = Vec::new();
    let mut failed = Failed::default();
    many.each(
        |p| Ok((p.region.file().bytes().len() as u64, p.region.summary().objects)),
        |source, result| {
            let verdict = match result {
                Ok((bytes, objects)) => {
                    report.good += 1;
                    report.bytes += bytes;
                    Verdict {
                        path: source.name.clone(),
                        good: true,
                        bytes: Some(bytes),
                        objects: Some(objects),
                        offset: None,
                        reason: None,
                    }
                }
                Err(problem @ Problem::Unreadable(_)) => {
                    failed.note(problem);
                    report.unreadable += 1;
                    return Ok(());
                }
                Err(Problem::Bad { error, because }) => {
                    report.bad += 1;
                    match error::hint(error.violation()) {
                        Some(hint) if because.is_none() && !hints.contains(&hint) => hints.push(hint),
                        _ => {}
                    }
                    let mut reason = clean(&error.reason());
                    if let Some(because) = because {
                        reason += &format!(" ({})", clean(&because));
                    }
                    let offset = error.offset();
                    if !out.is_json() {
                        let at = offset.map_or(String::new(), |o| format!(" offset 0x{o:x}:"));
                        writeln!(out, "{BAD}{}{BAD:#}:{at} {reason}", clean(&source.name))?;
                        out.flush()?;
                    }
                    Verdict {
                        path: source.name.clone(),
                        good: false,
                        bytes: None,
                        objects: None,
                        offset,
                        reason: Some(reason),
                    }
                }
            };
            if out.is_json() {
                report.files.push(verdict);
            }
            Ok(())
        },
    )?;
    if out.is_json() {
        out.json(&report)?;
    }
    out.finish()?;
    if !args.quiet && !out.is_json() {
        hints.iter().for_each(|hint| error::print_hint(hint));
        summary(&report, start);
    }
    Ok(match failed.code() {
        Outcome::Good => Outcome::good_if(report.bad == 0),
        unreadable => unreadable,
    })
}

fn summary(report: &Report, start: Instant) {
    let all = plural(report.good + report.bad + report.unreadable, "file");
    let time = start.elapsed().as_secs_f64();
    let unreadable = match report.unreadable {
        0 => String::new(),
        n => format!("{n} unreadable, "),
    };
    if report.bad + report.unreadable == 0 {
        let size = bytes(report.bytes);
        anstream::eprintln!("{GOOD}good{GOOD:#}: {all}, {size}, in {time:.2} s");
    } else {
        anstream::eprintln!(
            "{BAD}bad{BAD:#}: {} of {all}, {unreadable}in {time:.2} s",
            report.bad
        );
    }
}
