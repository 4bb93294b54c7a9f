//! The rows of reading: files that map, files that have to be relocated, and many small files on two threads.

use crate::files::{FreshMemory, Mapped, Scratch, base_of, c_path, copy_bare, map_bare, map_least};
use crate::inputs::Corpus;
use crate::measure::{self, Effort, interleave, timed, timed_by_wall};
use crate::module::Module;
use crate::report::{Row, Target, Unit};
use crate::runtime::{Loader, Runtime};
use crate::save::Wanted;
use crate::shapes;
use lean_region::object::Obj;
use std::ffi::CString;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Small files read on two threads.
const SMALL_FILES: usize = 10_000;
/// Files that are read by mapping in one run.
const MAPPED_FILES: usize = 200;

/// Files on disk to be read: one part each.
pub struct Readable {
    /// Their names as strings of the runtime.
    pub names: Vec<Obj>,
    /// Their names for system calls.
    pub paths: Vec<CString>,
    /// Their base addresses.
    pub bases: Vec<u64>,
    /// Bytes of each.
    pub sizes: Vec<usize>,
}

impl Readable {
    /// Saves one-part modules into `dir`.
    ///
    /// # Safety
    /// The modules' objects are live.
    #[must_use]
    pub unsafe fn save<'m>(runtime: &Runtime, dir: &Path, modules: impl Iterator<Item = &'m Module>) -> Self {
        let mut files = Readable {
            names: Vec::new(),
            paths: Vec::new(),
            bases: Vec::new(),
            sizes: Vec::new(),
        };
        for (i, module) in modules.enumerate() {
            let path = dir.join(format!("{i}.olean"));
            let name = runtime.string(path.to_str().expect("ASCII"));
            // SAFETY: by the caller's word; the first root of a module needs no other part.
            unsafe {
                runtime.save(
                    runtime.ours,
                    &[name],
                    module.key,
                    &module.roots[..1],
                    runtime.no_deps,
                );
            }
            let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            files.names.push(name);
            files.paths.push(c_path(&path));
            files.bases.push(base_of(&bytes));
            files.sizes.push(bytes.len());
        }
        files
    }

    /// `count` different files of about `objects` objects. The same `family` gives the same base addresses.
    #[must_use]
    pub fn small(runtime: &Runtime, dir: &Path, family: &str, count: usize, objects: usize) -> Self {
        let modules: Vec<Module> = (0..count)
            .map(|i| {
                let (root, made) = shapes::mixed(runtime, objects, i as u64);
                Module::of_root(runtime, &format!("{family}.M{i}"), root, made)
            })
            .collect();
        // SAFETY: the modules are live; their objects are released afterwards and not used any more.
        unsafe {
            let files = Self::save(runtime, dir, modules.iter());
            for module in &modules {
                runtime.host.dec(module.roots[0]);
            }
            files
        }
    }

    /// Takes the last file out and answers its name.
    fn split_last(&mut self) -> Obj {
        self.paths.pop();
        self.bases.pop();
        self.sizes.pop();
        self.names.pop().expect("at least one file")
    }

    /// Reads and frees each file.
    fn read_and_free(&self, runtime: &Runtime, loader: Loader, mapped: bool) -> Duration {
        timed(|| {
            for &name in &self.names {
                // SAFETY: live objects; nothing of the region is used after it is freed.
                unsafe {
                    let (_, region) = runtime.read(loader, name, runtime.no_deps);
                    assert_eq!(runtime.is_mapped(region), mapped, "{}", loader.name);
                    runtime.free(loader, region);
                }
            }
        })
    }
}

/// Address space that is taken, so that no file can be mapped there.
pub struct Occupied(Vec<(usize, usize)>);

impl Occupied {
    /// Takes the base addresses of `files`.
    #[must_use]
    pub fn bases(files: &Readable) -> Self {
        let mut taken = Vec::new();
        for (&base, &size) in files.bases.iter().zip(&files.sizes) {
            // SAFETY: a mapping without access at a free address, or a failure.
            let at = unsafe {
                libc::mmap(
                    base as *mut _,
                    size,
                    libc::PROT_NONE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE,
                    -1,
                    0,
                )
            };
            if at as u64 == base {
                taken.push((base as usize, size));
            }
        }
        Occupied(taken)
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        for &(at, size) in &self.0 {
            // SAFETY: a mapping of this value alone.
            unsafe { libc::munmap(at as *mut _, size) };
        }
    }
}

/// Makes the C library give free memory back to the system, so that the next read's memory is used for the
/// first time, as it is in a process that imports. Otherwise what earlier rows freed would serve. Large blocks
/// are mappings of their own from the first call on.
pub fn fresh_memory() {
    // SAFETY: sets parameters of malloc and gives back pages that hold nothing.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 128 << 10);
        libc::malloc_trim(0);
    }
}

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
        target: Target::Floor(1.25),
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
        target: Target::Ratio(0.60),
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
        target: Target::Ratio(0.60),
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
