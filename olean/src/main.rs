//! `olean`: the command-line tool of lean-region. Looks into, verifies, compares and rewrites region files.
//!
//! * `cli`: what the command line looks like;
//! * `commands`: one file per subcommand;
//! * `input`, `module`, `prove`: paths to files, files to the module they are part of, bytes to proved regions;
//! * `output`, `render`, `text`: where results go and how they look;
//! * `decls`: modules as lists of declarations;
//! * `demo`: the processes of the demonstration;
//! * `load`: a snapshot loaded into this process;
//! * `image`: images of region files, built and looked into;
//! * `dump`: graphs as lines, terms and pictures;
//! * `addresses`: what is mapped where;
//! * `scratch`: folders that go when a command ends;
//! * `swap`: commands run with the library swapped into their Lean;
//! * `error`, `outcome`: why a command failed and what to do next, how it ended and its exit code;
//! * `arguments`: values on the command line that several subcommands take.

mod addresses;
mod arguments;
mod cli;
mod commands;
mod decls;
mod demo;
mod dependencies;
mod dump;
mod error;
mod image;
mod input;
mod load;
mod module;
mod outcome;
mod output;
mod prove;
mod render;
mod scratch;
mod swap;
mod text;
mod write;

use clap::{CommandFactory, Parser};
use std::process::ExitCode;

fn main() -> ExitCode {
    let (result, mut out) = if let Some(request) = commands::Internal::of_process() {
        let mut out = output::Output::new(true);
        (commands::run_internal(&request, &mut out), out)
    } else {
        let cli = cli::Cli::parse();
        cli.global.color.apply();
        let mut out = output::Output::new(cli.global.json);
        (commands::run(cli.command, cli::Cli::command, &mut out), out)
    };
    let finished = result.and_then(|outcome| {
        out.finish()?;
        Ok(outcome)
    });
    match finished {
        Ok(outcome) => outcome.code(),
        Err(failure) => failure.report(),
    }
}
