//! How a command ended: all good, something bad, something unreadable; and the exit code for it.

use crate::error::Failure;
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
