//! Start-up of a real Lean with the library: it takes no more memory than without.

use std::fs;
use std::process::{Command, Stdio};

use testkit::lean::{self, Options};
use testkit::{real_lean, temp_dir};

use crate::ours;

/// What a process took that ran to its end.
#[expect(clippy::zombie_processes, reason = "wait4 waits for it")]
pub fn usage(mut command: Command) -> libc::rusage {
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let child = child.unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let (mut status, mut usage) = (0, std::mem::MaybeUninit::<libc::rusage>::zeroed());
    // SAFETY: waits for the child started above, for which nobody else waits; both places are writable, and zeros are a
    // value of the second.
    let (waited, usage) = unsafe {
        let waited = libc::wait4(child.id() as libc::pid_t, &raw mut status, 0, usage.as_mut_ptr());
        (waited, usage.assume_init())
    };
    assert!(
        waited == child.id() as libc::pid_t && status == 0,
        "{command:?}: {status}"
    );
    usage
}

#[test]
fn a_process_that_has_started_takes_no_more_memory_than_with_leans_own_loader() {
    let dir = temp_dir("start-up");
    fs::write(dir.path().join("Empty.lean"), "prelude\n").unwrap();
    let peak = |options: &Options| {
        let runs = (0..3).map(|_| {
            let mut command = lean::command(&real_lean(), dir.path(), options);
            command.arg("Empty.lean");
            usage(command).ru_maxrss
        });
        runs.min().expect("three runs")
    };
    // The tables of symbols and relocations that start-up has used are let go; with them it takes 1.04.
    let (stock, with_ours) = (peak(&Options::stock()), peak(&ours()));
    assert!(
        with_ours * 100 <= stock * 101,
        "{with_ours} KB, with Lean's own loader {stock} KB"
    );
}
