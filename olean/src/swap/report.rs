//! The reports that the library leaves, one per process (`LEAN_REGION_REPORT`).

pub use super::schema::{Compare, Host, Image, Report};
pub use super::total::Total;
use crate::error::{Failure, Result};
use std::fs;
use std::path::Path;

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
