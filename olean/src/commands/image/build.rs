//! `olean image build`.

use crate::arguments::address;
use crate::error::{Result, tell};
use crate::image::build::{Request, build};
use crate::image::left_out::LeftOut;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::prove;
use crate::render::{BAD, bytes, clean, plural};
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

/// Build an image of region files and snapshots
///
/// Every file is proved first. What is bad, of another Lean than most files, or has its root in another part of its
/// module is named and left out with its whole module; the image is written nevertheless. Files that were written less
/// than two seconds ago are waited for.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Files, and folders that are searched for them
    #[arg(required_unless_present = "snapshot", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Where to write the image
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Snapshots to take in, with every file that their .deps list
    #[arg(long, value_name = "SNAP", num_args = 1..)]
    snapshot: Vec<PathBuf>,
    /// The address of the image, a multiple of 0x200000 [default: one that follows from the paths]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    base: Option<u64>,
    /// Threads [default: all cores]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
    /// Prove snapshots object by object, and say what that took
    #[arg(long)]
    verify: bool,
}

const EXAMPLES: &str = "Exit codes: 0 built, 1 built without some of the files, 2 not built.\n\n\
     Examples:\n  \
     olean image build .lake/build/lib -o lean.image\n  \
     olean image build lib -o lean.image --snapshot Main.snap";

#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    file: String,
    base: u64,
    regions: u64,
    changeable: u64,
    source_bytes: u64,
    bytes: u64,
    seconds: f64,
    waited_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified_seconds: Option<f64>,
    left_out: &'a [LeftOut],
}

/// Runs it.
pub fn run(args: &Args, out: &mut Output) -> Result<Outcome> {
    let start = Instant::now();
    let built = build(&Request {
        paths: &args.paths,
        snapshots: &args.snapshot,
        output: &args.output,
        base: args.base,
        jobs: args.jobs.unwrap_or_else(prove::cores),
        verify: args.verify,
    })?;
    let report = Report {
        schema: 1,
        file: args.output.display().to_string(),
        base: built.base,
        regions: built.regions,
        changeable: built.changeable,
        source_bytes: built.source_bytes,
        bytes: built.bytes,
        seconds: start.elapsed().as_secs_f64(),
        waited_seconds: built.waited.as_secs_f64(),
        verified_seconds: built.verified.map(|t| t.as_secs_f64()),
        left_out: &built.left_out,
    };
    if out.is_json() {
        out.json(&report)?;
    } else {
        let waited = match built.waited.as_secs() {
            0 => String::new(),
            n => format!(", {n} s of them waiting for young files"),
        };
        writeln!(
            out,
            "{}: {}, {} of files in {} at {:#x}, in {:.2} s{waited}",
            clean(&report.file),
            plural(report.regions, "region"),
            bytes(report.source_bytes),
            bytes(report.bytes),
            report.base,
            report.seconds
        )?;
        if report.changeable > 0 {
            writeln!(
                out,
                "{} can change while in use: each process reads it from the image once",
                plural(report.changeable, "region")
            )?;
        }
        if let Some(seconds) = report.verified_seconds {
            writeln!(out, "snapshots proved object by object in {seconds:.2} s")?;
        }
        out.finish()?;
        for left in report.left_out {
            tell(format_args!(
                "{BAD}left out{BAD:#}: {}: {}",
                clean(&left.path),
                clean(&left.reason)
            ));
        }
    }
    Ok(Outcome::good_if(report.left_out.is_empty()))
}
