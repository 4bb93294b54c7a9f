//! A real Lean in this process, bound by our library, and its loader and ours under one interface.

use lean_region::capi::loader as ours;
use lean_region::host::Host;
use lean_region::object::Obj;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::ffi::CStr;
use std::path::Path;
use std::sync::OnceLock;

type Save = unsafe extern "C" fn(Obj, Obj, Obj, Obj, Obj, u8) -> Obj;
type Read = unsafe extern "C" fn(Obj, Obj) -> Obj;
type Free = unsafe extern "C" fn(Obj) -> Obj;

/// One loader: the incumbent or ours. Regions and compactors belong to the loader they came from.
#[derive(Clone, Copy)]
pub struct Loader {
    pub name: &'static str,
    save: Save,
    read: Read,
    free: Free,
}

/// The runtime, initialised, and both loaders.
pub struct Lean {
    pub host: &'static Host,
    pub theirs: Loader,
    pub ours: Loader,
    pub spawn: unsafe extern "C" fn(Obj, u32, bool) -> Obj,
    pub mark_persistent: unsafe extern "C" fn(Obj),
    pub string_push: unsafe extern "C" fn(Obj, u32) -> Obj,
    pub array_push: unsafe extern "C" fn(Obj, Obj) -> Obj,
    pub promise_new: unsafe extern "C" fn() -> Obj,
    pub promise_resolve: unsafe extern "C" fn(Obj, Obj) -> Obj,
}

/// A function of the real Lean.
///
/// # Safety
/// `F` is the type of the function `name`.
unsafe fn function<F: Copy>(host: &Host, name: &CStr) -> F {
    let address = host
        .symbol(name)
        .unwrap_or_else(|| panic!("Lean exports no {name:?}"));
    // SAFETY: the caller gives the function's type, a function pointer.
    unsafe { std::mem::transmute_copy(&address) }
}

pub fn lean() -> &'static Lean {
    static LEAN: OnceLock<Lean> = OnceLock::new();
    LEAN.get_or_init(|| {
        let path = testkit::real_lean().libleanshared;
        // SAFETY: Lean's constructors set up C++ statics and the allocator; the library is never closed. The types
        // are those of lean.h and, for our own functions, pointers to `Obj`'s representation.
        unsafe {
            std::mem::forget(Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL).expect("a real Lean"));
            let host = Host::get().expect("the real Lean can be bound");
            assert!(!host.is_embedded());
            let initialise: unsafe extern "C" fn() = function(host, c"lean_initialize");
            let tasks: unsafe extern "C" fn() = function(host, c"lean_init_task_manager");
            on_large_stack(64 << 20, || {
                initialise();
                tasks();
            });
            Lean {
                host,
                theirs: Loader {
                    name: "theirs",
                    save: function(host, c"lean_compacted_region_save"),
                    read: function(host, c"lean_compacted_region_read"),
                    free: function(host, c"lean_compacted_region_free"),
                },
                ours: Loader {
                    name: "ours",
                    save: std::mem::transmute::<*const (), Save>(
                        ours::lean_compacted_region_save as *const (),
                    ),
                    read: std::mem::transmute::<*const (), Read>(
                        ours::lean_compacted_region_read as *const (),
                    ),
                    free: std::mem::transmute::<*const (), Free>(
                        ours::lean_compacted_region_free as *const (),
                    ),
                },
                spawn: function(host, c"lean_task_spawn_core"),
                mark_persistent: function(host, c"lean_mark_persistent"),
                string_push: function(host, c"lean_string_push"),
                array_push: function(host, c"lean_array_push"),
                promise_new: function(host, c"lean_io_promise_new"),
                promise_resolve: function(host, c"lean_io_promise_resolve"),
            }
        }
    })
}

/// Runs `f` on a thread with a stack of that many bytes.
pub fn on_large_stack<T: Send>(bytes: usize, f: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|s| {
        let thread = std::thread::Builder::new().stack_size(bytes).spawn_scoped(s, f);
        thread.expect("a thread").join()
    })
    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A region as `lean_compacted_region_read` returned it.
pub struct Region {
    pub loader: Loader,
    pub root: Obj,
    /// The region structure, owned.
    pub structure: Obj,
}

impl Region {
    fn facts(&self) -> lean_region::host::RegionFacts {
        // SAFETY: a live region structure.
        let facts = unsafe { lean().host.read_region_structure(self.structure) };
        facts.expect("the structure of a region")
    }

    pub fn mapped(&self) -> bool {
        self.facts().mapped
    }

    pub fn base(&self) -> u64 {
        self.facts().base
    }

    pub fn free(self) {
        // SAFETY: a region of this loader, freed once; the tests use no object of it afterwards.
        let result = unsafe { (self.loader.free)(self.structure) };
        take(result).expect("a region can be freed");
    }
}

/// The value of an IO result (owned), or the text of its error. The result is consumed.
fn take(result: Obj) -> Result<Obj, String> {
    let host = lean().host;
    // SAFETY: a live result of one field; an error is a constructor with a string.
    unsafe {
        let kind = result.kind();
        assert_eq!(kind.other, 1, "IO results of this Lean have one field");
        let value = result.field(0);
        let taken = if kind.tag == 0 {
            host.inc(value);
            Ok(value)
        } else {
            assert_eq!(value.kind().tag, 18, "IO.userError");
            let text = value.field(0);
            let bytes = std::slice::from_raw_parts(text.ptr().add(32), text.size() - 1);
            Err(String::from_utf8_lossy(bytes).into_owned())
        };
        host.dec(result);
        taken
    }
}

pub fn string(text: &Path) -> Obj {
    // SAFETY: the runtime is initialised.
    unsafe { lean().host.mk_string(text.to_str().expect("a path in UTF-8")) }
}

impl Loader {
    /// Saves; `prev` is consumed. Answers the compactor, owned.
    pub fn save(
        &self,
        file: &Path,
        key: Obj,
        data: Obj,
        deps: &[&Region],
        prev: Option<Obj>,
        closures: bool,
    ) -> Result<Obj, String> {
        let host = lean().host;
        // SAFETY: all objects are live; the borrowed ones are released after the call.
        unsafe {
            let (name, deps) = (string(file), structures(deps));
            let prev = prev.map_or(Obj::UNIT, |p| host.mk_some(p));
            let result = (self.save)(name, key, data, deps, prev, closures.into());
            host.dec(name);
            host.dec(deps);
            take(result)
        }
    }

    pub fn read(&self, file: &Path, deps: &[&Region]) -> Result<Region, String> {
        let host = lean().host;
        // SAFETY: all objects are live; the borrowed ones are released after the call; the value is a pair.
        unsafe {
            let (name, deps) = (string(file), structures(deps));
            let result = (self.read)(name, deps);
            host.dec(name);
            host.dec(deps);
            let pair = take(result)?;
            let (root, structure) = (pair.field(0), pair.field(1));
            host.inc(structure);
            host.dec(pair);
            Ok(Region {
                loader: *self,
                root,
                structure,
            })
        }
    }

    /// Frees the structure (consumed), which may be anything.
    pub fn free(&self, structure: Obj) -> Result<Obj, String> {
        // SAFETY: the tests give live structures and use no object of the region afterwards.
        take(unsafe { (self.free)(structure) })
    }
}

fn structures(regions: &[&Region]) -> Obj {
    let host = lean().host;
    let all: Vec<Obj> = regions.iter().map(|r| r.structure).collect();
    // SAFETY: live structures, of which the array owns a reference each.
    unsafe {
        for region in &all {
            host.inc(*region);
        }
        host.mk_array(&all)
    }
}
