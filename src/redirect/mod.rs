//! The host's own loader functions redirected to ours, and what is done when the process ends.
//!
//! * [`attach`] decides: which functions, in which mode, and where calls of our exported names go;
//!   [`mode`] and [`preload`] are what the environment says about it.
//! * [`patch`] overwrites a set of entries, all or none; [`trampoline`] makes the overwritten functions
//!   callable as they were; [`got`] redirects what the host calls of the C library.
//! * [`encode_x86_64`] and [`encode_aarch64`] are the bytes of jumps; loaded objects, the process's mappings and pages
//!   of code come from [`os`](crate::os).
//! * [`observe`] stands in for the host's functions in mode observe; [`report`] says what was done, [`verdict`]
//!   what mode compare found.

pub mod attach;
pub mod encode_aarch64;
pub mod encode_x86_64;
pub mod got;
pub mod mode;
mod move_aarch64;
pub mod observe;
pub mod patch;
pub mod preload;
pub mod report;
pub mod trampoline;
pub mod verdict;

pub use attach::{
    AttachError, DetachError, Entry, attach, attach_if_preloaded, detach, forward_target, original,
};
pub use mode::Mode;
