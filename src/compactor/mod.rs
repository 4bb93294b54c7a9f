//! Compaction: live objects to the bytes of region files. The graph below a root is walked depth first, and each object
//! is written once, behind all it refers to, into a growing buffer that holds what the file will hold. Objects that are
//! equal word by word are written once too (maximal sharing). Graphs saved one after the other can be the parts of a
//! chain, whose files refer to each other instead of repeating what an earlier one has.
//!
//! * [`Compactor`], in `state`, is what a chain of parts shares; `parts` lays parts out in its one growing buffer,
//!   and asks the host by `values` what only that knows of its objects;
//! * the walk over a graph is one thing in several files, methods of the compactor that call each other: `traverse`
//!   goes through the graph in the incumbent's order, `non_constructors` is what it does with all but constructors;
//!   `emit` writes one object, `find_equal` finds its equals, `newest` knows what has none;
//! * `pointer_table` and `sharing_table`, made of `buckets` with `equal8`, then `marks`, `hash`, `equal`, `buffer`
//!   and `stack` are the hot data structures on `memory`; `scratch` keeps it between saves; `held` owns what was read
//!   of shared references; `region_index` finds the dependency region of an address.

mod buckets;
mod buffer;
mod emit;
mod equal;
mod equal8;
mod error;
mod find_equal;
mod granules;
mod hash;
mod held;
mod marks;
mod memory;
mod newest;
mod non_constructors;
mod parts;
mod pointer_table;
mod region_index;
mod scratch;
mod sharing_table;
mod stack;
mod state;
mod traverse;
mod values;

pub use error::CompactError;
pub use parts::Part;
pub use region_index::RootCopyAt;
pub use state::Compactor;
pub use values::Values;
