//! One process from start to end, and what the system says that it took.

use crate::measure::{all_cpus, pin};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::slice;
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
    /// Bytes of its page tables when it ended, where that was looked at.
    pub page_tables: u64,
    /// How many mappings it had then.
    pub mappings: u64,
    /// Bytes of memory that belonged to no file then.
    pub anonymous: u64,
}

/// Runs `command` to its end; what it prints is thrown away.
///
/// # Panics
/// When it cannot be started or fails.
pub fn run(command: &mut Command) -> Usage {
    let start = Instant::now();
    let pid = start_silent(command);
    let (status, usage) = wait(pid);
    let wall = start.elapsed();
    let status = ExitStatus::from_raw(status);
    assert!(status.success(), "{command:?}: {status}");
    Usage {
        wall,
        ..taken(&usage)
    }
}

/// Has `command` run on one CPU, the last one that this process may use. What one thread does takes up to a third more where
/// the system moves it from CPU to CPU, now for one side and now for the other.
pub fn on_one_cpu(command: &mut Command) {
    let cpu = all_cpus().into_iter().next_back();
    // SAFETY: the child makes one system call, with a list that was made before.
    unsafe {
        command.pre_exec(move || {
            cpu.iter().for_each(|cpu| pin(slice::from_ref(cpu)));
            Ok(())
        });
    }
}

/// Runs `command` to its end and looks at its memory when it has nothing left to do but to end; that takes a tracer, so
/// no times are worth anything.
///
/// # Panics
/// When it cannot be started or fails.
pub fn inspect(command: &mut Command) -> Usage {
    // SAFETY: the child asks for its parent to be its tracer, which is a system call alone.
    unsafe {
        command.pre_exec(|| match libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    let pid = start_silent(command);
    // SAFETY: requests about a child of ours that has stopped, which is what `wait` told.
    let request = |request: libc::c_uint, data: libc::c_long| unsafe {
        assert_eq!(
            libc::ptrace(request, pid, 0, data),
            0,
            "tracing: {}",
            std::io::Error::last_os_error()
        );
    };
    let mut seen = Usage::default();
    let mut started = false;
    loop {
        let (status, usage) = wait(pid);
        if !libc::WIFSTOPPED(status) {
            let status = ExitStatus::from_raw(status);
            assert!(status.success(), "{command:?}: {status}");
            assert!(seen.mappings > 0, "{command:?}: its end was not seen");
            return Usage {
                page_tables: seen.page_tables,
                mappings: seen.mappings,
                anonymous: seen.anonymous,
                ..taken(&usage)
            };
        }
        let mut signal = libc::WSTOPSIG(status);
        if status >> 8 == libc::SIGTRAP | libc::PTRACE_EVENT_EXIT << 8 {
            seen = memory(pid);
            signal = 0;
        } else if signal == libc::SIGTRAP && !started {
            // The program has been put in the child's place.
            request(
                libc::PTRACE_SETOPTIONS,
                (libc::PTRACE_O_TRACEEXIT | libc::PTRACE_O_EXITKILL).into(),
            );
            started = true;
            signal = 0;
        }
        request(libc::PTRACE_CONT, signal.into());
    }
}

/// Starts `command` without a voice; its number is for [`wait`].
fn start_silent(command: &mut Command) -> libc::pid_t {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"))
        .id() as libc::pid_t
}

fn wait(pid: libc::pid_t) -> (libc::c_int, libc::rusage) {
    let mut status = 0;
    // SAFETY: all-zero bytes are a valid `rusage`.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both are writable; the child is ours and nobody else waits for it.
    let got = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    assert!(got > 0, "wait4: {}", std::io::Error::last_os_error());
    (status, usage)
}

fn taken(usage: &libc::rusage) -> Usage {
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    Usage {
        processor: time(usage.ru_utime) + time(usage.ru_stime),
        peak: usage.ru_maxrss as u64 * 1024,
        faults: usage.ru_minflt as u64,
        ..Usage::default()
    }
}

/// What the memory of process `pid` looks like.
fn memory(pid: libc::pid_t) -> Usage {
    let read = |name: &str| {
        let path = format!("/proc/{pid}/{name}");
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
    };
    let status = read("status");
    let kilobytes = |field: &str| {
        let line = status
            .lines()
            .find_map(|l| l.strip_prefix(field))
            .expect("a field of Linux");
        let number = line.trim_start_matches(':').split_whitespace().next();
        number.and_then(|n| n.parse::<u64>().ok()).expect("a number")
    };
    Usage {
        page_tables: kilobytes("VmPTE") * 1024,
        mappings: read("maps").lines().count() as u64,
        anonymous: kilobytes("RssAnon") * 1024,
        ..Usage::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_seen_at_its_end() {
        let usage = inspect(Command::new("sh").args(["-c", "trap : USR1; kill -USR1 $$"]));
        assert!(
            usage.mappings > 5 && usage.page_tables > 0 && usage.anonymous > 0,
            "{usage:?}"
        );
        assert!(run(&mut Command::new("true")).mappings == 0);
    }
}
