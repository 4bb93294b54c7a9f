//! Something that is wrong with what was looked at, as `olean doctor` shows it: what, where, how much it matters, and
//! what to do about it. Everything that looks for faults makes these, and `workspace` prints them.

use serde::Serialize;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Lean refuses something, or reads what it should not.
    Bad,
    /// It works, but worse than it could, or not everywhere.
    Warn,
}

/// Something that is wrong.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// Its name in JSON, words joined by `-`; it stays as it is.
    pub kind: &'static str,
    pub severity: Severity,
    /// What it is, with numbers.
    pub what: String,
    /// Where, all places.
    pub places: Vec<Place>,
    /// What to do about it; nothing is lost by doing it.
    pub remedy: &'static str,
}

/// A file, a module, a snapshot.
#[derive(Debug, Clone, Serialize)]
pub struct Place {
    pub path: String,
    /// What is wrong there, if places differ in that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Place {
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            detail: None,
        }
    }

    pub fn with(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            detail: Some(detail.into()),
        }
    }
}
