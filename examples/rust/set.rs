//! A snapshot with all files that it was saved over, opened with the crate `olean-reader` alone: the list beside it
//! names them. Nothing is loaded: every file is proved, and what the snapshot holds is hashed together with what it
//! points into.
//!
//!     cargo run --example set -- SNAPSHOT

use olean_reader::format::sidecar::{SUFFIX, Sidecar};
use olean_reader::{File, Graph, Region};
use std::error::Error;
use std::path::Path;

/// What there is to say of the snapshot and its files.
pub fn run(snapshot: &str) -> Result<String, Box<dyn Error>> {
    let folder = Path::new(snapshot).parent().unwrap_or(Path::new(""));
    let list = std::fs::read(format!("{snapshot}{SUFFIX}"))?;
    // Relative paths are meant from the folder of the snapshot here; Lean means them from its working directory.
    let list = Sidecar::parse(&list, folder.as_os_str().as_encoded_bytes())?;
    let mut files = Vec::new();
    for i in 0..list.file_count() {
        let path = list.file(i).to_str()?;
        files.push((path, std::fs::read(path)?));
    }
    let mut regions = Vec::new();
    for (path, bytes) in &files {
        regions.push(Region::walk(File::parse(bytes, path, None)?)?);
    }
    let deps: Vec<&Region<'_>> = regions.iter().collect();
    let bytes = std::fs::read(snapshot)?;
    let region = Region::check(File::parse(&bytes, snapshot, None)?, &deps)?;
    let graph = Graph::new(&region, &deps)?;
    Ok(format!(
        "{} modules in {} files, graphhash {}\n",
        list.len(),
        list.file_count(),
        graph.digests()?.graphhash
    ))
}

#[allow(dead_code, reason = "the test calls `run`")]
fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: set SNAPSHOT")?;
    print!("{}", run(&path)?);
    Ok(())
}
