//! The host's own loader functions redirected to ours, and what is done when the process ends.
//!
//! * [`attach`] decides: which functions, in which mode, and where calls of our exported names go;
//!   [`mode`] and [`preload`] are what the environment says about it.
//! * [`patch`] overwrites a set of entries, all or none; [`trampoline`] makes the overwritten functions
//!   callable as they were; [`got`] redirects what the host calls of the C library.
//! * [`image`], [`maps`], [`code_page`], [`encode_x86_64`] and [`encode_aarch64`] are what those build on: a
//!   loaded object, the process's mappings, a page of code, and the bytes of jumps.
//! * [`observe`] stands in for the host's functions in mode observe; [`report`] says what was done, [`verdict`]
//!   what mode compare found.

pub mod attach;
pub mod code_page;
pub mod encode_aarch64;
pub mod encode_x86_64;
pub mod got;
pub mod image;
pub mod maps;
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

/// Bytes of a page of memory.
fn page_size() -> usize {
    // SAFETY: asks for a number; no pointers involved.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).expect("the system has a page size")
}

/// Makes instructions written to `len` bytes at `start` visible to instruction fetches. x86-64 does so by
/// itself.
#[cfg(not(target_arch = "aarch64"))]
fn flush_instructions(_start: usize, _len: usize) {}

/// Makes instructions written to `len` bytes at `start` visible to instruction fetches: cleans the data
/// cache and invalidates the instruction cache, line by line (Arm ARM, B2.4.4).
#[cfg(target_arch = "aarch64")]
fn flush_instructions(start: usize, len: usize) {
    use std::arch::asm;
    let end = start + len;
    let cache_type: usize;
    // SAFETY: reads a register that user programs may read.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) cache_type, options(nomem, nostack, preserves_flags)) };
    let data_line = 4usize << (cache_type >> 16 & 15);
    let code_line = 4usize << (cache_type & 15);
    for at in (start & !(data_line - 1)..end).step_by(data_line) {
        // SAFETY: cleans a cache line of mapped memory; changes no byte.
        unsafe { asm!("dc cvau, {}", in(reg) at, options(nostack, preserves_flags)) };
    }
    // SAFETY: a barrier.
    unsafe { asm!("dsb ish", options(nostack, preserves_flags)) };
    for at in (start & !(code_line - 1)..end).step_by(code_line) {
        // SAFETY: invalidates a line of the instruction cache.
        unsafe { asm!("ic ivau, {}", in(reg) at, options(nostack, preserves_flags)) };
    }
    // SAFETY: barriers.
    unsafe { asm!("dsb ish", "isb", options(nostack, preserves_flags)) };
}
