//! A generated file that points into a generated dependency, both damaged a little.
#![no_main]

use arbitrary::Arbitrary;
use lean_region_fuzz::{damage, exercise};
use libfuzzer_sys::fuzz_target;
use olean_reader::{DepBytes, File, Options, Region, Width, verify_region};
use testkit::olean::Spec;

#[derive(Debug, Arbitrary)]
struct Input {
    wide: bool,
    gmp: bool,
    closures: bool,
    main: Vec<u64>,
    dep: Vec<u64>,
    main_damage: Vec<(u32, u8)>,
    dep_damage: Vec<(u32, u8)>,
    /// Objects of the dependency, and how many bytes beside them pointers lead that are meant for them.
    beside: Vec<(u8, i8)>,
}

fuzz_target!(|input: Input| {
    let version = if input.closures { 3 } else { 2 };
    let spec = |entropy: &[u64], cross: &[u64]| {
        let entropy = &entropy[..entropy.len().min(64)];
        Spec::random(input.wide, input.gmp, version, entropy, cross)
    };
    let mut dep = spec(&input.dep, &[]);
    dep.base = 0x5000_0000;
    let mut dep_file = dep.write();
    let mut cross: Vec<u64> = dep_file.offsets.iter().map(|&o| dep.base + o as u64).collect();
    for (object, bytes) in input.beside {
        let count = cross.len().max(1);
        if let Some(address) = cross.get_mut(usize::from(object) % count) {
            *address = address.wrapping_add_signed(bytes.into());
        }
    }
    let mut main = spec(&input.main, &cross).write().bytes;
    damage(&mut dep_file.bytes, &input.dep_damage);
    damage(&mut main, &input.main_damage);
    let width = if input.wide { Width::W64 } else { Width::W32 };
    if input.wide {
        // The loader's way, which trusts the dependency's contents but not its extent.
        let deps = [DepBytes {
            bytes: &dep_file.bytes,
            name: "dep",
        }];
        let _ = verify_region(&main, &deps, &Options::default());
    }
    let Ok(dep) = File::parse(&dep_file.bytes, "dep", Some(width)).and_then(Region::walk) else {
        return;
    };
    exercise(&main, Some(width), &[&dep]);
});
