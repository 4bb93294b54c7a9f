//! `olean`: the command-line tool of lean-region.

fn main() {}
