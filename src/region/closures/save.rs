//! Which loaded libraries the closures of a part belong to, and the trailer that says so in its file.

use blake2::digest::consts::U16;
use blake2::{Blake2b, Digest};
use thiserror::Error;

use super::identity;
use crate::os::code::{self, Library};
use olean_reader::format::extension::{self, SectionsDigest};
use olean_reader::format::room::{NoMemory, filled, push};
use olean_reader::format::trailer::{NewTrailer, SavedLibrary, extension_section};

/// Why a part with closures cannot be saved.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ClosureError {
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
    /// There is no memory for the trailer.
    #[error(transparent)]
    Memory(#[from] NoMemory),
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
/// When a function is no code of exactly one loaded library, and in the other cases of [`ClosureError`].
///
/// # Panics
/// When an offset of `fields` leads out of `data`: they are the compactor's own.
pub fn trailer(data: &[u8], fields: &[u64], dependencies: &[u8]) -> Result<SavedTrailer, ClosureError> {
    let loaded = if fields.is_empty() {
        None
    } else {
        Some(code::loaded())
    };
    let list = loaded.as_ref().map_or(&[][..], |l| &l.list);
    let mut functions: Vec<Vec<usize>> = filled(Vec::new(), list.len(), "the closures' libraries")?;
    for field in fields {
        let field = &data[*field as usize..][..16];
        let function = usize::from_le_bytes(*field.first_chunk().expect("16 bytes"));
        let arity = u16::from_le_bytes([field[8], field[9]]);
        let owner = loaded.as_ref().and_then(|l| l.of_code(function));
        let owner = owner.ok_or(ClosureError::NoLibrary { arity, function })?;
        push(&mut functions[owner], function, "the closures' functions")?;
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
            let unloaded = || ClosureError::Unloaded(library.name());
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
    let mut bytes = new.encode()?.ok_or(ClosureError::TooMany)?;
    let mut section = Vec::new();
    if !identities.is_empty() || !dependencies.is_empty() {
        let mut payload = extension::encode(&identities, &digest(&bytes));
        if !dependencies.is_empty() {
            extension::push_dependencies(&mut payload, dependencies).map_err(|_| NoMemory {
                what: "the record of dependencies",
                bytes: dependencies.len(),
            })?;
        }
        section = extension_section(&payload);
    }
    bytes.try_reserve_exact(section.len()).map_err(|_| NoMemory {
        what: "the trailer",
        bytes: bytes.len() + section.len(),
    })?;
    bytes.extend(&section);
    Ok(SavedTrailer {
        bytes,
        reserved: new.reserved(section.len()),
    })
}

/// What the extension section remembers of the sections before it.
pub(super) fn digest(sections: &[u8]) -> SectionsDigest {
    Blake2b::<U16>::digest(sections).into()
}

/// Readers assign a function to the library with the greatest base at or below it. `used` is ordered by base, each
/// library's functions ascending.
pub(super) fn refuse_interleaved(used: &[(&Library, Vec<usize>)]) -> Result<(), ClosureError> {
    for (index, (library, functions)) in used.iter().enumerate() {
        // A library's code lies above its base; how far it may reach is what the next base says.
        if let (Some((next, _)), Some(&last)) = (used.get(index + 1), functions.last())
            && last >= next.base
        {
            let nearer = next.name();
            return Err(ClosureError::Ambiguous {
                function: last,
                library: library.name(),
                nearer,
            });
        }
    }
    Ok(())
}
