//! Looks into an image: which Lean it is of, and how many regions it has, by the tables that `olean-reader` reads.
//! Whoever loads from it does no more to find a region.
//!
//!     cargo run --example image -- IMAGE

use olean_reader::format::header::field_text;
use olean_reader::format::image::Tables;
use olean_reader::format::image::header::{Header, PAGE};
use std::error::Error;

/// What there is to say of the image.
pub fn run(path: &str) -> Result<String, Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    // The header has a digest; sizes and places in it are checked before anything is looked for.
    let (header, layout) = Header::decode(&bytes, bytes.len() as u64, PAGE)?;
    let tables = Tables::new(&header, &layout, &bytes)?;
    tables.check_index()?;
    let mut lines = format!(
        "Lean {}, {} regions from {:#x}\n",
        field_text(&header.lean_version),
        tables.len(),
        header.base
    );
    if let Some(first) = tables.entry(0) {
        lines += &format!("the first one has {} bytes\n", first.identity.size);
    }
    Ok(lines)
}

#[allow(dead_code, reason = "the test calls `run`")]
fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: image IMAGE")?;
    print!("{}", run(&path)?);
    Ok(())
}
