//! The objects (program and shared libraries) that are loaded into this process, and symbols looked up in
//! one of them alone.

use super::code;
use libloading::os::unix::{Library, RTLD_LAZY};
use std::ffi::{CStr, OsStr, c_void};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// An object of this process as the dynamic linker lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedObject {
    /// The path that the object was loaded from (`dlpi_name`), empty for the main program.
    pub path: PathBuf,
    /// What was added to the addresses in the file (`dlpi_addr`).
    pub base: usize,
    /// The addresses that its loadable segments occupy.
    pub segments: Vec<Range<usize>>,
}

impl LoadedObject {
    /// Whether `address` lies in one of the object's segments.
    #[must_use]
    pub fn contains(&self, address: usize) -> bool {
        self.segments.iter().any(|s| s.contains(&address))
    }
}

/// Everything that is loaded now, in the order of loading: the main program first.
#[must_use]
pub fn loaded_objects() -> Vec<LoadedObject> {
    let loaded = code::loaded();
    let object = |l: &code::Library| LoadedObject {
        path: PathBuf::from(OsStr::from_bytes(&l.id)),
        base: l.base,
        segments: l.segments.iter().map(|s| s.range.start..s.range.end).collect(),
    };
    loaded.list.iter().map(object).collect()
}

/// A loaded object held open, so that it stays, and its symbols can be asked for.
#[derive(Debug)]
pub struct OpenObject {
    object: LoadedObject,
    library: Library,
}

impl OpenObject {
    /// Takes hold of an object that is loaded already; `None` if it cannot be opened (the kernel's
    /// pseudo-library) or has gone meanwhile.
    #[must_use]
    pub fn open(object: LoadedObject) -> Option<Self> {
        if object.path.as_os_str().is_empty() {
            return Some(Self {
                object,
                library: Library::this(),
            });
        }
        let library = open_loaded(&object.path)?;
        Some(Self { object, library })
    }

    /// Takes hold of the loaded object that the linker knows under `path` or finds by that name; `None` if
    /// there is none. Nothing is loaded.
    #[must_use]
    pub fn find(path: &Path) -> Option<Self> {
        let wanted = open_loaded(path)?.into_raw();
        let found = loaded_objects()
            .into_iter()
            .filter_map(Self::open)
            .find_map(|open| {
                let Self { object, library } = open;
                let raw = library.into_raw();
                // SAFETY: the handle was taken out of a library just above; it is put back once.
                let library = unsafe { Library::from_raw(raw) };
                (raw == wanted).then_some(Self { object, library })
            });
        // SAFETY: as above; dropping it gives back the reference that `open_loaded` took.
        drop(unsafe { Library::from_raw(wanted) });
        found
    }

    /// Takes hold of the loaded object whose load address is `base`; `None` if there is none.
    #[must_use]
    pub fn find_at(base: usize) -> Option<Self> {
        loaded_objects()
            .into_iter()
            .find(|object| object.base == base)
            .and_then(Self::open)
    }

    /// Keeps the object loaded for the rest of the process.
    pub fn keep(self) {
        // The reference that the handle stands for is never given back.
        let _ = self.library.into_raw();
    }

    /// The object's place in memory.
    #[must_use]
    pub fn object(&self) -> &LoadedObject {
        &self.object
    }

    /// The address of the exported symbol `name` in this object itself. Symbols of the same name in other
    /// objects, which the linker searches as well (dependencies, or for the main program everything), do
    /// not count.
    #[must_use]
    pub fn symbol(&self, name: &CStr) -> Option<usize> {
        self.symbol_in_scope(name)
            .filter(|&address| self.object.contains(address))
    }

    /// The address of `name` as this object's own references to it are bound when it is asked by its handle: in itself,
    /// or in what it depends on (for the main program in everything).
    #[must_use]
    pub fn symbol_in_scope(&self, name: &CStr) -> Option<usize> {
        // SAFETY: the address is not used as anything here.
        let symbol = unsafe { self.library.get::<*mut c_void>(name.to_bytes_with_nul()) }.ok()?;
        Some(symbol.as_raw_ptr() as usize)
    }
}

/// A handle of an object that is loaded already.
fn open_loaded(path: &Path) -> Option<Library> {
    // SAFETY: with RTLD_NOLOAD nothing is loaded, so no initialiser runs.
    unsafe { Library::open(Some(path), RTLD_LAZY | libc::RTLD_NOLOAD) }.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn libc_object() -> LoadedObject {
        let address = libc::getpid as *const () as usize;
        loaded_objects()
            .into_iter()
            .find(|o| o.contains(address))
            .expect("libc is loaded")
    }

    #[test]
    fn the_program_comes_first_and_contains_us() {
        let objects = loaded_objects();
        assert_eq!(objects[0].path, PathBuf::new());
        assert!(objects[0].contains(libc_object as *const () as usize));
        assert!(!objects[0].contains(libc::getpid as *const () as usize));
    }

    #[test]
    fn a_symbol_is_found_in_its_own_object_alone() {
        let libc_so = OpenObject::open(libc_object()).expect("libc can be opened");
        assert_eq!(
            libc_so.symbol(c"getpid"),
            Some(libc::getpid as *const () as usize)
        );
        assert_eq!(libc_so.symbol(c"no_such_symbol_anywhere"), None);
        let program = OpenObject::open(loaded_objects().swap_remove(0)).expect("the program can be opened");
        assert_eq!(
            program.symbol(c"getpid"),
            None,
            "found by the linker, but in another object"
        );
    }

    #[test]
    fn an_object_is_found_by_its_path_and_by_its_name() {
        let object = libc_object();
        assert_eq!(OpenObject::find(&object.path).expect("by path").object(), &object);
        let name = Path::new(object.path.file_name().expect("a file"));
        assert_eq!(OpenObject::find(name).expect("by name").object(), &object);
        assert!(OpenObject::find(Path::new("libnot-loaded.so.7")).is_none());
    }
}
