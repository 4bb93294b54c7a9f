//! What has to be reached, without an image and with one, and what threads have to bring.

use super::side::{IMAGE, INSIDE, OURS, STALE, TOGETHER, TRUST};
use super::works::{COLD_SET, IMPORT, LOAD, ONE, SAVE, SAVE_AGAIN, START};

/// A target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// At most so much of the first side.
    Ratio(f64),
    /// At most so much in all.
    Most(f64),
}

/// Seconds that building an image may take.
pub const BUILD: f64 = 3.0;

/// Mappings that an image and what comes with it may take; each region takes one without.
const OWN_MAPPINGS: f64 = 70.0;

/// The target of a figure of a side. Works in another state of the page cache have those of the work, so names are
/// compared up to their first further word.
#[must_use]
pub fn target(work: &str, figure: &str, side: &str, stock_mappings: f64, regions: f64) -> Option<Target> {
    let (work, rest) = match work.strip_prefix(LOAD) {
        Some(rest) => (LOAD, rest),
        None => match work.strip_prefix(IMPORT) {
            Some(rest) if rest.is_empty() || rest.starts_with(',') => (IMPORT, rest),
            _ => (work, ""),
        },
    };
    let warm = rest.is_empty() || rest.starts_with(", pages as ");
    let most = match (work, figure, side) {
        (START, "processor time", OURS) => 1.02,
        (IMPORT, "processor time", OURS) if warm => 1.00,
        (LOAD, "processor time", OURS) if warm => 0.97,
        (LOAD, "processor time", OURS) if rest == ", restored times" => 1.70,
        (IMPORT | LOAD, "wall time", OURS) if rest == ", cold" => 0.95,
        (IMPORT | LOAD | SAVE, "peak memory", OURS) if warm => 1.00,
        (SAVE | SAVE_AGAIN, "processor time", OURS) => 0.45,
        (IMPORT, "processor time", IMAGE) if warm => 0.75,
        (LOAD, "processor time", IMAGE) if warm => 0.65,
        (LOAD, "processor time", INSIDE) if warm => 0.48,
        (LOAD, "wall time", IMAGE) if warm => 0.75,
        (IMPORT, "peak memory", IMAGE) if warm => 1.15,
        (LOAD, "peak memory", IMAGE | INSIDE) if warm => 1.40,
        (SAVE, "processor time", IMAGE) => 0.40,
        (ONE, "processor time", IMAGE) => 1.02,
        (IMPORT, "processor time", STALE) => 1.05,
        (_, "page tables", IMAGE | INSIDE) => 0.05,
        (_, "anonymous memory", IMAGE | INSIDE) => 1.0,
        (_, "mappings", IMAGE | INSIDE) => {
            return Some(Target::Most(stock_mappings - regions + OWN_MAPPINGS));
        }
        (IMPORT, "wall time", IMAGE) if rest == ", cold" => 0.50,
        (LOAD, "wall time", INSIDE) if rest == ", cold" => 0.45,
        (COLD_SET, "wall time", TOGETHER) => 0.60,
        ("read, inside the loader", _, IMAGE) => 0.20,
        ("read, inside the loader", _, TRUST) => 0.04,
        _ => return None,
    };
    Some(Target::Ratio(most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::works;

    #[test]
    fn every_target_is_that_of_a_figure_that_is_shown() {
        let extra: Vec<String> = works::EXTRAS.map(str::to_owned).to_vec();
        let mut found = 0;
        for work in works::list(&extra) {
            for figure in work.figures {
                for side in work.sides {
                    found += usize::from(target(&work.name, figure, side, 14_848.0, 14_770.0).is_some());
                }
            }
        }
        // Of images: 9 of warm works (import 2, load 5, save, one module), 1 of stale entries, 9 of memory, 2 of cold
        // starts, and those of import and load again in three states of the page cache. Without: 8 of warm works
        // (start-up, import 2, load 2, save 3), 2 of cold starts, 1 of a set, 1 of restored times, 4 again in three
        // states.
        assert_eq!(found, 9 + 1 + 9 + 2 + 3 * 7 + 8 + 2 + 1 + 1 + 3 * 4);
    }

    #[test]
    fn targets_hold_in_every_state_of_the_page_cache_and_not_for_other_works() {
        let of = |work, figure, side| target(work, figure, side, 14_848.0, 14_770.0);
        for work in ["import", "import, pages as read"] {
            assert_eq!(of(work, "processor time", IMAGE), Some(Target::Ratio(0.75)));
        }
        assert_eq!(of("import, cold", "wall time", IMAGE), Some(Target::Ratio(0.5)));
        assert_eq!(of("import, cold", "processor time", IMAGE), None);
        assert_eq!(
            of("import of one module", "processor time", IMAGE),
            Some(Target::Ratio(1.02))
        );
        assert_eq!(of("import, 1 ms each call", "wall time", OURS), None);
        assert_eq!(
            of("import, memory at its end", "mappings", IMAGE),
            Some(Target::Most(148.0))
        );
    }
}
