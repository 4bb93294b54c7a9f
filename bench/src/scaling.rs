//! Cost per object against the number of objects, and per region against the number of regions, of both
//! loaders, as charts; and of a read with an image ([`image`]).

pub mod image;

use crate::files::Scratch;
use crate::measure::{Effort, Spread, interleave, timed};
use crate::module::Module;
use crate::plot::{Chart, Series};
use crate::readable::{Occupied, Readable, fresh_memory};
use crate::report::Wanted;
use crate::runtime::{Loader, Runtime};
use crate::save::{INCUMBENT, OURS, Saves, over_regions};
use crate::shapes;
use lean_region::object::Obj;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Colours of ours and the incumbent's lines.
const COLOURS: [&str; 2] = ["#0b6e4f", "#c1440e"];
const NAMES: [&str; 2] = ["lean-region", "incumbent"];
/// Names and colours of the lines in the chart with an image, and whether they are dashed; in the order of
/// [`image::Point::ns`].
const READERS: [(&str, &str, bool); 4] = [
    (NAMES[INCUMBENT], COLOURS[INCUMBENT], false),
    (NAMES[OURS], COLOURS[OURS], false),
    ("lean-region: with an image", "#2a5db0", false),
    ("lean-region: image, paths trusted", "#2a5db0", true),
];

/// The charts, as files are called.
const OBJECTS: &str = "scaling-objects.svg";
const REGIONS: &str = "scaling-regions.svg";
const IMAGE: &str = "scaling-image.svg";

/// Measures and writes the charts whose name is wanted into the directory `dir`; `most` objects at most.
pub fn draw(
    runtime: &Runtime,
    scratch: &Scratch,
    dir: &Path,
    effort: &Effort,
    most: usize,
    wanted: Wanted<'_>,
) {
    if wanted(IMAGE) {
        // Before the minutes of measuring.
        let _ = testkit::program("olean");
    }
    let fewer = Effort {
        bounds: (3, 30),
        ..*effort
    };
    if wanted(OBJECTS) {
        by_objects(runtime, scratch, dir, &fewer, most);
    }
    if wanted(REGIONS) {
        by_regions(runtime, scratch, dir, &fewer);
    }
    if wanted(IMAGE) {
        let points = image::measure(runtime, scratch, effort);
        for point in &points {
            let [ours, image, trust] = point.ratios;
            println!(
                "{} regions, of the incumbent by pairs: {ours:.3}, with an image {image:.3}, trusting paths {trust:.3}",
                point.regions
            );
        }
        write(
            dir,
            IMAGE,
            "Cost per read, with and without an image",
            "regions",
            &image_lines(&points),
        );
    }
}

/// The chart of cost per object.
fn by_objects(runtime: &Runtime, scratch: &Scratch, dir: &Path, effort: &Effort, most: usize) {
    let mut save = lines("save", false);
    let mut relocate = lines("read, relocated", true);
    let mut objects = 1000;
    while objects <= most {
        eprintln!("bench: {objects} objects");
        let (root, made) = shapes::mixed(runtime, objects, 1);
        let module = Module::of_root(runtime, "Scaling", root, made);
        push(
            &mut save,
            made,
            saved(runtime, scratch, &module, runtime.no_deps, effort),
        );
        push(&mut relocate, made, relocated(runtime, scratch, &module, effort));
        // SAFETY: the files are written; nobody uses the objects any more.
        unsafe { runtime.host.dec(root) };
        objects *= 10;
    }
    save.extend(relocate);
    write(dir, OBJECTS, "Cost per object", "objects", &save);
}

/// The chart of cost per region.
fn by_regions(runtime: &Runtime, scratch: &Scratch, dir: &Path, effort: &Effort) {
    let mut read = lines("read, mapped", false);
    let mut over = lines("save over so many", true);
    for regions in [10, 100, 1000, 10_000, 40_000] {
        eprintln!("bench: {regions} regions");
        push(&mut read, regions, mapped(runtime, scratch, regions, effort));
        let (module, deps) = over_regions(runtime, scratch, regions, 1000);
        push(&mut over, regions, saved(runtime, scratch, &module, deps, effort));
        // SAFETY: the array alone keeps the structures; nothing of the regions is used any more.
        unsafe {
            for i in 0..deps.size() {
                let region = deps.element(i);
                runtime.host.inc(region);
                runtime.free(runtime.incumbent, region);
            }
        }
    }
    read.extend(over);
    write(dir, REGIONS, "Cost per region", "regions", &read);
}

/// Our line and the incumbent's.
fn lines(what: &str, dashed: bool) -> Vec<Series> {
    let line = |side: usize| Series {
        name: format!("{}: {what}", NAMES[side]),
        colour: COLOURS[side],
        dashed,
        points: Vec::new(),
    };
    vec![line(OURS), line(INCUMBENT)]
}

/// The lines of the chart with an image.
fn image_lines(points: &[image::Point]) -> Vec<Series> {
    let line = |i: usize| {
        let (name, colour, dashed) = READERS[i];
        Series {
            name: name.to_owned(),
            colour,
            dashed,
            points: points.iter().map(|p| (p.regions as f64, p.ns[i])).collect(),
        }
    };
    (0..READERS.len()).map(line).collect()
}

/// Adds a measurement, given as nanoseconds of both sides, to both lines.
fn push(lines: &mut [Series], count: usize, ns: [f64; 2]) {
    for (line, ns) in lines.iter_mut().zip(ns) {
        line.points.push((count as f64, ns / count as f64));
    }
}

fn medians(times: &[Vec<f64>]) -> [f64; 2] {
    [OURS, INCUMBENT].map(|side| Spread::of(&times[side]).median)
}

fn saved(runtime: &Runtime, scratch: &Scratch, module: &Module, deps: Obj, effort: &Effort) -> [f64; 2] {
    let modules = [module];
    // SAFETY: objects and regions live until the caller releases them.
    let saves = unsafe { Saves::new(runtime, &scratch.dir("scaling"), &modules, deps) };
    let times = interleave(
        effort,
        &mut [&mut || saves.run(OURS), &mut || saves.run(INCUMBENT)],
        || {
            saves.compare();
            saves.clear();
        },
    );
    medians(&times)
}

fn relocated(runtime: &Runtime, scratch: &Scratch, module: &Module, effort: &Effort) -> [f64; 2] {
    // SAFETY: the module lives until the caller releases it.
    let files = unsafe { Readable::save(runtime, &scratch.dir("scaling"), [module].into_iter()) };
    let _occupied = Occupied::bases(&files);
    fresh_memory();
    let read = |loader: Loader| {
        let mut region = Obj::UNIT;
        // SAFETY: live objects; nothing of the region is used after it is freed.
        unsafe {
            let time = timed(|| region = runtime.read(loader, files.names[0], runtime.no_deps).1);
            runtime.free(loader, region);
            time
        }
    };
    let times = interleave(
        effort,
        &mut [&mut || read(runtime.ours), &mut || read(runtime.incumbent)],
        || {},
    );
    medians(&times)
}

fn mapped(runtime: &Runtime, scratch: &Scratch, regions: usize, effort: &Effort) -> [f64; 2] {
    let files = Readable::small(runtime, &scratch.dir("scaling-mapped"), "Scaling", regions, 30);
    let read = |loader: Loader| -> Duration {
        let mut read = Vec::with_capacity(regions);
        let time = timed(|| {
            for &name in &files.names {
                // SAFETY: live objects.
                read.push(unsafe { runtime.read(loader, name, runtime.no_deps).1 });
            }
        });
        for region in read {
            // SAFETY: nothing of the region is used any more.
            unsafe { runtime.free(loader, region) };
        }
        time
    };
    let times = interleave(
        effort,
        &mut [&mut || read(runtime.ours), &mut || read(runtime.incumbent)],
        || {},
    );
    medians(&times)
}

fn write(dir: &Path, file: &str, title: &str, x: &str, series: &[Series]) {
    let chart = Chart {
        title,
        x,
        y: "nanoseconds each, median",
        series,
    };
    let path = dir.join(file);
    fs::write(&path, chart.svg()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    for line in series {
        let points: Vec<String> = line
            .points
            .iter()
            .map(|p| format!("{}: {:.0} ns", p.0, p.1))
            .collect();
        println!("{}: {}", line.name, points.join(", "));
    }
}
