//! A snapshot read with all modules that it was saved over, in one call: what Lean's own loop does for `--incr-load`,
//! for whoever has no such loop.
//!
//! * [`list`]: the list of files beside the snapshot;
//! * [`modules`]: modules read by some threads, which end before the answer is given; no object of the host is touched
//!   there, for its memory is not for every thread;
//! * [`call`]: the call in terms of the host's objects.

pub mod call;
pub mod list;
pub mod modules;
