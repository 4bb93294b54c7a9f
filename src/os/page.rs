//! The size of a page of memory, which nothing else asks the system for, and the addresses that memory may lie at.

/// Nothing is mapped below this address, whatever the system allows: a dereference of a null pointer, also one with an
/// offset, has to fault. It is what `vm.mmap_min_addr` is on most systems, and where base addresses begin to differ.
pub const LOWEST_ADDRESS: usize = 0x1_0000;

/// Where the addresses end that a process gets without asking for more (48-bit virtual addresses; x86-64 gives half of
/// them to the system).
pub const USER_END: u64 = if cfg!(target_arch = "aarch64") {
    1 << 48
} else {
    (1 << 47) - 4096
};

/// Bytes of a small page, which mappings and protections are counted in.
#[must_use]
pub fn page_size() -> usize {
    // SAFETY: asks for a number; no pointers involved.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}
