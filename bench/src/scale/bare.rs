//! What the disk takes for the files of a set, whoever loads them: each is read from its beginning to its end, by a process
//! of its own that does nothing else.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// How the files are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Bare {
    /// One after the other by one thread, as they come.
    AsTheyCome,
    /// By as many threads as there are cores, after the system was asked for all of them.
    AskedFor,
}

/// The process that reads the files whose paths are the lines of `list`.
#[must_use]
pub fn command(list: &Path, bare: Bare) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    let how = match bare {
        Bare::AsTheyCome => "as-they-come",
        Bare::AskedFor => "asked-for",
    };
    command.arg("--bare").arg(how).arg("--list").arg(list);
    command
}

/// That process.
pub fn child(list: &Path, bare: Bare) {
    let text = fs::read_to_string(list).unwrap_or_else(|e| panic!("{}: {e}", list.display()));
    let files: Vec<PathBuf> = text.lines().map(PathBuf::from).collect();
    assert!(!files.is_empty(), "{}: no files", list.display());
    if bare == Bare::AsTheyCome {
        return by_each(&files, 1, read);
    }
    let threads = thread::available_parallelism().map_or(1, usize::from);
    by_each(&files, threads, |file, _| ask_for(file));
    by_each(&files, threads, read);
}

/// Has each file given to `work` by one of some threads, each of which has memory to read into.
fn by_each(files: &[PathBuf], threads: usize, work: impl Fn(&Path, &mut [u8]) -> io::Result<()> + Sync) {
    let next = AtomicUsize::new(0);
    let one = || {
        let mut buffer = vec![0; 1 << 20];
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(file, &mut buffer).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        }
    };
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(one))));
}

fn read(path: &Path, buffer: &mut [u8]) -> io::Result<()> {
    let mut file = File::open(path)?;
    while file.read(buffer)? > 0 {}
    Ok(())
}

/// Has the system read a file into memory, and does not wait for it.
fn ask_for(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    // SAFETY: advice about an open file.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_WILLNEED) };
    Ok(())
}
