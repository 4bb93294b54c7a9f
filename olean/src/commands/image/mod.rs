//! `olean image`: one file that holds the regions of many, for the library to map at once.

mod build;
mod file_args;
mod info;
mod list;
mod refresh;
mod verify;

use crate::error::Result;
use crate::outcome::Outcome;
use crate::output::Output;
use file_args::FileArgs;

/// Build and look after an image: one file in place of the mappings of thousands
///
/// An image holds the regions of many files, relocated into one range of addresses. With LEAN_REGION_IMAGE=FILE the
/// library maps it once and answers reads of the files from it, as long as they are what they were when it was built.
/// It is a cache: without it everything is the same, but slower.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:\n  \
     olean image build .lake/packages .lake/build -o lean.image\n  \
     LEAN_REGION_IMAGE=$PWD/lean.image olean with -- lean Foo.lean\n  \
     olean image refresh lean.image          (after a checkout, a copy or a restored cache)";

#[derive(clap::Subcommand)]
enum Command {
    Build(build::Args),
    Refresh(refresh::Args),
    Info(FileArgs),
    Verify(verify::Args),
    List(FileArgs),
}

/// Runs it.
pub fn run(args: &Args, out: &mut Output) -> Result<Outcome> {
    match &args.command {
        Command::Build(args) => build::run(args, out),
        Command::Refresh(args) => refresh::run(args, out),
        Command::Info(args) => info::run(args, out),
        Command::Verify(args) => verify::run(args, out),
        Command::List(args) => list::run(args, out),
    }
}
