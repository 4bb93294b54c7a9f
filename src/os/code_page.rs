//! A page of code near a host's functions, for the stubs that their entries jump to and for the copies of
//! their first instructions. Written first, then sealed as read and execute: never writable and
//! executable at once.

use std::io;

use super::maps::{self, Mapping};
use super::page::page_size;

/// How far from the functions it may lie, its own length included. x86-64: half of the 2 GiB of a 32-bit
/// distance, which leaves the other half for operands relative to the instruction pointer; AArch64: the
/// 128 MiB of a `b`.
const REACH: usize = if cfg!(target_arch = "aarch64") {
    128 << 20
} else {
    1 << 30
};

/// A page near an address. Unmapped when dropped, unless [`sealed`](Self::seal).
#[derive(Debug)]
pub struct CodePage {
    start: usize,
    len: usize,
    used: usize,
}

impl CodePage {
    /// An empty page within reach of `center`.
    ///
    /// # Errors
    /// When no free address is near enough, or the system gives no memory there.
    pub fn near(mappings: &[Mapping], center: usize) -> io::Result<Self> {
        let len = page_size();
        let mut last = io::Error::other(format!("no free address within {} MiB", REACH >> 20));
        for at in maps::free_near(mappings, center, REACH, len) {
            match map_at(at, len) {
                Ok(start) => return Ok(Self { start, len, used: 0 }),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Where the next [`push`](Self::push) will put its bytes.
    #[must_use]
    pub fn next(&self) -> usize {
        self.start + self.used
    }

    /// Adds `code`, whose address is what [`next`](Self::next) said; `None` when the page is full.
    pub fn push(&mut self, code: &[u8]) -> Option<usize> {
        let at = self.next();
        if code.len() > self.len - self.used {
            return None;
        }
        // SAFETY: the bytes up to `len` from `start` are this page's own, writable until it is sealed
        // (which consumes it), and known to nobody else.
        unsafe { std::ptr::copy_nonoverlapping(code.as_ptr(), at as *mut u8, code.len()) };
        self.used = (self.used + code.len()).next_multiple_of(16).min(self.len);
        Some(at)
    }

    /// Makes it executable and no longer writable, for the rest of the process: a thread may be running
    /// in it at any time from now on.
    ///
    /// # Errors
    /// When the system refuses executable memory.
    pub fn seal(self) -> io::Result<()> {
        flush_instructions(self.start, self.len);
        // SAFETY: exactly the page's own mapping.
        let done =
            unsafe { libc::mprotect(self.start as *mut _, self.len, libc::PROT_READ | libc::PROT_EXEC) };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        std::mem::forget(self);
        Ok(())
    }
}

impl Drop for CodePage {
    fn drop(&mut self) {
        // SAFETY: the page's own mapping, which was never handed out: sealing forgets it.
        unsafe { libc::munmap(self.start as *mut _, self.len) };
    }
}

/// Maps `len` bytes at `at` exactly.
fn map_at(at: usize, len: usize) -> io::Result<usize> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: a new anonymous mapping that replaces nothing: with MAP_FIXED_NOREPLACE, and as a mere hint
    // on kernels older than that flag.
    let got = unsafe {
        libc::mmap(
            at as *mut _,
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            -1,
            0,
        )
    };
    if got == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    if got as usize != at {
        // SAFETY: the mapping made just above, elsewhere than wanted.
        unsafe { libc::munmap(got, len) };
        return Err(io::Error::from_raw_os_error(libc::EEXIST));
    }
    Ok(at)
}

/// Makes instructions written to `len` bytes at `start` visible to instruction fetches. x86-64 does so by
/// itself.
#[cfg(not(target_arch = "aarch64"))]
pub fn flush_instructions(_start: usize, _len: usize) {}

/// Makes instructions written to `len` bytes at `start` visible to instruction fetches: cleans the data
/// cache and invalidates the instruction cache, line by line (Arm ARM, B2.4.4).
#[cfg(target_arch = "aarch64")]
pub fn flush_instructions(start: usize, len: usize) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn protection(at: usize) -> Option<i32> {
        maps::protection_at(&maps::mappings().expect("procfs"), at)
    }

    #[test]
    fn a_page_near_our_own_code_runs_what_was_pushed() {
        let center = a_page_near_our_own_code_runs_what_was_pushed as fn() as usize;
        let mut page = CodePage::near(&maps::mappings().expect("procfs"), center).expect("room");
        assert!(page.next().abs_diff(center) < REACH);
        let code: &[u8] = if cfg!(target_arch = "aarch64") {
            &[0x40, 0x05, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6] // mov w0, #42; ret
        } else {
            &[0xb8, 42, 0, 0, 0, 0xc3] // mov eax, 42; ret
        };
        page.push(&[0xcc]).expect("room");
        let at = page.push(code).expect("room");
        assert_eq!(at % 16, 0);
        assert_eq!(page.push(&[0; 1 << 16]), None, "full");
        page.seal().expect("executable");
        // SAFETY: a complete function without arguments that returns an int, just written there.
        let function: extern "C" fn() -> i32 = unsafe { std::mem::transmute(at) };
        assert_eq!(function(), 42);
        assert_eq!(protection(at), Some(libc::PROT_READ | libc::PROT_EXEC));
    }
}
