//! `olean` as users run it: every subcommand on files made here by the project's own writers, in a pipe and on a
//! terminal.

mod deep;
mod files;
mod inputs;
mod json;
mod loads;
mod outputs;
mod pipes;
mod pty;
mod refresh;
mod run;
mod snapshots;
mod swap;
mod terminal;
mod workspaces;

// The demonstration's module serves as a test file.
#[path = "../../src/demo/graph.rs"]
mod graph;
#[path = "../../src/demo/objects.rs"]
mod objects;
