//! `olean completions` and `olean man`: files for shells and for man, made from the command line's definition.

use crate::error::{Failure, Result};
use crate::outcome::Outcome;
use crate::output::Output;
use clap::Command;
use clap_complete::Shell;
use std::io::Write;
use std::path::PathBuf;

/// Print completions for a shell
#[derive(clap::Args)]
#[command(after_long_help = COMPLETIONS_EXAMPLES)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

const COMPLETIONS_EXAMPLES: &str = "Examples:\n  \
     olean completions bash > ~/.local/share/bash-completion/completions/olean\n  \
     olean completions zsh > ~/.zfunc/_olean\n  \
     olean completions fish > ~/.config/fish/completions/olean.fish";

/// Print the man page, or write the pages of all subcommands into a folder
#[derive(clap::Args)]
#[command(after_long_help = MAN_EXAMPLES)]
pub struct ManArgs {
    /// Folder for olean.1, olean-info.1, …; it must exist
    dir: Option<PathBuf>,
}

const MAN_EXAMPLES: &str = "Examples:\n  \
     olean man | man -l -\n  \
     olean man ~/.local/share/man/man1";

/// Runs `olean completions`.
pub fn completions(args: &CompletionsArgs, mut definition: Command, out: &mut Output) -> Result<Outcome> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut definition, "olean", &mut text);
    out.write_all(&text)?;
    Ok(Outcome::Good)
}

/// Runs `olean man`.
pub fn man(args: &ManArgs, definition: Command, out: &mut Output) -> Result<Outcome> {
    match &args.dir {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(definition).render(&mut page)?;
            out.write_all(&page)?;
        }
        Some(dir) => {
            clap_mangen::generate_to(definition, dir).map_err(Failure::io("write pages into", dir))?
        }
    }
    Ok(Outcome::Good)
}
