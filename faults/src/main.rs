//! Searches for faults of the loader and of the tool: every system call made to fail, processes killed at every call
//! and at random, limits swept, forks under load, threads and processes that meet, checkers of memory and locks.
//!
//!     cargo run --release -p faults -- --short
//!
//! Prints what was tried, operation by operation; the exit code is 1 if something was found, and each finding has a
//! command that shows it again.

mod checkers;
mod command;
mod errors;
mod inputs;
mod kills;
mod limits;
mod load;
mod operations;
mod points;
mod run;
mod search;
mod shorts;
mod subject;
mod trace;

use clap::{Parser, ValueEnum};
use search::{Found, Search, Tally};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;
use subject::Subject;

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
    /// So many points of each operation at most
    #[arg(long, value_name = "COUNT")]
    points: Option<usize>,
    /// What the sample and random moments are drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Another `liblean_region.so` than the one that is built
    #[arg(long, value_name = "FILE", requires = "tool")]
    library: Option<PathBuf>,
    /// Another `olean` than the one that is built
    #[arg(long, value_name = "FILE", requires = "library")]
    tool: Option<PathBuf>,
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
    /// Transfers that are shorter than asked for
    Shorts,
    /// Processes killed
    Kills,
    /// Limits swept
    Limits,
    /// Threads, processes, forks, damaged files
    Load,
    /// memcheck, helgrind
    Valgrind,
    /// AddressSanitizer, with a nightly toolchain; in the short form only where it is named
    Sanitizer,
}

/// A search: prints what it tried, answers what it found; nothing where what it needs is not there.
type Searching = fn(&Search) -> Option<Found>;

fn found(tallies: Vec<Tally>) -> Option<Found> {
    table(&tallies);
    Some(Found::of(tallies))
}

fn shorts(search: &Search) -> Option<Found> {
    println!("\n== shorts: reads and writes that transfer less than asked for, or are interrupted");
    let built = operations::build(search);
    let operations = operations::all(search, &built);
    let wanted = operations
        .iter()
        .filter(|o| o.is_plain() && search.wants(&o.name()));
    found(
        wanted
            .map(|operation| shorts::search(search, operation, &built))
            .collect(),
    )
}

fn kills(search: &Search) -> Option<Found> {
    println!("\n== kills: at each system call, and at random");
    let built = operations::build(search);
    let inputs = inputs::make(search, &built.shim);
    let mut tallies = Vec::new();
    let times = |short, long| if search.short { short } else { long };
    for operation in operations::all(search, &built) {
        if operation.targets().is_empty() || !search.wants(&operation.name()) {
            continue;
        }
        tallies.push(kills::at_each_call(search, &operation, &built));
        if operation.is_plain() {
            tallies.push(kills::at_random(search, &operation, &built, times(8, 130)));
        }
    }
    for command in inputs::lean(search, &inputs, false)
        .iter()
        .chain(&inputs::tool(search, &inputs))
    {
        if !command.targets.is_empty() && search.wants(command.name) {
            tallies.push(kills::command_at_random(search, command, times(2, 40)));
        }
    }
    found(tallies)
}

fn limits(search: &Search) -> Option<Found> {
    println!("\n== limits: of memory (as, data), size of files, descriptors, processes, mappings");
    let built = operations::build(search);
    let wanted = |operation: &operations::Operation| {
        let plain = operation.is_plain()
            && !["missing", "damaged", "free", "image"]
                .iter()
                .any(|not| operation.name.contains(not));
        plain && search.wants(&operation.name())
    };
    let operations = operations::all(search, &built);
    let tallies: Vec<Tally> = operations
        .iter()
        .filter(|operation| wanted(operation))
        .flat_map(|operation| limits::sweep(search, operation))
        .collect();
    let idle = limits::idle(&tallies);
    let mut found = found(tallies)?;
    if search.only.is_none() {
        found.failures.extend(idle);
    }
    Some(found)
}

fn load(search: &Search) -> Option<Found> {
    println!("\n== load: threads, processes, forks, files damaged meanwhile");
    found(load::search(search))
}

fn valgrind(search: &Search) -> Option<Found> {
    println!("\n== valgrind: programs run under memcheck and helgrind");
    found(checkers::valgrind(search))
}

fn sanitizer(search: &Search) -> Option<Found> {
    println!("\n== sanitizer: programs run with AddressSanitizer");
    let Some(tallies) = checkers::sanitizer(search) else {
        println!("left out: there is no nightly toolchain");
        return None;
    };
    found(tallies)
}

/// What is needed beside the programs of this workspace.
const TOOLS: [&str; 2] = ["strace", "valgrind"];

/// Builds the library and the tool in the release profile, and says where they are.
fn built() -> (PathBuf, PathBuf) {
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

fn points(search: &Search) -> Option<Found> {
    println!("\n== points: each system call refused in turn, once and from then on");
    let programs = operations::build(search);
    let inputs = inputs::make(search, &programs.shim);
    let (c, lean, tool) = (
        operations::all(search, &programs),
        inputs::lean(search, &inputs, false),
        inputs::tool(search, &inputs),
    );
    let all: Vec<&dyn Subject> = c
        .iter()
        .map(|s| s as &dyn Subject)
        .chain(lean.iter().chain(&tool).map(|s| s as _))
        .collect();
    let mut tallies = Vec::new();
    for subject in all {
        if search.wants(&subject.name()) {
            let tally = points::search(search, subject);
            // The long form takes hours: what is known is said.
            println!(
                "{}: {} tried, {} wrong",
                tally.name,
                tally.tried,
                tally.failures.len()
            );
            tallies.push(tally);
        }
    }
    let mut found = found(tallies)?;
    if !search.short || search.only.as_ref().is_some_and(|only| only.contains("stock")) {
        println!("\nthe same Lean without the library, what is wrong only counted:");
        let stock: Vec<Tally> = inputs::lean(search, &inputs, true)
            .iter()
            .filter(|subject| search.wants(&subject.name()))
            .map(|subject| points::search(search, subject))
            .collect();
        table(&stock);
        stock
            .iter()
            .flat_map(|tally| tally.failures.iter().take(2))
            .for_each(|failure| println!("{failure}"));
        found.tried += stock.iter().map(|tally| tally.tried).sum::<usize>();
    }
    Some(found)
}

fn main() -> ExitCode {
    let args = Args::parse();
    let missing: Vec<&str> = TOOLS
        .iter()
        .copied()
        .filter(|tool| testkit::process::which(tool).is_none())
        .collect();
    if !missing.is_empty() {
        eprintln!(
            "faults: missing: {} (Debian: apt-get install them)",
            missing.join(", ")
        );
        return ExitCode::FAILURE;
    }
    let (library, tool) = args.library.zip(args.tool).unwrap_or_else(built);
    let search = Search {
        short: !args.long,
        points: args.points,
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
    let by_name = |kind| search.short && kind == Kind::Sanitizer;
    let wanted = |kind| args.searches.contains(&kind) || (args.searches.is_empty() && !by_name(kind));
    let mut all = Found::default();
    let searches: [(Kind, Searching); 7] = [
        (Kind::Points, points),
        (Kind::Shorts, shorts),
        (Kind::Kills, kills),
        (Kind::Limits, limits),
        (Kind::Load, load),
        (Kind::Valgrind, valgrind),
        (Kind::Sanitizer, sanitizer),
    ];
    for (kind, search_for) in searches {
        if wanted(kind) {
            let from = Instant::now();
            if let Some(mut found) = search_for(&search) {
                if search.only.is_none() {
                    found.check(&format!("{kind:?}").to_lowercase());
                }
                all.add(found);
            }
            println!("{} s", from.elapsed().as_secs());
        }
    }
    println!("\n{} s", start.elapsed().as_secs());
    // A search may have none of the operations that are asked for, but not all of them.
    if let Some(only) = &search.only {
        all.check(&format!("--only {only}"));
    }
    let failures = all.failures;
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
