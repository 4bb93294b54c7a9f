//! The size of a page of memory: the one place that asks the system for it.

/// Bytes of a small page, which mappings and protections are counted in.
#[must_use]
pub fn page_size() -> usize {
    // SAFETY: asks for a number; no pointers involved.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}
