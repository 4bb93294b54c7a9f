//! Writes seeds for the fuzz targets: `fuzz_seeds FOLDER` fills `FOLDER/<target>/` with small files of every
//! shape.

use std::path::Path;
use testkit::olean::{Rng, Spec};

fn main() {
    let folder = std::env::args().nth(1).expect("usage: fuzz_seeds FOLDER");
    let folder = Path::new(&folder);
    for target in ["header", "v2", "v3", "dependencies", "image"] {
        std::fs::create_dir_all(folder.join(target)).expect("a folder for seeds");
    }
    let write = |target: &str, name: String, bytes: &[u8]| {
        std::fs::write(folder.join(target).join(name), bytes).expect("a seed");
    };
    for i in 0..64u64 {
        let (wide, gmp, version) = (i & 1 == 0, i & 2 != 0, if i & 4 == 0 { 2 } else { 3 });
        let mut rng = Rng(i);
        let entropy: Vec<u64> = (0..i / 4).map(|_| rng.draw()).collect();
        let bytes = Spec::random(wide, gmp, version, &entropy, &[]).write().bytes;
        write("header", format!("seed-{i}"), &bytes);
        // The targets of one version choose the shape by a byte of their own.
        let mut chosen = vec![u8::from(!wide) | u8::from(gmp) << 1];
        chosen.extend(&bytes);
        write(&format!("v{version}"), format!("seed-{i}"), &chosen);
        let noise: Vec<u8> = (0..16 * i).flat_map(|_| rng.draw().to_le_bytes()).collect();
        write("dependencies", format!("seed-{i}"), &noise);
        write("image", format!("seed-{i}"), &noise);
    }
}
