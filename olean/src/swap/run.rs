//! One run of a command in one mode of the library: what it printed, wrote and used.

use super::library;
use super::processes::Watch;
use super::report::{self, Report, Total};
use crate::error::{Failure, Result};
use crate::scratch;
use blake2::digest::consts::U16;
use blake2::{Blake2b, Digest};
use lean_region::compare::files;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The library's variable for an image.
pub const IMAGE: &str = "LEAN_REGION_IMAGE";

/// `LEAN_REGION_MODE`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Mode {
    /// The host's own loader serves
    #[value(skip)]
    Observe,
    /// Ours serves
    Replace,
    /// Ours serves, and the host's loader does the same beside it
    Compare,
}

impl Mode {
    /// The mode as the variable names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Replace => "replace",
            Self::Compare => "compare",
        }
    }
}

/// What a run used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    pub wall: Duration,
    pub user: Duration,
    pub system: Duration,
    /// Bytes that the largest process had in memory.
    pub peak: u64,
    /// Page faults, those without reading included.
    pub faults: u64,
}

/// A file that was saved, as it was after the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Saved {
    /// It was removed later in the run.
    Gone,
    /// The digest of a file that has to be the same in every run.
    Digest([u8; 16]),
    /// A copy of a version 3 file, whose code addresses differ from run to run.
    Copy(PathBuf),
}

/// One run.
#[derive(Debug, Clone)]
pub struct Run {
    pub mode: Mode,
    pub usage: Usage,
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub reports: Vec<Report>,
    pub total: Total,
    pub files: BTreeMap<PathBuf, Saved>,
}

/// Runs `command` with `library` swapped in; `dir` is an empty directory for what the run leaves.
/// Lean's own loader knows of no image, so that only ours is given one. With `watch`, the processes that it starts are looked
/// at all the while, which takes time.
pub fn run(
    library: &Path,
    image: Option<&Path>,
    mode: Mode,
    command: &[OsString],
    dir: &Path,
    mut watch: Option<&mut Watch>,
) -> Result<Run> {
    let reports = dir.join("reports");
    fs::create_dir(&reports).map_err(Failure::io("create", &reports))?;
    let (out, err) = (dir.join("stdout"), dir.join("stderr"));
    let create = |path: &Path| File::create(path).map_err(Failure::io("create", path));
    let mut process = swapped_in(library, command);
    if let Some(image) = image.filter(|_| mode != Mode::Observe) {
        process.env(IMAGE, image);
    }
    process
        .env("LEAN_REGION_MODE", mode.name())
        .env("LEAN_REGION_REPORT", reports.join("%p.json"))
        .env_remove("LEAN_REGION_STRICT")
        .stdin(Stdio::null())
        .stdout(create(&out)?)
        .stderr(create(&err)?);
    let (status, usage) = measure(&mut process, |pid| {
        if let Some(watch) = watch.as_deref_mut() {
            watch.look(pid, library);
        }
        watch.is_some()
    })?;
    let content = |path: &Path| fs::read(path).map_err(Failure::io("read", path));
    let (stdout, stderr) = (content(&out)?, content(&err)?);
    let reports = report::read_all(&reports)?;
    if reports.is_empty() {
        let passed_over = watch.map(|watch| watch.found()).unwrap_or_default();
        return Err(not_attached(mode, command, status, &stderr, &passed_over));
    }
    let total = Total::of(&reports);
    let mut files = BTreeMap::new();
    for (i, path) in total.saved.iter().enumerate() {
        let saved = keep(path, &dir.join(format!("saved-{i}")));
        files.insert(path.clone(), saved.map_err(Failure::io("read", path))?);
    }
    Ok(Run {
        mode,
        usage,
        status,
        stdout,
        stderr,
        reports,
        total,
        files,
    })
}

/// The image `given` as an absolute path, for whatever directory the command goes to.
pub fn image(given: Option<&Path>) -> Result<Option<PathBuf>> {
    let found = |path: &Path| path.canonicalize().map_err(Failure::io("open", path));
    given.map(found).transpose()
}

/// The command with the library preloaded, and nothing else changed.
pub fn swapped_in(library: &Path, command: &[OsString]) -> Command {
    let mut process = Command::new(&command[0]);
    process
        .args(&command[1..])
        .env("LD_PRELOAD", library::preload(library));
    process
}

/// A command that cannot be started, in words.
pub fn cannot_start(program: &OsString, cause: &io::Error) -> Failure {
    Failure::CannotRun(format!("cannot start '{}': {cause}", program.display()))
}

/// No process of the command has a Lean that the library attached to.
fn not_attached(
    mode: Mode,
    command: &[OsString],
    status: ExitStatus,
    stderr: &[u8],
    passed_over: &[PathBuf],
) -> Failure {
    let stderr = String::from_utf8_lossy(stderr);
    let why = stderr.lines().find_map(|line| line.strip_prefix("lean-region: "));
    let why = match (why, passed_over.first()) {
        (Some(why), _) => why.to_owned(),
        (None, Some(lean)) => without_preload(lean),
        (None, None) => format!("no process of it has a Lean runtime with a loader ({status})"),
    };
    Failure::CannotRun(format!(
        "the library did nothing in '{}' under mode {}: {why}; `olean doctor -- COMMAND` tells more",
        command[0].display(),
        mode.name()
    ))
}

/// What is to be said of a Lean that [`Watch`] found.
pub fn without_preload(lean: &Path) -> String {
    format!(
        "'{}' was started without LD_PRELOAD in its environment, so that its loader is Lean's own; start it in a way that \
         keeps the environment",
        lean.display()
    )
}

/// How long to wait before looking at a command's processes again.
const LOOK_EVERY: Duration = Duration::from_millis(3);

/// Runs `process` to its end. `look` gets its number while it runs, and says whether to look again.
fn measure(process: &mut Command, mut look: impl FnMut(u32) -> bool) -> Result<(ExitStatus, Usage)> {
    let start = Instant::now();
    let program = process.get_program().to_owned();
    let child = process.spawn().map_err(|e| cannot_start(&program, &e))?;
    let pid = libc::pid_t::try_from(child.id()).expect("a process id");
    let mut status = 0;
    // SAFETY: all-zero bytes are a valid `rusage`.
    let mut used: libc::rusage = unsafe { std::mem::zeroed() };
    let _running = scratch::running(child.id());
    loop {
        let flags = if look(child.id()) { libc::WNOHANG } else { 0 };
        // SAFETY: both are writable; the child is ours and nobody else waits for it: `child` is only dropped.
        let ended = unsafe { libc::wait4(pid, &raw mut status, flags, &raw mut used) };
        if ended == pid {
            break;
        }
        if ended == 0 {
            std::thread::sleep(LOOK_EVERY);
            continue;
        }
        let e = io::Error::last_os_error();
        if e.kind() != io::ErrorKind::Interrupted {
            return Err(Failure::CannotRun(format!(
                "cannot wait for '{}': {e}",
                program.display()
            )));
        }
    }
    let wall = start.elapsed();
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    let usage = Usage {
        wall,
        user: time(used.ru_utime),
        system: time(used.ru_stime),
        // Linux counts in KiB (getrusage(2)).
        peak: used.ru_maxrss as u64 * 1024,
        faults: (used.ru_minflt + used.ru_majflt) as u64,
    };
    Ok((ExitStatus::from_raw(status), usage))
}

/// Notes what is in the file `path`; a copy goes to `copy`. Never holds a whole file in memory: the size of this
/// process would count as the next command's peak, which begins as a copy of it.
fn keep(path: &Path, copy: &Path) -> io::Result<Saved> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Saved::Gone),
        Err(e) => return Err(e),
    };
    let mut buffer = vec![0; 1 << 16];
    let mut digest = Blake2b::<U16>::new();
    let mut first = true;
    loop {
        let n = match file.read(&mut buffer) {
            Ok(0) => return Ok(Saved::Digest(digest.finalize().into())),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        if first && files::is_version_3(&buffer[..n]) {
            fs::copy(path, copy)?;
            return Ok(Saved::Copy(copy.to_owned()));
        }
        first = false;
        digest.update(&buffer[..n]);
    }
}
