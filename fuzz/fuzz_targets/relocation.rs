//! Files of several windows of the relocating walk, damaged a little, with dependencies that have moved: relocated as
//! the loader does it and as the reader does.
#![no_main]

use arbitrary::Arbitrary;
use lean_region_fuzz::damage;
use lean_region_fuzz::relocation::{Dep, relocated_alike};
use libfuzzer_sys::fuzz_target;
use olean_reader::{File, Region, Width};
use testkit::olean::{Node, Spec};

/// Where the dependencies lie in files, and where in memory.
const DEPS: [(u64, u64); 3] = [
    (0x1233_0000, 0x7f00_0000_0000),
    (0x4000_0000, 0x4000_0000),
    (0x7eff_ffff_0000, 0x1_0000),
];
const ADDRESSES: [u64; 4] = [0x7f55_0001_0000, 0x1234_0000, 0x1_0000, 0x4001_0000];

#[derive(Debug, Arbitrary)]
struct Input {
    gmp: bool,
    closures: bool,
    address: u8,
    deps: u8,
    /// Bytes of a string before everything, so that what follows lies across the ends of windows.
    lead: u16,
    nodes: Vec<u64>,
    /// How often the nodes come.
    times: u8,
    damage: Vec<(u32, u8)>,
}

fuzz_target!(|input: Input| {
    let (gmp, version) = (input.gmp, if input.closures { 3 } else { 2 });
    let files: Vec<Vec<u8>> = DEPS[..usize::from(input.deps) % 4]
        .iter()
        .map(|&(base, _)| {
            let mut spec = Spec::random(true, gmp, 2, &[1, 2, 3, 4, 5, 6], &[]);
            spec.base = base;
            spec.write().bytes
        })
        .collect();
    let parse = |bytes| File::parse(bytes, "", Some(Width::W64)).and_then(Region::walk);
    let regions: Vec<Region<'_>> = files.iter().map(|f| parse(f).expect("sound")).collect();
    let cross: Vec<u64> = DEPS.iter().map(|&(base, _)| base + 96).collect();
    let cross = if input.deps & 4 == 0 {
        &cross[..regions.len()]
    } else {
        &[]
    };

    let nodes = &input.nodes[..input.nodes.len().min(32)];
    let entropy: Vec<u64> = (0..u64::from(input.times % 64) + 1)
        .flat_map(|round| nodes.iter().map(move |n| n.wrapping_add(round)))
        .collect();
    let mut spec = Spec::random(true, gmp, version, &entropy, cross);
    let lead = Node::Str("x".repeat(usize::from(input.lead) % 20_000));
    spec.put_first(lead);
    let mut bytes = spec.write().bytes;
    damage(&mut bytes, &input.damage);

    let deps: Vec<Dep<'_, '_>> = regions
        .iter()
        .zip(DEPS)
        .map(|(region, (_, lies))| Dep { region, lies })
        .collect();
    relocated_alike(&bytes, &deps, ADDRESSES[usize::from(input.address) % 4]);
});
