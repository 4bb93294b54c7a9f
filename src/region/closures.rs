//! The libraries behind the closures of a version 3 file: which ones a saved part needs, and which loaded ones they
//! are in the process that reads it.

use std::ffi::OsStr;

use blake2::digest::consts::U16;
use blake2::{Blake2b, Digest};
use thiserror::Error;

use crate::os::code::{self, Library, display_id};
use crate::os::{env, identity};
use crate::relocate::closures::CodeMove;
use olean_reader::format::extension::{self, Extension, ExtensionError, LibraryIdentity, SectionsDigest};
use olean_reader::format::trailer::{NewTrailer, SavedLibrary, Trailer, extension_section};

/// Set to 1, it lets a library that was moved or renamed stand in for the saved one when both have the same
/// identity.
pub const ALLOW_MOVED: &str = "LEAN_REGION_ALLOW_MOVED_LIBRARIES";

/// Why a part with closures cannot be saved.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SaveError {
    /// A function pointer is no code of exactly one loaded library.
    #[error(
        "closure function pointer does not belong to any loaded library: a closure of arity {arity} has its code at \
         {function:#x}, which lies in no library's code; code that is generated at run time cannot be saved"
    )]
    NoLibrary {
        /// The closure's arity.
        arity: u16,
        /// Its code address.
        function: usize,
    },
    /// The format cannot say which of two libraries a function belongs to.
    #[error(
        "closure function pointer {function:#x} belongs to '{library}', but the base address of '{nearer}' lies \
         between them, so that a reader would take it for code of the latter"
    )]
    Ambiguous {
        /// The code address.
        function: usize,
        /// The library it belongs to.
        library: String,
        /// The library with the greatest base below it.
        nearer: String,
    },
    /// A library has been unloaded although closures point into it.
    #[error("library '{0}' was unloaded while closures of its functions were being saved")]
    Unloaded(String),
    /// More closures or libraries than the format can count.
    #[error("too many closures for a region file: their number is stored in 32 bits")]
    TooMany,
}

/// The trailer of a part, ready to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedTrailer {
    /// What follows the data in the file.
    pub bytes: Vec<u8>,
    /// What to keep free behind the data in the shared buffer (see [`NewTrailer::reserved`]).
    pub reserved: usize,
}

/// The trailer for a part whose data section is `data` and whose closures have their `m_fun` fields at the offsets
/// `fields` from its start. The libraries are looked up now; a part without closures looks at none.
///
/// # Errors
/// When a function is no code of exactly one loaded library, and in the other cases of [`SaveError`].
///
/// # Panics
/// When an offset of `fields` leads out of `data`: they are the compactor's own.
pub fn trailer(data: &[u8], fields: &[u64]) -> Result<SavedTrailer, SaveError> {
    let loaded = if fields.is_empty() {
        None
    } else {
        Some(code::loaded())
    };
    let list = loaded.as_ref().map_or(&[][..], |l| &l.list);
    let mut functions: Vec<Vec<usize>> = vec![Vec::new(); list.len()];
    for field in fields {
        let field = &data[*field as usize..][..16];
        let function = usize::from_le_bytes(*field.first_chunk().expect("16 bytes"));
        let arity = u16::from_le_bytes([field[8], field[9]]);
        let owner = loaded.as_ref().and_then(|l| l.of_code(function));
        functions[owner.ok_or(SaveError::NoLibrary { arity, function })?].push(function);
    }

    let mut used: Vec<(&Library, Vec<usize>)> = list
        .iter()
        .zip(functions)
        .filter(|(_, functions)| !functions.is_empty())
        .collect();
    used.sort_by_key(|(library, _)| library.base);
    let identities = used
        .iter_mut()
        .map(|(library, functions)| {
            let unloaded = || SaveError::Unloaded(library.name());
            identity::of_library(library, functions).ok_or_else(unloaded)
        })
        .collect::<Result<Vec<_>, _>>()?;
    refuse_interleaved(&used)?;

    let libraries: Vec<SavedLibrary<'_>> = used
        .iter()
        .map(|(library, _)| SavedLibrary {
            base: library.base as u64,
            id: &library.id,
        })
        .collect();
    let new = NewTrailer {
        closures: fields,
        libraries: &libraries,
    };
    let mut bytes = new.encode().ok_or(SaveError::TooMany)?;
    let mut section = Vec::new();
    if !identities.is_empty() {
        section = extension_section(&extension::encode(&identities, &digest(&bytes)));
    }
    bytes.extend(&section);
    Ok(SavedTrailer {
        bytes,
        reserved: new.reserved(section.len()),
    })
}

/// What the extension section remembers of the sections before it.
fn digest(sections: &[u8]) -> SectionsDigest {
    Blake2b::<U16>::digest(sections).into()
}

/// Readers assign a function to the library with the greatest base at or below it. `used` is ordered by base, each
/// library's functions ascending.
fn refuse_interleaved(used: &[(&Library, Vec<usize>)]) -> Result<(), SaveError> {
    for (index, (library, functions)) in used.iter().enumerate() {
        // A library's code lies above its base; how far it may reach is what the next base says.
        if let (Some((next, _)), Some(&last)) = (used.get(index + 1), functions.last())
            && last >= next.base
        {
            let nearer = next.name();
            return Err(SaveError::Ambiguous {
                function: last,
                library: library.name(),
                nearer,
            });
        }
    }
    Ok(())
}

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
pub fn match_libraries(trailer: &Trailer<'_>) -> Result<Matched, LibraryError> {
    let loaded = code::loaded();
    let allow_moved = env::var(ALLOW_MOVED).is_some_and(|v| v == OsStr::new("1"));
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
        let (library, note) = match_one(&loaded.list, &saved, identity, allow_moved)?;
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

fn match_one<'a>(
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relocate::closures::relocate;
    use olean_reader::format::layout::TAG_CLOSURE;
    use olean_reader::format::trailer::DATA_OFFSET;

    fn closure(function: usize, arity: u16) -> Vec<u8> {
        let mut out = vec![0; 24];
        out[4] = 24;
        out[7] = TAG_CLOSURE;
        out[8..16].copy_from_slice(&(function as u64).to_le_bytes());
        out[16..18].copy_from_slice(&arity.to_le_bytes());
        out
    }

    fn own() -> usize {
        own as fn() -> usize as usize
    }

    /// Data with one closure per function.
    fn data(functions: &[usize]) -> (Vec<u8>, Vec<u64>) {
        let mut data = vec![0; 8];
        let mut fields = Vec::new();
        for function in functions {
            fields.push(data.len() as u64 + 8);
            data.extend(closure(*function, 7));
        }
        (data, fields)
    }

    #[test]
    fn saved_libraries_are_found_again_and_ordered_by_base() {
        let getpid = libc::getpid as *const () as usize;
        let (mut data, fields) = data(&[getpid, own(), getpid]);
        let saved = trailer(&data, &fields).unwrap();
        let parsed = Trailer::parse(&saved.bytes, DATA_OFFSET + data.len() as u64).unwrap();
        let libraries: Vec<_> = parsed.libraries().collect();
        assert_eq!(libraries.len(), 2);
        assert!(libraries[0].base < libraries[1].base);
        assert!(libraries.iter().any(|l| l.id.is_empty()));
        assert!(saved.reserved >= saved.bytes.len() && saved.reserved.is_multiple_of(8));

        let matched = match_libraries(&parsed).unwrap();
        assert!(matched.notes.is_empty());
        let before = data.clone();
        relocate(&mut data, &parsed, &matched.moves).unwrap();
        assert_eq!(data, before, "nothing has moved");
    }

    #[test]
    fn a_part_without_closures_has_an_empty_trailer() {
        let saved = trailer(&[0; 8], &[]).unwrap();
        assert_eq!((saved.bytes, saved.reserved), (vec![0; 8], 16));
    }

    #[test]
    fn code_of_no_library_is_refused_with_arity_and_address() {
        let heap = Box::new(0u64);
        let address = &raw const *heap as usize;
        let (data, fields) = data(&[own(), address]);
        let error = trailer(&data, &fields).unwrap_err();
        assert_eq!(
            error,
            SaveError::NoLibrary {
                arity: 7,
                function: address
            }
        );
        let text = error.to_string();
        assert!(
            text.starts_with("closure function pointer does not belong to any loaded library"),
            "{text}"
        );
        assert!(
            text.contains("arity 7") && text.contains(&format!("{address:#x}")),
            "{text}"
        );
    }

    #[test]
    fn libraries_whose_ranges_interleave_are_refused() {
        let mut near = code::loaded().list[0].clone();
        let far = near.clone();
        near.base += 64;
        let used = [
            (&far, vec![far.base + 8, far.base + 100]),
            (&near, vec![near.base + 200]),
        ];
        assert!(matches!(
            refuse_interleaved(&used),
            Err(SaveError::Ambiguous { .. })
        ));
        let used = [
            (&far, vec![far.base + 8, far.base + 63]),
            (&near, vec![near.base + 200]),
        ];
        assert_eq!(refuse_interleaved(&used), Ok(()));
    }

    fn identity_of(library: &Library) -> LibraryIdentity {
        identity::of_library(library, &mut vec![]).unwrap()
    }

    #[test]
    fn missing_changed_and_ambiguous_libraries_are_told_apart() {
        let loaded = code::loaded();
        let program = loaded.list[0].clone();
        let libc = loaded.list[loaded.of_code(libc::getpid as *const () as usize).unwrap()].clone();
        let (program_is, libc_is) = (identity_of(&program), identity_of(&libc));
        let list = [program.clone(), libc.clone()];
        let saved = |id| SavedLibrary { base: 0, id };
        let find = |list: &[Library], id, identity, allow| {
            match_one(list, &saved(id), identity, allow).map(|(l, note)| (l.base, note))
        };

        assert_eq!(find(&list, b"", None, false), Ok((program.base, None)));
        assert_eq!(
            find(&list, b"", Some(&program_is), false),
            Ok((program.base, None))
        );
        let error = find(&list, b"", Some(&libc_is), true).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("'the main program'") && text.contains(&program_is.to_string()),
            "{text}"
        );
        assert!(text.contains(&libc_is.to_string()), "{text}");

        let gone = "library required for closure relocation is not loaded in this process: '/old/libc.so'";
        let error = find(&list, b"/old/libc.so", None, true).unwrap_err();
        assert_eq!(error.to_string(), gone);
        let error = find(&list, b"/old/libc.so", Some(&libc_is), false).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with(gone) && text.contains(ALLOW_MOVED) && text.contains(&libc.name()),
            "{text}"
        );
        let (base, note) = find(&list, b"/old/libc.so", Some(&libc_is), true).unwrap();
        let note = note.unwrap();
        assert!(
            base == libc.base && note.contains("/old/libc.so") && note.contains(&libc.name()),
            "{note}"
        );

        let mut twin = libc.clone();
        twin.id = Vec::new();
        let twins = [program.clone(), twin.clone()];
        let error = find(&twins, b"", None, false).unwrap_err();
        assert_eq!(
            error,
            LibraryError::Ambiguous {
                library: "the main program".into(),
                count: 2
            }
        );
        // The twin is not where the linker has a library of that id, so only the program can be identified.
        assert_eq!(
            find(&twins, b"", Some(&program_is), false),
            Ok((program.base, None))
        );
    }
}
