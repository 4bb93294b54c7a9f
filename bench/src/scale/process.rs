//! One process from start to end, and what the system says that it took.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What a process took.
#[derive(Clone, Copy, Default, Debug)]
pub struct Usage {
    /// Of all its threads, in the kernel too.
    pub processor: Duration,
    /// From start to end.
    pub wall: Duration,
    /// Most memory that it had at once, mapped files included; bytes.
    pub peak: u64,
    /// Page faults that waited for no disk.
    pub faults: u64,
    /// System calls, where they were counted.
    pub calls: u64,
}

/// Runs `command` to its end; what it prints is thrown away.
///
/// # Panics
/// When it cannot be started or fails.
pub fn run(command: &mut Command) -> Usage {
    let start = Instant::now();
    #[expect(
        clippy::zombie_processes,
        reason = "wait4 waits for it, and tells what it took"
    )]
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let mut status = 0;
    // SAFETY: all-zero bytes are a valid `rusage`.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both are writable; the child is ours and nobody else waits for it.
    let got = unsafe { libc::wait4(child.id() as libc::pid_t, &raw mut status, 0, &raw mut usage) };
    let wall = start.elapsed();
    let status = ExitStatus::from_raw(status);
    assert!(got > 0 && status.success(), "{command:?}: {status}");
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    Usage {
        processor: time(usage.ru_utime) + time(usage.ru_stime),
        wall,
        peak: usage.ru_maxrss as u64 * 1024,
        faults: usage.ru_minflt as u64,
        calls: 0,
    }
}
