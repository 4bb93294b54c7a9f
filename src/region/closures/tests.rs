//! Saved and found again: what one half writes is what the other looks for.

use super::identity;
use super::libraries::*;
use super::save::*;
use crate::os::code::{self, Library};
use crate::relocate::closures::relocate;
use olean_reader::format::extension::LibraryIdentity;
use olean_reader::format::object::TAG_CLOSURE;
use olean_reader::format::trailer::{DATA_OFFSET, SavedLibrary, Trailer};

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
    let saved = trailer(&data, &fields, &[]).unwrap();
    let parsed = Trailer::parse(&saved.bytes, DATA_OFFSET + data.len() as u64).unwrap();
    let libraries: Vec<_> = parsed.libraries().collect();
    assert_eq!(libraries.len(), 2);
    assert!(libraries[0].base < libraries[1].base);
    assert!(libraries.iter().any(|l| l.id.is_empty()));
    assert!(saved.reserved >= saved.bytes.len() && saved.reserved.is_multiple_of(8));

    let matched = match_libraries(&parsed, MissingCode::Refuse).unwrap();
    assert!(matched.notes.is_empty());
    let before = data.clone();
    relocate(&mut data, &parsed, &matched.moves).unwrap();
    assert_eq!(data, before, "nothing has moved");
}

#[test]
fn a_part_without_closures_has_an_empty_trailer() {
    let saved = trailer(&[0; 8], &[], &[]).unwrap();
    assert_eq!((saved.bytes, saved.reserved), (vec![0; 8], 16));
}

#[test]
fn code_of_no_library_is_refused_with_arity_and_address() {
    let heap = Box::new(0u64);
    let address = &raw const *heap as usize;
    let (data, fields) = data(&[own(), address]);
    let error = trailer(&data, &fields, &[]).unwrap_err();
    assert_eq!(
        error,
        ClosureError::NoLibrary {
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
        Err(ClosureError::Ambiguous { .. })
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
