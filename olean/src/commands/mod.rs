//! The subcommands, one per file: its arguments with their help, and what it does.

pub mod ab;
pub mod demo;
pub mod diff;
pub mod doctor;
pub mod dump;
pub mod generate;
pub mod hash;
pub mod info;
pub mod relocate;
pub mod stats;
pub mod verify;
pub mod width;
pub mod with;

use crate::cli::{Command, Internal};
use crate::error::{Failure, Result};
use crate::output::Output;
use std::process::ExitCode;

/// How a command ended that could do its work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// All good, nothing differs: exit code 0.
    Good,
    /// A file is bad, something differs: exit code 1.
    Bad,
    /// A file could not be read, which the user was told: exit code 2.
    Unreadable,
    /// The exit code of a command that was run.
    Code(u8),
}

impl Outcome {
    /// [`Outcome::Good`] if so.
    pub fn good_if(good: bool) -> Self {
        if good { Self::Good } else { Self::Bad }
    }

    /// The process's exit code.
    pub fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Good => 0,
            Self::Bad => 1,
            Self::Unreadable => 2,
            Self::Code(code) => code,
        })
    }
}

/// Runs one subcommand.
pub fn run(command: Command, out: &mut Output) -> Result<Outcome> {
    match command {
        Command::Info(args) => info::run(&args, out),
        Command::Stats(args) => stats::run(&args, out),
        Command::Verify(args) => verify::run(&args, out),
        Command::Hash(args) => hash::run(&args, out),
        Command::Diff(args) => diff::run(&args, out),
        Command::Dump(args) => dump::run(&args, out),
        Command::Widen(args) => width::widen(&args, out),
        Command::Narrow(args) => width::narrow(&args, out),
        Command::Relocate(args) => relocate::run(&args, out),
        Command::Demo(args) => demo::run(&args, out),
        Command::Ab(args) => ab::run_ab(&args, out),
        Command::With(args) => with::run(&args),
        Command::Doctor(args) => doctor::run(&args, out),
        Command::Completions(args) => generate::completions(&args, out),
        Command::Man(args) => generate::man(&args, out),
    }
}

/// Does what another process of this program asks for.
pub fn run_internal(request: &Internal, out: &mut Output) -> Result<Outcome> {
    match request {
        Internal::DemoStep(args) => demo::step(args, out),
        Internal::Maps => info::print_own_maps(out),
    }
}

/// Files that a command could do nothing with while it went on with the others.
#[derive(Default)]
pub struct Failed {
    unreadable: bool,
    bad: bool,
}

impl Failed {
    /// Tells the user at once.
    pub fn note(&mut self, problem: impl Into<Failure>) {
        let failure = problem.into();
        match failure.code() {
            1 => self.bad = true,
            _ => self.unreadable = true,
        }
        failure.print();
    }

    /// The exit code for all files.
    pub fn code(&self) -> Outcome {
        match self {
            Self { unreadable: true, .. } => Outcome::Unreadable,
            Self { bad: true, .. } => Outcome::Bad,
            _ => Outcome::Good,
        }
    }
}
