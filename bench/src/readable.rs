//! Files on disk to be read, and what surrounds a read: address space that is taken, memory that is fresh.

use crate::files::{base_of, c_path};
use crate::measure::timed;
use crate::module::Module;
use crate::runtime::{Loader, Runtime};
use crate::shapes;
use lean_region::object::Obj;
use std::ffi::CString;
use std::fs;
use std::path::Path;
use std::time::Duration;

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
    pub(crate) fn split_last(&mut self) -> Obj {
        self.paths.pop();
        self.bases.pop();
        self.sizes.pop();
        self.names.pop().expect("at least one file")
    }

    /// Reads and frees each file.
    pub(crate) fn read_and_free(&self, runtime: &Runtime, loader: Loader, mapped: bool) -> Duration {
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
