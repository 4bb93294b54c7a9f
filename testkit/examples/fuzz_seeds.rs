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

/// Lists beside snapshots, behind a byte that chooses the folder.
const SIDECARS: [&str; 2] = [
    r#"2[{"olean":"./A.olean","oleanServer":"/A.olean.server","irSig":null},{"ir":"B.ir","x":[1]},{}]"#,
    r#"3[{"ir":"B","olean":"A\u0001\u00e4","oleanPrivate":"A\/p","ir":"C","irSig":"\ud83d\ude00"}]"#,
];

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
        for target in ["dependencies", "relocation", "closures"] {
            write(target, &name, &noise);
        }
        if i % 2 == 0 {
            write("dependencies", &name, &dependencies(&mut rng, &entropy));
            write("relocation", &name, &relocation(&mut rng, &entropy));
            write("closures", &name, &closures(&mut rng, i / 4));
        }
        let image = if i % 4 == 0 {
            header(&mut rng)
        } else {
            tables(&mut rng)
        };
        write("image", &name, &image);
        let (trailer, record) = trailer(&mut rng, i);
        write("trailer", &name, &trailer);
        write("record", &name, &record);
    }
    write("report", "seed", REPORT.as_bytes());
    for (i, list) in SIDECARS.iter().enumerate() {
        write("sidecar", &format!("seed-{i}"), list.as_bytes());
    }
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

/// The input of `dependencies`: what noise hardly ever is, a file of many objects without damage.
fn dependencies(rng: &mut Rng, nodes: &[u64]) -> Vec<u8> {
    let mut out = [(); 3].map(|()| rng.draw() as u8).to_vec();
    let (main, dep) = nodes.split_at(nodes.len() / 2);
    list(&mut out, main.iter().map(|n| n.to_le_bytes()));
    list(&mut out, dep.iter().map(|n| n.to_le_bytes()));
    // No damage of either file, and a few pointers that lead beside objects.
    list(&mut out, std::iter::empty::<[u8; 0]>());
    list(&mut out, std::iter::empty::<[u8; 0]>());
    let beside = (0..rng.below(3)).map(|_| [rng.draw() as u8, (rng.below(17) as u8).wrapping_sub(8)]);
    list(&mut out, beside.collect::<Vec<_>>().iter());
    out
}

/// The input of `relocation`.
fn relocation(rng: &mut Rng, nodes: &[u64]) -> Vec<u8> {
    let mut out = [(); 4].map(|()| rng.draw() as u8).to_vec();
    out.extend((rng.below(20_000) as u16).to_le_bytes());
    list(&mut out, nodes.iter().map(|n| n.to_le_bytes()));
    out.push(rng.below(8) as u8);
    out
}

/// The input of `closures`: so many objects, every other one a closure, and libraries that lie elsewhere, with code in
/// all their pages.
fn closures(rng: &mut Rng, nodes: u64) -> Vec<u8> {
    let mut out = vec![rng.draw() as u8];
    let nodes: Vec<[u8; 8]> = (0..nodes)
        .map(|i| {
            let drawn = std::iter::repeat_with(|| rng.draw());
            // As `Spec::random` chooses among the kinds of version 3.
            let mut drawn = drawn.filter(|&n| i % 2 == 0 || Rng(n).below(14) == 9);
            drawn.next().expect("one in 14").to_le_bytes()
        })
        .collect();
    list(&mut out, nodes.iter());
    let library = |page: u16| [page, 0, u16::MAX].map(u16::to_le_bytes).concat();
    list(
        &mut out,
        [(); 2].map(|()| library(1 + rng.below(9999) as u16)).iter(),
    );
    // No damage of either kind, and some closures that are listed twice.
    list(&mut out, std::iter::empty::<[u8; 0]>());
    list(&mut out, std::iter::empty::<[u8; 0]>());
    let twice = (0..rng.below(3)).map(|_| [rng.below(8) as u8, rng.below(8) as u8]);
    list(&mut out, twice.collect::<Vec<_>>().iter());
    out
}

/// A list as the crate `arbitrary` reads it: before each element a byte with the lowest bit set.
fn list(out: &mut Vec<u8>, elements: impl Iterator<Item = impl AsRef<[u8]>>) {
    for element in elements {
        out.push(1);
        out.extend(element.as_ref());
    }
    out.push(0);
}

/// Where images and the first sections in them begin, and bytes of a page.
const SECTION: u64 = 2 << 20;
const PAGE: u64 = 4096;

/// The header of an image, but for its digest, which the target puts there.
fn header(rng: &mut Rng) -> Vec<u8> {
    let (constant, changeable) = (PAGE * rng.below(9), PAGE * rng.below(9));
    let size = match changeable {
        0 => SECTION + constant,
        _ => 2 * SECTION + changeable,
    };
    let mut out = b"leanimg\n".to_vec();
    out.extend([1, PAGE as u32].map(u32::to_le_bytes).concat());
    out.extend([size, SECTION << rng.below(20)].map(u64::to_le_bytes).concat());
    let counts = [
        rng.below(100) as u32,
        rng.below(50) as u32,
        rng.below(150) as u32,
        1,
    ];
    out.extend(counts.map(u32::to_le_bytes).concat());
    for word in [4 * rng.below(99), SECTION, constant, 2 * SECTION, changeable] {
        out.extend(word.to_le_bytes());
    }
    out.resize(240, b'a');
    out.extend(b"complete");
    out
}

/// The tables of an image of a few regions that each have a path, behind the four bytes that say how large they are.
/// Slots lead to every entry from wherever a search begins.
fn tables(rng: &mut Rng) -> Vec<u8> {
    let count = 1 + rng.below(5) as u32;
    let constant = rng.below(u64::from(count) + 1) as u32;
    let (mut entries, mut chains, mut records, mut places) = (vec![], vec![], vec![], vec![]);
    for i in 0..count {
        let section = if i < constant { SECTION } else { 2 * SECTION };
        let offset = section + PAGE * u64::from(i);
        let size = 8 * (16 + rng.below(400));
        let root = [1, SECTION + offset + 96][rng.below(2) as usize];
        for word in [
            1,
            u64::from(i),
            size,
            rng.draw(),
            rng.draw(),
            7,
            offset,
            8 * rng.below(1 << 40),
            root,
        ] {
            entries.extend(word.to_le_bytes());
        }
        // So many entries right before it, or a list of ranges.
        let chain = match rng.below(2) {
            0 => rng.below(u64::from(i) + 1) as u32,
            _ => {
                let at = chains.len() as u32;
                let list = [
                    vec![i.div_ceil(2)],
                    (0..i).filter(|d| d % 2 == 0).flat_map(|d| [d, 1]).collect(),
                ];
                chains.extend(list.concat());
                1 << 31 | at
            }
        };
        let flags = u32::from(i >= constant) | (2 * rng.below(2) as u32);
        entries.extend([chain, flags].map(u32::to_le_bytes).concat());
        places.push(records.len() as u32);
        records.extend(i.to_le_bytes());
        sized(&mut records, &b"/a/b/c.d"[..1 + rng.below(8) as usize]);
        records.resize(records.len().next_multiple_of(4), 0);
    }
    let words = |words: &[u32]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
    let mut out = entries;
    out.extend(words(&(0..2 * count).map(|i| i % count).collect::<Vec<_>>()));
    out.extend(words(&chains));
    out.resize(out.len().next_multiple_of(8), 0);
    out.extend(words(&places.repeat(2)));
    let sizes = [count as usize, chains.len(), count as usize, records.len() / 4];
    out.extend(records);
    out.resize(out.len().next_multiple_of(8), 0);
    out.extend(vec![9; 32 * count as usize]);
    [sizes.map(|n| n as u8).to_vec(), out].concat()
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
