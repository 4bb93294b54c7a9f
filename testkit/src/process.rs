//! Processes started by tests: running them to their end, running them under valgrind, and counting what a
//! process holds: descriptors, mappings.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

/// What a finished process left.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output; bytes that are not UTF-8 replaced.
    pub stdout: String,
    /// Its standard error; bytes that are not UTF-8 replaced.
    pub stderr: String,
    /// Wall time from start to end.
    pub time: Duration,
    /// The command, for messages.
    pub command: String,
}

impl Output {
    /// Panics with command and outputs unless the process ended with code 0.
    #[track_caller]
    pub fn success(self) -> Self {
        assert!(self.status.success(), "{self}");
        self
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            status,
            stdout,
            stderr,
            command,
            ..
        } = self;
        write!(
            f,
            "{command}\n{status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
        )
    }
}

/// Runs `command` to its end with both outputs captured; panics only if it cannot be started.
#[track_caller]
pub fn run(command: &mut Command) -> Output {
    try_run(command).unwrap_or_else(|e| panic!("{e}"))
}

/// [`run`], with a text in place of the panic.
pub(crate) fn try_run(command: &mut Command) -> Result<Output, String> {
    let start = Instant::now();
    let output = command
        .output()
        .map_err(|e| format!("cannot start {command:?}: {e}"))?;
    Ok(Output {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        time: start.elapsed(),
        command: format!("{command:?}"),
    })
}

/// `command` under valgrind's memory checker: exit code 99 when there is an error or a definite, indirect
/// or possible leak. Arguments, variables and working directory are taken over.
pub fn valgrind(command: &Command) -> Command {
    let valgrind = which("valgrind").expect("valgrind is not installed (Debian: apt-get install valgrind)");
    let mut wrapped = Command::new(valgrind);
    wrapped.args(["--quiet", "--error-exitcode=99", "--leak-check=full"]);
    wrapped.args([
        "--show-leak-kinds=definite,indirect,possible",
        "--errors-for-leak-kinds=definite,indirect,possible",
    ]);
    wrapped.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        wrapped.current_dir(dir);
    }
    wrapped
}

/// The first program of this name on `PATH`.
pub fn which(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let name = name.as_ref();
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

/// Number of descriptors that process `pid` has open. For the calling process the descriptor of the
/// listing itself is not counted.
pub fn open_descriptors(pid: u32) -> usize {
    let dir = PathBuf::from(format!("/proc/{pid}/fd"));
    let count = std::fs::read_dir(&dir)
        .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
        .count();
    if pid == std::process::id() {
        count - 1
    } else {
        count
    }
}

/// One line of `/proc/<pid>/maps`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    /// First address.
    pub start: u64,
    /// Address behind the last byte.
    pub end: u64,
    /// Such as `rw-p`.
    pub protection: String,
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// The file, `[heap]` and the like, or empty.
    pub path: PathBuf,
}

/// The mappings of process `pid`, ascending.
pub fn maps(pid: u32) -> Vec<Map> {
    let path = format!("/proc/{pid}/maps");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    text.lines()
        .map(|line| parse_map(line).unwrap_or_else(|| panic!("{path}: {line}")))
        .collect()
}

/// Number of mappings of process `pid` whose file is `file`.
pub fn maps_of(pid: u32, file: &Path) -> usize {
    maps(pid).iter().filter(|map| map.path == file).count()
}

fn parse_map(line: &str) -> Option<Map> {
    let mut rest = line;
    let mut word = || {
        let (word, tail) = rest.split_once(' ').unwrap_or((rest, ""));
        rest = tail;
        word
    };
    let (start, end) = word().split_once('-')?;
    let (protection, offset) = (word().to_owned(), word());
    let (_device, _inode) = (word(), word());
    Some(Map {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        protection,
        offset: u64::from_str_radix(offset, 16).ok()?,
        path: rest.trim_start().into(),
    })
}
