//! What is wrong with modules. Every file counts once: what follows from something else is only counted there.

use super::finding::{Finding, Place, Severity};
use super::survey::{Facts, Seen, Survey, Verdict};
use crate::module::Part;
use crate::render::plural;
use olean_reader::format::base::BASE_ALIGN;
use olean_reader::{Bignums, CheckError, Violation, Width};
use std::collections::BTreeMap;
use std::path::Path;

/// Why a file is bad, as far as modules go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The bytes themselves.
    Damage,
    /// It points to where nothing is in a part that is good by itself.
    OtherBuild,
    /// Its pointers have another width than those of the other parts.
    Width,
    /// Another part is bad.
    BadPart,
    /// Another part is missing.
    MissingPart,
}

/// Everything about modules.
pub fn modules(survey: &Survey) -> Vec<Finding> {
    let causes: Vec<(&Seen, &CheckError, Cause)> = survey
        .files
        .iter()
        .filter_map(|seen| match &seen.verdict {
            Verdict::Good => None,
            Verdict::Bad { error, dependent } => Some((seen, error, cause(seen, error, *dependent))),
        })
        .collect();
    let of = |cause: Cause| causes.iter().filter(move |c| c.2 == cause);
    let mut found = Vec::new();
    let damaged: Vec<Place> = of(Cause::Damage)
        .map(|(seen, error, _)| damage(seen, error))
        .collect();
    if !damaged.is_empty() {
        let dependents = of(Cause::BadPart).count() as u64;
        let more = match dependents {
            0 => String::new(),
            1 => "; 1 healthy part depends on them".to_owned(),
            n => format!("; {n} healthy parts depend on them"),
        };
        found.push(Finding {
            kind: "damaged",
            severity: Severity::Bad,
            what: format!("{}{more}", plural(damaged.len() as u64, "file")),
            places: damaged,
            remedy: "delete them and build again, or copy them again",
        });
    }
    let mut mixed: Vec<Place> = of(Cause::OtherBuild)
        .map(|(seen, ..)| Place::with(seen.name(), "points to where the other parts hold nothing"))
        .collect();
    let apart = out_of_sequence(survey);
    mixed.extend(
        apart
            .iter()
            .map(|seen| Place::with(seen.name(), "was not saved behind the part before it")),
    );
    mixed.sort_by(|a, b| a.path.cmp(&b.path));
    if !mixed.is_empty() {
        found.push(Finding {
            kind: "mixed-builds",
            severity: Severity::Bad,
            what: format!(
                "{} of another build than the other parts of the module",
                plural(mixed.len() as u64, "part")
            ),
            places: mixed,
            remedy: "build these modules again; copy parts of a module only together",
        });
    }
    found.extend(missing(survey, of(Cause::MissingPart).count() as u64));
    let odd: Vec<Place> = of(Cause::Width)
        .map(|(seen, error, _)| Place::with(seen.name(), error.reason()))
        .collect();
    if !odd.is_empty() {
        found.push(Finding {
            kind: "mixed-width",
            severity: Severity::Bad,
            what: format!(
                "{} with pointers of another width than the other parts of the module",
                plural(odd.len() as u64, "part")
            ),
            places: odd,
            remedy: "build these modules again; a wasm build has a folder of its own",
        });
    }
    found.extend(toolchains(survey, &apart));
    found
}

fn damage(seen: &Seen, error: &CheckError) -> Place {
    let at = error
        .offset()
        .map_or(String::new(), |o| format!("offset 0x{o:x}: "));
    Place::with(seen.name(), format!("{at}{}", error.reason()))
}

fn cause(seen: &Seen, error: &CheckError, dependent: bool) -> Cause {
    let in_the_way = || match missing_before(seen) {
        true => Cause::MissingPart,
        false => Cause::BadPart,
    };
    match error.violation() {
        Violation::MixedWidth { .. } => Cause::Width,
        // A part that grew over the place of the next one.
        Violation::Overlap { .. } if seen.part.is_some() => Cause::OtherBuild,
        _ if dependent => in_the_way(),
        Violation::Pointer { address, .. } if leaves(seen, *address) && seen.part.is_some() => {
            match missing_before(seen) {
                true => Cause::MissingPart,
                false => Cause::OtherBuild,
            }
        }
        _ => Cause::Damage,
    }
}

/// Whether an address lies outside the file.
fn leaves(seen: &Seen, address: u64) -> bool {
    let Some(facts) = &seen.facts else { return false };
    // The base address of a 32-bit file is the lower half of the field.
    let low = u64::from(facts.base as u32);
    let inside = |base: u64| address.wrapping_sub(base) < facts.size;
    address != 0 && !inside(facts.base) && !(address <= u64::from(u32::MAX) && inside(low))
}

/// Whether a part before this one is not there.
fn missing_before(seen: &Seen) -> bool {
    let part = seen.part.as_ref();
    part.is_some_and(|part| (0..part.rank()).any(|rank| !part.path(rank).exists()))
}

/// Sequences of parts: files of a module that were saved one behind the other.
fn sequences(survey: &Survey) -> BTreeMap<(&Path, &str), Vec<&Seen>> {
    let mut sequences: BTreeMap<(&Path, &str), Vec<&Seen>> = BTreeMap::new();
    for seen in &survey.files {
        if let Some(part) = &seen.part {
            sequences
                .entry((part.stem(), part.first()))
                .or_default()
                .push(seen);
        }
    }
    for parts in sequences.values_mut() {
        parts.sort_by_key(|seen| seen.part.as_ref().map(Part::rank));
    }
    sequences
}

/// Good parts that do not lie at the next multiple of 64 KiB behind the part before them, where most do: one of the two
/// was replaced.
fn out_of_sequence(survey: &Survey) -> Vec<&Seen> {
    let (mut follow, mut apart) = (0, Vec::new());
    for parts in sequences(survey).values() {
        for pair in parts.windows(2) {
            let rank = |seen: &Seen| seen.part.as_ref().map_or(0, Part::rank);
            let proved = |seen: &&Seen| seen.is_good() && seen.facts.as_ref().is_some_and(|f| f.version == 2);
            if rank(pair[0]) + 1 != rank(pair[1]) || !pair.iter().all(proved) {
                continue;
            }
            if let (Some(a), Some(b)) = (&pair[0].facts, &pair[1].facts) {
                if (a.base + a.size).next_multiple_of(BASE_ALIGN) == b.base {
                    follow += 1;
                } else {
                    apart.push(pair[1]);
                }
            }
        }
    }
    // Files that were narrowed or relocated one by one follow no such rule.
    if apart.len() > follow { Vec::new() } else { apart }
}

/// Modules without some of their parts, by part.
fn missing(survey: &Survey, dependents: u64) -> Vec<Finding> {
    let mut lacking: BTreeMap<&str, Vec<Place>> = BTreeMap::new();
    for parts in sequences(survey).values() {
        let Some(part) = &parts[0].part else { continue };
        let has_parts = parts
            .iter()
            .any(|seen| seen.facts.as_ref().is_some_and(|f| f.has_parts));
        let last = parts
            .iter()
            .filter_map(|seen| Some(seen.part.as_ref()?.rank()))
            .max();
        // A module of one part is whole; compiled code always has both of its parts.
        let needed = match last {
            _ if has_parts || part.first() != ".olean" => part.count(),
            Some(last) => last + 1,
            None => 0,
        };
        for rank in (0..needed).filter(|&rank| !part.path(rank).exists()) {
            let module = Place::new(part.stem().display().to_string());
            lacking.entry(part.suffix_of(rank)).or_default().push(module);
        }
    }
    let one = lacking.len() == 1;
    let finding = |(suffix, places): (&str, Vec<Place>)| {
        let n = places.len() as u64;
        let (lack, them) = if n == 1 { ("lacks", "it") } else { ("lack", "them") };
        let more = match dependents {
            n if n > 0 && one => format!("; {} cannot be proved without", plural(n, "part")),
            _ => String::new(),
        };
        Finding {
            kind: "missing-part",
            severity: Severity::Bad,
            what: format!(
                "{} {lack} {suffix}, and Lean refuses to import {them}{more}",
                plural(n, "module")
            ),
            places,
            remedy: "build these modules again, or copy all parts of a module",
        }
    };
    lacking.into_iter().map(finding).collect()
}

/// Files of other toolchains, widths and layouts of bignums than most, each with the number of its kind.
fn toolchains(survey: &Survey, apart: &[&Seen]) -> Vec<Finding> {
    let good: Vec<(&Seen, &Facts)> = survey
        .good()
        .filter(|(seen, _)| !apart.iter().any(|a| std::ptr::eq(*a, *seen)))
        .collect();
    let toolchain = |f: &Facts| match f.githash.get(..12).unwrap_or(&f.githash) {
        "" => format!("Lean {}", f.lean_version),
        hash => format!("Lean {} ({hash})", f.lean_version),
    };
    let width = |f: &Facts| match f.width {
        Some(Width::W32) => "32-bit pointers".to_owned(),
        _ => "64-bit pointers".to_owned(),
    };
    let bignums = |f: &Facts| match f.bignums {
        Bignums::Gmp => "GMP bignums".to_owned(),
        Bignums::Native => "native bignums".to_owned(),
    };
    let mut found = others("other-toolchain", &good, "of", toolchain);
    found.extend(others("other-width", &good, "with", width));
    found.extend(others("other-bignums", &good, "with", bignums));
    found
}

fn others(
    kind: &'static str,
    good: &[(&Seen, &Facts)],
    with: &str,
    key: impl Fn(&Facts) -> String,
) -> Vec<Finding> {
    let mut by_key: BTreeMap<String, Vec<Place>> = BTreeMap::new();
    for (seen, facts) in good {
        by_key
            .entry(key(facts))
            .or_default()
            .push(Place::new(seen.name()));
    }
    let most = by_key.iter().max_by_key(|(_, places)| places.len());
    let Some((most, n)) = most.map(|(key, places)| (key.clone(), places.len() as u64)) else {
        return Vec::new();
    };
    let others = by_key.into_iter().filter(|(key, _)| *key != most);
    others
        .map(|(key, places)| Finding {
            kind,
            severity: Severity::Bad,
            what: format!(
                "{} {with} {key}; {} {with} {most}",
                plural(places.len() as u64, "file"),
                plural(n, "file")
            ),
            places,
            remedy: "build them again with the toolchain of the others, or keep them in a folder of their own",
        })
        .collect()
}
