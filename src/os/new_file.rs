//! A file that appears under its name only when it is complete: written under another name beside it, and renamed.
//!
//! That name is `<target>.tmp.<number>`, no longer than with the number of this process, so that every name works that
//! works in the incumbent. A file that stands there is one that somebody is writing, or what a killed process has left.
//! The system tells them apart: it gives a lease for writing only while nobody has the file open, so who writes a file
//! keeps it open until it has its name. What is left behind is removed; beside what is not another number is taken.

use super::env;
use super::file::{File, retry, stat_of};
use once_cell::race::OnceBool;
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// At which step a new file could not be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteStep {
    /// Looking at what stands under its name.
    Target,
    /// Creating the temporary file.
    Create,
    /// Writing its bytes.
    Write,
    /// Having what was written accepted, where some file systems report a full disk.
    Close,
    /// Renaming it onto the target.
    Rename,
    /// Having the new name written to the disk, under `LEAN_REGION_SYNC`: the file is new all the same.
    Sync,
}

/// A complete temporary file beside its target, removed when dropped before [`NewFile::publish`].
pub struct NewFile {
    temporary: CString,
    target: CString,
    published: bool,
    /// Says that the file is in use.
    open: Option<File>,
}

/// So many numbers are tried before longer names are.
const NUMBERS: u32 = 100;

impl NewFile {
    /// Writes `chunks` one after the other into a temporary file beside `target`, which is a regular file, a link to
    /// one, or nothing yet.
    ///
    /// # Errors
    /// The step that failed and what the system said; no file is left behind.
    pub fn write(target: &CStr, chunks: &[&[u8]]) -> Result<NewFile, (WriteStep, io::Error)> {
        replaceable(target).map_err(|e| (WriteStep::Target, e))?;
        let new = Self::create(target).map_err(|e| (WriteStep::Create, e))?;
        if let Some(file) = &new.open {
            for chunk in chunks {
                file.write_all(chunk).map_err(|e| (WriteStep::Write, e))?;
            }
            if synced() {
                file.sync().map_err(|e| (WriteStep::Close, e))?;
            }
            file.settle().map_err(|e| (WriteStep::Close, e))?;
        }
        Ok(new)
    }

    fn create(target: &CStr) -> io::Result<NewFile> {
        let mut attempt = 0;
        loop {
            let temporary = temporary_name(target, std::process::id(), attempt)?;
            match File::create(&temporary) {
                // Between its name and its being open it looked abandoned, and somebody has removed it. From now on
                // nobody can.
                Ok(file) if file.stat().is_ok_and(|st| st.st_nlink == 0) => {}
                Ok(file) => {
                    return Ok(NewFile {
                        temporary,
                        target: target.to_owned(),
                        published: false,
                        open: Some(file),
                    });
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    if !remove_abandoned(&temporary) {
                        attempt += 1;
                    }
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// Gives the file the permissions of the one that it will replace, if there is one.
    ///
    /// # Errors
    /// What `stat` and `chmod` say; that there is nothing to replace is none.
    pub fn keep_mode(&self) -> io::Result<()> {
        let path = |name: &CStr| Path::new(OsStr::from_bytes(name.to_bytes())).to_owned();
        match std::fs::metadata(path(&self.target)) {
            Ok(old) => std::fs::set_permissions(path(&self.temporary), old.permissions()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Gives up the descriptor that says that the file is in use, for sets of more files than may be open.
    pub fn release(&mut self) {
        self.open = None;
    }

    /// Puts the file in the place of its target, atomically.
    ///
    /// # Errors
    /// What `rename` says; the temporary file is removed and the target is as it was.
    pub fn publish(mut self) -> Result<(), (WriteStep, io::Error)> {
        self.rename()?;
        if synced() {
            sync_name(&self.target).map_err(|e| (WriteStep::Sync, e))?;
        }
        Ok(())
    }

    fn rename(&mut self) -> Result<(), (WriteStep, io::Error)> {
        rename(&self.temporary, &self.target).map_err(|e| (WriteStep::Rename, e))?;
        self.published = true;
        self.open = None;
        Ok(())
    }

    /// Keeps what stands under the target's name under another one as well; `None` where nothing stands there or the
    /// file system has no links.
    fn keep_old(&self) -> Option<Old> {
        let mut attempt = 0;
        loop {
            let kept = temporary_name(&self.target, std::process::id(), attempt).ok()?;
            if kept == self.temporary {
                attempt += 1;
                continue;
            }
            // SAFETY: both are terminated strings.
            let linked = retry(|| unsafe { libc::link(self.target.as_ptr(), kept.as_ptr()) } as isize);
            match linked {
                Ok(_) => {
                    let open = File::open_to_look(&kept).ok();
                    return Some(Old {
                        kept: Some(kept),
                        _open: open,
                    });
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && attempt < NUMBERS => {
                    if !remove_abandoned(&kept) {
                        attempt += 1;
                    }
                }
                Err(_) => return None,
            }
        }
    }
}

/// What stood under a name before, kept under another one until dropped.
struct Old {
    kept: Option<CString>,
    /// Says that the name is in use, as of a new file.
    _open: Option<File>,
}

impl Drop for Old {
    fn drop(&mut self) {
        if let Some(kept) = &self.kept {
            unlink(kept);
        }
    }
}

/// Why a set of files did not appear.
pub struct NotAll {
    /// Number of the file whose step failed.
    pub index: usize,
    /// At which step.
    pub step: WriteStep,
    /// What the system said.
    pub cause: io::Error,
    /// Numbers of the files that are new all the same; the others are as they were.
    pub new: Vec<usize>,
}

/// Puts complete files in the places of their targets: all, or, if one cannot be, none, as far as the system lets those
/// be put back that have been replaced.
///
/// # Errors
/// [`NotAll`]; no temporary file is left.
pub fn publish_all(mut files: Vec<NewFile>) -> Result<(), NotAll> {
    let mut replaced: Vec<Option<Old>> = Vec::new();
    let room = replaced
        .try_reserve_exact(files.len())
        .map_err(|_| io::ErrorKind::OutOfMemory.into());
    let failed = |index, step, cause| NotAll {
        index,
        step,
        cause,
        new: Vec::new(),
    };
    room.map_err(|cause| failed(0, WriteStep::Rename, cause))?;
    // A name that cannot be replaced is found before anything is.
    for (index, file) in files.iter().enumerate() {
        replaceable(&file.target).map_err(|cause| failed(index, WriteStep::Target, cause))?;
    }
    let last = files.len().saturating_sub(1);
    for index in 0..files.len() {
        // After the last one nothing can fail.
        let old = if index < last {
            files[index].keep_old()
        } else {
            None
        };
        let stood = old.is_some() || exists(&files[index].target);
        if let Err((step, cause)) = files[index].rename() {
            drop(old);
            let mut failed = failed(index, step, cause);
            for (at, old) in replaced.into_iter().enumerate().rev() {
                if !put_back(&files[at].target, old) {
                    failed.new.push(at);
                }
            }
            failed.new.sort_unstable();
            return Err(failed);
        }
        // A file that was not there before is put back by removing it.
        replaced.push(match (old, stood) {
            (Some(old), _) => Some(old),
            (None, true) => None,
            (None, false) => Some(Old {
                kept: None,
                _open: None,
            }),
        });
    }
    if synced() {
        for (index, file) in files.iter().enumerate() {
            sync_name(&file.target).map_err(|cause| failed(index, WriteStep::Sync, cause))?;
        }
    }
    Ok(())
}

/// Whether what is saved has to be on the disk before a save ends (`LEAN_REGION_SYNC`): slow, and more than the
/// incumbent does.
fn synced() -> bool {
    static ASKED: OnceBool = OnceBool::new();
    ASKED.get_or_init(|| env::switch("LEAN_REGION_SYNC", true))
}

/// Has the directory that holds the name `path` written to the disk.
fn sync_name(path: &CStr) -> io::Result<()> {
    let bytes = path.to_bytes();
    let directory = match bytes.iter().rposition(|&b| b == b'/') {
        None => c".".to_owned(),
        Some(0) => c"/".to_owned(),
        Some(slash) => CString::new(&bytes[..slash])?,
    };
    File::open(&directory)?.sync()
}

/// Undoes a replacement; whether that worked.
fn put_back(target: &CStr, old: Option<Old>) -> bool {
    match old {
        None => false,
        Some(mut old) => match old.kept.take() {
            None => unlink(target),
            Some(kept) => {
                let done = rename(&kept, target).is_ok();
                if !done {
                    old.kept = Some(kept);
                }
                done
            }
        },
    }
}

fn rename(from: &CStr, to: &CStr) -> io::Result<usize> {
    // SAFETY: both are terminated strings.
    retry(|| unsafe { libc::rename(from.as_ptr(), to.as_ptr()) } as isize)
}

/// Whether it worked.
fn unlink(path: &CStr) -> bool {
    // SAFETY: a terminated string.
    unsafe { libc::unlink(path.as_ptr()) == 0 }
}

fn exists(path: &CStr) -> bool {
    stat_of(path).is_ok()
}

/// Whether what stands under the name `path` may be replaced: nothing, a regular file, or a link to one of them.
///
/// # Errors
/// It is something else: what it holds would be lost, or, as with a device, it is not the caller's to replace.
fn replaceable(path: &CStr) -> io::Result<()> {
    let Ok(st) = stat_of(path) else {
        return Ok(());
    };
    match st.st_mode & libc::S_IFMT {
        libc::S_IFREG => Ok(()),
        libc::S_IFDIR => Err(io::Error::from_raw_os_error(libc::EISDIR)),
        _ => Err(io::Error::other("it is a device, a pipe or a socket")),
    }
}

/// Which signal tells that a lease is broken (Linux, `asm-generic/fcntl.h`; the same on all machines).
const F_SETSIG: libc::c_int = 10;

/// Removes a temporary file that nobody has open; whether it is gone.
pub fn remove_abandoned(path: &CStr) -> bool {
    let Ok(file) = File::open_to_look(path) else {
        return false;
    };
    let fd = file.fd();
    // What the system sends to who holds a lease that another process would end is a signal that is ignored here.
    // SAFETY: on a descriptor of our own; the lease ends with it.
    let alone = unsafe {
        libc::fcntl(fd, F_SETSIG, libc::SIGURG) == 0 && libc::fcntl(fd, libc::F_SETLEASE, libc::F_WRLCK) == 0
    };
    // Another process may have removed the file and made a new one since it was opened.
    alone
        && match (file.stat(), stat_of(path)) {
            (Ok(ours), Ok(now)) => (ours.st_dev, ours.st_ino) == (now.st_dev, now.st_ino) && unlink(path),
            _ => false,
        }
}

/// The name of the temporary file at an attempt: numbers from that of the process on with as many digits, and when they
/// are used up longer ones. By hand, for `format!` takes a microsecond, of the thirty that a small save takes.
fn temporary_name(target: &CStr, pid: u32, attempt: u32) -> io::Result<CString> {
    let mut digits = itoa::Buffer::new();
    let count = digits.format(pid).len();
    let numbers = 10_u64.pow(count as u32);
    let (number, more) = match u64::from(attempt) {
        short if short < numbers.min(NUMBERS.into()) => ((u64::from(pid) + short) % numbers, None),
        long => (pid.into(), Some(long)),
    };
    let (mut first, mut second) = (itoa::Buffer::new(), itoa::Buffer::new());
    let (number, more) = (first.format(number), more.map(|n| second.format(n)));
    let zeros = &b"0000000000"[..count.saturating_sub(number.len())];
    let parts = [
        target.to_bytes(),
        b".tmp.",
        zeros,
        number.as_bytes(),
        if more.is_some() { b"." } else { b"" },
        more.unwrap_or("").as_bytes(),
    ];
    let length = parts.iter().map(|part| part.len()).sum::<usize>() + 1;
    let mut name = Vec::new();
    name.try_reserve_exact(length)
        .map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    parts.iter().for_each(|part| name.extend_from_slice(part));
    Ok(CString::new(name).expect("a C string and digits hold no NUL"))
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.published {
            // A failure leaves a file that the next save removes.
            unlink(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    fn c(path: &Path) -> CString {
        CString::new(path.as_os_str().as_bytes()).unwrap()
    }

    fn entries(dir: &Path) -> usize {
        fs::read_dir(dir).unwrap().count()
    }

    #[test]
    fn temporary_names_are_no_longer_than_with_the_process_number() {
        let name = |pid, attempt| temporary_name(c"a/b.olean", pid, attempt).unwrap();
        assert_eq!(name(1, 0).as_c_str(), c"a/b.olean.tmp.1");
        assert_eq!(name(1, 9).as_c_str(), c"a/b.olean.tmp.0");
        assert_eq!(name(1, 10).as_c_str(), c"a/b.olean.tmp.1.10");
        assert_eq!(name(998, 4).as_c_str(), c"a/b.olean.tmp.002");
        assert_eq!(name(u32::MAX, 0).as_c_str(), c"a/b.olean.tmp.4294967295");
        assert_eq!(
            name(u32::MAX, u32::MAX).as_c_str(),
            c"a/b.olean.tmp.4294967295.4294967295"
        );
        let all: std::collections::HashSet<CString> = (0..300).map(|attempt| name(4095, attempt)).collect();
        assert_eq!(all.len(), 300);
    }

    #[test]
    fn what_a_killed_batch_kept_is_removed_and_what_a_living_one_keeps_stays() {
        let dir = testkit::temp_dir("kept");
        let targets = ["a", "b"].map(|name| c(&dir.path().join(name)));
        let batch = || {
            let files = targets
                .each_ref()
                .map(|target| NewFile::write(target, &[b"new"]).unwrap());
            assert!(publish_all(files.into()).is_ok());
        };
        batch();
        // The name under which the next batch keeps the old file: another number than that of the new one.
        let number = |attempt| temporary_name(&targets[0], std::process::id(), attempt).unwrap();
        let kept = Path::new(std::ffi::OsStr::from_bytes(number(1).as_bytes())).to_owned();
        fs::hard_link(dir.path().join("a"), &kept).unwrap();
        batch();
        assert_eq!(entries(dir.path()), 2, "what was left behind is gone");
        // One that is alive has it open.
        fs::hard_link(dir.path().join("a"), &kept).unwrap();
        let open = fs::File::open(&kept).unwrap();
        batch();
        assert!(kept.is_file() && entries(dir.path()) == 3);
        drop(open);
    }

    #[test]
    fn what_nobody_writes_is_removed_and_what_somebody_writes_stays() {
        let dir = testkit::temp_dir("abandoned");
        let target = c(&dir.path().join("t"));
        let first = temporary_name(&target, std::process::id(), 0).unwrap();
        let first = Path::new(std::ffi::OsStr::from_bytes(first.as_bytes())).to_owned();
        fs::write(&first, "left behind").unwrap();
        NewFile::write(&target, &[b"one"]).unwrap().publish().unwrap();
        assert_eq!(entries(dir.path()), 1, "what was left behind is gone");
        // Now somebody is writing it.
        let writing = fs::File::create(&first).unwrap();
        let ours = NewFile::write(&target, &[b"two"]).unwrap();
        let also_ours = NewFile::write(&target, &[b"three"]).unwrap();
        ours.publish().unwrap();
        assert_eq!(fs::read(dir.path().join("t")).unwrap(), b"two");
        also_ours.publish().unwrap();
        assert_eq!(fs::read(dir.path().join("t")).unwrap(), b"three");
        assert!(first.is_file() && entries(dir.path()) == 2);
        drop(writing);
    }

    /// A file has its name for a moment before it counts as open.
    #[test]
    fn a_file_that_was_taken_for_one_that_was_left_behind_is_made_again() {
        let dir = testkit::temp_dir("contested");
        let target = c(&dir.path().join("t"));
        let first = temporary_name(&target, std::process::id(), 0).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                while !done.load(Relaxed) {
                    remove_abandoned(&first);
                }
            });
            let saved = (0..10_000).try_for_each(|_| NewFile::write(&target, &[b"new"])?.publish());
            done.store(true, Relaxed);
            assert!(saved.is_ok(), "{saved:?}");
        });
        assert_eq!(entries(dir.path()), 1);
    }

    #[test]
    fn names_may_be_as_long_as_the_process_number_lets_them() {
        let dir = testkit::temp_dir("long-names");
        let room = 255 - ".tmp.".len() - std::process::id().to_string().len();
        let target = c(&dir.path().join("n".repeat(room)));
        NewFile::write(&target, &[b"x"]).unwrap().publish().unwrap();
        assert_eq!(entries(dir.path()), 1);
    }

    #[test]
    fn what_is_no_regular_file_is_not_replaced() {
        let dir = testkit::temp_dir("not-replaced");
        let (fifo, device, link) = (
            dir.path().join("fifo"),
            dir.path().join("null"),
            dir.path().join("link"),
        );
        // SAFETY: a terminated string.
        assert_eq!(unsafe { libc::mkfifo(c(&fifo).as_ptr(), 0o600) }, 0);
        std::os::unix::fs::symlink("/dev/null", &device).unwrap();
        for path in [&fifo, &device, &dir.path().to_owned()] {
            let (step, _) = NewFile::write(&c(path), &[b"x"]).err().expect("refused");
            assert_eq!(step, WriteStep::Target, "{}", path.display());
        }
        fs::write(dir.path().join("file"), "old").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        NewFile::write(&c(&link), &[b"new"]).unwrap().publish().unwrap();
        assert_eq!(fs::read(&link).unwrap(), b"new");
        assert_eq!(fs::read(dir.path().join("file")).unwrap(), b"old");
        assert_eq!(entries(dir.path()), 4);
    }

    #[test]
    fn the_directory_of_a_name_is_written() {
        let dir = testkit::temp_dir("sync");
        for name in ["f", "absent-file"] {
            sync_name(&c(&dir.path().join(name))).unwrap();
        }
        assert!(sync_name(&c(&dir.path().join("absent/f"))).is_err());
        sync_name(c"f").unwrap();
        sync_name(c"/f").unwrap();
    }

    #[test]
    fn a_target_that_became_a_folder_is_found_before_anything_is_replaced() {
        let dir = testkit::temp_dir("folder");
        let path = |i: usize| dir.path().join(i.to_string());
        let files = (0..2).map(|i| NewFile::write(&c(&path(i)), &[b"new"]).unwrap());
        let files: Vec<NewFile> = files.collect();
        fs::create_dir(path(1)).unwrap();
        let Err(e) = publish_all(files) else {
            panic!("it was not refused");
        };
        assert_eq!((e.index, e.step, e.new.len()), (1, WriteStep::Target, 0));
        assert_eq!(entries(dir.path()), 1, "nothing is left but the folder");
    }

    /// A set whose second or third target becomes a directory after it was looked at, or whose directory goes.
    #[test]
    fn all_files_appear_or_none() {
        for (old, fails) in [(true, 1), (true, 2), (false, 2)] {
            let dir = testkit::temp_dir("all-or-none");
            let path = |i: usize| dir.path().join(i.to_string());
            let write = |i| {
                if old {
                    fs::write(path(i), "old").unwrap();
                }
                NewFile::write(&c(&path(i)), &[b"new"]).unwrap()
            };
            let mut files: Vec<NewFile> = (0..3).map(write).collect();
            // Its temporary file has gone, so that renaming fails.
            assert!(unlink(&files[fails].temporary));
            files[fails].published = true;
            let Err(e) = publish_all(files) else {
                panic!("it was not refused");
            };
            assert_eq!((e.index, e.step, e.new.len()), (fails, WriteStep::Rename, 0));
            for i in 0..3 {
                let is = fs::read(path(i)).ok();
                assert_eq!(is.as_deref(), old.then_some(&b"old"[..]), "{i}");
            }
            assert_eq!(
                entries(dir.path()),
                if old { 3 } else { 0 },
                "nothing else is left"
            );
        }
    }
}
