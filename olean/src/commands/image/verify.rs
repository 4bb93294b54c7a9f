//! `olean image verify`.

use crate::error::{Result, tell};
use crate::image::open::{self, Image};
use crate::outcome::Outcome;
use crate::output::Output;
use crate::prove;
use crate::render::{BAD, GOOD, bytes, clean, plural};
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

/// Check that an image is what was written: header, tables, every region
///
/// Compares digests; the source files are not looked at (olean image list says which of them changed).
#[derive(clap::Args)]
#[command(after_long_help = "Exit codes: 0 good, 1 damaged, 2 wrong usage or I/O.")]
pub struct Args {
    /// The image
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Threads [default: all cores]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
}

#[derive(Serialize)]
struct Report {
    schema: u32,
    file: String,
    regions: u32,
    damaged: Vec<String>,
}

/// Runs it.
pub fn run(args: &Args, out: &mut Output) -> Result<Outcome> {
    let start = Instant::now();
    let image = Image::open(&args.file)?;
    let tables = image.tables()?;
    let next = AtomicU32::new(0);
    let damaged: Vec<AtomicBool> = (0..tables.len()).map(|_| AtomicBool::new(false)).collect();
    prove::on_threads(args.jobs.unwrap_or_else(prove::cores), || {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(flag) = damaged.get(i as usize) else {
                return;
            };
            flag.store(!image.region_is_whole(&tables, i), Ordering::Relaxed);
        }
    });
    let paths = open::paths(&tables);
    let name = |i: usize| {
        paths[i]
            .first()
            .map_or(String::new(), |p| p.display().to_string())
    };
    let report = Report {
        schema: 1,
        file: args.file.display().to_string(),
        regions: tables.len(),
        damaged: (0..damaged.len())
            .filter(|&i| damaged[i].load(Ordering::Relaxed))
            .map(name)
            .collect(),
    };
    let good = report.damaged.is_empty();
    if out.is_json() {
        out.json(&report)?;
        return Ok(Outcome::good_if(good));
    }
    for path in &report.damaged {
        writeln!(
            out,
            "{BAD}{}{BAD:#}: its region in the image is damaged",
            clean(path)
        )?;
    }
    out.finish()?;
    let (regions, time) = (
        plural(report.regions.into(), "region"),
        start.elapsed().as_secs_f64(),
    );
    if good {
        tell(format_args!(
            "{GOOD}good{GOOD:#}: {regions}, {}, in {time:.2} s",
            bytes(image.layout.size())
        ));
    } else {
        tell(format_args!(
            "{BAD}bad{BAD:#}: {} of {regions}, in {time:.2} s; build the image again",
            report.damaged.len()
        ));
    }
    Ok(Outcome::good_if(good))
}
