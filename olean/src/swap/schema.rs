//! The schema of the report that the library leaves: these types say which fields there are. The library writes it by
//! hand, and tests hold the one against the other with unknown fields denied. The tool itself passes over fields that
//! it does not know, which a later library may write. Fields that nobody here looks at are marked so.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The number of this schema; another one changes the meaning of a field.
#[cfg(test)]
pub const SCHEMA: u32 = 1;

/// What one process reports.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, serde(deny_unknown_fields))]
pub struct Report {
    /// The number of the schema.
    #[allow(dead_code)]
    pub schema: u32,
    pub pid: u32,
    pub mode: String,
    pub host: Host,
    /// The functions of the host that were redirected.
    #[allow(dead_code)]
    pub attached: Vec<String>,
    pub save: Save,
    pub read: Read,
    pub free: Free,
    pub compare: Option<Compare>,
    pub image: Option<Image>,
    pub saved: Vec<PathBuf>,
    pub process: Process,
    pub notes: Vec<Note>,
}

/// The Lean runtime.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, serde(deny_unknown_fields))]
pub struct Host {
    pub library: String,
    pub abi: String,
    pub lean_version: String,
    pub githash: String,
    pub allocator: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, serde(deny_unknown_fields))]
pub struct Save {
    pub calls: u64,
    pub bytes: u64,
    pub ns: u64,
    #[allow(dead_code)]
    pub errors: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, serde(deny_unknown_fields))]
pub struct Read {
    pub calls: u64,
    pub mapped: u64,
    #[allow(dead_code)]
    pub relocated: u64,
    pub bytes: u64,
    pub ns: u64,
    pub errors: u64,
    pub mapped_ns: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, serde(deny_unknown_fields))]
pub struct Free {
    pub calls: u64,
}

/// The image that was named, and how it was used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, serde(deny_unknown_fields))]
pub struct Image {
    pub file: PathBuf,
    pub regions: u64,
    /// Reads answered from it.
    pub served: u64,
    /// Reads of files that are not what they were.
    pub stale: u64,
    /// Reads of files that are not in it.
    pub absent: u64,
    /// Why it was not used.
    pub reason: Option<String>,
}

/// What mode compare found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, serde(deny_unknown_fields))]
pub struct Compare {
    pub saves_equal: u64,
    pub saves_different: u64,
    pub reads_equal: u64,
    pub reads_different: u64,
    pub not_compared: u64,
    pub first_difference: Option<FirstDifference>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, serde(deny_unknown_fields))]
pub struct FirstDifference {
    pub call: String,
    pub file: String,
    pub host_file: Option<String>,
    pub detail: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(test, serde(deny_unknown_fields))]
pub struct Process {
    pub mappings: Option<u64>,
    #[allow(dead_code)]
    pub max_map_count: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, serde(deny_unknown_fields))]
pub struct Note {
    pub file: String,
    pub reason: String,
}
