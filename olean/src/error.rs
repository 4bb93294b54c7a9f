//! Why a command could not do its work, and what the user can do about it.

use crate::render::clean;
use anstyle::{AnsiColor, Style};
use olean_reader::transform::TransformError;
use olean_reader::{BadPointer, CheckError, Violation};
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub type Result<T> = std::result::Result<T, Failure>;

/// The style of the word `error`.
const ERROR: Style = AnsiColor::Red.on_default().bold();

/// Why a command ended without a result.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A file cannot be opened, read or written.
    #[error("cannot {doing} '{}': {}", path.display(), io_text(cause))]
    Io {
        /// What was being done: `open`, `read`, `write`, …
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A pipe, a device or a socket, which may have no end.
    #[error("'{}' is no regular file", .0.display())]
    NotRegular(PathBuf),
    /// A file is not what it has to be.
    #[error("{0}")]
    Bad(CheckError),
    /// A dependency is not what it has to be.
    #[error("cannot use the dependency {0}")]
    BadDependency(CheckError),
    /// A folder without region files.
    #[error("no region files (*.olean*, *.ir*) below '{}'; give a folder of a Lean build, or a file", .0.display())]
    NothingFound(PathBuf),
    /// The arguments exclude each other or make no sense.
    #[error("{0}")]
    Usage(String),
    /// What was asked for cannot be done with this file.
    #[error("{path}: {text}")]
    Refused {
        /// The file.
        path: String,
        /// Why, and what to do.
        text: String,
    },
    /// A command could not be run, or not as it has to be.
    #[error("{0}")]
    CannotRun(String),
    /// The result cannot be written where it should go.
    #[error("cannot write the output: {}", io_text(.0))]
    Output(#[from] io::Error),
}

/// The system's words without the number of the error.
fn io_text(e: &io::Error) -> String {
    lean_region::os::file::errno_text(e)
}

impl Failure {
    /// An [`Failure::Io`].
    pub fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Io {
            doing,
            path: path.to_owned(),
            cause,
        }
    }

    /// A file that cannot be rewritten, as [`Failure::Refused`].
    pub fn refused(path: &str, e: &TransformError) -> Self {
        Self::Refused {
            path: path.to_owned(),
            text: e.to_string(),
        }
    }

    /// What to do next, where the text does not say it itself.
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Io {
                doing: "open", cause, ..
            } if cause.kind() == io::ErrorKind::NotFound => {
                Some("check the path; a folder is searched for *.olean* and *.ir*")
            }
            Self::NotRegular(_) => {
                Some("send it in as standard input, with - for the file: olean … - < FILE")
            }
            Self::Bad(e) | Self::BadDependency(e) => hint(e.violation()),
            _ => None,
        }
    }

    /// The exit code of a command that ends with this.
    pub fn code(&self) -> u8 {
        match self {
            // Who reads our output has seen enough.
            Self::Output(e) if e.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Bad(_) | Self::Refused { .. } => 1,
            _ => 2,
        }
    }

    /// Tells the user on stderr.
    pub fn print(&self) {
        tell(format_args!(
            "{ERROR}error{ERROR:#}: {}",
            clean(&self.to_string())
        ));
        if let Some(hint) = self.hint() {
            print_hint(hint);
        }
    }

    /// Tells the user on stderr, if there is something to tell; the exit code.
    pub fn report(&self) -> ExitCode {
        if self.code() > 0 {
            self.print();
        }
        ExitCode::from(self.code())
    }
}

/// A line on stderr that says what to do next.
pub fn print_hint(text: &str) {
    const HINT: Style = AnsiColor::Cyan.on_default().bold();
    tell(format_args!("{HINT}hint{HINT:#}: {text}"));
}

/// A line on stderr. Where it cannot be written nobody is told; the exit code and the output say the same.
pub fn tell(line: impl fmt::Display) {
    let _ = writeln!(anstream::stderr().lock(), "{line}");
}

/// What to do about a file with this violation.
pub fn hint(violation: &Violation) -> Option<&'static str> {
    Some(match violation {
        Violation::Pointer {
            why: BadPointer::Outside,
            ..
        } => "give the files that it points into with --deps, a folder for instance",
        Violation::Pointer {
            why: BadPointer::NoObject | BadPointer::Unaligned,
            ..
        } => "the file is damaged, or a file that it points into has been built anew since; build both again",
        Violation::Magic => "this is no region file; sources (.lean) and .ilean files are none either",
        Violation::Version(_) | Violation::BeforeVersions => {
            "only files of Lean 4 with format version 2 or 3 can be read"
        }
        Violation::TooShort { .. }
        | Violation::Truncated
        | Violation::DoesNotFit { .. }
        | Violation::PastEnd
        | Violation::DataNotWords(_)
        | Violation::NoRoot => "the file seems to be cut off; build it again, or copy it again",
        Violation::Overlap { .. } => {
            "files that want the same addresses cannot be dependencies of each other; give fewer files with --deps"
        }
        Violation::MixedWidth { .. } => {
            "files of 32 and 64 bits cannot point into each other; see olean widen"
        }
        Violation::BignumLayout(_) => {
            "one byte of the header is wrong, or was changed; build the file again, or copy it again"
        }
        Violation::TooLarge(_) | Violation::TooMany => return None,
        _ => "the file is damaged; build it again, or copy it again",
    })
}
