//! What the processes of one run report, summed up. A number in a report is what a file says: a sum that would be too
//! large is the largest number there is.

use super::schema::{Compare, Read, Report, Save};
use std::collections::BTreeSet;
use std::path::PathBuf;

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
            add(&mut total.save.calls, save.calls);
            add(&mut total.save.bytes, save.bytes);
            add(&mut total.save.ns, save.ns);
            add(&mut total.read.calls, read.calls);
            add(&mut total.read.mapped, read.mapped);
            add(&mut total.read.bytes, read.bytes);
            add(&mut total.read.ns, read.ns);
            add(&mut total.read.errors, read.errors);
            add(&mut total.read.mapped_ns, read.mapped_ns);
            add(&mut total.frees, free.calls);
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
        add(&mut self.saves_equal, other.saves_equal);
        add(&mut self.saves_different, other.saves_different);
        add(&mut self.reads_equal, other.reads_equal);
        add(&mut self.reads_different, other.reads_different);
        add(&mut self.not_compared, other.not_compared);
        if self.first_difference.is_none() {
            self.first_difference.clone_from(&other.first_difference);
        }
    }

    /// Whether nothing differed.
    pub fn is_equal(&self) -> bool {
        self.different() == 0
    }

    /// Saves compared.
    pub fn saves(&self) -> u64 {
        self.saves_equal.saturating_add(self.saves_different)
    }

    /// Reads compared.
    pub fn reads(&self) -> u64 {
        self.reads_equal.saturating_add(self.reads_different)
    }

    /// Calls that differed.
    pub fn different(&self) -> u64 {
        self.saves_different.saturating_add(self.reads_different)
    }
}

fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_that_is_too_large_is_the_largest_number() {
        let mut found = Compare {
            reads_equal: u64::MAX - 1,
            ..Compare::default()
        };
        let one = Compare {
            reads_equal: 1,
            ..Compare::default()
        };
        for _ in 0..2 {
            found.add(&one);
            assert_eq!(found.reads_equal, u64::MAX);
        }
        found.reads_different = 2;
        found.saves_different = u64::MAX;
        assert_eq!((found.reads(), found.saves()), (u64::MAX, u64::MAX));
        assert_eq!((found.different(), found.is_equal()), (u64::MAX, false));
    }
}
