//! The Lean runtime of this process as one interface: a real one found by its symbols, or the embedded one where there is none.
