//! The real Lean of this process, and the two loaders that serve its objects: the one inside it and ours.

use lean_region::capi::loader as ours;
use lean_region::host::Host;
use lean_region::object::Obj;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::ffi::CStr;

/// `lean_compacted_region_save`.
type SaveFn = unsafe extern "C" fn(Obj, Obj, Obj, Obj, Obj, u8) -> Obj;
/// `lean_compacted_region_read`.
type ReadFn = unsafe extern "C" fn(Obj, Obj) -> Obj;
/// `lean_compacted_region_free`.
type FreeFn = unsafe extern "C" fn(Obj) -> Obj;

/// Offset of `isMemoryMapped` in a region structure: behind two objects and three words (docs/host-abi.md#generations).
const IS_MEMORY_MAPPED: usize = 48;

/// One loader.
#[derive(Clone, Copy)]
pub struct Loader {
    /// What the table calls it, and the directory of its files.
    pub name: &'static str,
    save: SaveFn,
    read: ReadFn,
    free: FreeFn,
}

/// The real Lean, bound, and the loaders.
#[derive(Clone, Copy)]
pub struct Runtime {
    /// Builds and releases objects.
    pub host: &'static Host,
    /// lean-region.
    pub ours: Loader,
    /// The loader inside the real Lean.
    pub incumbent: Loader,
    /// The array without elements.
    pub no_deps: Obj,
}

/// A function of the real Lean.
///
/// # Safety
/// `F` is the type of the function, a function pointer.
unsafe fn function<F: Copy>(host: &Host, name: &CStr) -> F {
    let address = host
        .symbol(name)
        .unwrap_or_else(|| panic!("the real Lean does not export {name:?}"));
    assert_eq!(size_of::<F>(), size_of::<usize>());
    // SAFETY: an address of a function, as large as a function pointer.
    unsafe { std::mem::transmute_copy(&address) }
}

/// Our functions on plain words; the library declares them on pointers.
fn our_loader() -> Loader {
    unsafe extern "C" fn save(f: Obj, k: Obj, d: Obj, deps: Obj, prev: Obj, closures: u8) -> Obj {
        // SAFETY: passed on from the caller.
        let r = unsafe { ours::lean_compacted_region_save(p(f), p(k), p(d), p(deps), p(prev), closures) };
        Obj(r as usize)
    }
    unsafe extern "C" fn read(f: Obj, deps: Obj) -> Obj {
        // SAFETY: passed on from the caller.
        Obj(unsafe { ours::lean_compacted_region_read(p(f), p(deps)) } as usize)
    }
    unsafe extern "C" fn free(region: Obj) -> Obj {
        // SAFETY: passed on from the caller.
        Obj(unsafe { ours::lean_compacted_region_free(p(region)) } as usize)
    }
    Loader {
        name: "ours",
        save,
        read,
        free,
    }
}

fn p(o: Obj) -> *mut lean_region::capi::lean_object {
    o.0 as *mut _
}

impl Runtime {
    /// Loads the real Lean that the tests use into this process and initialises it. Panics if it cannot be
    /// had. Wants a thread with a large stack.
    #[must_use]
    pub fn real() -> Runtime {
        let lean = testkit::real_lean();
        // SAFETY: Lean's initialisers set up C++ statics and the allocator. It is never closed.
        let library = unsafe { Library::open(Some(&lean.libleanshared), RTLD_NOW | RTLD_LOCAL) };
        std::mem::forget(library.expect("the real Lean can be loaded"));
        let host = Host::bind_library(&lean.libleanshared).expect("the real Lean can be bound");
        // SAFETY: the types are those of the release; `lean_initialize` is called once, on a large stack,
        // before anything that needs it (the incumbent's save reads the version it sets).
        unsafe {
            function::<unsafe extern "C" fn()>(host, c"lean_initialize")();
            Runtime {
                host,
                ours: our_loader(),
                incumbent: Loader {
                    name: "incumbent",
                    save: function(host, c"lean_compacted_region_save"),
                    read: function(host, c"lean_compacted_region_read"),
                    free: function(host, c"lean_compacted_region_free"),
                },
                no_deps: host.mk_array(&[]),
            }
        }
    }

    /// Our loader alone, on the embedded runtime.
    #[must_use]
    pub fn embedded() -> Runtime {
        let host = Host::get().expect("the embedded runtime");
        assert!(host.is_embedded(), "a Lean is loaded into this process");
        let ours = our_loader();
        Runtime {
            host,
            ours,
            incumbent: ours,
            // SAFETY: the embedded runtime can always allocate.
            no_deps: unsafe { host.mk_array(&[]) },
        }
    }

    /// Both loaders, the incumbent first.
    #[must_use]
    pub fn loaders(&self) -> [Loader; 2] {
        [self.incumbent, self.ours]
    }

    /// A string object.
    #[must_use]
    pub fn string(&self, text: &str) -> Obj {
        // SAFETY: the runtime is initialised.
        unsafe { self.host.mk_string(text) }
    }

    /// Saves `roots` as one chain of parts into `files` (strings) and releases the compactor.
    ///
    /// # Safety
    /// All are live objects of this runtime, `key` a name, `deps` an array of live regions.
    pub unsafe fn save(&self, loader: Loader, files: &[Obj], key: Obj, roots: &[Obj], deps: Obj) {
        assert_eq!(files.len(), roots.len());
        let mut prev = Obj::UNIT;
        // SAFETY: by the caller's word; `prev` is consumed by the call that gets it.
        unsafe {
            for (&file, &root) in files.iter().zip(roots) {
                let compactor = self.value((loader.save)(file, key, root, deps, prev, 0));
                prev = self.host.mk_some(compactor);
            }
            self.host.dec(prev);
        }
    }

    /// Reads `file` (a string) and answers root and region (owned).
    ///
    /// # Safety
    /// `file` and `deps` are live objects of this runtime, `deps` an array of live regions.
    #[must_use]
    pub unsafe fn read(&self, loader: Loader, file: Obj, deps: Obj) -> (Obj, Obj) {
        // SAFETY: by the caller's word; a successful read answers a pair.
        unsafe {
            let pair = self.value((loader.read)(file, deps));
            let (root, region) = (pair.field(0), pair.field(1));
            self.host.inc(region);
            // Giving up the pair would look at the root's count, which is a page fault of the caller's and no
            // work of the loader's. Objects of regions are not counted, so nothing is lost.
            pair.set_word(8, Obj::UNIT.0);
            self.host.dec(pair);
            (root, region)
        }
    }

    /// Frees a region, which is consumed.
    ///
    /// # Safety
    /// A live region of that loader, none of whose objects is used any more.
    pub unsafe fn free(&self, loader: Loader, region: Obj) {
        // SAFETY: by the caller's word.
        unsafe { self.value((loader.free)(region)) };
    }

    /// Whether a region lies mapped at its base address.
    ///
    /// # Safety
    /// A live region structure.
    #[must_use]
    pub unsafe fn is_mapped(&self, region: Obj) -> bool {
        // SAFETY: the structure has this field.
        unsafe { region.ptr().add(IS_MEMORY_MAPPED).read() != 0 }
    }

    /// The value of a successful IO result, owned; panics with the text of an error.
    ///
    /// # Safety
    /// An owned IO result of this runtime.
    unsafe fn value(&self, result: Obj) -> Obj {
        // SAFETY: IO results have one field: the value, or an `IO.userError` with a string.
        unsafe {
            let value = result.field(0);
            if result.kind().tag != 0 {
                let text = value.field(0);
                let bytes = std::slice::from_raw_parts(text.ptr().add(32), text.size() - 1);
                panic!("a loader failed: {}", String::from_utf8_lossy(bytes));
            }
            self.host.inc(value);
            self.host.dec(result);
            value
        }
    }
}
