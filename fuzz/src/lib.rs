//! What the targets share: a header that lets the fuzzer get to the objects, and what every accepted file
//! must survive.

pub mod relocation;

use olean_reader::diff::{Difference, diff};
use olean_reader::transform::{Rewritten, rewrite};
use olean_reader::{Bignums, File, Graph, Options, Region, Width, verify_region};
use relocation::{Dep, relocated_alike};
use testkit::olean::{Node, Spec};

/// Overwrites what a header must have, so that mutations reach what comes after it. The fuzzer still chooses
/// width and bignum layout (lowest bits of the first byte); the base address is `base`. `None` for too little.
pub fn with_header(data: &[u8], version: u8, base: u32) -> Option<(Vec<u8>, Width)> {
    let (&choice, rest) = data.split_first()?;
    let width = if choice & 1 == 0 { Width::W64 } else { Width::W32 };
    let mut bytes = rest.to_vec();
    bytes.get_mut(..80 + width.bytes())?.fill(0);
    bytes[..5].copy_from_slice(b"olean");
    bytes[5] = version;
    bytes[6] = choice >> 1 & 1;
    bytes[80..84].copy_from_slice(&base.to_le_bytes());
    Some((bytes, width))
}

/// Alters some bytes, wherever they are.
pub fn damage(bytes: &mut [u8], patches: &[(u32, u8)]) {
    for &(at, xor) in patches {
        let at = at as usize % bytes.len();
        bytes[at] ^= xor;
    }
}

/// Adds an object before all others.
pub fn put_first(spec: &mut Spec, node: Node) {
    spec.put_first(node);
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
