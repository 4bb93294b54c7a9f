//! `olean relocate`: a file rewritten for another base address.

use crate::arguments::address;
use crate::error::{Failure, Result};
use crate::input::Source;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::prove::{self, Deps};
use crate::render::bytes;
use crate::write;
use olean_reader::transform;
use serde::Serialize;
use std::path::PathBuf;

/// Rewrite a file for another base address
///
/// Nothing but its header and its pointers changes. Other files that point into it have to be made again: they know it
/// by its old address.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// The file; - is standard input
    file: PathBuf,
    /// The new base address, in hexadecimal with 0x or in decimal; a multiple of 0x10000
    #[arg(long, value_name = "ADDR", value_parser = address)]
    base: u64,
    /// Where to write the result; - is standard output
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// A file or folder that it may point into, besides the parts of its own module; may be given again
    #[arg(long, value_name = "FILE")]
    deps: Vec<PathBuf>,
}

const EXAMPLES: &str = "Exit codes: 0 written, 1 the file is bad or does not fit there, 2 wrong usage or I/O.\n\n\
     Examples:\n  \
     olean relocate Foo.olean --base 0x200000000000 -o moved.olean\n  \
     olean relocate Foo.olean --base 0x200000000000 -o - | olean hash - Foo.olean";

#[derive(Serialize)]
struct Report {
    schema: u32,
    path: String,
    output: String,
    base: u64,
    bytes: u64,
}

/// Runs it.
pub fn run(args: &Args, out: &mut Output) -> Result<Outcome> {
    let source = Source::one(&args.file)?;
    let read = Deps::open(&args.deps)?.read_with(std::slice::from_ref(&source));
    write::refuse_inputs([args.output.as_path()], &read)?;
    let result = prove::one(&source, &args.deps, |p| {
        let region = p.region;
        let target = transform::Rewritten {
            base: Some(args.base),
            ..transform::Rewritten::default()
        };
        transform::rewrite(region, p.deps, &target).map_err(|e| Failure::refused(&source.name, &e))
    })?;
    write::file(&args.output, &result, out)?;
    let report = Report {
        schema: 1,
        path: source.name.clone(),
        output: args.output.display().to_string(),
        base: args.base,
        bytes: result.len() as u64,
    };
    write::told(&args.output, &report, out, || {
        format!(
            "{}: {}, base 0x{:x}",
            report.output,
            bytes(report.bytes),
            report.base
        )
    })?;
    Ok(Outcome::Good)
}
