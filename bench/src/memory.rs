//! The row of the memory that a save adds to its process: each save in a child of its own, by the high-water
//! mark of its resident memory.

use crate::files::Scratch;
use crate::measure::in_child;
use crate::module::Module;
use crate::report::{Goal, Row, Unit};
use crate::runtime::Runtime;
use crate::save::{INCUMBENT, OURS, Saves};
use crate::shapes;
use std::fs;

/// Children of each side. Each lays its memory out by another part of a huge page: whether large blocks get huge
/// pages, which are resident as a whole, depends on that.
const RUNS: usize = 8;
/// Bytes of a huge page.
const HUGE: usize = 2 << 20;

/// The number of kilobytes in a line of `/proc/self/status`, in bytes.
fn status(field: &str) -> f64 {
    let text = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = text
        .lines()
        .find_map(|l| l.strip_prefix(field))
        .expect("a field of Linux");
    let number = line.trim_start_matches(':').split_whitespace().next();
    number.and_then(|n| n.parse::<f64>().ok()).expect("a number") * 1024.0
}

/// By how many bytes `work` raises the high-water mark above what is resident before it.
fn added_by(run: usize, warm_up: impl FnOnce(), work: impl FnOnce()) -> f64 {
    let [added] = in_child(|| {
        // SAFETY: address space that is reserved and never used moves what is mapped later.
        unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                HUGE / RUNS * (run + 1) - (64 << 10),
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        // Brings the loader's code into the process.
        warm_up();
        // What earlier calls left in the C library's hands goes back to the system.
        // SAFETY: a function of malloc without conditions.
        unsafe { libc::malloc_trim(0) };
        // Makes the mark what is resident now (proc(5)).
        fs::write("/proc/self/clear_refs", "5").expect("Linux lets a process reset its mark");
        let before = status("VmRSS");
        work();
        [(status("VmHWM") - before).max(0.0)]
    });
    added
}

/// The row of one module's save.
#[must_use]
pub fn row(runtime: &Runtime, scratch: &Scratch, module: &Module, work: &str) -> Row {
    let dir = scratch.dir("memory");
    let modules = [module];
    // SAFETY: modules are never released; no regions.
    let saves = unsafe { Saves::new(runtime, &dir, &modules, runtime.no_deps) };
    let tiny = Module::of_root(runtime, "Tiny", shapes::list(runtime, 1), 1);
    let tinies = [&tiny];
    // SAFETY: as above.
    let tiny_saves = unsafe { Saves::new(runtime, &scratch.dir("memory-tiny"), &tinies, runtime.no_deps) };
    let run = |saves: &Saves<'_>, side| {
        saves.run(side);
    };
    let added = |i, side| {
        saves.clear();
        added_by(i, || run(&tiny_saves, side), || run(&saves, side))
    };
    let (ours, incumbent) = (0..RUNS).map(|i| (added(i, OURS), added(i, INCUMBENT))).unzip();
    saves.clear();
    Row {
        work: work.to_owned(),
        count: (module.objects, "objects"),
        unit: Unit::Bytes,
        ours,
        incumbent,
        floor: None,
        first: None,
        target: Goal::Ratio(0.50),
    }
}
