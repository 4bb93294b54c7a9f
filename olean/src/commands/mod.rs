//! The subcommands, one per file: its arguments with their help, and what it does.
//!
//! A new one has three lines here: its module, its variant of [`Command`], its arm in [`run`].

pub mod ab;
pub mod axioms;
pub mod demo;
pub mod diff;
pub mod doctor;
pub mod dump;
pub mod generate;
pub mod grep;
pub mod hash;
pub mod image;
pub mod info;
pub mod load;
pub mod ls;
pub mod refresh;
pub mod refs;
pub mod relocate;
pub mod stats;
pub mod verify;
pub mod width;
pub mod with;

use crate::addresses;
use crate::error::Result;
use crate::outcome::Outcome;
use crate::output::Output;
use clap::{Parser, Subcommand};

/// The subcommands, in the order of the help.
#[derive(Subcommand)]
pub enum Command {
    Info(info::Args),
    Ls(ls::Args),
    Stats(stats::Args),
    Verify(verify::Args),
    Hash(hash::Args),
    Diff(diff::Args),
    Dump(dump::Args),
    Grep(grep::Args),
    Refs(refs::Args),
    Axioms(axioms::Args),
    Widen(width::WidenArgs),
    Narrow(width::NarrowArgs),
    Relocate(relocate::Args),
    Refresh(refresh::Args),
    Image(image::Args),
    Load(load::Args),
    Demo(demo::Args),
    Ab(ab::Args),
    With(with::Args),
    Doctor(doctor::Args),
    Completions(generate::CompletionsArgs),
    Man(generate::ManArgs),
}

/// What this program asks of further processes of its own; no user sees it.
#[derive(Parser)]
pub enum Internal {
    /// Prints the mappings of a process that has just started.
    #[command(name = "__maps")]
    Maps,
    /// Does one step of the demonstration.
    #[command(name = "__demo")]
    DemoStep(demo::StepArgs),
}

impl Internal {
    /// The request, if this process was started for one.
    pub fn of_process() -> Option<Self> {
        let first = std::env::args_os().nth(1)?;
        first.to_str()?.starts_with("__").then(Self::parse)
    }
}

/// Runs one subcommand. `definition` makes the whole command line, of which completions and man pages tell.
pub fn run(command: Command, definition: fn() -> clap::Command, out: &mut Output) -> Result<Outcome> {
    match command {
        Command::Info(args) => info::run(&args, out),
        Command::Ls(args) => ls::run(&args, out),
        Command::Stats(args) => stats::run(&args, out),
        Command::Verify(args) => verify::run(&args, out),
        Command::Hash(args) => hash::run(&args, out),
        Command::Diff(args) => diff::run(&args, out),
        Command::Dump(args) => dump::run(&args, out),
        Command::Grep(args) => grep::run(&args, out),
        Command::Refs(args) => refs::run(&args, out),
        Command::Axioms(args) => axioms::run(&args, out),
        Command::Widen(args) => width::widen(&args, out),
        Command::Narrow(args) => width::narrow(&args, out),
        Command::Relocate(args) => relocate::run(&args, out),
        Command::Refresh(args) => refresh::run(&args, out),
        Command::Image(args) => image::run(&args, out),
        Command::Load(args) => load::run(&args, out),
        Command::Demo(args) => demo::run(&args, out),
        Command::Ab(args) => ab::run_ab(&args, out),
        Command::With(args) => with::run(&args),
        Command::Doctor(args) => doctor::run(&args, out),
        Command::Completions(args) => generate::completions(&args, definition(), out),
        Command::Man(args) => generate::man(&args, definition(), out),
    }
}

/// Does what another process of this program asks for.
pub fn run_internal(request: &Internal, out: &mut Output) -> Result<Outcome> {
    match request {
        Internal::DemoStep(args) => demo::step(args, out),
        Internal::Maps => addresses::print_own_maps(out),
    }
}
