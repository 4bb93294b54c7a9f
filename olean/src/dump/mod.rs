//! Graphs as people read them: lines of a tree, terms on one line, pictures.

pub mod dot;
pub mod recognise;
pub mod term;
pub mod tree;
