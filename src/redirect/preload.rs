//! Whether `LD_PRELOAD` names this very library (ld.so(8)): only then does loading it mean to swap it in.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Whether `LD_PRELOAD` names the library that was loaded from `own`; never if `own` is empty, which is
/// the main program.
#[must_use]
pub fn names(own: &Path) -> bool {
    let list = std::env::var_os("LD_PRELOAD");
    list.is_some_and(|list| list_names(&list, own))
}

/// Entries are separated by spaces or colons.
fn list_names(list: &OsString, own: &Path) -> bool {
    let entries = list
        .as_bytes()
        .split(|&b| b == b' ' || b == b':')
        .filter(|e| !e.is_empty());
    !own.as_os_str().is_empty()
        && entries
            .map(OsStr::from_bytes)
            .any(|entry| entry_names(entry, own))
}

/// An entry with a slash is a path; one without is looked for in the library path, and one with a `$` is
/// expanded, so of those the file name has to do.
fn entry_names(entry: &OsStr, own: &Path) -> bool {
    let bytes = entry.as_bytes();
    if bytes.contains(&b'/') && !bytes.contains(&b'$') {
        let file = |path: &Path| std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
        let wanted = file(Path::new(entry));
        return wanted.is_some() && wanted == file(own);
    }
    Path::new(entry).file_name() == own.file_name()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_known_by_its_file_whatever_the_path() {
        let dir = testkit::temp_dir("preload");
        let own = dir.path().join("liblean_region.so");
        let other = dir.path().join("libother.so");
        let link = dir.path().join("link.so");
        for file in [&own, &other] {
            std::fs::write(file, "x").unwrap();
        }
        std::os::unix::fs::symlink(&own, &link).unwrap();
        let named = |list: &str| {
            let dir = dir.path().to_str().unwrap();
            list_names(&list.replace("DIR", dir).into(), &own)
        };
        assert!(named("DIR/liblean_region.so"));
        assert!(named("DIR/libother.so:DIR/link.so"));
        assert!(named("  DIR/libother.so  DIR/./liblean_region.so "));
        assert!(named("liblean_region.so"));
        assert!(named("$ORIGIN/../liblean_region.so"));
        assert!(!named("DIR/libother.so"));
        assert!(!named("DIR/absent/liblean_region.so"));
        assert!(!named("libother.so"));
        assert!(!named(""));
        assert!(!list_names(&OsString::from("/"), Path::new("")));
    }
}
