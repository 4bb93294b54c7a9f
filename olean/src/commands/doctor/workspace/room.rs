//! Whether this machine has room for everything: base addresses that are free, mappings, address space.

use super::finding::{Finding, Place, Severity};
use super::survey::Survey;
use crate::addresses::{self, taken};
use crate::render::{bytes, count, plural};
use olean_reader::Width;
use olean_reader::format::base::BASE_ALIGN;
use std::fs;
use std::path::Path;

/// Findings about addresses and limits.
pub fn addresses(survey: &Survey) -> Vec<Finding> {
    let maps = addresses::fresh();
    let mut found = Vec::new();
    // Without /proc nothing is known of addresses; limits are looked at all the same.
    if let Ok(maps) = &maps {
        let places: Vec<Place> = survey
            .good()
            .filter(|(_, facts)| facts.width == Some(Width::W64))
            .filter_map(|(seen, facts)| {
                let by = taken(maps, facts.base, facts.size)?;
                Some(Place::with(
                    seen.name(),
                    format!("0x{:x}, taken by {by}", facts.base),
                ))
            })
            .collect();
        if !places.is_empty() {
            found.push(Finding {
                kind: "base-taken",
                severity: Severity::Warn,
                what: format!(
                    "{} will not be free in a process here, so these files are relocated each time",
                    plural_addresses(places.len() as u64)
                ),
                places,
                remedy: "nothing has to be done; where the time matters, rename the module or load it by itself",
            });
        }
    }
    found.extend(overlaps(survey));
    found.extend(limits(survey, maps.map_or(0, |maps| maps.len() as u64)));
    found
}

fn plural_addresses(n: u64) -> String {
    match n {
        1 => "1 base address".to_owned(),
        n => format!("{} base addresses", count(n)),
    }
}

/// Files of different modules that want the same addresses.
fn overlaps(survey: &Survey) -> Option<Finding> {
    let mut regions: Vec<(u64, u64, &Path)> = survey
        .good()
        .filter(|(_, facts)| facts.width == Some(Width::W64))
        .map(|(seen, facts)| (facts.base, facts.base + facts.size, seen.path.as_path()))
        .collect();
    regions.sort_unstable();
    let places: Vec<Place> = regions
        .windows(2)
        // The same module built twice wants the same addresses, and nobody loads both.
        .filter(|pair| pair[0].1 > pair[1].0 && pair[0].2.file_name() != pair[1].2.file_name())
        .map(|pair| {
            let (a, b) = (pair[0].2.display().to_string(), pair[1].2.display());
            Place::with(a, format!("wants the addresses of {b}"))
        })
        .collect();
    (!places.is_empty()).then(|| Finding {
        kind: "base-overlap",
        severity: Severity::Warn,
        what: format!(
            "{} of files want the same addresses: where both are imported, one is relocated each time",
            plural(places.len() as u64, "pair")
        ),
        places,
        remedy: "nothing has to be done; where the time matters, rename one of the modules",
    })
}

/// What importing everything takes, against the limits of this machine and this shell.
fn limits(survey: &Survey, own: u64) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut add = |kind, what: String, remedy| {
        found.push(Finding {
            kind,
            severity: Severity::Warn,
            what,
            places: Vec::new(),
            remedy,
        });
    };
    let (mut regions, mut space) = (0, 0);
    for (_, facts) in survey.good() {
        regions += 1;
        space += facts.size.next_multiple_of(BASE_ALIGN);
    }
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let needed = own + regions;
    if let Some(limit) = number("/proc/sys/vm/max_map_count").filter(|&limit| is_close(needed, limit)) {
        add(
            "max-map-count",
            format!(
                "importing everything takes {} mappings, and vm.max_map_count is {}",
                count(needed),
                count(limit)
            ),
            "raise it with sysctl vm.max_map_count",
        );
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    for (line, kind, what, remedy) in [
        (
            "Max address space",
            "address-space",
            "the address space of a process (RLIMIT_AS)",
            "raise it with ulimit -v",
        ),
        (
            "Max data size",
            "data-size",
            "what a process may map privately (RLIMIT_DATA)",
            "raise it with ulimit -d",
        ),
    ] {
        if let Some(limit) = soft_limit(&limits, line).filter(|&limit| is_close(space, limit)) {
            add(
                kind,
                format!(
                    "importing everything maps {}, and {what} is limited to {}",
                    bytes(space),
                    bytes(limit)
                ),
                remedy,
            );
        }
    }
    found
}

/// Whether something needs nine tenths of what there is, or more: Lean needs some for itself.
fn is_close(needed: u64, limit: u64) -> bool {
    u128::from(needed) * 10 > u128::from(limit) * 9
}

/// The soft limit in a line of `/proc/self/limits`; `None` where there is none (proc(5)).
fn soft_limit(limits: &str, name: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max data size             unlimited            unlimited            bytes     \n\
                    Max address space         4294967296           unlimited            bytes     \n";
        assert_eq!(soft_limit(text, "Max address space"), Some(1 << 32));
        assert_eq!(soft_limit(text, "Max data size"), None);
        assert!(is_close(91, 100) && !is_close(90, 100));
    }
}
