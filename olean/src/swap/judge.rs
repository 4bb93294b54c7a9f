//! Whether the runs under ours did what the runs under the host's own loader did.
//!
//! A command need not do the same twice: it may print a time. So the host's runs are held against each other
//! too, and where they differ nothing can be said.

use super::run::{Mode, Run, Saved};
use crate::error::{Failure, Result};
use lean_region::compare::files;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Whether all runs agree: `None` where already the host's own do not.
pub type Agreement = Option<bool>;

/// What was equal.
#[derive(Debug, Clone, Serialize)]
pub struct Equal {
    pub stdout: Agreement,
    pub stderr: Agreement,
    /// Exit codes, or signals.
    pub exit: Agreement,
    /// Every file that was written through the loader.
    pub files: Agreement,
    /// How many files that is.
    pub files_compared: usize,
    /// The ones that differ, and how.
    pub files_different: Vec<Different>,
    /// The ones that differ among the host's own runs.
    pub files_unstable: Vec<Different>,
}

/// A file that differs.
#[derive(Debug, Clone, Serialize)]
pub struct Different {
    pub file: String,
    pub detail: String,
}

impl Equal {
    /// Whether nothing is known to differ.
    pub fn is_equal(&self) -> bool {
        [self.stdout, self.stderr, self.exit, self.files]
            .iter()
            .all(|a| *a != Some(false))
    }
}

/// Compares all runs; at least one is the host's.
pub fn judge(runs: &[Run]) -> Result<Equal> {
    let (files_different, files_unstable, files_compared) = compare_files(runs)?;
    let files = match (files_different.is_empty(), files_unstable.is_empty()) {
        (false, _) => Some(false),
        (true, true) => Some(true),
        (true, false) => None,
    };
    Ok(Equal {
        stdout: agreement(runs, |run| run.stdout.clone()),
        stderr: agreement(runs, |run| run.stderr.clone()),
        exit: agreement(runs, |run| run.status.into_raw_parts()),
        files,
        files_compared,
        files_different,
        files_unstable,
    })
}

/// What a process ended by, as something that can be ordered.
trait RawParts {
    fn into_raw_parts(self) -> (Option<i32>, Option<i32>);
}

impl RawParts for std::process::ExitStatus {
    fn into_raw_parts(self) -> (Option<i32>, Option<i32>) {
        use std::os::unix::process::ExitStatusExt;
        (self.code(), self.signal())
    }
}

fn agreement<T: Ord>(runs: &[Run], seen: impl Fn(&Run) -> T) -> Agreement {
    let of = |observe: bool| -> BTreeSet<T> {
        let legs = runs.iter().filter(|run| (run.mode == Mode::Observe) == observe);
        legs.map(&seen).collect()
    };
    let (host, ours) = (of(true), of(false));
    if ours.is_subset(&host) {
        Some(true)
    } else if host.len() > 1 {
        None
    } else {
        Some(false)
    }
}

type Files = (Vec<Different>, Vec<Different>, usize);

/// Every file of every run against the first run of the host's.
fn compare_files(runs: &[Run]) -> Result<Files> {
    let Some(base) = runs.iter().find(|run| run.mode == Mode::Observe) else {
        return Ok((Vec::new(), Vec::new(), 0));
    };
    let paths: BTreeSet<_> = runs.iter().flat_map(|run| run.files.keys()).collect();
    let (mut different, mut unstable) = (Vec::new(), Vec::new());
    for path in &paths {
        let mut found = None;
        let mut host_differs = None;
        for run in runs {
            let detail = match (run.files.get(*path), base.files.get(*path)) {
                (Some(a), Some(b)) => differs(a, b)?,
                (None, None) => None,
                (Some(_), None) => Some("the host's loader did not write it".to_owned()),
                (None, Some(_)) => Some("it was not written".to_owned()),
            };
            match detail {
                Some(detail) if run.mode == Mode::Observe => host_differs = host_differs.or(Some(detail)),
                Some(detail) => found = found.or(Some(detail)),
                None => {}
            }
        }
        let file = path.display().to_string();
        match (host_differs, found) {
            (Some(detail), _) => unstable.push(Different { file, detail }),
            (None, Some(detail)) => different.push(Different { file, detail }),
            (None, None) => {}
        }
    }
    Ok((different, unstable, paths.len()))
}

/// What tells two versions of a file apart; `None` if they are the same.
fn differs(ours: &Saved, host: &Saved) -> Result<Option<String>> {
    if ours == host {
        return Ok(None);
    }
    let (Saved::Copy(ours), Saved::Copy(host)) = (ours, host) else {
        return Ok(Some(match (ours, host) {
            (Saved::Digest(_), Saved::Digest(_)) => "its bytes; --compare says which".to_owned(),
            (Saved::Gone, _) => "it was removed again".to_owned(),
            (_, Saved::Gone) => "it was left behind".to_owned(),
            _ => "its format version".to_owned(),
        }));
    };
    let content = |path: &Path| fs::read(path).map_err(Failure::io("read", path));
    Ok(files::compare(&content(ours)?, &content(host)?, &[]).map(|difference| difference.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swap::report::Total;
    use crate::swap::run::Usage;
    use std::collections::BTreeMap;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    fn run(mode: Mode, stdout: &str, digest: Option<u8>) -> Run {
        let mut files = BTreeMap::new();
        if let Some(digest) = digest {
            files.insert("a.olean".into(), Saved::Digest([digest; 16]));
        }
        Run {
            mode,
            usage: Usage::default(),
            status: ExitStatus::from_raw(0),
            stdout: stdout.into(),
            stderr: Vec::new(),
            reports: Vec::new(),
            total: Total::default(),
            files,
        }
    }

    fn judged(runs: &[(Mode, &str, Option<u8>)]) -> Equal {
        let runs: Vec<_> = runs
            .iter()
            .map(|&(mode, out, digest)| run(mode, out, digest))
            .collect();
        judge(&runs).unwrap()
    }

    #[test]
    fn the_same_is_equal_and_something_else_is_not() {
        use Mode::{Observe, Replace};
        let same = judged(&[(Observe, "x", Some(1)), (Replace, "x", Some(1))]);
        assert!(same.is_equal());
        assert_eq!(
            (same.stdout, same.files, same.files_compared),
            (Some(true), Some(true), 1)
        );
        let other = judged(&[(Observe, "x", Some(1)), (Replace, "y", Some(2))]);
        assert_eq!(
            (other.stdout, other.files, other.exit),
            (Some(false), Some(false), Some(true))
        );
        assert!(!other.is_equal());
        for files in [(Some(1), None), (None, Some(1))] {
            let missing = judged(&[(Observe, "", files.0), (Replace, "", files.1)]);
            assert_eq!((missing.files, missing.files_compared), (Some(false), 1));
        }
    }

    #[test]
    fn nothing_is_said_where_the_host_does_not_agree_with_itself() {
        use Mode::{Observe, Replace};
        let legs = [
            (Observe, "x", Some(1)),
            (Observe, "y", Some(2)),
            (Replace, "z", Some(3)),
        ];
        let unstable = judged(&legs);
        assert_eq!((unstable.stdout, unstable.files), (None, None));
        assert_eq!(unstable.files_unstable.len(), 1);
        assert_eq!(unstable.files_unstable[0].file, "a.olean");
        assert!(unstable.is_equal());
        let known = judged(&[(Observe, "x", None), (Observe, "y", None), (Replace, "y", None)]);
        assert_eq!(known.stdout, Some(true));
    }
}
