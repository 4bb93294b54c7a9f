//! `olean load`: a snapshot loaded with all its modules, and what that takes.

use crate::error::{Failure, Result};
use crate::load::{Loaded, load};
use crate::outcome::Outcome;
use crate::output::Output;
use crate::render::{DIM, bytes, count, milliseconds};
use crate::swap::table::Spread;
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;

/// Load a snapshot with all modules that it was saved over, and say what that takes
///
/// Does what `lean --incr-load` does before it looks at anything: reads the list beside the snapshot (.deps), all
/// modules by several threads, and the snapshot over them, with the library inside this program. Nothing is proved
/// first; see olean verify. Closures get no code, as no Lean is loaded.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// The snapshot
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Threads [default: $LEAN_IMPORT_WORKERS, or all cores, but not more than 4]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    jobs: Option<u32>,
    /// Take relative paths in the list from the folder of the snapshot, not from the working directory
    #[arg(long)]
    beside: bool,
    /// How often to load and free it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runs: u32,
}

const EXAMPLES: &str = "Exit codes: 0 loaded, 2 not loaded.\n\n\
     LEAN_REGION_IMAGE, LEAN_REGION_STALE, LEAN_REGION_VERIFY and LEAN_REGION_FORCE_RELOCATE mean what they do for Lean.\n\n\
     Examples:\n  \
     olean load Main.snap\n  \
     olean load Main.snap --jobs 1 --runs 11";

#[derive(Serialize)]
struct Report {
    schema: u32,
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    jobs: Option<u32>,
    regions: u64,
    bytes: u64,
    mapped: u64,
    relocated: u64,
    from_image: u64,
    seconds: Vec<f64>,
    free_seconds: Vec<f64>,
}

/// Runs it.
pub fn run(args: &Args, out: &mut Output) -> Result<Outcome> {
    let mut runs: Vec<Loaded> = Vec::new();
    for _ in 0..args.runs {
        let loaded = load(&args.file, args.jobs.unwrap_or(0), args.beside);
        runs.push(loaded.map_err(Failure::CannotRun)?);
    }
    let first = runs[0];
    if out.is_json() {
        out.json(&Report {
            schema: 1,
            file: args.file.display().to_string(),
            jobs: args.jobs,
            regions: first.regions,
            bytes: first.bytes,
            mapped: first.mapped,
            relocated: first.relocated,
            from_image: first.from_image,
            seconds: runs.iter().map(|r| r.seconds).collect(),
            free_seconds: runs.iter().map(|r| r.free_seconds).collect(),
        })?;
        return Ok(Outcome::Good);
    }
    let image = match first.from_image {
        0 => String::new(),
        n => format!(", {} from the image", count(n)),
    };
    writeln!(
        out,
        "{} regions, {}: {} mapped, {} relocated{image}",
        count(first.regions),
        bytes(first.bytes),
        count(first.mapped),
        count(first.relocated)
    )?;
    let times = |of: fn(&Loaded) -> f64| {
        let all = Spread::of(runs.iter().map(of).collect());
        let [median, min, max] = [all.median, all.min, all.max].map(milliseconds);
        match runs.len() {
            1 => median,
            n => format!("{median} {DIM}({min} … {max}, {n} runs){DIM:#}"),
        }
    };
    writeln!(out, "loaded in {}", times(|r| r.seconds))?;
    writeln!(out, "freed in {}", times(|r| r.free_seconds))?;
    Ok(Outcome::Good)
}
