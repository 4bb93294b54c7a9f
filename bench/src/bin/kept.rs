//! What reads that relocate take where their regions are kept, as a program that imports again and again does, and
//! the memory is what the system gives at that moment: one side in one process, so that nothing that the other one
//! gave back is used again.
//!
//! `cargo run --release -p bench --bin kept -- ours` and `-- incumbent`, in turn; right after another process that
//! used as much memory, or (`--wait 8`) when a virtual machine has given it back to its host.

use bench::files::Scratch;
use bench::measure::timed;
use bench::readable::{Occupied, Readable};
use bench::runtime::Runtime;
use clap::Parser;
use std::time::Duration;

/// Reads files whose base addresses are taken, keeps them, and prints the processor time in ms.
#[derive(Parser)]
struct Args {
    /// Who reads.
    #[arg(value_parser = ["ours", "incumbent"])]
    side: String,
    /// How many files.
    #[arg(long, default_value_t = 218)]
    files: usize,
    /// How many objects each has.
    #[arg(long, default_value_t = 1000)]
    objects: usize,
    /// How often each is read.
    #[arg(long, default_value_t = 200)]
    times: usize,
    /// Seconds to wait before that.
    #[arg(long, default_value_t = 0)]
    wait: u64,
}

fn main() {
    let args = Args::parse();
    let runtime = Runtime::real();
    let loader = match args.side.as_str() {
        "ours" => runtime.ours,
        _ => runtime.incumbent,
    };
    let scratch = Scratch::new();
    let files = Readable::small(&runtime, &scratch.dir("kept"), "Kept", args.files, args.objects);
    let _occupied = Occupied::bases(&files);
    std::thread::sleep(Duration::from_secs(args.wait));
    let time = timed(|| {
        for _ in 0..args.times {
            for &name in &files.names {
                // SAFETY: live objects; the regions stay to the end.
                let (_, region) = unsafe { runtime.read(loader, name, runtime.no_deps) };
                // SAFETY: a live region.
                assert!(!unsafe { runtime.is_mapped(region) });
            }
        }
    });
    let megabytes = (files.sizes.iter().sum::<usize>() * args.times) >> 20;
    println!("{} {:.0} ms, {megabytes} MB", args.side, time.as_secs_f64() * 1e3);
}
