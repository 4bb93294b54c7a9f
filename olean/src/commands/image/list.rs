//! `olean image list`.

use super::file_args::FileArgs;
use crate::error::Result;
use crate::image::open::{self, Image};
use crate::image::refresh::{State, compare, unreadable};
use crate::outcome::Outcome;
use crate::output::Output;
use crate::render::{bytes, clean};
use olean_reader::format::image::Section;
use serde::Serialize;
use std::io::Write;

#[derive(Serialize)]
struct Report {
    schema: u32,
    regions: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    paths: Vec<String>,
    bytes: u64,
    address: u64,
    base: u64,
    changeable: bool,
    closures: bool,
    /// Numbers of the regions that it may point into.
    deps: Vec<u32>,
    /// Why it cannot be read, if it is there.
    #[serde(skip)]
    errno: Option<i32>,
    /// `same`, `gone`, or what differs.
    source: &'static str,
}

/// Runs it.
pub fn run(args: &FileArgs, out: &mut Output) -> Result<Outcome> {
    let image = Image::open(&args.file)?;
    let tables = image.tables()?;
    let paths = open::paths(&tables);
    let mut report = Report {
        schema: 1,
        regions: Vec::new(),
    };
    for (i, state) in compare(&tables, &paths).into_iter().enumerate() {
        let Some(entry) = tables.entry(i as u32) else {
            continue;
        };
        report.regions.push(Row {
            paths: paths[i].iter().map(|p| p.display().to_string()).collect(),
            bytes: entry.identity.size,
            address: image.header.base + entry.offset,
            base: entry.base,
            changeable: entry.section == Section::Changeable,
            closures: entry.closures,
            deps: tables
                .chain(i as u32, &entry)
                .into_iter()
                .flatten()
                .flatten()
                .collect(),
            errno: match state {
                State::Unreadable(errno) => Some(errno),
                _ => None,
            },
            source: match state {
                State::Same => "same",
                State::Differs(what) => what,
                State::Gone | State::Unreadable(_) => "gone",
                State::Copy(_) | State::Changed => "changed",
            },
        });
    }
    if out.is_json() {
        out.json(&report)?;
        return Ok(Outcome::Good);
    }
    for row in &report.regions {
        let names: Vec<String> = row.paths.iter().map(|p| clean(p)).collect();
        let state = match row.source {
            "same" => String::new(),
            "gone" => match row.errno {
                Some(errno) => format!("  (the file {})", unreadable(errno)),
                None => "  (the file is gone)".to_owned(),
            },
            what => format!("  (the file has another {what})"),
        };
        let kind = if row.changeable { "changeable" } else { "constant" };
        writeln!(
            out,
            "{:#x}  {:>10}  {kind:<10}  {}{state}",
            row.address,
            bytes(row.bytes),
            names.join(" = ")
        )?;
    }
    Ok(Outcome::Good)
}
