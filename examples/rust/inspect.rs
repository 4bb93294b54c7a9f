//! Looks into a region file that may come from anywhere: proves it, and prints its strings and its hash. The crate
//! `olean-reader` needs no Lean, loads nothing and has no `unsafe`.
//!
//!     cargo run --example inspect -- FILE

use olean_reader::{File, Graph, Region};
use std::error::Error;
use std::fmt::Write;

/// What there is to say of the file.
pub fn run(path: &str) -> Result<String, Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    // Header and sections first, then every object and pointer. An error says what is wrong, and where.
    let file = File::parse(&bytes, path, None)?;
    let region = Region::check(file, &[])?;
    // Proved, its graph can be walked. A file that points into others would need their regions here and above.
    let graph = Graph::new(&region, &[])?;
    let mut out = String::new();
    for &node in graph.reached() {
        if let Some(text) = graph.string(node) {
            writeln!(out, "string {text:?}")?;
        }
    }
    writeln!(
        out,
        "{} objects, graphhash {}",
        graph.len(),
        graph.digests()?.graphhash
    )?;
    Ok(out)
}

#[allow(dead_code, reason = "the test calls `run`")]
fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: inspect FILE")?;
    print!("{}", run(&path)?);
    Ok(())
}
