//! The rows of reading: files that map, files that have to be relocated, and many small files on two threads.

use crate::files::{FreshMemory, Mapped, Scratch, copy_bare, map_bare, map_least};
use crate::inputs::Corpus;
use crate::measure::{self, Effort, interleave, timed, timed_by_wall};
use crate::module::Module;
use crate::readable::{Occupied, Readable, fresh_memory};
use crate::report::{Goal, Row, Unit, Wanted};
use crate::runtime::{Loader, Runtime};
use lean_region::object::Obj;
use std::time::Duration;

/// Small files read on two threads.
const SMALL_FILES: usize = 10_000;
/// Files that are read by mapping in one run.
const MAPPED_FILES: usize = 200;

/// All rows of reading.
pub fn rows(
    runtime: &Runtime,
    scratch: &Scratch,
    corpora: &[Corpus],
    effort: &Effort,
    wanted: Wanted<'_>,
    mut row: impl FnMut(Row),
) {
    let work = "read that maps, with free";
    if wanted(work) {
        let mut files = Readable::small(runtime, &scratch.dir("mapped"), "Mapped", MAPPED_FILES + 1, 300);
        // One region stays alive, as the first of very many in a process that imports.
        let kept = files.split_last();
        // SAFETY: live objects; nothing of the region is used.
        unsafe {
            let (_, region) = runtime.read(runtime.ours, kept, runtime.no_deps);
            row(mapped_row(runtime, &files, work, effort));
            runtime.free(runtime.ours, region);
        }
    }
    let work = "reading 10,000 small files on 2 threads";
    if wanted(work) {
        let files = Readable::small(runtime, &scratch.dir("threads"), "Threads", SMALL_FILES, 100);
        row(threads_row(runtime, &files, work, effort));
    }
    for corpus in corpora {
        let whole: Vec<Module> = corpus.modules.iter().map(|m| m.in_one_part(runtime)).collect();
        let modules: Vec<&Module> = whole.iter().collect();
        let works = [
            format!("read that relocates, {} one after the other", corpus.name),
            format!("read that relocates, the largest of {}", corpus.name),
        ];
        let largest: Vec<&Module> = modules
            .iter()
            .copied()
            .max_by_key(|m| m.objects)
            .into_iter()
            .collect();
        for (i, (work, modules)) in works.iter().zip([&modules, &largest]).enumerate() {
            if wanted(work) {
                let dir = scratch.dir(&format!("relocated-{i}"));
                // SAFETY: modules are never released.
                let files = unsafe { Readable::save(runtime, &dir, modules.iter().copied()) };
                let objects = modules.iter().map(|m| m.objects).sum();
                row(relocated_row(runtime, &files, work, objects, effort));
            }
        }
    }
}

fn mapped_row(runtime: &Runtime, files: &Readable, work: &str, effort: &Effort) -> Row {
    let floor = || {
        timed(|| {
            for (path, &base) in files.paths.iter().zip(&files.bases) {
                map_bare(path, base);
            }
        })
    };
    let mut times = interleave(
        effort,
        &mut [
            &mut || files.read_and_free(runtime, runtime.ours, true),
            &mut || files.read_and_free(runtime, runtime.incumbent, true),
            &mut { floor },
        ],
        || {},
    );
    // Per file.
    for time in times.iter_mut().flatten() {
        *time /= files.names.len() as f64;
    }
    let [ours, incumbent, floor] = <[Vec<f64>; 3]>::try_from(times).expect("three sides");
    Row {
        work: work.to_owned(),
        count: (files.names.len(), "files, per file"),
        unit: Unit::Time,
        ours,
        incumbent,
        floor: Some(floor),
        first: None,
        target: Goal::Floor(1.25),
    }
}

fn relocated_row(runtime: &Runtime, files: &Readable, work: &str, objects: usize, effort: &Effort) -> Row {
    let occupied = Occupied::bases(files);
    let read = |loader: Loader| {
        let mut time = Duration::ZERO;
        for &name in &files.names {
            // SAFETY: live objects; nothing of the region is used after it is freed.
            unsafe {
                let mut region = Obj::UNIT;
                fresh_memory();
                time += timed(|| region = runtime.read(loader, name, runtime.no_deps).1);
                assert!(
                    !runtime.is_mapped(region),
                    "{}: it was mapped at a base that is taken",
                    loader.name
                );
                runtime.free(loader, region);
            }
        }
        time
    };
    let mut memory = FreshMemory::default();
    let floor = || {
        let mut time = Duration::ZERO;
        for ((path, &base), &size) in files.paths.iter().zip(&files.bases).zip(&files.sizes) {
            let piece = memory.piece(size);
            fresh_memory();
            time += timed(|| copy_bare(path, base, &piece));
            piece.forget();
        }
        time
    };
    let times = interleave(
        effort,
        &mut [
            &mut || read(runtime.ours),
            &mut || read(runtime.incumbent),
            &mut { floor },
        ],
        || {},
    );
    drop(occupied);
    let [ours, incumbent, floor] = <[Vec<f64>; 3]>::try_from(times).expect("three sides");
    Row {
        work: work.to_owned(),
        count: (objects, "objects"),
        unit: Unit::Time,
        ours,
        incumbent,
        floor: Some(floor),
        first: None,
        target: Goal::Ratio(0.60),
    }
}

/// Two threads, each reading half of the files. Freeing is not part of it.
fn threads_row(runtime: &Runtime, files: &Readable, work: &str, effort: &Effort) -> Row {
    let read = |loader: Loader| {
        // SAFETY: live objects, marked for several threads below.
        let region = |i: usize| unsafe { runtime.read(loader, files.names[i], runtime.no_deps).1 };
        // SAFETY: nothing of the region is used any more. The structure was made on a thread that has ended, so
        // this thread has it alone.
        let free = |region| unsafe { runtime.free(loader, region) };
        on_two_threads(files.names.len(), region, free)
    };
    // SAFETY: live objects that both threads count.
    unsafe {
        runtime.host.mark_mt(runtime.no_deps);
        files.names.iter().for_each(|&name| runtime.host.mark_mt(name));
    }
    let floor = || {
        on_two_threads(
            files.paths.len(),
            |i| map_least(&files.paths[i], files.bases[i]),
            Mapped::free,
        )
    };
    let times = interleave(
        effort,
        &mut [
            &mut || read(runtime.ours),
            &mut || read(runtime.incumbent),
            &mut { floor },
        ],
        || {},
    );
    let [ours, incumbent, floor] = <[Vec<f64>; 3]>::try_from(times).expect("three sides");
    Row {
        work: work.to_owned(),
        count: (files.names.len(), "files"),
        unit: Unit::Time,
        ours,
        incumbent,
        floor: Some(floor),
        first: None,
        target: Goal::Ratio(0.60),
    }
}

/// The wall time of `each` for 0 to `count`, one half on each of two threads. What it answers is handed to `after`
/// when the time has been taken.
fn on_two_threads<T: Send>(count: usize, each: impl Fn(usize) -> T + Sync, after: impl Fn(T)) -> Duration {
    let cpus = measure::all_cpus();
    let mut made: Vec<Vec<T>> = Vec::new();
    let time = timed_by_wall(|| {
        std::thread::scope(|scope| {
            let (each, cpus) = (&each, &cpus);
            let workers = [0..count / 2, count / 2..count].map(|part| {
                scope.spawn(move || {
                    measure::pin(cpus);
                    part.map(each).collect()
                })
            });
            made.extend(workers.map(|w| w.join().expect("a reading thread")));
        });
    });
    made.into_iter().flatten().for_each(after);
    time
}
