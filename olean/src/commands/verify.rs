//! `olean verify`: proves files whole, one line per bad one.

use crate::dependencies::Dependencies;
use crate::error::{self, Result, tell};
use crate::input::{self, PassedOver, Why};
use crate::module;
use crate::outcome::{Failed, Outcome};
use crate::output::Output;
use crate::prove::{self, Deps, Many, Problem};
use crate::render::{BAD, DIM, GOOD, bytes, clean, plural};
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
    /// A file or folder that they may point into, besides the parts of their own modules; may be given again
    #[arg(long, value_name = "FILE")]
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
    /// What has the name of a region file below a folder and is not read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    passed_over: Vec<Skipped>,
    /// Modules that were proved without parts that importing them needs.
    #[serde(skip_serializing_if = "is_zero")]
    modules_lacking_parts: u64,
}

#[derive(Serialize)]
struct Skipped {
    path: String,
    is: &'static str,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
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
    let input::Found { sources, passed_over } = input::find(&args.files)?;
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
        passed_over: passed_over.iter().map(skipped).collect(),
        modules_lacking_parts: 0,
    };
    let mut hints: Vec<&'static str> = Vec::new();
    let mut failed = Failed::default();
    many.each(
        |p| {
            let file = p.region.file();
            let stale = Dependencies::of(file).filter(|d| d.stale > 0);
            let size = file.bytes().len() as u64;
            Ok((
                size,
                p.region.summary().objects,
                module::lacks_parts(p.region),
                stale,
            ))
        },
        |source, result| {
            let verdict = match result {
                Ok((_, _, _, Some(stale))) => {
                    report.bad += 1;
                    let reason = format!("it was made with {}", stale.text());
                    if !out.is_json() {
                        writeln!(out, "{BAD}{}{BAD:#}: {reason}", clean(&source.name))?;
                        out.flush()?;
                    }
                    Verdict {
                        path: source.name.clone(),
                        good: false,
                        bytes: None,
                        objects: None,
                        offset: None,
                        reason: Some(reason),
                    }
                }
                Ok((bytes, objects, lacks, None)) => {
                    report.modules_lacking_parts += u64::from(lacks);
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
        notes(&passed_over, report.modules_lacking_parts);
        summary(&report, start);
    }
    Ok(match failed.code() {
        Outcome::Good => Outcome::good_if(report.bad == 0),
        unreadable => unreadable,
    })
}

fn skipped(passed: &PassedOver) -> Skipped {
    Skipped {
        path: passed.path.display().to_string(),
        is: passed.why.words().0,
    }
}

/// What was passed over, and what proving bytes does not show.
fn notes(passed_over: &[PassedOver], lacking: u64) {
    for why in [Why::Dangling, Why::Temporary, Why::Special] {
        let mut such = passed_over.iter().filter(|p| p.why == why);
        if let Some(first) = such.next() {
            let (one, several) = why.words();
            let path = clean(&first.path.display().to_string());
            tell(match such.count() {
                0 => format!("{DIM}passed over: {one} {path}{DIM:#}"),
                more => format!("{DIM}passed over: {} {several}, such as {path}{DIM:#}", more + 1),
            });
        }
    }
    if lacking > 0 {
        let modules = plural(lacking, "module");
        tell(format!(
            "{DIM}without other parts that importing needs: {modules}; olean doctor says which{DIM:#}"
        ));
    }
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
        tell(format_args!("{GOOD}good{GOOD:#}: {all}, {size}, in {time:.2} s"));
    } else {
        tell(format_args!(
            "{BAD}bad{BAD:#}: {} of {all}, {unreadable}in {time:.2} s",
            report.bad
        ));
    }
}
