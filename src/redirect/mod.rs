//! The host's own loader functions redirected to ours, and what is done when the process ends.
//!
//! * [`mod@attach`] decides: which functions, in which mode, and where calls of our exported names go;
//!   [`mode`] and [`preload`] are what the environment says about it.
//! * [`patch`] overwrites a set of entries, all or none; [`trampoline`] is about calling the overwritten functions as
//!   they were; [`got`] redirects what the host calls of the C library.
//! * [`encode_x86_64`], [`encode_aarch64`], [`move_x86_64`] and [`move_aarch64`] are the bytes of jumps and of copied
//!   instructions; loaded objects, the process's mappings and pages of code come from [`os`](crate::os).
//! * [`observe`] stands in for the host's functions in mode observe, [`compare`] in mode compare; [`verdict`] is what
//!   the latter found.
//! * [`exit`] is what is done when the process ends: [`report`] says what was done, [`exit_code`] what the verdict
//!   means for the exit code.

pub mod attach;
mod attachment;
pub mod compare;
pub mod encode_aarch64;
pub mod encode_x86_64;
pub mod exit;
pub mod exit_code;
pub mod got;
pub mod mode;
pub mod move_aarch64;
pub mod move_x86_64;
pub mod observe;
pub mod patch;
pub mod preload;
mod process;
mod protection;
pub mod report;
pub mod trampoline;
pub mod verdict;

pub use attach::{
    AttachError, DetachError, Entry, attach, attach_if_preloaded, detach, forward_target, original,
};
pub use mode::Mode;
