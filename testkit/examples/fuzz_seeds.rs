//! Writes seeds for the fuzz targets: `fuzz_seeds FOLDER` fills `FOLDER/<target>/` with small files of every
//! shape, trailers, records, and texts that the tool reads. They are the corpus that every run begins with.

use std::collections::BTreeSet;
use std::path::Path;
use testkit::olean::{Rng, Spec};

/// A report as the library leaves it, of three processes.
const REPORT: &str = r#"3{"schema":1,"pid":7,"mode":"compare","host":{"library":"/lib/libleanshared.so","abi":"regions",
"lean_version":"4.35.0","githash":"eb6c","allocator":"mimalloc"},"attached":["lean_save_module_data"],
"save":{"calls":1,"bytes":18446744073709551615,"ns":9,"errors":0},
"read":{"calls":3,"mapped":2,"relocated":1,"bytes":4096,"ns":5,"errors":0,"mapped_ns":4},"free":{"calls":1},
"compare":{"saves_equal":1,"saves_different":0,"reads_equal":2,"reads_different":1,"not_compared":0,
"first_difference":{"call":"read","file":"A.olean","host_file":null,"detail":"at \u00e4"}},
"image":{"file":"a.image","regions":9,"served":1,"stale":0,"absent":2,"reason":null},
"saved":["A.olean","A.olean"],"process":{"mappings":400,"max_map_count":null},
"notes":[{"file":"A.olean","reason":"taken"}]}"#;

/// The list beside a snapshot, behind a byte that chooses the folder.
const SIDECAR: &str =
    r#"2[{"olean":"./A.olean","oleanServer":"/A.olean.server","irSig":null},{"ir":"B.ir","x":[1]},{}]"#;

fn main() {
    let folder = std::env::args().nth(1).expect("usage: fuzz_seeds FOLDER");
    let folder = Path::new(&folder);
    let mut without = targets();
    for target in &without {
        std::fs::create_dir_all(folder.join(target)).expect("a folder for seeds");
    }
    let mut write = |target: &str, name: &str, bytes: &[u8]| {
        std::fs::write(folder.join(target).join(name), bytes).expect("a seed");
        without.remove(target);
    };
    for i in 0..64u64 {
        let name = format!("seed-{i}");
        let (wide, gmp, version) = (i & 1 == 0, i & 2 != 0, if i & 4 == 0 { 2 } else { 3 });
        let mut rng = Rng(i);
        let entropy: Vec<u64> = (0..i / 4).map(|_| rng.draw()).collect();
        let bytes = Spec::random(wide, gmp, version, &entropy, &[]).write().bytes;
        write("header", &name, &bytes);
        // The targets of one version choose the shape by a byte of their own.
        let mut chosen = vec![u8::from(!wide) | u8::from(gmp) << 1];
        chosen.extend(&bytes);
        write(&format!("v{version}"), &name, &chosen);
        let noise: Vec<u8> = (0..16 * i).flat_map(|_| rng.draw().to_le_bytes()).collect();
        for target in ["dependencies", "image", "relocation", "closures"] {
            write(target, &name, &noise);
        }
        let (trailer, record) = trailer(&mut rng, i);
        write("trailer", &name, &trailer);
        write("record", &name, &record);
    }
    write("report", "seed", REPORT.as_bytes());
    write("sidecar", "seed", SIDECAR.as_bytes());
    assert!(without.is_empty(), "there are no seeds for {without:?}");
}

/// The names of all targets.
fn targets() -> BTreeSet<String> {
    let sources = std::fs::read_dir(testkit::workspace_dir().join("fuzz/fuzz_targets"));
    let sources = sources
        .expect("the targets")
        .map(|entry| entry.expect("a target").path());
    let names = sources.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()));
    names.collect()
}

/// A trailer, whose extension section has the records that `shape` chooses, and the record of dependencies in it.
/// Written out by hand: what writes them in the product is what the targets look at.
fn trailer(rng: &mut Rng, shape: u64) -> (Vec<u8>, Vec<u8>) {
    let (closures, libraries, dependencies) = (rng.below(4), rng.below(3), rng.below(4));
    let mut out = (closures as u32).to_le_bytes().to_vec();
    out.extend((1..=closures).flat_map(|c| (16 * c).to_le_bytes()));
    out.extend((libraries as u32).to_le_bytes());
    let mut identities = Vec::new();
    for l in 1..=libraries {
        out.extend((l << 20).to_le_bytes());
        sized(&mut out, &b"/lib/liba.so"[..rng.below(13) as usize]);
        // A build id, or a digest and two functions.
        let (scheme, bytes) = match rng.below(2) {
            0 => (1, vec![7; 20]),
            _ => (
                2,
                [
                    vec![8; 32],
                    64u64.to_le_bytes().into(),
                    640u64.to_le_bytes().into(),
                ]
                .concat(),
            ),
        };
        identities.push(scheme);
        sized(&mut identities, &bytes);
    }
    let mut record = dependencies.to_le_bytes().to_vec();
    for d in 1..=dependencies {
        for word in [
            d << 16,
            rng.below(1 << 20),
            3,
            d,
            rng.draw(),
            rng.draw(),
            rng.draw(),
            rng.draw(),
        ] {
            record.extend(word.to_le_bytes());
        }
        record.extend((4 * (d as u32 - 1)).to_le_bytes());
        record.extend([4, 0, rng.below(4) as u8, 0]);
    }
    record.extend((0..dependencies).flat_map(|_| *b"a/B."));
    let mut payload = Vec::new();
    for (kind, bytes) in [
        (1u32, &identities[..]),
        (2, &[9; 16]),
        (3, &record),
        (99, b"later"),
    ] {
        if shape >> (kind % 4) & 1 != 0 {
            payload.extend(kind.to_le_bytes());
            sized(&mut payload, bytes);
        }
    }
    if shape & 48 != 0 {
        out.extend(b"LREGEXT1");
        out.extend((payload.len() as u64).to_le_bytes());
        out.extend(payload);
    }
    (out, record)
}

/// The number of bytes in 32 bits, and the bytes.
fn sized(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend(bytes);
}
