//! The Lean runtime of this process as one interface: a real one found by its symbols, or the embedded one
//! where there is none.
//!
//! * [`Host`], in `runtime`, answers everything the loader needs of a runtime. It knows the runtime by a table of functions
//!   (`entries`) and an allocation scheme (`alloc`); which runtime it is makes no other difference, so objects are
//!   laid out (`construct`, `count`, `sizes`) by one piece of code for all.
//! * `bind` finds the runtime among the loaded objects, tells its `generation`, and keeps it for the process; `identity`
//!   says what it writes into files; `numbers` reads numbers back; `io` and `regions` build results and regions in its shapes; `external` is the class
//!   of compactor objects.
//! * [`embedded`] is the runtime that serves where there is no other.

mod alloc;
mod bind;
mod construct;
mod count;
pub mod embedded;
mod entries;
mod error;
mod external;
mod generation;
mod identity;
mod io;
mod numbers;
mod refcount;
mod regions;
mod runtime;
mod sizes;

pub use error::HostError;
pub use external::Finalizer;
pub use generation::Generation;
pub use identity::FileIdentity;
pub use numbers::Number;
pub use regions::RegionFacts;
pub use runtime::Host;
