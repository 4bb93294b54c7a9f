//! What the tool says of declarations, judged by the real Lean: it compiles small trees with known changes, prints
//! axioms, and counts what it imports.

mod changes;
mod documents;
mod lists;
mod loads;
mod made;
mod names;
mod rests;
mod trees;

#[path = "../cli/pty.rs"]
mod pty;
#[path = "../cli/run.rs"]
#[allow(dead_code, reason = "these tests need a part of what others do")]
mod run;
