//! `olean ab`: one command under the host's own loader and under ours, alternately, and the verdict.

use crate::error::{Failure, Result};
use crate::outcome::Outcome;
use crate::output::Output;
use crate::render::{BAD, DIM, GOOD, TITLE, clean, count, cut, plural};
use crate::scratch::Scratch;
use crate::swap::judge::{Agreement, Equal, judge};
use crate::swap::processes::Watch;
use crate::swap::report::{Compare, Host, Image, Total};
use crate::swap::run::{self, Mode, Run};
use crate::swap::{library, table};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Run a command under Lean's own loader and under this one, and compare
///
/// The command runs alternately in mode observe, where Lean's own loader serves and is only measured, and in mode
/// replace. Both legs must print the same, end with the same code and write the same files; the table shows what they
/// used. The command's input is empty, and it has to do the same every time: where the runs under Lean's own loader
/// already differ among themselves, no verdict is given on that.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Runs of each leg that count
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Runs of each leg before those
    #[arg(long, value_name = "N", default_value_t = 1)]
    warmup: u32,
    /// Mode of the second leg
    #[arg(long, value_enum, default_value_t = Mode::Replace)]
    mode: Mode,
    /// Add one run in mode compare, where both loaders do every call
    #[arg(long)]
    compare: bool,
    /// The library to swap in [default: the one beside olean, in deps/ there, or installed; LEAN_REGION_LIBRARY names
    /// another]
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
    /// An image for the second leg to read from (see olean image)
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// The command, such as lean and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

const EXAMPLES: &str = "Exit codes: 0 equal, 1 different, 2 no verdict: something could not be run, the command failed, or \
     it made no call of the loader.\n\n\
     Examples:\n  \
     olean ab -- lean Foo.lean\n  \
     olean ab --runs 20 --compare -- lean -o Foo.olean Foo.lean\n  \
     olean ab --json -- lake env lean Foo.lean > ab.json";

/// The JSON document.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    runs: u32,
    rows: &'a [table::Row],
    equal: &'a Equal,
    compare: Option<&'a Compare>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<&'a Image>,
    exit: Option<i32>,
    /// Whether the command ended well under Lean's own loader; the verdict is none otherwise.
    succeeded: bool,
    /// Calls of the loader under Lean's own; without any, nothing was compared.
    loader_calls: u64,
    /// Leans that the library is not in, because they were started with another environment.
    passed_over: &'a [PathBuf],
    host: &'a Host,
    library: String,
}

/// Runs `olean ab`.
pub fn run_ab(args: &Args, out: &mut Output) -> Result<Outcome> {
    let library = library::find(args.library.as_deref())?;
    let dir = Scratch::new("olean-ab-")?;
    let image = run::image(args.image.as_deref())?;
    let mut watch = Watch::default();
    let runs = all_runs(args, &library, image.as_deref(), dir.path(), &mut watch)?;
    let passed_over = watch.found();
    let equal = judge(&runs)?;
    let compare = runs.iter().filter_map(|run| run.total.compare.as_ref());
    let compare = compare.fold(None, |sum: Option<Compare>, run| {
        let mut sum = sum.unwrap_or_default();
        sum.add(run);
        Some(sum)
    });
    let rows = table::rows(&runs, args.mode);
    let host = &runs[0].reports[0].host;
    let image = runs
        .iter()
        .flat_map(|run| &run.reports)
        .find_map(|r| r.image.as_ref());
    let succeeded = runs
        .iter()
        .all(|run| run.mode != Mode::Observe || run.status.success());
    let calls = |total: &Total| total.save.calls.saturating_add(total.read.calls);
    let loader_calls = calls(&runs[0].total);
    if out.is_json() {
        out.json(&Document {
            schema: 1,
            runs: args.runs,
            rows: &rows,
            equal: &equal,
            compare: compare.as_ref(),
            image,
            exit: runs[0].status.code(),
            succeeded,
            loader_calls,
            passed_over: &passed_over,
            host,
            library: library.display().to_string(),
        })?;
    } else {
        print_head(args, &library, host, out)?;
        for line in table::lines(&rows, args.mode, out.width()) {
            writeln!(out, "{line}")?;
        }
        writeln!(out)?;
        print_equal(&equal, &runs, out)?;
        if let Some(compare) = &compare {
            print_compare(compare, out)?;
        }
        if let Some(image) = image {
            print_image(image, out)?;
        }
    }
    let good = equal.is_equal() && compare.as_ref().is_none_or(Compare::is_equal);
    let outcome = match (good, succeeded && loader_calls > 0) {
        (false, _) => Outcome::Bad,
        (true, true) => Outcome::Good,
        (true, false) => Outcome::Unreadable,
    };
    if !out.is_json() {
        for lean in &passed_over {
            writeln!(
                out,
                "{BAD}passed over{BAD:#} {}",
                clean(&run::without_preload(lean))
            )?;
        }
        print_verdict(good, succeeded, loader_calls, &runs[0], out)?;
    }
    Ok(outcome)
}

fn print_verdict(
    good: bool,
    succeeded: bool,
    loader_calls: u64,
    first: &Run,
    out: &mut Output,
) -> Result<()> {
    let (style, words) = if !good {
        (BAD, "different".to_owned())
    } else if !succeeded {
        let how = match first.status.code() {
            Some(code) => format!("with exit code {code}"),
            None => format!("by {}", first.status),
        };
        (
            BAD,
            format!("none: the command failed {how}, under both loaders alike"),
        )
    } else if loader_calls == 0 {
        (BAD, "none: the command made no call of the loader".to_owned())
    } else {
        (GOOD, "equal".to_owned())
    };
    writeln!(out, "{TITLE}verdict{TITLE:#}    {style}{words}{style:#}")?;
    if !succeeded {
        // What it said last is most often why.
        let stderr = String::from_utf8_lossy(&first.stderr);
        let text = if stderr.trim().is_empty() {
            String::from_utf8_lossy(&first.stdout)
        } else {
            stderr
        };
        let last: Vec<&str> = text.lines().rev().take(5).collect();
        for line in last.iter().rev() {
            writeln!(
                out,
                "  {DIM}{}{DIM:#}",
                cut(&clean(line), out.width().saturating_sub(2))
            )?;
        }
    }
    Ok(())
}

/// All runs that count.
fn all_runs(
    args: &Args,
    library: &Path,
    image: Option<&Path>,
    dir: &Path,
    watch: &mut Watch,
) -> Result<Vec<Run>> {
    let mut legs = Vec::new();
    for round in 0..args.warmup + args.runs {
        let mut pair = [Mode::Observe, args.mode];
        // Neither leg always follows the other.
        if round % 2 == 1 {
            pair.reverse();
        }
        legs.extend(pair.map(|mode| (mode, round >= args.warmup)));
    }
    if args.compare {
        legs.push((Mode::Compare, true));
    }
    let bar = ProgressBar::new(legs.len() as u64);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {eta} left");
    bar.set_style(style.expect("a valid template"));
    let mut runs = Vec::new();
    for (i, (mode, counts)) in legs.into_iter().enumerate() {
        bar.set_message(mode.name());
        let place = dir.join(i.to_string());
        fs::create_dir(&place).map_err(Failure::io("create", &place))?;
        // The first run of each leg is watched, which takes time: with a warm-up it does not count.
        let watch = (i < 2).then_some(&mut *watch);
        let done = run::run(library, image, mode, &args.command, &place, watch);
        let done = done.inspect_err(|_| bar.finish_and_clear())?;
        bar.inc(1);
        if counts {
            runs.push(done);
        } else {
            fs::remove_dir_all(&place).map_err(Failure::io("remove", &place))?;
        }
    }
    bar.finish_and_clear();
    // The first one is the host's, whichever ran first.
    runs.sort_by_key(|run| run.mode != Mode::Observe);
    Ok(runs)
}

fn print_image(image: &Image, out: &mut Output) -> Result<()> {
    match &image.reason {
        Some(reason) => writeln!(out, "image      {BAD}not used{BAD:#}: {}", clean(reason))?,
        None => writeln!(
            out,
            "image      {} served, {} of files that changed, {} of files that are not in it",
            plural(image.served, "read"),
            count(image.stale),
            count(image.absent)
        )?,
    }
    Ok(())
}

fn print_head(args: &Args, library: &Path, host: &Host, out: &mut Output) -> Result<()> {
    let Host {
        library: lean,
        abi,
        lean_version,
        githash,
        allocator,
    } = host;
    let hash = githash.get(..12).unwrap_or(githash);
    let lean = if lean.is_empty() {
        "the program itself"
    } else {
        lean
    };
    writeln!(
        out,
        "{TITLE}Lean {}{TITLE:#} {} {DIM}({abi} regions, {allocator}) in {}{DIM:#}",
        clean(lean_version),
        clean(hash),
        clean(lean)
    )?;
    writeln!(
        out,
        "{DIM}library {}{DIM:#}",
        clean(&library.display().to_string())
    )?;
    let mode = args
        .mode
        .to_possible_value()
        .map_or(String::new(), |v| v.get_name().to_owned());
    writeln!(
        out,
        "{DIM}{} in mode observe and in mode {mode}, alternately, after {} of each to warm up{DIM:#}\n",
        plural(args.runs.into(), "run"),
        args.warmup
    )?;
    Ok(())
}

fn print_equal(equal: &Equal, runs: &[Run], out: &mut Output) -> Result<()> {
    let mut line = |what: &str, agreement: Agreement, detail: String| -> Result<()> {
        let (style, word) = match agreement {
            Some(true) => (GOOD, "equal"),
            Some(false) => (BAD, "different"),
            None => (
                DIM,
                "not comparable: runs under Lean's own loader differ among themselves",
            ),
        };
        writeln!(out, "{what:<10} {style}{word}{style:#}{detail}")?;
        Ok(())
    };
    let size = |bytes: usize| match bytes {
        0 => " (empty)".to_owned(),
        n => format!(" ({})", plural(n as u64, "byte")),
    };
    line("stdout", equal.stdout, size(runs[0].stdout.len()))?;
    line("stderr", equal.stderr, size(runs[0].stderr.len()))?;
    let ended = match runs[0].status.code() {
        Some(code) => format!(" ({code})"),
        None => format!(" ({})", runs[0].status),
    };
    line("exit code", equal.exit, ended)?;
    let written = match equal.files_compared {
        0 => " (none was written)".to_owned(),
        n => format!(" ({})", plural(n as u64, "file")),
    };
    line("files", equal.files, written)?;
    for different in &equal.files_different {
        let (file, detail) = (clean(&different.file), clean(&different.detail));
        writeln!(out, "  {BAD}{file}{BAD:#}: {detail}")?;
    }
    for unstable in &equal.files_unstable {
        // The values are those of two runs of the host.
        let place = unstable.detail.split(": ours ").next().unwrap_or_default();
        writeln!(out, "  {DIM}{}: {}{DIM:#}", clean(&unstable.file), clean(place))?;
    }
    let compared = runs.iter().any(|run| run.mode == Mode::Compare);
    if !equal.files_unstable.is_empty() && !compared {
        writeln!(
            out,
            "{DIM}--compare has both loaders write such files of the same data{DIM:#}"
        )?;
    }
    let legs = runs.iter().filter(|run| run.mode == Mode::Observe).count();
    if !equal.is_equal() && legs == 1 {
        writeln!(
            out,
            "{DIM}with --runs 2 or more it shows whether the command does the same twice{DIM:#}"
        )?;
    }
    Ok(())
}

fn print_compare(compare: &Compare, out: &mut Output) -> Result<()> {
    let (saves, reads, different) = (compare.saves(), compare.reads(), compare.different());
    let (style, word) = if different == 0 {
        (GOOD, "equal")
    } else {
        (BAD, "different")
    };
    write!(out, "{:<10} {style}{word}{style:#}", "calls")?;
    writeln!(
        out,
        " ({} compared: {} and {}; {} different, {} not compared)",
        count(saves.saturating_add(reads)),
        plural(saves, "save"),
        plural(reads, "read"),
        count(different),
        count(compare.not_compared)
    )?;
    if let Some(first) = &compare.first_difference {
        let (call, file, detail) = (&first.call, clean(&first.file), clean(&first.detail));
        writeln!(out, "  {BAD}{call} of {file}{BAD:#}: {detail}")?;
        if let Some(kept) = &first.host_file {
            writeln!(out, "  {DIM}the host's file is kept as {}{DIM:#}", clean(kept))?;
        }
    }
    Ok(())
}
