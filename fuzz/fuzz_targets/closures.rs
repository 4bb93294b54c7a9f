//! Code addresses of closures rewritten for libraries that have moved: each as its library has, and nothing else; and
//! what the reader takes is refused for the place of code alone.
#![no_main]

use arbitrary::Arbitrary;
use lean_region::relocate::closures::{ClosureError, CodeMove, relocate};
use lean_region_fuzz::damage;
use libfuzzer_sys::fuzz_target;
use olean_reader::format::header::{HEADER_SIZE, ROOT_SLOT_V3};
use olean_reader::format::object::CLOSURE_HEADER;
use olean_reader::format::trailer::Trailer;
use olean_reader::{File, Region, Width};
use testkit::olean::Spec;

#[derive(Debug, Arbitrary)]
struct Input {
    gmp: bool,
    nodes: Vec<u64>,
    /// For each library: where it is now in pages, and where its code begins and ends in words from there.
    moves: Vec<(u16, u16, u16)>,
    damage: Vec<(u32, u8)>,
    /// Damage to what follows the data.
    trailer: Vec<(u32, u8)>,
    /// Places in the list of closures, the first of which says then what the second does.
    listed: Vec<(u8, u8)>,
}

fuzz_target!(|input: Input| {
    let nodes = &input.nodes[..input.nodes.len().min(64)];
    let mut bytes = Spec::random(true, input.gmp, 3, nodes, &[]).write().bytes;
    let size = u64::from_le_bytes(*bytes[HEADER_SIZE..].first_chunk().expect("8 bytes"));
    let end = ROOT_SLOT_V3 + size as usize;
    damage(&mut bytes[ROOT_SLOT_V3..end], &input.damage);
    let count = u32::from_le_bytes(*bytes[end..].first_chunk().expect("4 bytes")) as usize;
    for (to, from) in input.listed {
        let at = |place: u8| end + 4 + 8 * (usize::from(place) % count.max(1));
        if count > 0 {
            bytes.copy_within(at(from)..at(from) + 8, at(to));
        }
    }
    damage(&mut bytes[end..], &input.trailer);
    let Ok(trailer) = Trailer::parse(&bytes[end..], end as u64) else {
        return;
    };
    let mut moves = Vec::new();
    for (i, library) in trailer.libraries().enumerate() {
        let (page, first, last) = input.moves.get(i).copied().unwrap_or((16, 0, u16::MAX));
        let base = u64::from(page) << 12;
        let code = |words: u16| base + 8 * u64::from(words);
        moves.push(CodeMove {
            saved_base: library.base,
            base,
            code: std::iter::once(code(first)..code(last)).collect(),
        });
    }

    let before = &bytes[ROOT_SLOT_V3..end];
    let mut after = before.to_vec();
    let result = relocate(&mut after, &trailer, &moves);
    let mut offsets: Vec<u64> = trailer.closures().collect();
    offsets.sort_unstable();
    let field =
        |data: &[u8], at: u64| u64::from_le_bytes(*data[at as usize..].first_chunk().expect("8 bytes"));
    match result {
        Ok(()) => {
            let mut expected = before.to_vec();
            for &at in &offsets {
                let old = field(before, at);
                let library = moves.iter().filter(|m| m.saved_base <= old);
                let library = library.max_by_key(|m| m.saved_base).expect("a library");
                let new = library.base.wrapping_add(old - library.saved_base);
                assert!(library.code[0].contains(&new), "{new:#x} is no code");
                expected[at as usize..][..8].copy_from_slice(&new.to_le_bytes());
            }
            assert_eq!(expected, after);
            assert!(offsets.windows(2).all(|w| w[0] < w[1]));
        }
        // Closures that overlap are found out late, and one that is listed twice is not.
        Err(_) => {
            let apart = |w: &[u64]| w[0] == w[1] || w[1] - w[0] >= CLOSURE_HEADER as u64;
            if offsets.windows(2).all(apart) {
                assert_eq!(before, after);
            }
        }
    }
    let sound = File::parse(&bytes, "", Some(Width::W64)).and_then(|f| Region::check(f, &[]));
    if sound.is_ok() {
        let by_place = matches!(
            result,
            Ok(()) | Err(ClosureError::NotCode { .. } | ClosureError::Base(_))
        );
        assert!(by_place, "the reader takes it: {result:?}");
    }
});
