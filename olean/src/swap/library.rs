//! Where the library to be swapped in is: beside this program, in `deps/`, or installed.

use crate::error::{Failure, Result};
use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The library's file name.
const NAME: &str = "liblean_region.so";

/// The library: `given`, or the newer of the ones beside this program and in `deps/` there (`cargo run` leaves it
/// only in `deps/`), or the installed one.
pub fn find(given: Option<&Path>) -> Result<PathBuf> {
    let found = match given {
        Some(path) => path.canonicalize().map_err(Failure::io("open", path))?,
        None => search()?,
    };
    // `LD_PRELOAD` is a list, and knows no quoting (ld.so(8)).
    let separators = |b: &u8| matches!(b, b' ' | b':' | b'$');
    if found.as_os_str().as_bytes().iter().any(separators) {
        return Err(Failure::CannotRun(format!(
            "the path '{}' has a space, a colon or a dollar sign, which the dynamic linker cannot preload; copy the library \
             elsewhere and name it with --library",
            found.display()
        )));
    }
    Ok(found)
}

fn search() -> Result<PathBuf> {
    let program = env::current_exe().and_then(|path| path.canonicalize());
    let program = program.map_err(Failure::io("find", Path::new("olean itself")))?;
    let here = program.parent().unwrap_or(Path::new("/"));
    let modified = |path: &PathBuf| {
        path.metadata()
            .and_then(|m| m.modified())
            .unwrap_or(SystemTime::UNIX_EPOCH)
    };
    let built = [here.join(NAME), here.join("deps").join(NAME)];
    let newest = built
        .into_iter()
        .filter(|path| path.is_file())
        .max_by_key(modified);
    let installed = [here.join("../lib"), "/usr/local/lib".into(), "/usr/lib".into()];
    newest
        .or_else(|| installed.iter().map(|dir| dir.join(NAME)).find(|path| path.is_file()))
        .and_then(|path| path.canonicalize().ok())
        .ok_or_else(|| {
            Failure::CannotRun(format!(
                "{NAME} is neither in '{}', in deps/ there, nor in a library directory; build it with cargo build, or name it \
                 with --library",
                here.display()
            ))
        })
}

/// The value of `LD_PRELOAD` that has `library` first and keeps what is there.
pub fn preload(library: &Path) -> OsString {
    let mut list = library.as_os_str().to_owned();
    if let Some(others) = env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
        list.push(":");
        list.push(others);
    }
    list
}
