//! The list of files that lies beside a snapshot: a JSON array with an object for each module that it was saved over,
//! whose values are paths (docs/format.md, Sidecar of a snapshot). What this hands out is ready for the system's
//! calls: paths with a terminator, in the order in which files are read.

use super::room::{NoMemory, push};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::ffi::CStr;
use std::fmt;
use std::ops::Range;

/// What is put behind the name of a snapshot for the name of its list.
pub const SUFFIX: &str = ".deps";

/// The keys of a module's files, in the order in which they are read: first the parts of the module, then those of its
/// compiled code.
const KEYS: [&str; 5] = ["olean", "oleanServer", "oleanPrivate", "irSig", "ir"];
/// How many of them are parts of the module.
const OLEAN: usize = 3;

/// What memory is asked for.
const WHAT: &str = "the list of a snapshot's files";

/// The modules of a list.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Sidecar {
    /// All paths, each with a terminator.
    text: Vec<u8>,
    /// Where each path begins, in the order in which they are read.
    files: Vec<usize>,
    /// For each module the file behind its last part, and the one behind its last part of compiled code.
    modules: Vec<[usize; 2]>,
}

/// The files of a module: indices for [`Sidecar::file`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its parts, each of which may point into the ones before it.
    pub olean: Range<usize>,
    /// The same for its compiled code, which points into none of the parts.
    pub ir: Range<usize>,
}

impl Sidecar {
    /// Reads a list. Relative paths get `folder` in front, if it is not empty.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(json: &[u8], folder: &[u8]) -> Result<Self, serde_json::Error> {
        let mut list = Self::default();
        let mut json = serde_json::Deserializer::from_slice(json);
        json.deserialize_seq(List(&mut list, folder))?;
        json.end()?;
        Ok(list)
    }

    /// How many modules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.modules.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty()
    }

    /// How many files there are.
    #[must_use]
    pub fn file_count(&self) -> usize {
        self.files.len()
    }

    /// A file's path.
    ///
    /// # Panics
    /// When there are not so many files.
    #[must_use]
    pub fn file(&self, index: usize) -> &CStr {
        CStr::from_bytes_until_nul(&self.text[self.files[index]..]).unwrap_or_default()
    }

    /// A module's files.
    ///
    /// # Panics
    /// When there are not so many modules.
    #[must_use]
    pub fn module(&self, index: usize) -> Module {
        let start = index.checked_sub(1).map_or(0, |before| self.modules[before][1]);
        let [olean, ir] = self.modules[index];
        Module {
            olean: start..olean,
            ir: olean..ir,
        }
    }
}

/// An error of the list for memory that was refused.
fn refused<E: Error>(bytes: usize) -> E {
    E::custom(NoMemory { what: WHAT, bytes })
}

/// The whole list.
struct List<'a>(&'a mut Sidecar, &'a [u8]);

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of modules")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut modules: A) -> Result<(), A::Error> {
        while modules.next_element_seed(OneModule(self.0, self.1))?.is_some() {}
        Ok(())
    }
}

/// One module of it.
struct OneModule<'a>(&'a mut Sidecar, &'a [u8]);

impl<'de> DeserializeSeed<'de> for OneModule<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OneModule<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a module: an object with the paths of its files")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Self(list, folder) = self;
        // Keys come in any order; of one that comes twice the last one counts.
        let mut found = [None; KEYS.len()];
        while let Some(key) = entries.next_key_seed(Key)? {
            match key {
                Some(key) => found[key] = entries.next_value_seed(Path(&mut list.text, folder))?,
                None => _ = entries.next_value::<IgnoredAny>()?,
            }
        }
        let Sidecar { files, modules, .. } = list;
        let mut enter = |found: &[Option<usize>]| -> Result<usize, NoMemory> {
            let mut found = found.iter().flatten();
            found.try_for_each(|&file| push(files, file, WHAT))?;
            Ok(files.len())
        };
        let ends = enter(&found[..OLEAN]).and_then(|olean| Ok([olean, enter(&found[OLEAN..])?]));
        push(modules, ends.map_err(A::Error::custom)?, WHAT).map_err(A::Error::custom)
    }
}

/// The place of a key among [`KEYS`]; `None` for what is no file that is read.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<usize>, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(KEYS.iter().position(|&known| known == key))
    }
}

/// A path, put behind the text; where it begins. `null` is none.
struct Path<'a>(&'a mut Vec<u8>, &'a [u8]);

impl<'de> DeserializeSeed<'de> for Path<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<usize>, D::Error> {
        json.deserialize_any(self)
    }
}

impl Visitor<'_> for Path<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path")
    }

    fn visit_unit<E: Error>(self) -> Result<Option<usize>, E> {
        Ok(None)
    }

    fn visit_str<E: Error>(self, path: &str) -> Result<Option<usize>, E> {
        let Self(text, folder) = self;
        if path.is_empty() || path.contains('\0') {
            return Err(E::custom("an empty path, or one with a NUL character"));
        }
        let folder = if path.starts_with('/') { &b""[..] } else { folder };
        let bytes = folder.len() + path.len() + 2;
        text.try_reserve(bytes)
            .map_err(|_| refused((2 * text.len()).max(bytes)))?;
        let start = text.len();
        text.extend(folder);
        if !folder.is_empty() && !folder.ends_with(b"/") {
            text.push(b'/');
        }
        text.extend(path.as_bytes());
        text.push(0);
        Ok(Some(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &Sidecar, files: Range<usize>) -> Vec<&str> {
        files.map(|i| list.file(i).to_str().unwrap()).collect()
    }

    fn modules(list: &Sidecar) -> Vec<[Vec<&str>; 2]> {
        let module = |i| {
            let Module { olean, ir } = list.module(i);
            [texts(list, olean), texts(list, ir)]
        };
        (0..list.len()).map(module).collect()
    }

    #[test]
    fn files_come_in_the_order_in_which_they_are_read() {
        let json = br#" [{"ir":"a.ir","irSig":"a.ir.sig","olean":"a.olean","oleanPrivate":"a.olean.private",
                          "oleanServer":"a.olean.server"},
                         {"olean": "/\u00e9\\b.olean", "lean": ["a", {"olean": 1}], "ir": null},
                         {},
                         {"ir": "first", "ir": "last"}]"#;
        let list = Sidecar::parse(json, b"").unwrap();
        let a = ["a.olean", "a.olean.server", "a.olean.private"];
        assert_eq!(
            modules(&list),
            [
                [a.to_vec(), vec!["a.ir.sig", "a.ir"]],
                [vec!["/é\\b.olean"], vec![]],
                [vec![], vec![]],
                [vec![], vec!["last"]],
            ]
        );
        assert_eq!(list.file_count(), 7);
        assert!(Sidecar::parse(b"[]", b"").unwrap().is_empty());
    }

    #[test]
    fn relative_paths_begin_at_a_folder_if_one_is_given() {
        let json = br#"[{"olean": "a", "ir": "/b"}]"#;
        for (folder, a) in [
            (&b""[..], "a"),
            (b"..", "../a"),
            (b"/", "/a"),
            (b"/lib/", "/lib/a"),
        ] {
            let list = Sidecar::parse(json, folder).unwrap();
            assert_eq!(modules(&list), [[vec![a], vec!["/b"]]]);
        }
    }

    #[test]
    fn anything_else_is_an_error_that_says_where() {
        let deep = [&b"["[..], &b"{\"x\":".repeat(200)].concat();
        for (json, says) in [
            (&b""[..], "EOF"),
            (b"{}", "expected a list of modules"),
            (b"[1]", "expected a module"),
            (b"[[]]", "expected a module"),
            (b"[null]", "expected a module"),
            (b"[{\"olean\": 7}]", "expected a path at line 1 column 12"),
            (b"[{\"olean\": [\"a\"]}]", "expected a path"),
            (b"[{\"ir\": \"\"}]", "an empty path"),
            (b"[{\"ir\": \"a\\u0000b\"}]", "NUL"),
            (b"[{\"ir\": \"\xff\"}]", "invalid unicode"),
            (b"[{\"ir\": \"a\"}", "EOF"),
            (b"[] []", "trailing characters"),
            (&deep, "EOF"),
        ] {
            let e = Sidecar::parse(json, b"").unwrap_err().to_string();
            assert!(e.contains(says), "{}: {e}", json.escape_ascii());
        }
    }
}
