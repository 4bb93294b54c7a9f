//! The program: builds the inputs, measures the rows that are asked for, prints the table.

use bench::files::Scratch;
use bench::inputs::{self, Corpus};
use bench::measure::{self, Effort};
use bench::report::{HEAD, Row};
use bench::runtime::Runtime;
use bench::save::{self, INCUMBENT, OURS};
use bench::{memory, read, scale, scaling};
use clap::Parser;
use serde_json::json;
use std::path::PathBuf;

/// The stack of the measuring thread: the incumbent recurses, once for each level of the objects.
const STACK: usize = 4 << 30;

/// Measures lean-region against the loader of a real Lean.
#[derive(Parser)]
struct Args {
    /// Write the rows as JSON into this file.
    #[arg(long, value_name = "OUT")]
    json: Option<PathBuf>,
    /// Only rows whose name contains this text, or charts whose file's name does.
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// Runs of each row; otherwise as many as fit into some seconds.
    #[arg(long)]
    runs: Option<usize>,
    /// Fewer runs, for a first look.
    #[arg(long)]
    quick: bool,
    /// Instead of the table, measure cost against size and write the charts into this directory. The one with an image
    /// wants `olean`, which `cargo build --release --workspace` builds.
    #[arg(long, value_name = "DIR")]
    scaling: Option<PathBuf>,
    /// Instead of the table, measure whole processes of a real Lean over the tree of modules in this directory, which
    /// is made if it is not there: import, header snapshot saved and loaded, without and with an image. Wants `olean`,
    /// which `cargo build --release --workspace` builds.
    #[arg(long, value_name = "DIR")]
    scale: Option<PathBuf>,
    /// With --scale, also: `cold` (drops the page cache of the whole machine), `states` (everything with an image in
    /// three states of the page cache; drops it too), `delay` (1 ms on each system call about a file, by strace),
    /// `calls` (counts system calls, by strace), `set` (snapshots read by one thread and by several, without Lean;
    /// drops the page cache too), `restored` (new change times for all files of the tree).
    #[arg(long, value_name = "WORK", value_delimiter = ',', requires = "scale", value_parser = scale::works::EXTRAS)]
    also: Vec<String>,
    /// The process of --scale that reads the files below this directory.
    #[arg(long, value_name = "DIR", hide = true)]
    reads: Option<PathBuf>,
    /// The process of --scale that reads the files of --list and does nothing else.
    #[arg(long, value_name = "HOW", value_enum, requires = "list", hide = true)]
    bare: Option<scale::bare::Bare>,
    /// A file with a path in each line.
    #[arg(long, value_name = "FILE", hide = true)]
    list: Option<PathBuf>,
    /// Let only one side save, for a profiler; files are not compared then.
    #[arg(long, value_name = "SIDE", value_parser = ["ours", "incumbent"])]
    alone: Option<String>,
    /// Also the modules of this directory of region files, of either pointer width.
    #[arg(long, value_name = "DIR")]
    corpus: Option<PathBuf>,
}

fn main() {
    let args = Args::parse();
    if let Some(dir) = &args.scale {
        let options = scale::Options {
            runs: args.runs.unwrap_or(if args.quick { 3 } else { 11 }),
            filter: args.filter,
            extra: args.also,
            json: args.json,
        };
        return scale::run(dir, &options);
    }
    if let (Some(bare), Some(list)) = (args.bare, &args.list) {
        return scale::bare::child(list, bare);
    }
    // Before anything is allocated: what one thread's heap once holds is not given back.
    bench::readable::fresh_memory();
    let thread = std::thread::Builder::new().stack_size(STACK);
    let done = thread.spawn(move || run(&args)).expect("a thread").join();
    if done.is_err() {
        std::process::exit(1);
    }
}

fn run(args: &Args) {
    let cpus = measure::all_cpus();
    measure::pin(&cpus[cpus.len() - 1..]);
    let runtime = Runtime::real();
    let scratch = Scratch::new();
    let mut effort = Effort::new(args.runs, args.quick);
    if let Some(dir) = &args.reads {
        return scale::reads::child(&runtime, dir, &effort);
    }
    effort.alone = args
        .alone
        .as_ref()
        .map(|side| if side == "ours" { OURS } else { INCUMBENT });
    if let Some(dir) = &args.scaling {
        // Before the minutes of measuring.
        std::fs::create_dir_all(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        let most = if args.quick { 100_000 } else { 10_000_000 };
        scaling::draw(&runtime, &scratch, dir, &effort, most, &|chart| {
            chart.contains(&args.filter)
        });
        return;
    }
    let wanted = |work: &str| work.contains(&args.filter);
    let mut rows: Vec<Row> = Vec::new();
    println!("{HEAD}");
    let mut add = |row: Row| {
        println!("{}", row.line());
        rows.push(row);
    };
    let mut corpora: Vec<Corpus> = vec![inputs::generated(&runtime)];
    corpora.extend(args.corpus.as_ref().map(|dir| inputs::directory(&runtime, dir)));
    // First, while nothing has been kept from an earlier save.
    for corpus in &corpora {
        eprintln!("bench: {}", inputs::describe(corpus));
        let largest = corpus
            .modules
            .iter()
            .max_by_key(|m| m.objects)
            .expect("not empty");
        let work = format!("peak memory of a save, {}", largest.name);
        if wanted(&work) {
            add(memory::row(&runtime, &scratch, largest, &work));
        }
    }
    for corpus in &corpora {
        save::corpus_rows(&runtime, &scratch, corpus, &effort, &wanted, &mut add);
    }
    let shapes = inputs::synthetic(&runtime);
    save::shape_rows(&runtime, &scratch, &shapes, &effort, &wanted, &mut add);
    type Special = fn(&Runtime, &Scratch, &str, &Effort) -> Row;
    let special: [(&str, Special); 2] = [
        ("save, 100 chained parts", save::chain_row),
        ("save, with 10,000 dependency regions", save::deps_row),
    ];
    for (work, row) in special {
        if wanted(work) {
            add(row(&runtime, &scratch, work, &effort));
        }
    }
    read::rows(&runtime, &scratch, &corpora, &effort, &wanted, &mut add);
    if let Some(path) = &args.json {
        let json = json!({ "rows": rows.iter().map(Row::json).collect::<Vec<_>>() });
        let text = serde_json::to_string_pretty(&json).expect("numbers and texts");
        std::fs::write(path, text + "\n").unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
}
