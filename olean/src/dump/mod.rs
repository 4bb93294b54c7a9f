//! Graphs as people read them: lines of a tree, terms on one line, pictures.

pub mod dot;
mod recognise;
mod term;
pub mod tree;
