//! Holds two region files against each other as mode compare does: whether a Lean would see any difference, and at
//! which object. `lean_region::compare` is one of the library's parts without `unsafe`; it needs no Lean.
//!
//!     cargo run --example same -- FILE FILE

use lean_region::compare::files::compare;
use std::error::Error;

/// What tells the files apart.
pub fn run(one: &str, other: &str) -> Result<String, Box<dyn Error>> {
    let (a, b) = (std::fs::read(one)?, std::fs::read(other)?);
    // The last argument is for later parts of a module: where the parts before them lie.
    Ok(match compare(&a, &b, &[]) {
        None => "the same\n".to_owned(),
        Some(difference) => format!("{difference:?}\n"),
    })
}

#[allow(dead_code, reason = "the test calls `run`")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(one), Some(other)) = (args.next(), args.next()) else {
        return Err("usage: same FILE FILE".into());
    };
    print!("{}", run(&one, &other)?);
    Ok(())
}
