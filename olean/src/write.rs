//! Files that commands write: complete or not at all, and several of them all or none.

use crate::error::{Failure, Result};
use crate::output::Output;
use lean_region::os::new_file::{NewFile, publish_all};
use serde::Serialize;
use std::collections::HashMap;
use std::ffi::CString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// What an output path stands for.
enum Place {
    /// Standard output: `-`, and its names in /dev and /proc.
    Stdout,
    /// Something that is written into and stays what it is: a device, a pipe, another open descriptor.
    Through(PathBuf),
    /// A file to be made or replaced; links are followed.
    File(PathBuf),
}

impl Place {
    fn of(path: &Path) -> Result<Self> {
        if is_stdout(path) {
            return Ok(Self::Stdout);
        }
        let fail = |e| Failure::io("write", path)(e);
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => Err(fail(io::Error::from_raw_os_error(libc::EISDIR))),
            Ok(meta) if !meta.is_file() || is_descriptor(path) => Ok(Self::Through(path.to_owned())),
            Ok(_) => Ok(Self::File(fs::canonicalize(path).map_err(fail)?)),
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(fail(e)),
            Err(_) if path.is_symlink() => Err(fail(io::Error::other("it is a link to nothing"))),
            Err(_) => Ok(Self::File(path.to_owned())),
        }
    }
}

/// Whether a path stands for standard output.
pub fn is_stdout(path: &Path) -> bool {
    ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"]
        .iter()
        .any(|name| path == Path::new(name))
}

/// Whether a path is the name of a descriptor: the file behind it belongs to whoever opened it.
fn is_descriptor(path: &Path) -> bool {
    let below = |folder: &str| path.starts_with(folder);
    below("/dev/fd") || below("/proc/self/fd") || path == Path::new("/dev/stderr")
}

/// Writes a file under its name, or to standard output for `-`. What is no regular file is written into; a file that
/// is replaced leaves its mode to the new one.
pub fn file(path: &Path, bytes: &[u8], out: &mut Output) -> Result<()> {
    match Place::of(path)? {
        Place::Stdout => {
            if out.is_terminal() {
                return Err(Failure::Usage(
                    "a region file would garble the terminal; give a file, or send the output into a pipe"
                        .to_owned(),
                ));
            }
            out.raw(bytes)
        }
        Place::Through(place) => {
            let open = fs::OpenOptions::new().write(true).open(&place);
            let mut open = open.map_err(Failure::io("open", path))?;
            match open.write_all(bytes) {
                // Who reads it has seen enough.
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(Failure::Output(e)),
                written => written.map_err(Failure::io("write", path)),
            }
        }
        Place::File(target) => stage(target, bytes)?.publish(),
    }
}

/// A complete file beside its target, removed if it is not published.
struct Staged {
    new: NewFile,
    target: PathBuf,
}

fn stage(target: PathBuf, bytes: &[u8]) -> Result<Staged> {
    let fail = |e| Failure::io("write", &target)(e);
    let name = CString::new(target.as_os_str().as_bytes()).map_err(|e| fail(io::Error::other(e)))?;
    let new = NewFile::write(&name, &[bytes]).map_err(|(_, e)| fail(e))?;
    new.keep_mode().map_err(fail)?;
    Ok(Staged { new, target })
}

impl Staged {
    fn publish(self) -> Result<()> {
        let Self { new, target } = self;
        new.publish().map_err(|(_, e)| Failure::io("write", &target)(e))
    }
}

/// Files that appear together: all of them, or none.
#[derive(Default)]
pub struct Set {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    staged: Vec<Option<Staged>>,
    /// Folders made for them, outer ones first.
    folders: Vec<PathBuf>,
}

impl Set {
    /// Writes a file that is not seen under its name yet; its folder is made. Answers its number.
    pub fn add(&self, path: &Path, bytes: &[u8]) -> Result<usize> {
        if let Some(folder) = path.parent() {
            self.make(folder)?;
        }
        let Place::File(target) = Place::of(path)? else {
            return Err(Failure::Usage(format!(
                "'{}' is no regular file; the files of a folder go into files",
                path.display()
            )));
        };
        let mut staged = stage(target, bytes)?;
        // There may be more files than a process may have open.
        staged.new.release();
        let mut state = self.locked();
        state.staged.push(Some(staged));
        Ok(state.staged.len() - 1)
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn make(&self, folder: &Path) -> Result<()> {
        // Under the lock, so that each folder is made once and known as ours.
        let mut state = self.locked();
        let missing: Vec<&Path> = folder
            .ancestors()
            .take_while(|f| !f.as_os_str().is_empty() && !f.exists())
            .collect();
        for folder in missing.into_iter().rev() {
            fs::create_dir(folder).map_err(Failure::io("create", folder))?;
            state.folders.push(folder.to_owned());
        }
        Ok(())
    }

    /// Puts the files with these numbers under their names. If one cannot be, those before it are taken back.
    pub fn publish(self, numbers: &[usize]) -> Result<()> {
        let mut all = std::mem::take(&mut self.locked().staged);
        let staged = numbers.iter().filter_map(|&n| all[n].take());
        let (files, targets): (Vec<NewFile>, Vec<PathBuf>) = staged.map(|s| (s.new, s.target)).unzip();
        // The others go before folders do.
        drop(all);
        publish_all(files).map_err(|e| Failure::io("write", &targets[e.index])(e.cause))
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        let mut state = self.locked();
        state.staged.clear();
        // Only what is empty goes.
        for folder in state.folders.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Refuses to write where something is read: the same file, also by another name or through links.
pub fn refuse_inputs<'a>(outputs: impl IntoIterator<Item = &'a Path>, inputs: &[PathBuf]) -> Result<()> {
    let identity = |path: &Path| fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
    let mut read: HashMap<(u64, u64), &Path> = HashMap::new();
    for input in inputs {
        if let Some(file) = identity(input) {
            read.entry(file).or_insert(input);
        }
    }
    for output in outputs {
        if is_stdout(output) {
            continue;
        }
        if let Some(input) = identity(output).and_then(|file| read.get(&file)) {
            let (output, input) = (output.display(), input.display());
            return Err(Failure::Usage(match output.to_string() == input.to_string() {
                true => format!("'{output}' is read and would be overwritten; write to another place"),
                false => format!(
                    "the output '{output}' is the file '{input}', which is read; write to another place"
                ),
            }));
        }
    }
    Ok(())
}

/// Tells what was written, as JSON or in words; nothing if the file itself went to standard output.
pub fn told(
    path: &Path,
    report: &impl Serialize,
    out: &mut Output,
    words: impl FnOnce() -> String,
) -> Result<()> {
    if is_stdout(path) {
        return Ok(());
    }
    if out.is_json() {
        return out.json(report);
    }
    writeln!(out, "{}", words())?;
    Ok(())
}
