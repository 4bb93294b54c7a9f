//! The rows of saving. Every pair of files is compared byte for byte.

use crate::files::{Scratch, c_path, write_bare};
use crate::inputs::Corpus;
use crate::measure::{Effort, in_child, interleave, timed};
use crate::module::Module;
use crate::readable::Readable;
use crate::report::{Goal, Row, Unit, Wanted};
use crate::runtime::{Loader, Runtime};
use crate::shapes;
use lean_region::object::Obj;
use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the parts of one module go, for each side.
struct Files {
    paths: [Vec<PathBuf>; 2],
    names: [Vec<Obj>; 2],
    bare: Vec<(CString, CString)>,
}

impl Files {
    fn new(runtime: &Runtime, dir: &Path, index: usize, parts: usize) -> Files {
        let path = |side: &str, part| dir.join(format!("{side}-{index}-{part}.olean"));
        let paths = [runtime.ours, runtime.incumbent]
            .map(|loader| (0..parts).map(|part| path(loader.name, part)).collect::<Vec<_>>());
        let names = [0, 1].map(|side: usize| {
            let shown = paths[side].iter().map(|p| p.to_str().expect("ASCII"));
            shown.map(|p| runtime.string(p)).collect()
        });
        let bare = (0..parts)
            .map(|part| {
                let target = path("floor", part);
                (c_path(&target.with_extension("tmp")), c_path(&target))
            })
            .collect();
        Files { paths, names, bare }
    }

    /// Takes all files away, so that every call makes new ones.
    fn remove(&self) {
        for path in self.paths.iter().flatten() {
            let _ = fs::remove_file(path);
        }
        for (_, target) in &self.bare {
            let _ = fs::remove_file(target.to_str().expect("ASCII"));
        }
    }
}

/// Saves of several modules, one after the other.
pub struct Saves<'m> {
    runtime: &'m Runtime,
    modules: &'m [&'m Module],
    files: Vec<Files>,
    deps: Obj,
}

/// Our side of a save.
pub const OURS: usize = 0;
/// The incumbent's side.
pub const INCUMBENT: usize = 1;

impl<'m> Saves<'m> {
    /// Saves of these modules into files in `dir`, with these dependency regions.
    ///
    /// # Safety
    /// All objects are live and stay so; `deps` is an array of live regions.
    #[must_use]
    pub unsafe fn new(runtime: &'m Runtime, dir: &Path, modules: &'m [&'m Module], deps: Obj) -> Self {
        let files = modules
            .iter()
            .enumerate()
            .map(|(i, m)| Files::new(runtime, dir, i, m.roots.len()));
        Saves {
            runtime,
            modules,
            files: files.collect(),
            deps,
        }
    }

    fn loader(&self, side: usize) -> Loader {
        [self.runtime.ours, self.runtime.incumbent][side]
    }

    /// Saves everything with one side and answers the time.
    pub fn run(&self, side: usize) -> Duration {
        let loader = self.loader(side);
        timed(|| {
            for (module, files) in self.modules.iter().zip(&self.files) {
                // SAFETY: by the word given to `new`.
                unsafe {
                    self.runtime
                        .save(loader, &files.names[side], module.key, &module.roots, self.deps);
                }
            }
        })
    }

    /// Takes all files away.
    pub fn clear(&self) {
        self.files.iter().for_each(Files::remove);
    }

    /// Panics unless both sides have written the same bytes.
    pub fn compare(&self) {
        for (module, files) in self.modules.iter().zip(&self.files) {
            for (ours, theirs) in files.paths[OURS].iter().zip(&files.paths[INCUMBENT]) {
                let read = |p: &Path| fs::read(p).unwrap_or_else(|e| panic!("{}: {e}", p.display()));
                let (a, b) = (read(ours), read(theirs));
                let differs = a.iter().zip(&b).position(|(a, b)| a != b);
                assert!(
                    a == b,
                    "{}: our file of {} bytes differs from the incumbent's of {} bytes, first at {differs:?}",
                    module.name,
                    a.len(),
                    b.len()
                );
            }
        }
    }

    /// The bytes of all files of our side.
    fn written(&self) -> Vec<Vec<Vec<u8>>> {
        let read = |p: &PathBuf| fs::read(p).unwrap_or_else(|e| panic!("{}: {e}", p.display()));
        let module = |f: &Files| f.paths[OURS].iter().map(read).collect();
        self.files.iter().map(module).collect()
    }

    /// The time of the first call in a fresh process.
    fn first(&self, side: usize) -> f64 {
        let mut times: Vec<f64> = (0..5)
            .map(|_| {
                self.clear();
                let [ns] = in_child(|| [self.run(side).as_secs_f64() * 1e9]);
                ns
            })
            .collect();
        times.sort_by(f64::total_cmp);
        times[2]
    }

    /// A row in which one side stands for both.
    fn alone(&self, work: &str, side: usize, effort: &Effort) -> Row {
        let times = interleave(effort, &mut [&mut || self.run(side)], || self.clear());
        Row {
            work: format!("{work}, {} alone", self.loader(side).name),
            count: (self.modules.iter().map(|m| m.objects).sum(), "objects"),
            unit: Unit::Time,
            ours: times[0].clone(),
            incumbent: times[0].clone(),
            floor: None,
            first: None,
            target: Goal::None,
        }
    }

    /// The row of these saves.
    #[must_use]
    pub fn row(&self, work: &str, target: Goal, effort: &Effort) -> Row {
        if let Some(side) = effort.alone {
            return self.alone(work, side, effort);
        }
        let first = (self.first(OURS), self.first(INCUMBENT));
        self.clear();
        self.run(OURS);
        let bytes = self.written();
        let floor = || {
            timed(|| {
                for (files, bytes) in self.files.iter().zip(&bytes) {
                    for ((temporary, target), bytes) in files.bare.iter().zip(bytes) {
                        write_bare(temporary, target, bytes);
                    }
                }
            })
        };
        self.clear();
        let times = interleave(
            effort,
            &mut [&mut || self.run(OURS), &mut || self.run(INCUMBENT), &mut {
                floor
            }],
            || {
                self.compare();
                self.clear();
            },
        );
        let [ours, incumbent, floor] = <[Vec<f64>; 3]>::try_from(times).expect("three sides");
        Row {
            work: work.to_owned(),
            count: (self.modules.iter().map(|m| m.objects).sum(), "objects"),
            unit: Unit::Time,
            ours,
            incumbent,
            floor: Some(floor),
            first: Some(first),
            target,
        }
    }
}

/// The rows of modules of a corpus.
pub fn corpus_rows(
    runtime: &Runtime,
    scratch: &Scratch,
    corpus: &Corpus,
    effort: &Effort,
    wanted: Wanted<'_>,
    mut row: impl FnMut(Row),
) {
    let dir = scratch.dir("save");
    let mut measure = |work: String, modules: &[&Module], target| {
        if wanted(&work) {
            // SAFETY: modules are never released; no regions.
            let saves = unsafe { Saves::new(runtime, &dir, modules, runtime.no_deps) };
            row(saves.row(&work, target, effort));
            saves.clear();
        }
    };
    let all: Vec<&Module> = corpus.modules.iter().collect();
    measure(
        format!("save, {} one after the other", corpus.name),
        &all,
        Goal::Net(0.20),
    );
    let largest = all.iter().max_by_key(|m| m.objects).expect("not empty");
    let target = if largest.objects >= 100_000 {
        Goal::Net(0.25)
    } else {
        Goal::None
    };
    measure(
        format!("save, the largest module, {}", largest.name),
        &[largest],
        target,
    );
    let mut small: Vec<&&Module> = all.iter().filter(|m| m.objects < 1000).collect();
    small.sort_by_key(|m| m.objects);
    if let Some(module) = small.last() {
        measure(
            format!("save, a module of under 1,000 objects, {}", module.name),
            &[module],
            Goal::Net(0.10),
        );
    }
    let mut sorted = all.clone();
    sorted.sort_by_key(|m| m.objects);
    let median = sorted[sorted.len() / 2];
    measure(
        format!("save, the module of median size, {}", median.name),
        &[median],
        Goal::None,
    );
}

/// The rows of synthetic shapes.
pub fn shape_rows(
    runtime: &Runtime,
    scratch: &Scratch,
    shapes: &[Module],
    effort: &Effort,
    wanted: Wanted<'_>,
    mut row: impl FnMut(Row),
) {
    let dir = scratch.dir("save");
    for shape in shapes {
        let work = format!("save, {}", shape.name);
        if wanted(&work) {
            let modules = [shape];
            // SAFETY: shapes are never released; no regions.
            let saves = unsafe { Saves::new(runtime, &dir, &modules, runtime.no_deps) };
            row(saves.row(&work, Goal::None, effort));
            saves.clear();
        }
    }
}

/// Parts of the long chain.
const CHAIN: usize = 100;
/// Dependency regions of the save that has many.
const DEPS: usize = 10_000;

/// A save of 100 chained parts. Each holds objects of its own, half of which equal those of an earlier part,
/// and all that the part before holds.
#[must_use]
pub fn chain_row(runtime: &Runtime, scratch: &Scratch, work: &str, effort: &Effort) -> Row {
    let mut roots: Vec<Obj> = Vec::new();
    let mut objects = 0;
    for part in 0..CHAIN {
        let (own, made) = shapes::mixed(runtime, 2000, (part % (CHAIN / 2)) as u64);
        let before = roots.last().copied().unwrap_or(Obj::UNIT);
        // SAFETY: live objects; the earlier root gets a count for its place in the new one.
        unsafe {
            runtime.host.inc(before);
            roots.push(runtime.host.mk_pair(own, before));
        }
        objects += made + 1;
    }
    let mut module = Module::of_root(runtime, "Chain", Obj::UNIT, objects);
    module.roots = roots;
    let modules = [&module];
    // SAFETY: the chain is never released; no regions.
    let saves = unsafe { Saves::new(runtime, &scratch.dir("chain"), &modules, runtime.no_deps) };
    let row = saves.row(work, Goal::Net(0.20), effort);
    saves.clear();
    row
}

/// A save of objects a third of which point into 10,000 regions that were read before.
#[must_use]
pub fn deps_row(runtime: &Runtime, scratch: &Scratch, work: &str, effort: &Effort) -> Row {
    let (module, deps) = over_regions(runtime, scratch, DEPS, 100_000);
    let modules = [&module];
    // SAFETY: neither the objects nor the regions are ever released.
    let saves = unsafe { Saves::new(runtime, &scratch.dir("deps"), &modules, deps) };
    let row = saves.row(work, Goal::Net(0.20), effort);
    saves.clear();
    row
}

/// A module of about `objects` objects over `regions` regions, and the array of these. Never released.
#[must_use]
pub fn over_regions(runtime: &Runtime, scratch: &Scratch, regions: usize, objects: usize) -> (Module, Obj) {
    let files = Readable::small(runtime, &scratch.dir("regions"), "Region", regions, 30);
    let mut random = shapes::Random(9);
    // SAFETY: names are live; roots of regions are arrays, not counted, and live as long as the regions, which
    // are never freed; the pair's fields and the array's elements are owned.
    unsafe {
        let read = |&name: &Obj| runtime.read(runtime.incumbent, name, runtime.no_deps);
        let (roots, structures): (Vec<Obj>, Vec<Obj>) = files.names.iter().map(read).unzip();
        let elements: Vec<Obj> = (0..objects / 2)
            .map(|i| {
                let root = roots[random.below(roots.len())];
                let inside = match root.size() {
                    0 => root,
                    n => root.element(random.below(n)),
                };
                let own = runtime.host.mk_ctor(2, &[Obj::boxed(i), inside], &[]);
                runtime.host.mk_ctor(1, &[own, root], &[])
            })
            .collect();
        let root = runtime.host.mk_array(&elements);
        let module = Module::of_root(runtime, "OverRegions", root, elements.len() * 2 + 1);
        (module, runtime.host.mk_array(&structures))
    }
}
