//! What a read inside the loader costs against the number of regions in the process: by the incumbent, and by ours
//! without an image, with one, and with one that trusts paths. Each of ours reads in processes of its own, in which the
//! incumbent reads the same files in turn with it.

use crate::files::Scratch;
use crate::measure::{Effort, Spread};
use crate::module::Module;
use crate::runtime::Runtime;
use crate::scale::images::Images;
use crate::scale::{reads, side};
use crate::shapes;
use std::fs;
use std::path::Path;

/// The sides that have processes: all but the incumbent, which reads in each of them.
const SIDES: [&str; 3] = [side::OURS, side::IMAGE, side::TRUST];

/// Numbers of regions.
const REGIONS: [usize; 9] = [10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 50_000];
/// Objects of each region: files of about 6,000 bytes.
const OBJECTS: usize = 160;
/// Processes of each side: addresses differ from one to the next, and what they cost.
const PROCESSES: usize = 3;
/// So many mappings a process may have beside its regions, and those that nobody may touch near the limit.
const MAPPINGS_BESIDE: usize = 2000;
/// What all loaders of a process take for a region with its free, roughly; seconds.
const ROUND: f64 = 25e-6;

/// What one read takes in a process with so many regions.
pub struct Point {
    /// How many.
    pub regions: usize,
    /// Nanoseconds by the incumbent and by each of our sides, medians.
    pub ns: [f64; 4],
    /// Of each of ours to the incumbent in the same run of the same process, medians: a busy machine disturbs both.
    pub ratios: [f64; 3],
}

impl Point {
    /// Of the runs of the incumbent and of ours, in the same order, in the processes of each of [`SIDES`].
    fn of(regions: usize, measured: &[[Vec<f64>; 2]; 3]) -> Point {
        let median = |times: &[f64]| Spread::of(times).median;
        // All of its runs, whatever the process.
        let incumbent: Vec<f64> = measured.iter().flat_map(|[stock, _]| stock).copied().collect();
        let [ours, image, trust] = measured.each_ref().map(|[_, own]| median(own));
        Point {
            regions,
            ns: [median(&incumbent), ours, image, trust],
            ratios: measured
                .each_ref()
                .map(|[stock, own]| Spread::of_pairs(own, stock, |own, stock| own / stock).median),
        }
    }
}

/// Measures all points. The files are made below `scratch`, as is the image of them, by the tool.
#[must_use]
pub fn measure(runtime: &Runtime, scratch: &Scratch, effort: &Effort) -> Vec<Point> {
    let dir = scratch.dir("scaling-image");
    let images = Images::new(&scratch.dir("scaling-images"), &dir, Path::new(""));
    let sides = side::all(&images);
    let mut made = 0;
    let mut points = Vec::new();
    for regions in counts(mappings()) {
        eprintln!("bench: {regions} regions, with and without an image");
        save(runtime, &dir, made..regions);
        made = regions;
        let _ = images.build_tree();
        let mut measured = SIDES.map(|_| [Vec::new(), Vec::new()]);
        for _ in 0..PROCESSES {
            for (name, times) in SIDES.iter().zip(&mut measured) {
                let side = sides
                    .iter()
                    .find(|s| s.name == *name)
                    .expect("a side of that name");
                let new = reads::measure(&dir, side, runs(effort, regions));
                for (times, new) in times.iter_mut().zip(new) {
                    times.extend(new);
                }
            }
        }
        points.push(Point::of(regions, &measured));
    }
    points
}

/// The numbers of regions of which even the last can be mapped by a process that may have so many mappings.
fn counts(mappings: usize) -> impl Iterator<Item = usize> {
    REGIONS.into_iter().filter(move |regions| {
        let fit = regions + MAPPINGS_BESIDE <= mappings;
        if !fit {
            eprintln!("bench: {regions} regions are left out: vm.max_map_count is {mappings}");
        }
        fit
    })
}

/// How many mappings a process may have.
fn mappings() -> usize {
    let path = "/proc/sys/vm/max_map_count";
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    text.trim().parse().unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Runs in each process that reads so many regions: what was asked for, or what fits into the time of a row.
fn runs(effort: &Effort, regions: usize) -> usize {
    let fitting = effort.budget.as_secs_f64() / (ROUND * regions as f64);
    let (least, most) = effort.bounds;
    effort.runs.unwrap_or((fitting as usize).clamp(least, most))
}

/// Saves small modules of these numbers into `dir`, a file each; different names give different base addresses.
fn save(runtime: &Runtime, dir: &Path, numbers: std::ops::Range<usize>) {
    for i in numbers {
        let (root, objects) = shapes::mixed(runtime, OBJECTS, i as u64);
        let module = Module::of_root(runtime, &format!("Image.M{i}"), root, objects);
        let path = dir.join(format!("{i}.olean"));
        let file = runtime.string(path.to_str().expect("ASCII"));
        // SAFETY: live objects, of which nobody uses any afterwards.
        unsafe {
            runtime.save(runtime.ours, &[file], module.key, &module.roots, runtime.no_deps);
            for object in [file, module.key, root] {
                runtime.host.dec(object);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_mapped_is_left_out() {
        let most = |mappings| counts(mappings).last();
        assert_eq!(most(65_530), Some(50_000));
        assert_eq!(most(52_000), Some(50_000));
        assert_eq!(most(51_999), Some(30_000));
        assert_eq!(most(100), None);
    }

    #[test]
    fn runs_are_those_asked_for_or_fit_into_the_time() {
        let effort = Effort::new(None, false);
        assert_eq!(
            [10, 1000, 50_000].map(|regions| runs(&effort, regions)),
            [1000, 120, 11]
        );
        assert_eq!(runs(&Effort::new(Some(7), false), 10), 7);
    }

    #[test]
    fn the_incumbent_has_the_runs_of_all_processes_and_ratios_are_of_one() {
        let measured = [
            [vec![10.0, 11.0, 30.0], vec![9.0, 22.0, 15.0]],
            [vec![12.0, 16.0], vec![3.0, 2.0]],
            [vec![16.0, 8.0], vec![2.0, 1.0]],
        ];
        let point = Point::of(10, &measured);
        assert_eq!(point.regions, 10);
        assert_eq!(point.ns, [12.0, 15.0, 2.5, 1.5]);
        assert_eq!(point.ratios, [0.9, 0.1875, 0.125]);
    }
}
