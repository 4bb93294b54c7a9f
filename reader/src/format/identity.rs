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

impl Identity {
    /// What differs between this and `now`, as one word of `stat`; `None` if nothing does.
    #[must_use]
    pub fn difference(&self, now: &Self) -> Option<&'static str> {
        if self.size != now.size {
            return Some("size");
        }
        if (self.modified, self.modified_ns) != (now.modified, now.modified_ns) {
            return Some("modification time");
        }
        if self.inode != now.inode {
            return Some("inode");
        }
        if self.device != now.device {
            return Some("device");
        }
        ((self.changed, self.changed_ns) != (now.changed, now.changed_ns)).then_some("change time")
    }

    /// The later of both times, in seconds.
    #[must_use]
    pub fn youngest(&self) -> i64 {
        self.modified.max(self.changed)
    }

    /// The modification time in nanoseconds, wrapping around after some centuries: to be compared only.
    #[must_use]
    #[inline]
    pub const fn modified_at(&self) -> i64 {
        nanoseconds(self.modified, self.modified_ns)
    }

    /// The change time likewise.
    #[must_use]
    #[inline]
    pub const fn changed_at(&self) -> i64 {
        nanoseconds(self.changed, self.changed_ns)
    }
}

const fn nanoseconds(seconds: i64, nanoseconds: u32) -> i64 {
    seconds
        .wrapping_mul(1_000_000_000)
        .wrapping_add(nanoseconds as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_compared() {
        let a = Identity {
            device: 1,
            inode: 2,
            size: 3,
            modified: 4,
            modified_ns: 5,
            changed: 6,
            changed_ns: 7,
        };
        assert_eq!(a.difference(&a), None);
        for (changed, what) in [
            (Identity { device: 9, ..a }, "device"),
            (Identity { inode: 9, ..a }, "inode"),
            (Identity { size: 9, ..a }, "size"),
            (Identity { modified: 9, ..a }, "modification time"),
            (Identity { modified_ns: 9, ..a }, "modification time"),
            (Identity { changed: 9, ..a }, "change time"),
            (Identity { changed_ns: 9, ..a }, "change time"),
        ] {
            assert_eq!(a.difference(&changed), Some(what));
        }
    }
}
