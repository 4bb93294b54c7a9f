//! What tells a file from another one and from itself at another time, without a look at its content.

/// A file as `stat` knows it. Times count from 1970, and may be before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// `st_dev`. It changes with mounts, so equal files may differ in it.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
    /// `st_size`, in bytes.
    pub size: u64,
    /// `st_mtim`: seconds.
    pub modified: i64,
    /// `st_mtim`: nanoseconds.
    pub modified_ns: u32,
    /// `st_ctim`: seconds.
    pub changed: i64,
    /// `st_ctim`: nanoseconds.
    pub changed_ns: u32,
}
