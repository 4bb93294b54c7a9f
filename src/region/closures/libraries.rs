//! Which loaded libraries are the ones that a file's closures were saved with.

use once_cell::race::OnceBool;

use thiserror::Error;

use super::identity;
use super::save::digest;
use crate::os::code::{self, Library, display_id};
use crate::os::env;
use crate::relocate::closures::CodeMove;
use olean_reader::format::extension::{self, Extension, ExtensionError, LibraryIdentity};
use olean_reader::format::trailer::{SavedLibrary, Trailer};

/// Set to 1, it lets a library that was moved or renamed stand in for the saved one when both have the same
/// identity.
pub const ALLOW_MOVED: &str = "LEAN_REGION_ALLOW_MOVED_LIBRARIES";

/// Why the libraries that a file needs are not there.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LibraryError {
    /// No loaded library has the saved id.
    #[error(
        "library required for closure relocation is not loaded in this process: '{id}'{}",
        elsewhere.as_ref().map(|path| format!(
            "; the same library is loaded as '{path}': set {ALLOW_MOVED}=1 to accept it"
        )).unwrap_or_default()
    )]
    Missing {
        /// The id as saved; empty for the main program.
        id: String,
        /// Where a library of the same identity is loaded from, when there is exactly one.
        elsewhere: Option<String>,
    },
    /// The loaded library of the saved id is another one.
    #[error(
        "library '{library}' is not the one that the closures were saved with: it had {saved}, the loaded one has \
         {loaded}; save the file again with this library"
    )]
    Changed {
        /// The library's id.
        library: String,
        /// Its identity when the file was saved.
        saved: String,
        /// The identity of the loaded one.
        loaded: String,
    },
    /// Several loaded libraries have the saved id, and identity does not choose one.
    #[error(
        "{count} loaded libraries are called '{library}', and nothing tells which one the closures belong to"
    )]
    Ambiguous {
        /// The id.
        library: String,
        /// How many have it.
        count: usize,
    },
    /// The closure offsets or the library table are not what was written.
    #[error("the closure offsets or the library table have been altered: they do not match their digest")]
    Altered,
    /// The extension section cannot be used.
    #[error(transparent)]
    Extension(#[from] ExtensionError),
}

/// What becomes of closures whose library is not loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MissingCode {
    /// The file is refused.
    #[default]
    Refuse,
    /// They have no code, and nobody may call them.
    Leave,
}

/// Where the libraries of a file are loaded now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matched {
    /// One entry per library of the file's table, in its order.
    pub moves: Vec<CodeMove>,
    /// What the report should say about it.
    pub notes: Vec<String>,
}

/// Finds the libraries of `trailer` among the loaded ones: by id, as the incumbent does, and then by identity where
/// the file has identities.
///
/// # Errors
/// See [`LibraryError`].
pub fn match_libraries(trailer: &Trailer<'_>, missing: MissingCode) -> Result<Matched, LibraryError> {
    let loaded = code::loaded();
    // It loosens a check, so what is unclear counts as off.
    static MOVED: OnceBool = OnceBool::new();
    let allow_moved = MOVED.get_or_init(|| env::switch(ALLOW_MOVED, false));
    let extension = match trailer.extension() {
        Some(payload) => extension::decode(payload, trailer.library_count())?,
        None => Extension::default(),
    };
    if extension
        .sections
        .is_some_and(|saved| saved != digest(trailer.sections()))
    {
        return Err(LibraryError::Altered);
    }
    let mut matched = Matched {
        moves: Vec::with_capacity(trailer.library_count()),
        notes: Vec::new(),
    };
    for (index, saved) in trailer.libraries().enumerate() {
        let identity = extension.identities.as_ref().map(|all| &all[index]);
        let (library, note) = match match_one(&loaded.list, &saved, identity, allow_moved) {
            Err(LibraryError::Missing { .. }) if missing == MissingCode::Leave => {
                matched.moves.push(CodeMove::gone(saved.base));
                continue;
            }
            found => found?,
        };
        matched.notes.extend(note);
        let code = library.segments.iter().filter(|s| s.executable);
        matched.moves.push(CodeMove {
            saved_base: saved.base,
            base: library.base as u64,
            code: code.map(|s| s.range.start as u64..s.range.end as u64).collect(),
        });
    }
    Ok(matched)
}

pub(super) fn match_one<'a>(
    loaded: &'a [Library],
    saved: &SavedLibrary<'_>,
    identity: Option<&LibraryIdentity>,
    allow_moved: bool,
) -> Result<(&'a Library, Option<String>), LibraryError> {
    let named: Vec<&Library> = loaded.iter().filter(|l| l.id == saved.id).collect();
    let Some(identity) = identity else {
        return match named[..] {
            [library] => Ok((library, None)),
            [] => Err(LibraryError::Missing {
                id: lossy(saved.id),
                elsewhere: None,
            }),
            _ => Err(LibraryError::Ambiguous {
                library: display_id(saved.id),
                count: named.len(),
            }),
        };
    };
    let equal: Vec<&Library> = named
        .iter()
        .copied()
        .filter(|l| identity::matches(l, identity))
        .collect();
    match (&equal[..], &named[..]) {
        ([library], _) => Ok((library, None)),
        ([], []) => match_moved(loaded, saved, identity, allow_moved),
        ([], [other, ..]) => Err(LibraryError::Changed {
            library: display_id(saved.id),
            saved: identity.to_string(),
            loaded: identity::like(other, identity).map_or("none".to_owned(), |i| i.to_string()),
        }),
        _ => Err(LibraryError::Ambiguous {
            library: display_id(saved.id),
            count: equal.len(),
        }),
    }
}

/// The saved library under another name, which only identity can tell.
fn match_moved<'a>(
    loaded: &'a [Library],
    saved: &SavedLibrary<'_>,
    identity: &LibraryIdentity,
    allow_moved: bool,
) -> Result<(&'a Library, Option<String>), LibraryError> {
    let equal: Vec<&Library> = loaded.iter().filter(|l| identity::matches(l, identity)).collect();
    match equal[..] {
        [library] if allow_moved => {
            let (id, name) = (display_id(saved.id), library.name());
            Ok((
                library,
                Some(format!(
                    "library '{id}' is loaded as '{name}', which has the same {identity}"
                )),
            ))
        }
        [library] => Err(LibraryError::Missing {
            id: lossy(saved.id),
            elsewhere: Some(library.name()),
        }),
        _ => Err(LibraryError::Missing {
            id: lossy(saved.id),
            elsewhere: None,
        }),
    }
}

fn lossy(id: &[u8]) -> String {
    String::from_utf8_lossy(id).into_owned()
}
