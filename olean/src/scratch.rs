//! Folders for what commands need while they run. They have names that nobody can guess, and go when the command ends,
//! also when a signal ends it.

use crate::error::{Failure, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::Duration;

/// Folders to remove and processes to end when a signal comes.
#[derive(Default)]
struct State {
    folders: Vec<PathBuf>,
    children: Vec<u32>,
}

static STATE: Mutex<State> = Mutex::new(State {
    folders: Vec::new(),
    children: Vec::new(),
});

/// Whether a signal is about to end the process.
static ENDING: AtomicBool = AtomicBool::new(false);

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder of its own in the one for temporary files; removed when dropped.
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    /// Makes one whose name begins with `prefix`.
    pub fn new(prefix: &str) -> Result<Self> {
        watch_signals();
        // Under the lock, so that no signal finds a folder that is not listed yet.
        let mut state = state();
        let made = tempfile::Builder::new()
            .prefix(prefix)
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir();
        let made = made.map_err(Failure::io("create a folder in", &env::temp_dir()))?;
        state.folders.push(made.path().to_owned());
        Ok(Self(made))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut state = state();
        // What cannot be removed stays in the folder for temporary files.
        let _ = fs::remove_dir_all(self.path());
        state.folders.retain(|folder| folder != self.path());
    }
}

/// A child process that writes into such a folder, until it is dropped.
pub struct Running(u32);

/// Has the process `pid`, a child of this one, end before the folders go when a signal comes.
pub fn running(pid: u32) -> Running {
    state().children.push(pid);
    Running(pid)
}

impl Drop for Running {
    fn drop(&mut self) {
        state().children.retain(|&pid| pid != self.0);
        // The child ended because a signal ends us all; nothing is to be said of it.
        while ENDING.load(Ordering::Acquire) {
            thread::park();
        }
    }
}

/// Lets a thread wait for the signals that end a process, once there is something to remove.
fn watch_signals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let (send, ready) = mpsc::channel();
        let wait = move || {
            let wanted = [SIGINT, SIGTERM, SIGHUP].into_iter();
            // Without the thread no handler may be there either: the signals would be lost.
            let signals = Signals::new(wanted.filter(|&signal| !is_ignored(signal)));
            let _ = send.send(());
            if let Some(signal) = signals.ok().and_then(|mut signals| signals.forever().next()) {
                end(signal);
            }
        };
        if thread::Builder::new().spawn(wait).is_ok() {
            let _ = ready.recv();
        }
    });
}

/// Whether this process was started with a signal ignored, as by nohup (proc(5)).
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 != 0)
}

/// Ends this process as the signal would have, and removes the folders before.
fn end(signal: i32) {
    /// How often, and after how long, to see whether children have ended.
    const PATIENCE: (u32, Duration) = (200, Duration::from_millis(10));
    ENDING.store(true, Ordering::Release);
    let children = state().children.clone();
    for &pid in &children {
        if let Ok(pid) = libc::pid_t::try_from(pid) {
            // SAFETY: the call takes numbers only. The process is a child that nobody has waited for when it was listed.
            unsafe { libc::kill(pid, signal) };
        }
    }
    for _ in 0..PATIENCE.0 {
        if state().children.is_empty() {
            break;
        }
        thread::sleep(PATIENCE.1);
    }
    // Held to the end: nothing new is made any more.
    let state = state();
    for folder in &state.folders {
        let _ = fs::remove_dir_all(folder);
    }
    let _ = emulate_default_handler(signal);
    std::process::exit(128 + signal);
}
