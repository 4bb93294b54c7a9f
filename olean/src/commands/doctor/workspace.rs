//! `olean doctor DIR…`: one look at everything that is built below some folders.
//!
//! * `survey`: what is there, and what of it can be proved;
//! * `judge`: what is wrong with modules: missing parts, parts of different builds, damage, other toolchains;
//! * `snapshots`: what snapshots were saved over, and whether it is still there;
//! * `images`: whether images hold what their files are now;
//! * `room`: addresses and limits of this machine;
//! * `finding`: what each of these says of something that is wrong.

mod finding;
mod images;
mod judge;
mod room;
mod snapshots;
mod survey;

use crate::error::Result;
use crate::input::{PassedOver, Why};
use crate::outcome::Outcome;
use crate::output::Output;
use crate::render::{BAD, DIM, GOOD, TITLE, WARN, bytes, clean, plural};
use finding::{Finding, Place, Severity};
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;
use survey::Survey;

/// The JSON document.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    folders: Vec<String>,
    files: u64,
    modules: u64,
    snapshots: u64,
    bytes: u64,
    unreadable: u64,
    findings: &'a [Finding],
}

/// Looks at the folders.
pub fn run(folders: &[PathBuf], jobs: Option<usize>, out: &mut Output) -> Result<Outcome> {
    let survey = Survey::of(folders, jobs)?;
    let mut found = judge::modules(&survey);
    found.extend(snapshots::look(&survey.lists));
    found.extend(images::look(&survey.images));
    found.extend(room::addresses(&survey));
    found.extend(passed_over(&survey.passed_over));
    let snapshots = survey.lists.len() as u64;
    if out.is_json() {
        out.json(&Document {
            schema: 1,
            folders: folders.iter().map(|f| f.display().to_string()).collect(),
            files: survey.files.len() as u64,
            modules: survey.modules(),
            snapshots,
            bytes: survey.bytes(),
            unreadable: survey.unreadable,
            findings: &found,
        })?;
    } else {
        for finding in &found {
            print(finding, out)?;
        }
        let looked_at = format!(
            "{} of {}, {}",
            plural(survey.files.len() as u64, "file"),
            plural(survey.modules(), "module"),
            bytes(survey.bytes())
        );
        let looked_at = match snapshots {
            0 => looked_at,
            n => format!("{looked_at}; {}", plural(n, "snapshot")),
        };
        match found.len() {
            0 => writeln!(out, "{GOOD}nothing found{GOOD:#} in {looked_at}")?,
            n => writeln!(
                out,
                "{TITLE}{}{TITLE:#} in {looked_at}",
                plural(n as u64, "finding")
            )?,
        }
    }
    Ok(match survey.unreadable {
        0 => Outcome::good_if(found.is_empty()),
        _ => Outcome::Unreadable,
    })
}

fn passed_over(passed_over: &[PassedOver]) -> Vec<Finding> {
    let of = |why: Why| {
        let such = passed_over.iter().filter(move |p| p.why == why);
        let places: Vec<Place> = such.map(|p| Place::new(p.path.display().to_string())).collect();
        let n = places.len();
        let (one, several) = why.words();
        let (what, remedy) = match why {
            Why::Dangling => (
                "to nothing, with the names of region files",
                "remove them, or build again what they lead to",
            ),
            Why::Temporary => (
                "that a writer left behind or is writing",
                "remove them when nothing is being built",
            ),
            Why::Special => (
                "with the names of region files",
                "remove them; nothing can load them",
            ),
        };
        let words = if n == 1 { one } else { several };
        (n > 0).then(|| Finding {
            kind: match why {
                Why::Dangling => "dangling-link",
                Why::Temporary => "temporary-file",
                Why::Special => "special-file",
            },
            severity: Severity::Warn,
            what: format!("{n} {words} {what}"),
            places,
            remedy,
        })
    };
    [Why::Dangling, Why::Temporary, Why::Special]
        .into_iter()
        .filter_map(of)
        .collect()
}

/// Places without details that are shown; JSON has all.
const SHOWN: usize = 3;

fn print(finding: &Finding, out: &mut Output) -> Result<()> {
    let (style, mark) = match finding.severity {
        Severity::Bad => (BAD, "✗"),
        Severity::Warn => (WARN, "!"),
    };
    writeln!(
        out,
        "{style}{mark}{style:#} {TITLE}{}{TITLE:#}: {}",
        finding.kind.replace('-', " "),
        clean(&finding.what)
    )?;
    let (plain, detailed): (Vec<&Place>, Vec<&Place>) =
        finding.places.iter().partition(|place| place.detail.is_none());
    for place in detailed {
        let detail = place.detail.as_deref().unwrap_or_default();
        writeln!(out, "    {}: {}", clean(&place.path), clean(detail))?;
    }
    if !plain.is_empty() {
        let names: Vec<String> = plain.iter().take(SHOWN).map(|place| clean(&place.path)).collect();
        let more = match plain.len().saturating_sub(SHOWN) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        writeln!(out, "    {}{DIM}{more}{DIM:#}", names.join(", "))?;
    }
    writeln!(out, "    {DIM}→ {}{DIM:#}", finding.remedy)?;
    Ok(())
}
