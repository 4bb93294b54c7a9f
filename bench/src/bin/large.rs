//! One file of some GiB, saved by this loader and read by either: what it takes in time and memory, by one side in one
//! process. Lean's own loader needs more memory than most machines have to save one, so it only reads.
//!
//! `cargo run --release -p bench --bin large -- save FILE`, then `-- read FILE ours`, `-- read FILE incumbent`, each
//! also with `--taken` (the base address is taken, so the file is copied and relocated).

use bench::files::base_of;
use bench::measure::timed;
use bench::module::Module;
use bench::readable::{Occupied, Readable};
use bench::runtime::Runtime;
use clap::{Parser, Subcommand};
use lean_region::object::Obj;
use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;
use std::time::Instant;

/// Saves or reads one large file, and prints time and memory.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    work: Work,
}

#[derive(Subcommand)]
enum Work {
    /// Saves an array of pairs of a string and a number.
    Save {
        file: PathBuf,
        /// The size of the file, about.
        #[arg(long, default_value_t = 5)]
        gib: usize,
    },
    /// Reads it, looks at some of its objects, and frees it.
    Read {
        file: PathBuf,
        /// Who reads.
        #[arg(value_parser = ["ours", "incumbent"])]
        side: String,
        /// Take the base address before.
        #[arg(long)]
        taken: bool,
    },
}

/// The text of a pair: about 1,000 bytes, another one for each.
fn text(i: usize) -> String {
    format!("{i:0width$}", width = 900 + i % 200)
}

fn main() {
    let args = Args::parse();
    let runtime = Runtime::real();
    let start = Instant::now();
    match args.work {
        Work::Save { file, gib } => save(&runtime, &file, gib),
        Work::Read { file, side, taken } => read(&runtime, &file, &side, taken),
    }
    println!("{:.1} s in all; {}", start.elapsed().as_secs_f64(), memory());
}

fn save(runtime: &Runtime, file: &PathBuf, gib: usize) {
    // A pair takes 24 bytes, its place in the array 8, its string 1,040 on average.
    let count = (gib << 30) / 1072;
    let pairs: Vec<Obj> = (0..count)
        // SAFETY: the runtime is initialised; the string is owned.
        .map(|i| unsafe {
            runtime
                .host
                .mk_ctor(0, &[runtime.string(&text(i)), Obj::boxed(i)], &[])
        })
        .collect();
    // SAFETY: the pairs are owned.
    let root = unsafe { runtime.host.mk_array(&pairs) };
    drop(pairs);
    let module = Module::of_root(runtime, "Large", root, 2 * count + 1);
    println!("{} objects made; {}", module.objects, memory());
    let name = runtime.string(file.to_str().expect("UTF-8"));
    let wall = Instant::now();
    let time = timed(|| {
        // SAFETY: live objects.
        unsafe { runtime.save(runtime.ours, &[name], module.key, &module.roots, runtime.no_deps) }
    });
    let bytes = fs::metadata(file).expect("the file just saved").len();
    println!(
        "saved {bytes} bytes: {:.2} s of processor, {:.2} s",
        time.as_secs_f64(),
        wall.elapsed().as_secs_f64()
    );
}

fn read(runtime: &Runtime, file: &PathBuf, side: &str, taken: bool) {
    let mut header = vec![0; 88];
    let mut opened = File::open(file).expect("the file");
    opened.read_exact(&mut header).expect("a header");
    let bytes = opened.metadata().expect("its size").len() as usize;
    let name = runtime.string(file.to_str().expect("UTF-8"));
    let files = Readable {
        names: vec![name],
        paths: Vec::new(),
        bases: vec![base_of(&header)],
        sizes: vec![bytes],
    };
    let _occupied = taken.then(|| Occupied::bases(&files));
    let loader = match side {
        "ours" => runtime.ours,
        _ => runtime.incumbent,
    };
    let mut answer = (Obj::UNIT, Obj::UNIT);
    let wall = Instant::now();
    let time = timed(|| {
        // SAFETY: live objects.
        answer = unsafe { runtime.read(loader, name, runtime.no_deps) };
    });
    let wall = wall.elapsed();
    let (root, region) = answer;
    // SAFETY: a live region.
    let how = if unsafe { runtime.is_mapped(region) } {
        "mapped"
    } else {
        "relocated"
    };
    println!(
        "{side}, {how}, {bytes} bytes: {:.2} s of processor, {:.2} s; {}",
        time.as_secs_f64(),
        wall.as_secs_f64(),
        memory()
    );
    // SAFETY: the array that was saved, each element a pair of string and number; nothing of it is used afterwards.
    unsafe {
        let count = root.word(8);
        for i in (0..count).step_by(count / 1000 + 1).chain([count - 1]) {
            let pair = root.element(i);
            assert_eq!(pair.field(1).0, Obj::boxed(i).0, "number {i}");
            // With the zero at its end.
            let found = pair.field(0).string_bytes();
            assert_eq!(found.strip_suffix(&[0]), Some(text(i).as_bytes()), "string {i}");
        }
        let freed = timed(|| runtime.free(loader, region));
        println!("freed: {:.2} s of processor", freed.as_secs_f64());
    }
}

/// What the system counted of this process's memory.
fn memory() -> String {
    let status = fs::read_to_string("/proc/self/status").expect("what every process has");
    let of = |field: &str| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kib: usize = line
            .and_then(|line| line.split_whitespace().next()?.parse().ok())
            .unwrap_or(0);
        kib >> 10
    };
    format!(
        "peak {} MB, now {} MB of its own and {} MB of files",
        of("VmHWM"),
        of("RssAnon"),
        of("RssFile")
    )
}
