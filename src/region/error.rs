//! Why a file could not be read or written, in the incumbent's words first, then the detail and what to do.

use crate::compactor::CompactError;
use crate::dependencies::DependencyError;
use crate::os::file::errno_text;
use crate::os::limits::Limits;
use crate::os::map::OutOfMemory;
use crate::os::new_file::{NotAll, WriteStep};
use crate::relocate::WalkError;
use olean_reader::format::header::field_text;
use olean_reader::format::room::NoMemory;
use std::ffi::CStr;
use std::io;
use thiserror::Error;

/// Bytes of a file name that are shown: no file has a longer one (`PATH_MAX`), but who calls may ask for one.
pub(super) const SHOWN: usize = 4096;

/// A file name as text for people.
#[must_use]
#[cold]
pub fn shown(path: &CStr) -> String {
    let bytes = path.to_bytes();
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    let more = if bytes.len() > SHOWN { "…" } else { "" };
    format!("{shown}{more}")
}

/// Set to 1, it lets files of any githash be read. Lean builds differ in whether they look at it (`CHECK_OLEAN_VERSION`),
/// and nothing in a build says so.
pub const ANY_GITHASH: &str = "LEAN_REGION_ANY_GITHASH";

/// Why a region could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// `open` failed.
    #[error("failed to open file '{file}': {}", errno_text(.cause))]
    Open {
        /// The file.
        file: String,
        /// What the system said.
        cause: io::Error,
    },
    /// `fstat` failed.
    #[error("failed to stat file '{file}': {}", errno_text(.cause))]
    Stat {
        /// The file.
        file: String,
        /// What the system said.
        cause: io::Error,
    },
    /// Reading failed.
    #[error("failed to read file '{file}': {}", errno_text(.cause))]
    Read {
        /// The file.
        file: String,
        /// What the system said.
        cause: io::Error,
    },
    /// Not an olean file, or not a whole one.
    #[error("failed to read file '{file}', invalid header: {detail}")]
    Header {
        /// The file.
        file: String,
        /// What is wrong.
        detail: String,
    },
    /// An olean file of another Lean.
    #[error(
        "failed to read file '{file}', incompatible header: {detail}; rebuild the file with the Lean that reads it"
    )]
    Incompatible {
        /// The file.
        file: String,
        /// What differs.
        detail: String,
    },
    /// The content is damaged or does not fit its dependencies.
    #[error("failed to read '{file}': {detail}")]
    Content {
        /// The file.
        file: String,
        /// What is wrong and where.
        detail: String,
    },
    /// Memory for the region could not be had.
    #[error("failed to read '{file}': out of memory: {}", no_memory(*.bytes))]
    Memory {
        /// The file.
        file: String,
        /// Bytes that were asked for.
        bytes: usize,
    },
}

fn no_memory(bytes: usize) -> String {
    format!("{bytes} bytes for the region are not available{}", Limits::now())
}

impl ReadError {
    #[cold]
    pub(super) fn header(file: &CStr, detail: impl Into<String>) -> Self {
        ReadError::Header {
            file: shown(file),
            detail: detail.into(),
        }
    }

    #[cold]
    pub(super) fn content(file: &CStr, detail: impl Into<String>) -> Self {
        ReadError::Content {
            file: shown(file),
            detail: detail.into(),
        }
    }

    #[cold]
    pub(super) fn walk(file: &CStr, e: &WalkError) -> Self {
        let limits = match e {
            WalkError::Dependencies(DependencyError::Memory(_)) => Limits::now().to_string(),
            _ => String::new(),
        };
        Self::content(file, format!("{e}{limits}"))
    }

    #[cold]
    pub(super) fn read(file: &CStr, cause: io::Error) -> Self {
        ReadError::Read {
            file: shown(file),
            cause,
        }
    }

    #[cold]
    pub(super) fn memory(file: &CStr, e: OutOfMemory) -> Self {
        ReadError::Memory {
            file: shown(file),
            bytes: e.bytes,
        }
    }

    /// Memory for something about the region was refused.
    #[cold]
    pub(super) fn refused(file: &CStr, e: NoMemory) -> Self {
        Self::content(file, format!("{e}{}", Limits::now()))
    }

    #[cold]
    pub(super) fn githash(file: &CStr, version: &[u8], found: &[u8], expected: &[u8]) -> Self {
        let hash = |h: &[u8]| match field_text(h) {
            t if t.is_empty() => "none".to_owned(),
            t => t,
        };
        ReadError::Incompatible {
            file: shown(file),
            detail: format!(
                "written by Lean {} with githash {}, this is githash {}, and only {ANY_GITHASH}=1 lets it be read",
                field_text(version),
                hash(found),
                hash(expected)
            ),
        }
    }
}

/// Why a region could not be saved. The file that was there before is as it was.
#[derive(Debug, Error)]
pub enum SaveError {
    /// The data cannot be compacted.
    #[error("failed to write '{file}': {cause}{}", limits(.cause))]
    Compact {
        /// The file.
        file: String,
        /// Why.
        cause: CompactError,
    },
    /// The system refused.
    #[error("failed to write '{file}': {}", step_text(*.step, .cause))]
    Write {
        /// The file.
        file: String,
        /// At which step.
        step: WriteStep,
        /// What the system said.
        cause: io::Error,
    },
    /// One file of a batch could not get its name after others had theirs, which could not be undone.
    #[error("failed to write '{file}': {detail}; these files are new all the same: {new}")]
    Partly {
        /// The file.
        file: String,
        /// At which step, and what the system said.
        detail: String,
        /// The names of the files that are new.
        new: String,
    },
    /// Something about the request itself is wrong.
    #[error("failed to write '{file}': {detail}")]
    Request {
        /// The file.
        file: String,
        /// What is wrong.
        detail: String,
    },
}

impl SaveError {
    /// Why the files `paths` did not appear together.
    pub(super) fn not_all(paths: &[&CStr], e: NotAll) -> Self {
        let file = shown(paths[e.index]);
        if e.new.is_empty() {
            return SaveError::Write {
                file,
                step: e.step,
                cause: e.cause,
            };
        }
        let names: Vec<String> = e.new.iter().map(|&i| format!("'{}'", shown(paths[i]))).collect();
        SaveError::Partly {
            file,
            detail: format!(
                "{} while renaming the complete temporary file",
                errno_text(&e.cause)
            ),
            new: names.join(", "),
        }
    }

    pub(super) fn compact(file: &CStr, cause: CompactError) -> Self {
        SaveError::Compact {
            file: shown(file),
            cause,
        }
    }
}

/// What may be why, if memory was refused.
fn limits(cause: &CompactError) -> String {
    match cause {
        CompactError::Memory { .. } => Limits::now().to_string(),
        _ => String::new(),
    }
}

fn step_text(step: WriteStep, cause: &io::Error) -> String {
    let why = errno_text(cause);
    match step {
        WriteStep::Target => format!("{why}, which no save replaces; nothing was changed"),
        WriteStep::Sync => {
            format!("{why} while its name is written to the disk; the file is new all the same")
        }
        WriteStep::Create => format!("failed to create file: {why}"),
        WriteStep::Write => format!("{why} while writing; nothing was changed"),
        WriteStep::Close => format!("{why} while closing; nothing was changed"),
        WriteStep::Rename => format!("{why} while renaming the complete temporary file; nothing was changed"),
    }
}

/// Why a call of a loader function failed.
#[derive(Debug, Error)]
pub enum CallError {
    /// Reading.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Saving.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// The arguments make no sense.
    #[error("{0}")]
    Argument(String),
}
