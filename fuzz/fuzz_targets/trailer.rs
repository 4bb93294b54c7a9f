//! What follows the data of a version 3 file, and the records of the extension section: decoded as the loader does it
//! and as the reader does, and written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use olean_reader::format::extension;
use olean_reader::format::header::{Header, ROOT_SLOT_V3, VERSION_3};
use olean_reader::format::trailer::{
    NewTrailer, SavedLibrary, Trailer, closure_count, ends_with_extension, extension_section,
};
use olean_reader::{File, Width};

fuzz_target!(|data: &[u8]| {
    let at = (ROOT_SLOT_V3 + 8) as u64;
    let count = closure_count(data, at);
    let parsed = Trailer::parse(data, at);
    let file = file(data);
    let read = File::parse(&file, "", Some(Width::W64));
    let Ok(trailer) = parsed else {
        assert!(read.is_err(), "the reader alone takes it");
        return;
    };
    assert_eq!(count.expect("it was read") as usize, trailer.closures().len());
    let closures: Vec<u64> = trailer.closures().collect();
    let libraries: Vec<SavedLibrary<'_>> = trailer.libraries().collect();
    assert_eq!(libraries.len(), trailer.library_count());
    let new = NewTrailer {
        closures: &closures,
        libraries: &libraries,
    };
    let written = new.encode().expect("memory").expect("it was counted in 32 bits");
    assert_eq!(written, trailer.sections());

    if let Ok(read) = &read {
        let sections = read.sections().expect("version 3");
        assert!(sections.closure_offsets().eq(closures.iter().copied()));
        let theirs = sections.libraries.iter().map(|l| (l.base, l.id));
        assert!(theirs.eq(libraries.iter().map(|l| (l.base, l.id))));
        assert_eq!(sections.extension, trailer.extension());
        // The reader takes nothing else behind the table.
        let section = trailer.extension().map(extension_section).unwrap_or_default();
        assert_eq!([written, section].concat(), data);
    }

    let Some(payload) = trailer.extension() else {
        return;
    };
    assert!(ends_with_extension(data), "its end is not found");
    let dependencies = extension::dependencies(payload);
    let Ok(decoded) = extension::decode(payload, trailer.library_count()) else {
        return;
    };
    let identities = decoded.identities.unwrap_or_default();
    let mut again = extension::encode(&identities, &decoded.sections.unwrap_or_default());
    let result = extension::decode(&again, identities.len()).expect("it was just written");
    assert_eq!(result.identities.expect("written"), identities);
    if let Ok(Some(record)) = dependencies {
        let mut list: Vec<_> = record.iter().collect();
        let bytes = olean_reader::format::dependencies::encode(&mut list).expect("memory");
        extension::push_dependencies(&mut again, &bytes).expect("memory");
        let found = extension::dependencies(&again)
            .expect("written")
            .expect("written");
        assert!(found.iter().eq(record.iter()));
    }
});

/// A file without objects, and `trailer` behind its data.
fn file(trailer: &[u8]) -> Vec<u8> {
    let header = Header {
        version: VERSION_3,
        flags: 1,
        lean_version: [0; 33],
        githash: [b'a'; 40],
        base: 0x1234_0000,
    };
    let mut file = header.encode().to_vec();
    file.extend(8u64.to_le_bytes());
    file.extend(1u64.to_le_bytes());
    file.extend(trailer);
    file
}
