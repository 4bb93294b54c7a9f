//! `olean doctor`: what is wrong with a workspace, or with the library in a given Lean.

mod files;
mod image;
mod probe;
mod program;
mod workspace;

use crate::error::Result;
use crate::outcome::Outcome;
use crate::output::Output;
use std::ffi::OsString;
use std::path::PathBuf;

/// Find out what is wrong: with the files of a workspace, or with this loader in a given Lean
///
/// With folders, looks at everything that is built there: missing parts, parts of different builds, damaged files,
/// files of another toolchain, snapshots that are out of date, addresses and limits. Each finding says what, where,
/// and what to do.
///
/// With a command, explains what swapping this loader into that Lean would do. Starts the program a few times, with
/// --version and with an empty --stdin, and looks at its libraries, at the system, and at the region files on its
/// search path (LEAN_PATH and its own). Only the first word of the command matters.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Folders of a workspace, such as .lake/build/lib
    #[arg(
        value_name = "DIR",
        required_unless_present = "command",
        conflicts_with = "command"
    )]
    folders: Vec<PathBuf>,
    /// Threads for the files of folders [default: all cores]
    #[arg(short, long, value_name = "N", conflicts_with = "command")]
    jobs: Option<usize>,
    /// The library to swap in [default: the one beside olean, in deps/ there, or installed; LEAN_REGION_LIBRARY names
    /// another]
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
    /// The command, such as lean
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

const EXAMPLES: &str = "Exit codes with folders: 0 nothing found, 1 something found, 2 something could not be read.\n\
     Exit codes with a command: 0 the library works there, 1 it does not, 2 the program could not be run.\n\n\
     Examples:\n  \
     olean doctor .lake/build/lib\n  \
     olean doctor --json . | jq '.findings[].kind'\n  \
     olean doctor -- lean\n  \
     olean doctor --json -- ~/.elan/toolchains/*/bin/lean";

/// Runs `olean doctor`.
pub fn run(args: &Args, out: &mut Output) -> Result<Outcome> {
    match args.command.first() {
        Some(program) => program::run(program, args.library.as_deref(), out),
        None => workspace::run(&args.folders, args.jobs, out),
    }
}
