//! Why a file could not be read or written, in the incumbent's words first, then the detail and what to do.

use crate::compactor::CompactError;
use crate::os::file::{WriteStep, errno_text};
use crate::os::map::{OutOfMemory, mapping_counts};
use crate::relocate::WalkError;
use olean_reader::format::header::field_text;
use std::ffi::CStr;
use std::io;
use thiserror::Error;

/// A file name as text for people.
#[must_use]
pub fn shown(path: &CStr) -> String {
    path.to_string_lossy().into_owned()
}

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
    let wanted = format!("{bytes} bytes for the region are not available");
    match mapping_counts() {
        (Some(current), Some(limit)) if current + 8 >= limit => format!(
            "{wanted}; this process has {current} mappings and the limit vm.max_map_count is {limit}: raise it with \
             sysctl vm.max_map_count"
        ),
        _ => wanted,
    }
}

impl ReadError {
    pub(super) fn header(file: &CStr, detail: impl Into<String>) -> Self {
        ReadError::Header {
            file: shown(file),
            detail: detail.into(),
        }
    }

    pub(super) fn content(file: &CStr, detail: impl Into<String>) -> Self {
        ReadError::Content {
            file: shown(file),
            detail: detail.into(),
        }
    }

    pub(super) fn walk(file: &CStr, e: &WalkError) -> Self {
        Self::content(file, e.to_string())
    }

    pub(super) fn read(file: &CStr, cause: io::Error) -> Self {
        ReadError::Read {
            file: shown(file),
            cause,
        }
    }

    pub(super) fn memory(file: &CStr, e: OutOfMemory) -> Self {
        ReadError::Memory {
            file: shown(file),
            bytes: e.bytes,
        }
    }

    pub(super) fn githash(file: &CStr, version: &[u8], found: &[u8], expected: &[u8]) -> Self {
        let hash = |h: &[u8]| match field_text(h) {
            t if t.is_empty() => "none".to_owned(),
            t => t,
        };
        ReadError::Incompatible {
            file: shown(file),
            detail: format!(
                "written by Lean {} with githash {}, this is githash {}",
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
    #[error("failed to write '{file}': {cause}")]
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
    /// Something about the request itself is wrong.
    #[error("failed to write '{file}': {detail}")]
    Request {
        /// The file.
        file: String,
        /// What is wrong.
        detail: String,
    },
}

fn step_text(step: WriteStep, cause: &io::Error) -> String {
    let why = errno_text(cause);
    match step {
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
