//! The reports that the library leaves, one per process (`LEAN_REGION_REPORT`).

pub use super::schema::{Compare, Host, Image, Report};
use super::schema::{Read, Save};
use crate::error::{Failure, Result};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// All reports in the directory `dir`.
pub fn read_all(dir: &Path) -> Result<Vec<Report>> {
    let mut reports = Vec::new();
    for entry in fs::read_dir(dir).map_err(Failure::io("read", dir))? {
        let path = entry.map_err(Failure::io("read", dir))?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let bytes = fs::read(&path).map_err(Failure::io("read", &path))?;
            let report = serde_json::from_slice(&bytes).map_err(|e| {
                Failure::CannotRun(format!(
                    "the report '{}' is of another library: {e}",
                    path.display()
                ))
            })?;
            reports.push(report);
        }
    }
    reports.sort_by_key(|report: &Report| report.pid);
    Ok(reports)
}

/// What all processes of one run did together.
#[derive(Debug, Clone, Default)]
pub struct Total {
    pub save: Save,
    pub read: Read,
    pub frees: u64,
    /// The most that one process had.
    pub mappings: u64,
    pub compare: Option<Compare>,
    /// Every file saved.
    pub saved: BTreeSet<PathBuf>,
}

impl Total {
    /// The sum of `reports`.
    pub fn of(reports: &[Report]) -> Self {
        let mut total = Self::default();
        for report in reports {
            let Report { save, read, free, .. } = report;
            total.save.calls += save.calls;
            total.save.bytes += save.bytes;
            total.save.ns += save.ns;
            total.read.calls += read.calls;
            total.read.mapped += read.mapped;
            total.read.bytes += read.bytes;
            total.read.ns += read.ns;
            total.read.errors += read.errors;
            total.read.mapped_ns += read.mapped_ns;
            total.frees += free.calls;
            total.mappings = total.mappings.max(report.process.mappings.unwrap_or(0));
            if let Some(compare) = &report.compare {
                total.compare.get_or_insert_default().add(compare);
            }
            total.saved.extend(report.saved.iter().cloned());
        }
        total
    }
}

impl Compare {
    /// Adds what another process or run found.
    pub fn add(&mut self, other: &Self) {
        self.saves_equal += other.saves_equal;
        self.saves_different += other.saves_different;
        self.reads_equal += other.reads_equal;
        self.reads_different += other.reads_different;
        self.not_compared += other.not_compared;
        if self.first_difference.is_none() {
            self.first_difference.clone_from(&other.first_difference);
        }
    }

    /// Whether nothing differed.
    pub fn is_equal(&self) -> bool {
        self.saves_different == 0 && self.reads_different == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_librarys_report_has_exactly_these_fields() {
        // SAFETY: no Lean runtime is loaded here, and the embedded one can allocate anywhere.
        let text = unsafe { lean_region::redirect::report::json() };
        let report: Report = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert_eq!(
            (report.schema, report.pid),
            (super::super::schema::SCHEMA, std::process::id())
        );
        let more = text.replacen('{', r#"{"surprise":1,"#, 1);
        let error = serde_json::from_str::<Report>(&more).unwrap_err();
        assert!(error.to_string().contains("unknown field `surprise`"), "{error}");
    }
}
