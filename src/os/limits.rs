//! Why the system may have refused memory: the limits of this process, how much of each is used, and what to raise.
//! Asked when memory is short, so nothing here takes much of it.

use super::file::{File, errno_text};
use super::page::page_size;
use std::ffi::CStr;
use std::fmt;
use std::io;

/// The limit of a resource (`RLIMIT_*`); none if it is infinite.
fn limit(resource: libc::__rlimit_resource_t) -> Option<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: `limit` is writable; a call that fails leaves it infinite.
    unsafe { libc::getrlimit(resource, &raw mut limit) };
    (limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

/// Whether this process may have so much memory only, counted by addresses and not by what is used: then nothing is
/// reserved ahead.
#[must_use]
pub fn addresses_are_limited() -> bool {
    limit(libc::RLIMIT_AS).is_some() || limit(libc::RLIMIT_DATA).is_some()
}

/// How many mappings this process has and how many it may have (`vm.max_map_count`), if the system tells.
#[must_use]
pub fn mapping_counts() -> (Option<usize>, Option<usize>) {
    let mut mappings = 0;
    let counted = each_piece(c"/proc/self/maps", |bytes| {
        mappings += bytes.iter().filter(|&&b| b == b'\n').count();
    });
    let most = numbers(c"/proc/sys/vm/max_map_count", 1)[0];
    (counted.then_some(mappings), most.map(|n| n as usize))
}

/// Shows what is in a file of `/proc` to `f`, a piece at a time; whether it could be read.
fn each_piece(path: &CStr, mut f: impl FnMut(&[u8])) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    let mut piece = [0; 4096];
    let mut at = 0;
    loop {
        match file.read_at(&mut piece, at) {
            Ok(0) => return true,
            Ok(got) => {
                f(&piece[..got]);
                at += got as u64;
            }
            Err(_) => return false,
        }
    }
}

/// The first `count` numbers of a small file of `/proc`, at most 8.
fn numbers(path: &CStr, count: usize) -> [Option<u64>; 8] {
    let mut found = [None; 8];
    each_piece(path, |bytes| {
        let words = bytes.split(u8::is_ascii_whitespace).take(count);
        for (number, word) in found.iter_mut().zip(words) {
            *number = std::str::from_utf8(word).ok().and_then(|word| word.parse().ok());
        }
    });
    found
}

/// The limits that may be why memory was refused, in words, each with a semicolon before it; nothing if there are none.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes that address space is limited to and that are used.
    addresses: Option<(u64, Option<u64>)>,
    /// The same for data.
    data: Option<(u64, Option<u64>)>,
    /// Mappings there are and may be, when few are left.
    mappings: Option<(usize, usize)>,
    /// What the system says to a request for a page, if not that memory is short.
    refused: Option<i32>,
}

impl Limits {
    /// Those of now.
    #[must_use]
    pub fn now() -> Self {
        // proc(5): sizes in pages, the first of all, the sixth of data and stack.
        let used = numbers(c"/proc/self/statm", 6);
        let bytes = |i: usize| used[i].map(|pages| pages.saturating_mul(page_size() as u64));
        let mappings = match mapping_counts() {
            // A few may have gone since memory was refused.
            (Some(are), Some(most)) if are + 8 >= most => Some((are, most)),
            _ => None,
        };
        Limits {
            addresses: limit(libc::RLIMIT_AS).map(|limit| (limit, bytes(0))),
            data: limit(libc::RLIMIT_DATA).map(|limit| (limit, bytes(5))),
            mappings,
            refused: refusal().filter(|&code| code != libc::ENOMEM),
        }
    }
}

/// What the system says to a request for one page; nothing if it grants it.
fn refusal() -> Option<i32> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new anonymous mapping anywhere touches no memory in use.
    let got = unsafe { libc::mmap(std::ptr::null_mut(), page_size(), libc::PROT_NONE, flags, -1, 0) };
    if got == libc::MAP_FAILED {
        return io::Error::last_os_error().raw_os_error();
    }
    // SAFETY: the mapping made just now, unknown to anybody else.
    unsafe { libc::munmap(got, page_size()) };
    None
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = |used: Option<u64>| used.map_or(String::new(), |n| format!(", of which {n} are used"));
        if let Some((limit, now)) = self.addresses {
            let now = used(now);
            write!(
                f,
                "; the address space of this process is limited to {limit} bytes (RLIMIT_AS){now}: raise it with \
                 ulimit -v"
            )?;
        }
        if let Some((limit, now)) = self.data {
            let now = used(now);
            write!(
                f,
                "; the data of this process is limited to {limit} bytes (RLIMIT_DATA){now}: raise it with ulimit -d"
            )?;
        }
        if let Some((are, most)) = self.mappings {
            write!(
                f,
                "; this process has {are} mappings and the limit vm.max_map_count is {most}: raise it with sysctl \
                 vm.max_map_count"
            )?;
        }
        if let Some(code) = self.refused {
            let why = errno_text(&io::Error::from_raw_os_error(code));
            write!(
                f,
                "; this process may not map memory (mmap: {why}): let its sandbox allow that"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_counted() {
        let (are, most) = mapping_counts();
        let listed = std::fs::read_to_string("/proc/self/maps")
            .unwrap()
            .lines()
            .count();
        // Other threads map and unmap meanwhile.
        assert!(are.unwrap().abs_diff(listed) < 50, "{are:?} {listed}");
        assert!(most.unwrap() > 1000);
    }

    #[test]
    fn each_limit_is_named_with_its_value_and_what_to_raise() {
        let limits = Limits {
            addresses: Some((1000, Some(900))),
            data: Some((500, None)),
            mappings: Some((65_530, 65_530)),
            refused: Some(libc::EPERM),
        };
        let text = limits.to_string();
        for part in [
            "1000 bytes (RLIMIT_AS), of which 900 are used: raise it with ulimit -v",
            "500 bytes (RLIMIT_DATA): raise it with ulimit -d",
            "65530 mappings and the limit vm.max_map_count is 65530",
            "mmap: Operation not permitted",
        ] {
            assert!(text.contains(part), "{text}");
        }
        let none = Limits {
            addresses: None,
            data: None,
            mappings: None,
            refused: None,
        };
        assert_eq!(none.to_string(), "");
    }
}
