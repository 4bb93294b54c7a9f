//! Where the library to be swapped in is. One place after the other is looked at, and the error lists them all.

use crate::error::{Failure, Result};
use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// The library's file name in a build, and where its development files are installed.
const NAME: &str = "liblean_region.so";
/// Its SONAME, the name that every installation has (`build.rs` of the library sets it).
const SONAME: &str = "liblean_region.so.0";
/// Names a library in place of the search.
const VARIABLE: &str = "LEAN_REGION_LIBRARY";

/// The library: `given`, or the one that `LEAN_REGION_LIBRARY` names, or the first that is found: beside this
/// program or in `deps/` there (the newer one: `cargo run` leaves it only in `deps/`), in `../lib` or
/// `../lib/TRIPLET` of an installation, or where the dynamic linker looks.
pub fn find(given: Option<&Path>) -> Result<PathBuf> {
    let named = env::var_os(VARIABLE).filter(|path| !path.is_empty());
    let found = match given.or(named.as_deref().map(Path::new)) {
        Some(path) => path.canonicalize().map_err(Failure::io("open", path))?,
        None => {
            let program = env::current_exe().and_then(|path| path.canonicalize());
            let program = program.map_err(Failure::io("find", Path::new("olean itself")))?;
            search(program.parent().unwrap_or(Path::new("/")), &linker_dirs())?
        }
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

/// The library as seen from the program in the directory `here`.
fn search(here: &Path, linker: &[PathBuf]) -> Result<PathBuf> {
    let in_dir = |dir: &Path| {
        [NAME, SONAME]
            .map(|name| dir.join(name))
            .into_iter()
            .find(|p| p.is_file())
    };
    let modified = |path: &PathBuf| {
        path.metadata()
            .and_then(|m| m.modified())
            .unwrap_or(SystemTime::UNIX_EPOCH)
    };
    let built = [here.to_owned(), here.join("deps")];
    let mut installed = vec![here.join("../lib"), here.join("../lib").join(triplet())];
    installed.extend_from_slice(linker);
    built
        .iter()
        .filter_map(|dir| in_dir(dir))
        .max_by_key(modified)
        .or_else(|| installed.iter().find_map(|dir| in_dir(dir)))
        .and_then(|path| path.canonicalize().ok())
        .ok_or_else(|| {
            let looked: Vec<String> = built
                .iter()
                .chain(&installed)
                .map(|dir| format!("\n  {}", dir.display()))
                .collect();
            Failure::CannotRun(format!(
                "{NAME} is in none of the places where it is looked for:{}\nbuild it with `cargo build --release`, or name it with \
                 --library or {VARIABLE}",
                looked.concat()
            ))
        })
}

/// The directory below `lib` in which Debian and its kin keep libraries of this machine's kind.
fn triplet() -> &'static str {
    match env::consts::ARCH {
        "aarch64" => "aarch64-linux-gnu",
        _ => "x86_64-linux-gnu",
    }
}

/// The directories where the dynamic linker looks (ld.so(8)), in its order; of its cache only those that hold
/// this library.
fn linker_dirs() -> Vec<PathBuf> {
    let path = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let mut dirs = split(&path);
    // Not in everybody's PATH. A system without it has no cache either.
    let cache = ["/sbin/ldconfig", "/usr/sbin/ldconfig"]
        .iter()
        .find_map(|program| Command::new(program).arg("-p").output().ok());
    let text = cache.map(|output| output.stdout).unwrap_or_default();
    dirs.extend(cached(&String::from_utf8_lossy(&text)));
    dirs.extend(["/usr/local/lib", "/usr/lib", "/lib"].map(PathBuf::from));
    dirs
}

/// The directories in a list with colons; an empty entry is the working directory.
fn split(list: &OsStr) -> Vec<PathBuf> {
    match list.is_empty() {
        true => Vec::new(),
        false => env::split_paths(list).collect(),
    }
}

/// The directories of this library in what `ldconfig -p` prints: lines of `NAME (kinds) => PATH`.
fn cached(text: &str) -> impl Iterator<Item = PathBuf> {
    text.lines().filter_map(|line| {
        let (name, path) = line.trim().split_once(" (")?;
        let (_, path) = path.split_once("=> ")?;
        let ours = name == NAME || name == SONAME;
        ours.then(|| Path::new(path).parent().map(Path::to_owned))
            .flatten()
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A file `name` in `dir`, which is made.
    fn put(dir: &Path, name: &str) -> PathBuf {
        fs::create_dir_all(dir).unwrap();
        let path = dir.join(name);
        fs::write(&path, name).unwrap();
        path.canonicalize().unwrap()
    }

    #[test]
    fn places_are_looked_at_in_order_and_listed_when_all_are_empty() {
        let root = tempfile::tempdir().unwrap();
        let (bin, lib) = (root.path().join("bin"), root.path().join("lib"));
        let elsewhere = root.path().join("elsewhere");
        fs::create_dir(&bin).unwrap();
        let linker = [elsewhere.clone()];
        let error = search(&bin, &linker).unwrap_err().to_string();
        for place in ["bin", "bin/deps", "bin/../lib", "elsewhere"] {
            let line = format!("\n  {}\n", root.path().join(place).display());
            assert!(error.contains(&line), "{place}: {error}");
        }
        // Each place wins over those before it in this list.
        let places = [
            (elsewhere, SONAME),
            (lib.join(triplet()), SONAME),
            (lib.join(triplet()), NAME),
            (lib, NAME),
            (bin.join("deps"), NAME),
            (bin.clone(), NAME),
        ];
        for (dir, name) in places {
            let path = put(&dir, name);
            assert_eq!(search(&bin, &linker).unwrap(), path);
        }
        // Of the two places of a build the newer file, not the first.
        let path = put(&bin.join("deps"), NAME);
        assert_eq!(search(&bin, &linker).unwrap(), path);
    }

    #[test]
    fn the_linker_cache_and_path_are_understood() {
        let text = "2 libs found in cache `/etc/ld.so.cache'\n\
                    \tlibz.so.1 (libc6,x86-64) => /lib/libz.so.1\n\
                    \tliblean_region.so.0 (libc6,x86-64) => /opt/lean region/liblean_region.so.0\n";
        assert_eq!(cached(text).collect::<Vec<_>>(), [Path::new("/opt/lean region")]);
        assert_eq!(split(OsStr::new("/a:/b")), [Path::new("/a"), Path::new("/b")]);
        assert!(split(OsStr::new("")).is_empty());
    }
}
