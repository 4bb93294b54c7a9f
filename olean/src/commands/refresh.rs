//! `olean refresh`: the times that a snapshot remembers of the files that it was made with.

use crate::dependencies::{State, cause, look, record};
use crate::error::{Failure, Result};
use crate::input::{Input, Source};
use crate::outcome::Outcome;
use crate::output::Output;
use crate::render::clean;
use crate::write;
use olean_reader::File;
use olean_reader::format::dependencies::{Dependency, encode};
use serde::Serialize;
use std::path::PathBuf;

/// Write the times of restored files into a snapshot
///
/// A snapshot remembers the files that it was made with. Where they were copied or restored from a cache since, they
/// have other times, and each load of the snapshot has to read them to see that they are the same. This compares
/// their content once and writes their times, device and inode into the snapshot. Nothing else in it changes, and
/// nothing is written if a file is another one. Paths that are not absolute are relative to the working directory.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// The snapshot
    #[arg(value_name = "SNAP")]
    snapshot: PathBuf,
}

const EXAMPLES: &str = "Exit codes: 0 written, or nothing to write; 1 a file has changed or is missing, or the snapshot \
     remembers none; 2 wrong usage or I/O.\n\n\
     Example:\n  \
     olean refresh Foo.snap";

#[derive(Serialize)]
struct Report {
    schema: u32,
    path: String,
    files: usize,
    refreshed: usize,
    changed: Vec<String>,
    missing: Vec<String>,
    /// What is said behind each of those that are missing.
    #[serde(skip)]
    causes: Vec<String>,
}

/// Runs it.
pub fn run(args: &Args, out: &mut Output) -> Result<Outcome> {
    let source = Source::file(args.snapshot.clone());
    let input = Input::open(&source)?;
    let file = File::parse(&input, &source.name, None).map_err(Failure::Bad)?;
    let mut report = Report {
        schema: 1,
        path: source.name.clone(),
        files: 0,
        refreshed: 0,
        changed: Vec::new(),
        missing: Vec::new(),
        causes: Vec::new(),
    };
    let mut list: Vec<Dependency<'_>> = Vec::new();
    for dependency in record(&file).iter().flat_map(|record| record.iter()) {
        let path = || clean(&String::from_utf8_lossy(dependency.path)).to_string();
        let mut now = dependency;
        match look(&dependency) {
            State::Same => {}
            State::Restored(is) => {
                report.refreshed += 1;
                now = Dependency {
                    device: is.device,
                    inode: is.inode,
                    modified: is.modified_at(),
                    changed: is.changed_at(),
                    // Its content was read after its times.
                    racy: false,
                    ..dependency
                };
            }
            State::Changed(why) => report.changed.push(format!("{} {why}", path())),
            State::Missing(e) => {
                report.missing.push(path());
                report.causes.push(cause(&e));
            }
        }
        list.push(now);
    }
    report.files = list.len();
    let good = report.changed.is_empty() && report.missing.is_empty() && !list.is_empty();
    if good && report.refreshed > 0 {
        write::file(&args.snapshot, &with_record(&file, &mut list)?, out)?;
    }
    if out.is_json() {
        out.json(&report)?;
    } else {
        tell(&report, out)?;
    }
    Ok(Outcome::good_if(good))
}

/// The file with another record of the same files, which has as many bytes. The loader writes it last.
fn with_record(file: &File<'_>, list: &mut [Dependency<'_>]) -> Result<Vec<u8>> {
    let mut saved: Vec<Dependency<'_>> = record(file).iter().flat_map(|record| record.iter()).collect();
    let (saved, new) = (encode(&mut saved), encode(list));
    match (saved, new, file.bytes()) {
        (Ok(saved), Ok(new), bytes) if bytes.ends_with(&saved) && new.len() == saved.len() => {
            Ok([&bytes[..bytes.len() - new.len()], &new].concat())
        }
        _ => Err(Failure::Usage(
            "the record of dependencies does not end the file: another program has written it".to_owned(),
        )),
    }
}

fn tell(report: &Report, out: &mut Output) -> Result<()> {
    use std::io::Write as _;
    for path in &report.changed {
        writeln!(out, "changed: {path}")?;
    }
    for (path, cause) in report.missing.iter().zip(&report.causes) {
        writeln!(out, "missing: {path}{cause}")?;
    }
    let name = clean(&report.path);
    match (
        report.files,
        report.changed.len() + report.missing.len(),
        report.refreshed,
    ) {
        (0, ..) => writeln!(out, "{name} remembers no files that it was made with")?,
        (_, 1.., _) => writeln!(
            out,
            "{name} is stale, or its files are not there; nothing was written"
        )?,
        (files, 0, 0) => writeln!(out, "{name}: nothing to do, all {files} files are as they were")?,
        (files, 0, refreshed) => writeln!(out, "{name}: times of {refreshed} of {files} files written")?,
    }
    Ok(())
}
