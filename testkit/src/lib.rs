//! What the tests of this workspace share: a real Lean fetched from a package registry and pinned by
//! hash, trees of Lean modules to compile with it, and C programs built on the spot.
