//! Says which objects of one file another one points into, with the crate `olean-reader`, which proves both and loads
//! nothing.
//!
//!     cargo run --example dependency -- FILE DEPENDENCY

use olean_reader::{File, Graph, Region};
use std::error::Error;

/// How the two belong together.
pub fn run(file: &str, dependency: &str) -> Result<String, Box<dyn Error>> {
    let (bytes, below) = (std::fs::read(file)?, std::fs::read(dependency)?);
    let low = Region::check(File::parse(&below, dependency, None)?, &[])?;
    // Without the dependency this is an error: pointers lead out of the file.
    let high = Region::check(File::parse(&bytes, file, None)?, &[&low])?;
    let alone = Graph::new(&low, &[])?.len();
    let both = Graph::new(&high, &[&low])?;
    Ok(format!(
        "{} objects are reached from '{file}'; '{dependency}' has {alone}\n",
        both.reached().len()
    ))
}

#[allow(dead_code, reason = "the test calls `run`")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(file), Some(dependency)) = (args.next(), args.next()) else {
        return Err("usage: dependency FILE DEPENDENCY".into());
    };
    print!("{}", run(&file, &dependency)?);
    Ok(())
}
