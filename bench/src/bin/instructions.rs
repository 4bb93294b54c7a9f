//! Instructions that fixed work takes, counted by callgrind on the embedded runtime, against the counts in
//! `bench/instructions.json`: a guard that does not depend on what else the machine does.
//!
//! `cargo run --release -p bench --bin instructions` fails when a count has grown by more than 1 % and says so
//! when one has fallen by as much; `-- --refresh` writes the counts of this toolchain as the new reference.

use bench::files::Scratch;
use bench::module::Module;
use bench::readable::{Occupied, Readable, fresh_memory};
use bench::runtime::Runtime;
use bench::shapes;
use clap::Parser;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::process::{Command, ExitCode};

/// By how much a count may differ from its reference.
const TOLERANCE: f64 = 0.01;
/// The symbol at which callgrind starts and stops counting.
const MEASURED: &str = "lean_region_bench_measured";

/// A piece of work: everything before it is set up, it calls `measured` for what counts.
type Case = fn(&Runtime, &Scratch, usize);

const CASES: [(&str, Case); 5] = [
    ("save, 50,000 objects", save_large),
    ("save, 20 modules of 300 objects", save_small),
    ("save, 20 chained parts", save_chain),
    ("read that maps, with free, 100 files", read_mapped),
    ("read that relocates, 50,000 objects", read_relocated),
];

/// Counts instructions and compares them with the reference.
#[derive(Parser)]
struct Args {
    /// Take the counts as the new reference.
    #[arg(long)]
    refresh: bool,
    /// Do the work of one case instead of counting, for callgrind and other profilers.
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
    /// How often to do it.
    #[arg(long, default_value_t = 1, requires = "case")]
    repeat: usize,
}

/// What callgrind counts.
#[unsafe(no_mangle)]
#[inline(never)]
extern "Rust" fn lean_region_bench_measured(work: &mut dyn FnMut()) {
    work();
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(name) = &args.case {
        let case = CASES.iter().find(|(case, _)| case == name);
        let (_, case) = case.unwrap_or_else(|| panic!("no case is called {name:?}"));
        case(&Runtime::embedded(), &Scratch::new(), args.repeat);
        return ExitCode::SUCCESS;
    }
    let counts: Map<String, Value> = CASES
        .iter()
        .map(|(name, _)| ((*name).to_owned(), count(name).into()))
        .collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.json");
    if args.refresh {
        let text = json!({ "toolchain": toolchain(), "instructions": counts });
        let text = serde_json::to_string_pretty(&text).expect("numbers and texts");
        std::fs::write(&path, text + "\n").unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        return ExitCode::SUCCESS;
    }
    let text = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let reference: Value =
        serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    if compare(&reference, &counts) {
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "bench: the reference was taken with {}; this is {}. If the change is wanted or due to the toolchain, run\n\
         cargo run --release -p bench --bin instructions -- --refresh",
        reference["toolchain"],
        toolchain()
    );
    ExitCode::FAILURE
}

/// Prints each count beside its reference; whether all are within the tolerance.
fn compare(reference: &Value, counts: &Map<String, Value>) -> bool {
    let mut good = true;
    for (name, count) in counts {
        let count = count.as_f64().expect("a number");
        let Some(before) = reference["instructions"][name].as_f64() else {
            println!("{name}: {count} instructions, without a reference");
            good = false;
            continue;
        };
        let change = count / before - 1.0;
        let verdict = if change > TOLERANCE {
            good = false;
            "MORE THAN ALLOWED"
        } else if change < -TOLERANCE {
            "better; refresh the reference"
        } else {
            "as before"
        };
        println!(
            "{name}: {count} instructions, {:+.1} %: {verdict}",
            change * 100.0
        );
    }
    good
}

/// Runs this program under callgrind for one case.
fn count(name: &str) -> u64 {
    let exe = std::env::current_exe().expect("the path of this program");
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            "--collect-atstart=no",
        ])
        .arg(format!("--toggle-collect={MEASURED}"))
        .arg(exe)
        .args(["--case", name])
        .output()
        .unwrap_or_else(|e| panic!("valgrind is needed to count instructions (Debian: valgrind): {e}"));
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split("Collected :").nth(1));
    let count = collected.and_then(|n| n.trim().parse().ok()).unwrap_or(0);
    assert!(
        output.status.success() && count > 0,
        "callgrind on {name:?}: {}\n{text}",
        output.status
    );
    count
}

fn toolchain() -> String {
    let output = Command::new("rustc").arg("--version").output().expect("rustc");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A measured save of `module`, again and again into the same file names.
fn save(runtime: &Runtime, scratch: &Scratch, modules: &[Module], repeat: usize) {
    let dir = scratch.dir("save");
    let name = |i: usize| runtime.string(dir.join(format!("{i}.olean")).to_str().expect("ASCII"));
    for _ in 0..repeat {
        for module in modules {
            let files: Vec<_> = (0..module.roots.len()).map(name).collect();
            // SAFETY: the modules live to the end of the process.
            lean_region_bench_measured(&mut || unsafe {
                runtime.save(runtime.ours, &files, module.key, &module.roots, runtime.no_deps);
            });
        }
    }
}

fn mixed(runtime: &Runtime, objects: usize, seed: u64) -> Module {
    let (root, made) = shapes::mixed(runtime, objects, seed);
    Module::of_root(runtime, &format!("Fixed.M{seed}"), root, made)
}

fn save_large(runtime: &Runtime, scratch: &Scratch, repeat: usize) {
    save(runtime, scratch, &[mixed(runtime, 50_000, 1)], repeat);
}

fn save_small(runtime: &Runtime, scratch: &Scratch, repeat: usize) {
    let modules: Vec<Module> = (0..20).map(|seed| mixed(runtime, 300, seed)).collect();
    save(runtime, scratch, &modules, repeat);
}

fn save_chain(runtime: &Runtime, scratch: &Scratch, repeat: usize) {
    let mut chain = mixed(runtime, 1000, 0);
    chain
        .roots
        .extend((1..20).map(|seed| mixed(runtime, 1000, seed % 10).roots[0]));
    save(runtime, scratch, &[chain], repeat);
}

fn read(runtime: &Runtime, files: &Readable, mapped: bool, repeat: usize) {
    for _ in 0..repeat {
        for &name in &files.names {
            // SAFETY: nothing of the region is used after it is freed.
            lean_region_bench_measured(&mut || unsafe {
                let (_, region) = runtime.read(runtime.ours, name, runtime.no_deps);
                assert_eq!(runtime.is_mapped(region), mapped);
                runtime.free(runtime.ours, region);
            });
        }
    }
}

fn read_mapped(runtime: &Runtime, scratch: &Scratch, repeat: usize) {
    let files = Readable::small(runtime, &scratch.dir("read"), "Fixed", 100, 300);
    read(runtime, &files, true, repeat);
}

fn read_relocated(runtime: &Runtime, scratch: &Scratch, repeat: usize) {
    let files = Readable::small(runtime, &scratch.dir("read"), "Fixed", 1, 50_000);
    let _occupied = Occupied::bases(&files);
    fresh_memory();
    read(runtime, &files, false, repeat);
}
