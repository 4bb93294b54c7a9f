//! `olean image info`.

use super::file_args::FileArgs;
use crate::error::Result;
use crate::image::open::Image;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::render::{bytes, clean, count};
use olean_reader::format::header::field_text;
use olean_reader::format::image::Section;
use serde::Serialize;
use std::io::Write;

#[derive(Serialize)]
struct Report {
    schema: u32,
    file: String,
    lean_version: String,
    githash: String,
    flags: u8,
    base: u64,
    end: u64,
    bytes: u64,
    bytes_on_disk: u64,
    regions: u32,
    changeable: u64,
    paths: u32,
    source_bytes: u64,
    table_bytes: u64,
    built: i64,
}

/// Runs it.
pub fn run(args: &FileArgs, out: &mut Output) -> Result<Outcome> {
    let image = Image::open(&args.file)?;
    let tables = image.tables()?;
    let entries: Vec<_> = (0..tables.len()).filter_map(|i| tables.entry(i)).collect();
    let report = Report {
        schema: 1,
        file: args.file.display().to_string(),
        lean_version: field_text(&image.header.lean_version),
        githash: field_text(&image.header.githash),
        flags: image.header.flags,
        base: image.header.base,
        end: image.header.base + image.layout.size(),
        bytes: image.layout.size(),
        bytes_on_disk: image.on_disk(),
        regions: tables.len(),
        changeable: entries
            .iter()
            .filter(|e| e.section == Section::Changeable)
            .count() as u64,
        paths: image.header.counts.paths,
        source_bytes: entries.iter().map(|e| e.identity.size).sum(),
        table_bytes: image.layout.tables_end(),
        built: image.header.built,
    };
    if out.is_json() {
        out.json(&report)?;
        return Ok(Outcome::Good);
    }
    writeln!(out, "{}", clean(&report.file))?;
    let mut line = |label: &str, value: String| writeln!(out, "  {label:<10} {value}");
    line(
        "lean",
        format!(
            "{} {} (flags {})",
            report.lean_version, report.githash, report.flags
        ),
    )?;
    line("addresses", format!("{:#x} to {:#x}", report.base, report.end))?;
    line(
        "size",
        format!(
            "{} ({} on disk), {} of it tables",
            bytes(report.bytes),
            bytes(report.bytes_on_disk),
            bytes(report.table_bytes)
        ),
    )?;
    line(
        "regions",
        format!(
            "{} of {} paths, {} of files; {} can change while in use",
            count(report.regions.into()),
            count(report.paths.into()),
            bytes(report.source_bytes),
            count(report.changeable)
        ),
    )?;
    Ok(Outcome::Good)
}
