//! The file of a new image: under another name beside its target until it is complete, on the disk, and renamed.
//! What is there before stays whole for those that use it.

use crate::error::{Failure, Result};
use lean_region::os::file::WRITTEN_AT_ONCE;
use lean_region::os::new_file::remove_abandoned;
use olean_reader::format::image::Header;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file that is not complete; removed when it is dropped before [`NewFile::finish`].
#[derive(Debug)]
pub struct NewFile {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    finished: bool,
}

/// So many writers of one image at the same time, with one number in different containers.
const ATTEMPTS: u32 = 100;

fn temporary_name(target: &Path, attempt: u32) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(format!(".tmp.{}", std::process::id()));
    if attempt > 0 {
        name.push(format!(".{attempt}"));
    }
    name.into()
}

impl NewFile {
    /// A new file that will be `target`. Its first byte is not that of an image.
    pub fn create(target: &Path) -> Result<Self> {
        let mut attempt = 0;
        let (file, temporary) = loop {
            let temporary = temporary_name(target, attempt);
            let created = OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o644)
                .open(&temporary);
            match created {
                // Before it was open it looked abandoned, and somebody has removed it.
                Ok(file) if file.metadata().is_ok_and(|m| m.nlink() == 0) => {}
                Ok(file) => break (file, temporary),
                // Whoever writes one has it open; a process that was killed has not, and may have had this number.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && attempt < ATTEMPTS => {
                    let name = CString::new(temporary.as_os_str().as_bytes());
                    if !name.is_ok_and(|name| remove_abandoned(&name)) {
                        attempt += 1;
                    }
                }
                Err(e) => return Err(Failure::io("create", &temporary)(e)),
            }
        };
        let new = Self {
            file,
            temporary,
            target: target.to_owned(),
            finished: false,
        };
        new.write(b"!", 0)?;
        Ok(new)
    }

    /// Its descriptor, for writes from several threads.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Writes at an offset.
    pub fn write(&self, bytes: &[u8], at: u64) -> Result<()> {
        let mut pieces = (at..).step_by(WRITTEN_AT_ONCE).zip(bytes.chunks(WRITTEN_AT_ONCE));
        pieces
            .try_for_each(|(at, piece)| self.file.write_all_at(piece, at))
            .map_err(Failure::io("write", &self.target))
    }

    /// Completes the file: everything else is on the disk before the mark of validity is written, and the mark before
    /// the name.
    pub fn finish(mut self, header: &Header, tables: &[u8], size: u64) -> Result<()> {
        let fail = |e: io::Error| Failure::io("write", &self.target)(e);
        self.write(&header.encode_unfinished(), 0)?;
        self.write(tables, header.encode().len() as u64)?;
        self.file.set_len(size).map_err(fail)?;
        self.file.sync_all().map_err(fail)?;
        self.write(&header.encode(), 0)?;
        self.file.sync_all().map_err(fail)?;
        fs::rename(&self.temporary, &self.target).map_err(fail)?;
        self.finished = true;
        let folder = match self.target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder)
            .and_then(|f| f.sync_all())
            .map_err(Failure::io("write", folder))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing is lost if it stays: it is no image.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    #[test]
    fn what_a_killed_writer_left_is_removed_and_what_another_writes_stays() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("image");
        let count = || fs::read_dir(dir.path()).unwrap().count();
        fs::write(temporary_name(&target, 0), "left behind").unwrap();
        let first = NewFile::create(&target).unwrap();
        assert_eq!(
            (first.temporary.clone(), count()),
            (temporary_name(&target, 0), 1)
        );
        let second = NewFile::create(&target).unwrap();
        assert_eq!(
            (second.temporary.clone(), count()),
            (temporary_name(&target, 1), 2)
        );
        drop((first, second));
        assert_eq!(count(), 0);
    }

    #[test]
    fn a_file_that_is_being_made_has_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("image");
        let first = CString::new(temporary_name(&target, 0).as_os_str().as_bytes()).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                while !done.load(Relaxed) {
                    remove_abandoned(&first);
                }
            });
            let made = (0..30_000).all(|_| NewFile::create(&target).unwrap().temporary.exists());
            done.store(true, Relaxed);
            assert!(made);
        });
    }
}
