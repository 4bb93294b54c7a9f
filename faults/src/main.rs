//! Searches for faults of the loader and of the tool: every system call made to fail, processes killed at every call
//! and at random, limits swept, forks under load, threads and processes that meet, checkers of memory and locks.
//!
//!     cargo run --release -p faults -- --short
//!
//! Prints what was tried, operation by operation; the exit code is 1 if something was found, and each finding has a
//! command that shows it again.

mod errors;
mod operations;
mod points;
mod run;
mod search;
mod subject;
mod trace;

use clap::{Parser, ValueEnum};
use search::{Failure, Search, Tally};
use std::process::{Command, ExitCode};
use std::time::Instant;

/// Searches for faults of the loader and of the tool
#[derive(Parser)]
struct Args {
    /// A sample, in a few minutes
    #[arg(long, conflicts_with = "long")]
    short: bool,
    /// Everything, in hours
    #[arg(long)]
    long: bool,
    /// Only operations with this in their names
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// What the sample and random moments are drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many processes run at the same time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Which searches; all if none is named
    searches: Vec<Kind>,
}

/// A search.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Kind {
    /// Each system call refused in turn
    Points,
}

/// What is needed beside the programs of this workspace.
const TOOLS: [(&str, &str); 2] = [("strace", "strace"), ("valgrind", "valgrind")];

/// Builds the library and the tool in the release profile, and says where they are.
fn built() -> (std::path::PathBuf, std::path::PathBuf) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(testkit::workspace_dir())
        .args([
            "build",
            "--release",
            "--locked",
            "--quiet",
            "-p",
            "lean-region",
            "-p",
            "olean",
        ])
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "the library and the tool do not build"
    );
    let release = testkit::target_dir().join("release");
    (release.join("liblean_region.so"), release.join("olean"))
}

fn table(tallies: &[Tally]) {
    println!(
        "\n{:<44} {:>8} {:>8} {:>8} {:>9} {:>7} {:>7}",
        "operation", "possible", "tried", "borne", "reported", "missed", "wrong"
    );
    for t in tallies {
        let [borne, reported, missed] = t.took;
        println!(
            "{:<44} {:>8} {:>8} {borne:>8} {reported:>9} {missed:>7} {:>7}",
            t.name,
            t.possible,
            t.tried,
            t.failures.len()
        );
    }
    let sum = |f: fn(&Tally) -> usize| tallies.iter().map(f).sum::<usize>();
    println!(
        "{:<44} {:>8} {:>8} {:>8} {:>9} {:>7} {:>7}",
        "all",
        sum(|t| t.possible),
        sum(|t| t.tried),
        sum(|t| t.took[0]),
        sum(|t| t.took[1]),
        sum(|t| t.took[2]),
        sum(|t| t.failures.len())
    );
}

fn points(search: &Search) -> Vec<Failure> {
    println!("\n== points: each system call refused in turn, once and from then on");
    let programs = operations::build(search);
    let mut tallies = Vec::new();
    for subject in operations::all(search, &programs) {
        if search.wants(&subject::Subject::name(&subject)) {
            tallies.push(points::search(search, &subject));
        }
    }
    table(&tallies);
    tallies.into_iter().flat_map(|tally| tally.failures).collect()
}

fn main() -> ExitCode {
    let args = Args::parse();
    let missing: Vec<&str> = TOOLS
        .iter()
        .filter(|(tool, _)| testkit::process::which(tool).is_none())
        .map(|(_, package)| *package)
        .collect();
    if !missing.is_empty() {
        eprintln!(
            "faults: missing: {} (Debian: apt-get install them)",
            missing.join(", ")
        );
        return ExitCode::FAILURE;
    }
    let (library, tool) = built();
    let search = Search {
        short: !args.long,
        seed: args.seed,
        workers: args.jobs.max(1),
        dir: testkit::shared_dir("faults"),
        only: args.only,
        library,
        tool,
    };
    let form = if search.short { "short" } else { "long" };
    println!("{form} form, seed {}, {} at a time", search.seed, search.workers);
    let start = Instant::now();
    let wanted = |kind| args.searches.is_empty() || args.searches.contains(&kind);
    let mut failures = Vec::new();
    if wanted(Kind::Points) {
        failures.extend(points(&search));
    }
    println!("\n{} s", start.elapsed().as_secs());
    if failures.is_empty() {
        println!("nothing found");
        return ExitCode::SUCCESS;
    }
    println!("\n{} findings:\n", failures.len());
    failures.iter().take(60).for_each(|failure| println!("{failure}"));
    if failures.len() > 60 {
        println!("and {} more", failures.len() - 60);
    }
    ExitCode::FAILURE
}
