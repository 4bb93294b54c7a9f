//! What the targets share: a header that lets the fuzzer get to the objects, and what every accepted file
//! must survive.

pub mod relocation;

use olean_reader::diff::{Difference, diff};
use olean_reader::transform::{Rewritten, rewrite};
use olean_reader::{Bignums, File, Graph, Options, Region, Width, verify_region};
use relocation::{Dep, relocated_alike};
use testkit::olean::Rng;

/// Overwrites what a header must have, so that mutations reach what comes after it. The fuzzer still chooses
/// width and bignum layout (lowest bits of the first byte); the base address is `base`. `None` for too little.
///
/// The next two bits of the first byte say how many pairs of words are altered alike, for each of which there are three
/// bytes then: the place, and the value. An object that has room for some number of things says it in one word and how
/// many it has in the next, and where the two differ nothing else is looked at.
pub fn with_header(data: &[u8], version: u8, base: u32) -> Option<(Vec<u8>, Width)> {
    let (&choice, rest) = data.split_first()?;
    let width = if choice & 1 == 0 { Width::W64 } else { Width::W32 };
    let (pairs, rest) = rest.split_at_checked(3 * usize::from(choice >> 2 & 3))?;
    let mut bytes = rest.to_vec();
    let (header, w) = (80 + width.bytes(), width.bytes());
    for pair in pairs.as_chunks::<3>().0 {
        let words = bytes.len().checked_sub(header)? / w;
        let at = header + w * (usize::from(u16::from_le_bytes([pair[0], pair[1]])) % words.max(1));
        // Small numbers, and such that a product or a sum has no room for.
        let n = u64::from(pair[2] & 31);
        let value = [
            n,
            n << (8 * w - 5),
            (n << (8 * w - 5)).wrapping_sub(1),
            n.wrapping_neg(),
        ];
        let value = value[usize::from(pair[2] >> 6)].to_le_bytes();
        bytes.get_mut(at..at + w)?.copy_from_slice(&value[..w]);
        bytes.get_mut(at + w..at + 2 * w)?.copy_from_slice(&value[..w]);
    }
    bytes.get_mut(..header)?.fill(0);
    bytes[..5].copy_from_slice(b"olean");
    bytes[5] = version;
    bytes[6] = choice >> 1 & 1;
    bytes[80..84].copy_from_slice(&base.to_le_bytes());
    Some((bytes, width))
}

/// A mutation of an input of [`with_header`]: every other time two neighbouring words of its file are altered alike. An
/// object says in two words how many things it has and for how many there is room, and where one of them alone is another
/// it is refused before anything else is looked at.
pub fn alter(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut rng = Rng(seed.into());
    let w = if data.first().is_some_and(|choice| choice & 1 != 0) {
        4
    } else {
        8
    };
    // Behind the root.
    let first = 1 + 80 + 2 * w;
    let words = size.saturating_sub(first) / w;
    if words < 2 || rng.below(2) == 0 {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    }
    let at = first + w * rng.index(words - 1);
    let mut old = [0; 8];
    old[..w].copy_from_slice(&data[at..at + w]);
    let old = u64::from_le_bytes(old);
    let most = u64::MAX >> (64 - 8 * w);
    let new = [0, 1, old.wrapping_add(1), old.wrapping_sub(1), most, most / 8 + 1][rng.index(6)];
    let new = &new.to_le_bytes()[..w];
    data[at..at + 2 * w].copy_from_slice(&[new, new].concat());
    size
}

/// A mutation of a file: every eighth time it is cut off, half of these times before its first objects end.
pub fn cut(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut rng = Rng(seed.into());
    let below = [size, size.min(128)][rng.index(2)];
    match rng.below(8) {
        0 if size > 0 => rng.index(below),
        _ => libfuzzer_sys::fuzzer_mutate(data, size, max_size),
    }
}

/// Alters some bytes, wherever they are.
pub fn damage(bytes: &mut [u8], patches: &[(u32, u8)]) {
    for &(at, xor) in patches {
        let at = at as usize % bytes.len();
        bytes[at] ^= xor;
    }
}

/// Checks a file, and if it is sound uses it in every way there is.
pub fn exercise(bytes: &[u8], width: Option<Width>, deps: &[&Region<'_>]) {
    if width == Some(Width::W64) {
        let lies = (0x7e00_0000_0000..).step_by(1 << 32);
        let deps: Vec<Dep<'_, '_>> = deps
            .iter()
            .zip(lies)
            .map(|(region, lies)| Dep { region, lies })
            .collect();
        relocated_alike(bytes, &deps, 0x6000_0000_0000);
    }
    let checked = File::parse(bytes, "", width).and_then(|f| Region::check(f, deps));
    if deps.is_empty() {
        let loaded = verify_region(bytes, &[], &Options::default());
        if let Ok(r) = &checked
            && r.file().width() == Width::W64
        {
            assert!(loaded.is_ok() || !r.file().root_first());
        }
    }
    let Ok(region) = checked else { return };
    let graph = Graph::new(&region, deps).and_then(|g| Ok((g.digests()?, g)));
    let (digests, graph) = match graph {
        Ok(graph) => graph,
        // Nobody has checked where the pointers of dependencies go.
        Err(e) if deps.is_empty() => panic!("the region was checked, but: {e}"),
        Err(_) => return,
    };
    let stats = graph.stats().expect("there is no cycle");
    assert_eq!(stats.object_bytes + stats.frame_bytes, bytes.len() as u64);
    let Ok(Difference::Identical) = diff(&graph, &graph) else {
        panic!("differs from itself")
    };
    for width in [Width::W32, Width::W64] {
        for bignums in [Bignums::Native, Bignums::Gmp] {
            let target = Rewritten {
                width: Some(width),
                bignums: Some(bignums),
                ..Rewritten::default()
            };
            let Ok(out) = rewrite(&region, deps, &target) else {
                continue;
            };
            if !deps.is_empty() {
                continue;
            }
            let file = File::parse(&out, "", Some(width)).unwrap_or_else(|e| panic!("rewritten: {e}"));
            let again = Region::check(file, &[]).unwrap_or_else(|e| panic!("rewritten: {e}"));
            let hashes = Graph::new(&again, &[]).unwrap().digests().unwrap();
            // Negative integers that become scalars are another value to the hash.
            if again.summary().objects == region.summary().objects {
                assert_eq!(hashes.graphhash, digests.graphhash);
            }
        }
    }
}
