//! `olean image refresh`.

use crate::error::Result;
use crate::image::open::{self, Image};
use crate::image::refresh::{State, real_path, refresh, unreadable};
use crate::outcome::Outcome;
use crate::output::Output;
use crate::prove;
use crate::render::{clean, plural};
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;

/// Take in that files are the same under new times, inodes or devices
///
/// Files whose times, inode or device differ from what the image knows are hashed. Those with the same content are
/// served again from then on; of the others the image says no more than that they do not match: build it again for
/// them.
#[derive(clap::Args)]
#[command(
    after_long_help = "Exit codes: 0 every file is the one in the image, 1 some are not, 2 wrong usage or I/O."
)]
pub struct Args {
    /// The image; it is replaced as a whole
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
    same: u64,
    refreshed: u64,
    changed: Vec<String>,
    gone: Vec<String>,
    /// Why each of those that are gone is, where it is there and cannot be read.
    #[serde(skip)]
    causes: Vec<Option<String>>,
}

/// Runs it.
pub fn run(args: &Args, out: &mut Output) -> Result<Outcome> {
    let image = Image::open(&real_path(&args.file))?;
    let states = refresh(&image, args.jobs.unwrap_or_else(prove::cores))?;
    let tables = image.tables()?;
    let paths = open::paths(&tables);
    let named = |wanted: fn(&State) -> bool| -> Vec<(String, &State)> {
        let which = states.iter().zip(&paths).filter(|(s, _)| wanted(s));
        which
            .filter_map(|(state, p)| Some((p.first()?.display().to_string(), state)))
            .collect()
    };
    let changed = named(|s| *s == State::Changed);
    let gone = named(|s| matches!(s, State::Gone | State::Unreadable(_)));
    let cause = |state: &State| match state {
        State::Unreadable(errno) => Some(unreadable(*errno)),
        _ => None,
    };
    let report = Report {
        schema: 1,
        file: args.file.display().to_string(),
        same: states.iter().filter(|s| **s == State::Same).count() as u64,
        refreshed: states.iter().filter(|s| matches!(s, State::Copy(_))).count() as u64,
        causes: gone.iter().map(|(_, state)| cause(state)).collect(),
        changed: changed.into_iter().map(|(path, _)| path).collect(),
        gone: gone.into_iter().map(|(path, _)| path).collect(),
    };
    let lost = report.changed.len() + report.gone.len();
    if out.is_json() {
        out.json(&report)?;
        return Ok(Outcome::good_if(lost == 0));
    }
    for path in &report.changed {
        writeln!(out, "{}: changed", clean(path))?;
    }
    for (path, cause) in report.gone.iter().zip(&report.causes) {
        writeln!(out, "{}: {}", clean(path), cause.as_deref().unwrap_or("gone"))?;
    }
    let rest = match lost {
        0 => String::new(),
        n => format!(
            ", {} no longer match: build the image again to have them in it",
            plural(n as u64, "file")
        ),
    };
    writeln!(
        out,
        "{}: {} as before, {} refreshed{rest}",
        clean(&report.file),
        plural(report.same, "file"),
        report.refreshed
    )?;
    Ok(Outcome::good_if(lost == 0))
}
