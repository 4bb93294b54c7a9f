//! Running commands with the library swapped into their Lean.
//!
//! * [`library`]: where the library is;
//! * [`processes`]: what else a command started;
//! * [`run`]: one run of a command and what it used; [`report`]: what the library says of it, by the [`schema`], and
//!   the [`total`] of it;
//! * [`judge`]: whether runs under the host's loader and under ours did the same;
//! * [`table`]: the measurements side by side.

pub mod judge;
pub mod library;
pub mod processes;
pub mod report;
pub mod run;
pub mod schema;
pub mod table;
pub mod total;
