//! The command line: global options, and the texts that all subcommands share.

use crate::commands::Command;
use clap::{Args, Parser, ValueEnum};

/// The whole command line.
#[derive(Parser)]
#[command(
    name = "olean",
    version,
    about = "Look into, verify, compare and rewrite Lean's region files (.olean, .ir)",
    long_about = "Look into, verify, compare and rewrite Lean's region files: the parts of a module (.olean, \
                  .olean.server, .olean.private, .ir.sig, .ir) and snapshots.\n\n\
                  Nothing in a file is trusted: every command but load proves first what it reads.",
    after_help = EXIT_CODES,
    after_long_help = AFTER,
    max_term_width = 100,
    propagate_version = true,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every subcommand.
#[derive(Args)]
pub struct Global {
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colour
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    pub color: Color,
}

/// When to use colour.
#[derive(Clone, Copy, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Also in pipes and files
    Always,
    /// Not at all
    Never,
}

impl Color {
    /// Makes it the choice for both output streams.
    pub fn apply(self) {
        let choice = match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
    }
}

const EXIT_CODES: &str = "Exit codes:\n  \
     0  all good, or nothing differs\n  \
     1  a file is bad, or files differ\n  \
     2  wrong usage, or a file cannot be read or written";

const AFTER: &str = "Where a file is asked for, a folder stands for all region files below it (*.olean*, *.ir*), and - for \
     standard input where one file makes sense. Parts of one module are each other's dependencies: \
     X.olean.private is read together with X.olean and X.olean.server beside it, X.ir with X.ir.sig, and a \
     snapshot with the files that its .deps file lists.\n\n\
     Exit codes:\n  \
     0  all good, or nothing differs\n  \
     1  a file is bad, or files differ\n  \
     2  wrong usage, or a file cannot be read or written\n\n\
     Environment:\n  \
     NO_COLOR  set to anything: no colour\n\n\
     Examples:\n  \
     olean info Foo.olean\n  \
     olean ls Foo.olean --sort size --top 20\n  \
     olean verify .lake/build/lib\n  \
     olean diff --stat build-a build-b\n  \
     olean dump Foo.olean --path 'constants[0]'";
