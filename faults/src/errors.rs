//! Which errors each system call may give, by their names and the words in which the system says them.

use std::io;

/// An error of the system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno {
    /// As strace takes it.
    pub name: &'static str,
    number: i32,
}

macro_rules! errnos {
    ($($name:ident)*) => { $(pub const $name: Errno = Errno { name: stringify!($name), number: libc::$name };)* };
}
errnos! { EACCES EAGAIN EBUSY EDQUOT EFAULT EFBIG EINTR EINVAL EIO EISDIR EMFILE EMLINK ENFILE ENODEV ENOENT ENOLCK ENOMEM ENOSPC
ENOSYS EPERM EROFS EXDEV ELOOP EOVERFLOW }

impl Errno {
    /// The system's words.
    pub fn text(self) -> String {
        let text = io::Error::from_raw_os_error(self.number).to_string();
        text.split(" (os error").next().unwrap_or_default().to_owned()
    }
}

/// Calls that no error is made for: they cannot fail, or the C library relies on it. Of `brk` the system never says
/// that it failed, and the C library takes what a tracer says for an address.
const LEFT_ALONE: [&str; 19] = [
    "exit",
    "exit_group",
    "execve",
    "rt_sigreturn",
    "restart_syscall",
    "set_robust_list",
    "rseq",
    "set_tid_address",
    "arch_prctl",
    "getpid",
    "gettid",
    "futex",
    "sched_yield",
    "rt_sigprocmask",
    "getpriority",
    "clock_nanosleep",
    "wait4",
    "nanosleep",
    "brk",
];

/// The errors that fit a system call.
pub fn fitting(call: &str) -> &'static [Errno] {
    match call {
        call if LEFT_ALONE.contains(&call) => &[],
        "openat" | "open" => &[EMFILE, EACCES, EIO, EINTR, ENOMEM, ENFILE, ENOSPC],
        "read" | "pread64" | "readv" | "preadv" => &[EIO, EINTR, ENOMEM, EISDIR],
        "preadv2" => &[EAGAIN, EIO, EPERM, ENOSYS],
        "fadvise64" => &[EINVAL, EPERM],
        "write" | "pwrite64" | "writev" | "sendfile" | "copy_file_range" => {
            &[ENOSPC, EIO, EINTR, EDQUOT, EFBIG]
        }
        "close" => &[EIO, EINTR, ENOSPC],
        "rename" | "renameat" | "renameat2" => &[EIO, EACCES, ENOSPC, EXDEV, EPERM],
        "link" | "linkat" => &[EPERM, EMLINK, EIO, ENOSPC],
        "unlink" | "unlinkat" => &[EIO, EACCES, EBUSY],
        "fstat" | "newfstatat" | "stat" | "statx" | "lstat" => &[EIO, EACCES, ENOMEM],
        "fcntl" => &[EAGAIN, EINVAL, EMFILE],
        "mmap" => &[ENOMEM, EPERM, ENODEV, EAGAIN, EACCES],
        "munmap" => &[ENOMEM, EINVAL],
        "mremap" => &[ENOMEM, EPERM, EAGAIN],
        "mprotect" => &[ENOMEM, EACCES],
        "madvise" => &[EINVAL, ENOMEM, EAGAIN, EFAULT],
        "fsync" | "fdatasync" => &[EIO, ENOSPC, EINTR],
        "ftruncate" | "fallocate" => &[EIO, ENOSPC, EINTR],
        "flock" => &[EINTR, ENOLCK],
        "clone" | "clone3" => &[EAGAIN, ENOMEM],
        "pipe2" | "dup" | "dup3" | "eventfd2" => &[EMFILE],
        "getdents64" => &[EIO],
        "mkdir" | "mkdirat" => &[EACCES, ENOSPC, EROFS],
        "readlink" | "readlinkat" => &[EACCES, EIO, ELOOP],
        "chmod" | "fchmod" | "fchmodat" => &[EPERM, EROFS],
        "getrandom" => &[EINTR, ENOSYS],
        "lseek" => &[EINVAL, EOVERFLOW],
        "getcwd" => &[ENOENT],
        _ => &[EPERM, EINVAL],
    }
}

/// Whether a call asks for memory or gives it back.
pub fn is_memory(call: &str) -> bool {
    matches!(
        call,
        "mmap" | "munmap" | "mremap" | "mprotect" | "madvise" | "brk"
    )
}
