//! What a read takes inside the loader: all region files of a tree read by one process that does nothing else, by
//! Lean's own loader and by ours in turn. A process of its own, because whether there is an image is found out once.

use super::images;
use super::side::Side;
use crate::measure::{Effort, interleave, timed};
use crate::runtime::{Loader, Runtime};
use lean_region::capi::control::lean_region_report;
use lean_region::object::Obj;
use serde_json::{Value, json};
use std::cell::Cell;
use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The parts of a module, as files end, in the order they were saved; each may point into the ones before it.
const PARTS: [&[&str]; 2] = [
    &[".olean", ".olean.server", ".olean.private"],
    &[".ir.sig", ".ir"],
];

/// The files of each module that are there.
fn modules(dir: &Path) -> Vec<Vec<PathBuf>> {
    let mut modules = Vec::new();
    for path in images::files(dir) {
        let text = path.to_str().expect("UTF-8");
        for parts in PARTS {
            // A module is met at its first part; without one it is none.
            if let Some(stem) = text.strip_suffix(parts[0]) {
                let all = parts.iter().map(|part| PathBuf::from(format!("{stem}{part}")));
                modules.push(all.filter(|p| p.is_file()).collect());
            }
        }
    }
    modules
}

/// The region files that the modules below `dir` have.
#[must_use]
pub fn files(dir: &Path) -> Vec<PathBuf> {
    modules(dir).into_iter().flatten().collect()
}

/// How many region files the modules below `dir` have.
#[must_use]
pub fn regions(dir: &Path) -> usize {
    modules(dir).iter().map(Vec::len).sum()
}

/// Nanoseconds of each read of the files below `dir`, by the first loader and by `side`'s, in `runs` runs.
#[must_use]
pub fn measure(dir: &Path, side: &Side, runs: usize) -> [Vec<f64>; 2] {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    testkit::lean::Options::stock().apply(&mut command);
    command
        .arg("--reads")
        .arg(dir)
        .args(["--runs", &runs.to_string()])
        // The library is in this program already.
        .envs(side.env.iter().filter(|(name, _)| name != "LD_PRELOAD").cloned())
        .stderr(Stdio::inherit());
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", output.status);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let runs: Value = text.parse().unwrap_or_else(|e| panic!("{e}: {text}"));
    ["stock", "own"].map(|name| {
        let numbers = runs[name].as_array().expect("numbers");
        numbers.iter().map(|n| n.as_f64().expect("a number")).collect()
    })
}

/// Panics unless what the report of our loader says of the image, if it names one, is that all `reads` came from it:
/// one that cannot be used costs nothing but time, which would be taken for its own.
fn assert_served(report: &Value, reads: usize) {
    if let Some(image) = report.get("image") {
        assert_eq!(
            image["served"], reads,
            "the image has not served all reads: {image}"
        );
    }
}

/// What our loader did so far in this process.
fn report() -> Value {
    // SAFETY: the runtime is initialised; nothing is written without room, and not more than there is room for.
    let text = unsafe {
        let mut text = vec![0u8; lean_region_report(std::ptr::null_mut(), 0) + 1];
        lean_region_report(text.as_mut_ptr().cast(), text.len());
        text
    };
    let text = CStr::from_bytes_until_nul(&text).expect("terminated");
    let text = text.to_str().expect("UTF-8");
    text.parse().unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// The measuring process: prints the runs.
pub fn child(runtime: &Runtime, dir: &Path, effort: &Effort) {
    let modules: Vec<Vec<Obj>> = modules(dir)
        .iter()
        .map(|parts| {
            parts
                .iter()
                .map(|p| runtime.string(p.to_str().expect("UTF-8")))
                .collect()
        })
        .collect();
    let reads: usize = modules.iter().map(Vec::len).sum();
    assert!(reads > 0, "{}: no region files", dir.display());
    let most = modules.iter().map(Vec::len).max().unwrap_or(0);
    // Now and then a base address is taken, but copies are another work.
    let copied = Cell::new(0);
    // First parts of all modules, then second ones, so that making arrays of dependencies stays outside.
    let read_all = |loader: Loader| -> Duration {
        let mut regions: Vec<Vec<Obj>> = modules.iter().map(|m| Vec::with_capacity(m.len())).collect();
        let mut time = Duration::ZERO;
        for rank in 0..most {
            let with_deps = |(parts, earlier): (&Vec<Obj>, &Vec<Obj>)| {
                let &part = parts.get(rank)?;
                earlier.iter().for_each(|&r| {
                    // SAFETY: a live region; the array takes over the count.
                    unsafe { runtime.host.inc(r) }
                });
                // SAFETY: elements with counts of their own.
                Some((part, unsafe { runtime.host.mk_array(earlier) }))
            };
            let calls: Vec<_> = modules.iter().zip(&regions).map(with_deps).collect();
            let mut read = Vec::with_capacity(calls.len());
            time += timed(|| {
                for &(part, deps) in calls.iter().flatten() {
                    // SAFETY: live objects.
                    read.push(unsafe { runtime.read(loader, part, deps).1 });
                }
            });
            let mut read = read.into_iter();
            for (module, call) in regions.iter_mut().zip(calls) {
                if let Some((_, deps)) = call {
                    module.extend(read.next());
                    // SAFETY: given up; its regions have a count in `regions`.
                    unsafe { runtime.host.dec(deps) };
                }
            }
        }
        for region in regions.into_iter().flatten() {
            // SAFETY: a live region; nothing of it is used any more.
            unsafe {
                copied.set(copied.get() + usize::from(!runtime.is_mapped(region)));
                runtime.free(loader, region);
            }
        }
        time
    };
    let times = interleave(
        effort,
        &mut [&mut || read_all(runtime.incumbent), &mut || {
            read_all(runtime.ours)
        }],
        || {},
    );
    // With those of the first round, which is not kept.
    let by_each = (times[0].len() + 1) * reads;
    assert_served(&report(), by_each);
    assert!(
        copied.get() * 100 <= by_each * 2,
        "{} of {} regions were not mapped at their base addresses",
        copied.get(),
        by_each * 2
    );
    let each = |side: usize| times[side].iter().map(|ns| ns / reads as f64).collect::<Vec<_>>();
    println!("{}", json!({"stock": each(0), "own": each(1)}));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_without_an_image_need_none() {
        assert_served(&json!({"reads": 3}), 3);
        assert_served(&json!({"image": {"served": 3, "reason": null}}), 3);
    }

    #[test]
    #[should_panic(expected = "has not served all reads")]
    fn an_image_that_is_not_used_is_no_measurement() {
        assert_served(&json!({"image": {"served": 2, "stale": 1, "reason": null}}), 3);
    }
}
