//! Who loads.

use super::images::Images;
use std::ffi::OsString;

/// Who loads: variables of the processes.
pub struct Side {
    /// For the table, and for names of files.
    pub name: &'static str,
    /// Set for every process of this side.
    pub env: Vec<(OsString, OsString)>,
    /// The snapshot that it loads.
    pub snapshot: &'static str,
}

/// Lean's own loader.
pub const STOCK: &str = "stock";
/// Ours, without an image.
pub const OURS: &str = "ours";
/// Ours with an image of the tree.
pub const IMAGE: &str = "image";
/// The same, with the header snapshot in the image too.
pub const INSIDE: &str = "inside";
/// With an image of the tree whose files are known by their paths alone.
pub const TRUST: &str = "trust";
/// With an image of which every file seems to have changed.
pub const STALE: &str = "stale";
/// The tool, with one thread that reads.
pub const ALONE: &str = "1 thread";
/// The tool, with as many as usual.
pub const TOGETHER: &str = "threads";
/// No loader: one file of as many bytes, read from its beginning to its end.
pub const FLOOR: &str = "one file, read";
/// No loader: the files of the set, read one after the other as they come.
pub const FILES: &str = "files, read";
/// No loader: the files of the set, all asked for and then read by a thread for each core. What a loader of files needs at least.
pub const ASKED: &str = "files, asked for";

/// The snapshot that Lean's own loader saved, and ours.
pub const SNAPSHOTS: [&str; 2] = ["stock.snap", "ours.snap"];

/// The two sides that need no image.
#[must_use]
pub fn plain() -> Vec<Side> {
    vec![
        Side {
            name: STOCK,
            env: Vec::new(),
            snapshot: SNAPSHOTS[0],
        },
        Side {
            name: OURS,
            env: vec![preload()],
            snapshot: SNAPSHOTS[1],
        },
    ]
}

/// All sides. Another way to load is one more side here.
#[must_use]
pub fn all(images: &Images) -> Vec<Side> {
    let with = |name, image: &std::path::Path| Side {
        name,
        env: vec![preload(), ("LEAN_REGION_IMAGE".into(), image.into())],
        snapshot: SNAPSHOTS[1],
    };
    let mut sides = plain();
    sides.push(with(IMAGE, &images.tree));
    sides.push(with(INSIDE, &images.inside));
    let mut trust = with(TRUST, &images.tree);
    trust.env.push(("LEAN_REGION_IMAGE_TRUST".into(), "1".into()));
    sides.push(trust);
    sides.push(with(STALE, &images.stale));
    let reading = |name, env: &[(&str, &str)]| Side {
        name,
        env: env
            .iter()
            .map(|&(name, value)| (name.into(), value.into()))
            .collect(),
        snapshot: SNAPSHOTS[1],
    };
    sides.push(reading(ALONE, &[("LEAN_IMPORT_WORKERS", "1")]));
    sides.push(reading(TOGETHER, &[]));
    for floor in [FLOOR, FILES, ASKED] {
        sides.push(reading(floor, &[]));
    }
    sides
}

fn preload() -> (OsString, OsString) {
    ("LD_PRELOAD".into(), testkit::library().into())
}
