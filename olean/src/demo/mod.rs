//! What `olean demo` does in its processes: one builds a module and saves it, others load it. Each is this
//! program once more and answers one line of JSON.

mod graph;
mod objects;

use lean_region::os::counters::{READ, SAVE};
use objects::Object;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The name of the module.
pub const MODULE: &str = "Demo";
/// The parts of the module.
pub const PARTS: [&str; 2] = ["Demo.olean", "Demo.olean.private"];

/// What a process did.
#[derive(Serialize, Deserialize)]
pub struct Step {
    /// Its number.
    pub pid: u32,
    /// Objects it built or found.
    pub objects: usize,
    /// Seconds it took to build the objects, or to visit all of them.
    pub visit_s: f64,
    /// Seconds inside the loader.
    pub loader_s: f64,
    /// Bytes written or read.
    pub bytes: u64,
    /// Regions that lie where they were saved for.
    pub mapped: u64,
    /// Regions whose pointers were rewritten.
    pub relocated: u64,
}

fn paths(dir: &Path) -> Vec<PathBuf> {
    PARTS.iter().map(|p| dir.join(p)).collect()
}

fn save_to(dir: &Path, public: &Object, private: &Object) -> Result<(), String> {
    let paths = paths(dir);
    objects::save_parts(MODULE, &[(&paths[0], public), (&paths[1], private)])
}

/// Builds the module and saves it into `dir`.
pub fn save(dir: &Path, theorems: usize) -> Result<Step, String> {
    let start = Instant::now();
    let (public, private) = graph::module(theorems);
    let visit_s = start.elapsed().as_secs_f64();
    save_to(dir, &public, &private)?;
    let counts = SAVE.counts();
    Ok(Step {
        pid: std::process::id(),
        objects: Object::ctor(0, vec![public, private], &[]).count_reachable() - 1,
        visit_s,
        loader_s: counts.nanoseconds as f64 / 1e9,
        bytes: counts.bytes,
        mapped: 0,
        relocated: 0,
    })
}

/// Loads the module from `dir`, visits every object, and saves what it has got into `again`.
pub fn load(dir: &Path, again: &Path) -> Result<Step, String> {
    let paths = paths(dir);
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let roots = objects::read_parts(&paths)?;
    let counts = READ.counts();
    let both = Object::ctor(0, roots.clone(), &[]);
    let start = Instant::now();
    let objects = both.count_reachable() - 1;
    let visit_s = start.elapsed().as_secs_f64();
    save_to(again, &roots[0], &roots[1])?;
    Ok(Step {
        pid: std::process::id(),
        objects,
        visit_s,
        loader_s: counts.nanoseconds as f64 / 1e9,
        bytes: counts.bytes,
        mapped: counts.mapped,
        relocated: counts.relocated,
    })
}
