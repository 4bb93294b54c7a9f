//! What the threads that make an image write to its file. A file is written by one thread at a time, whoever wants to:
//! the others would spend their time waiting for it. So a thread that finds it busy leaves what it has made to the one
//! that writes, and goes on.

use super::new_file::NewFile;
use crate::error::Result;
use std::collections::VecDeque;
use std::fs;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, MutexGuard, TryLockError};

/// So many buffers wait at most; with more, a thread waits until it may write itself.
const WAITING: usize = 3;

/// The file of an image under construction.
pub struct Writer<'a> {
    image: &'a NewFile,
    /// Held by the thread that writes.
    turn: Mutex<()>,
    buffers: Mutex<Buffers>,
}

#[derive(Default)]
struct Buffers {
    /// With the offsets that they belong to.
    full: VecDeque<(Vec<u64>, u64)>,
    written: Vec<Vec<u64>>,
}

impl<'a> Writer<'a> {
    pub fn new(image: &'a NewFile) -> Self {
        Writer {
            image,
            turn: Mutex::default(),
            buffers: Mutex::default(),
        }
    }

    /// A buffer of `words` words, with whatever was in it before.
    pub fn buffer(&self, words: usize) -> Vec<u64> {
        let mut buffer = self.buffers().written.pop().unwrap_or_default();
        buffer.resize(words, 0);
        buffer
    }

    /// Has the buffer written at an offset of the file: by this thread, or by the one that writes just now, which may
    /// then have the error as well.
    pub fn hand_in(&self, buffer: Vec<u64>, at: u64) -> Result<()> {
        let mut waiting = {
            let full = &mut self.buffers().full;
            full.push_back((buffer, at));
            full.len()
        };
        // Who has written everything looks once more after its turn: what was handed in during the last moments of it
        // has been left by its maker.
        while waiting > 0 {
            let turn = match self.turn.try_lock() {
                Ok(turn) => turn,
                Err(TryLockError::WouldBlock) if waiting <= WAITING => return Ok(()),
                Err(_) => self.turn.lock().expect("no panic while it was held"),
            };
            loop {
                let Some((buffer, at)) = self.buffers().full.pop_front() else {
                    break;
                };
                self.write(&buffer, at)?;
                self.buffers().written.push(buffer);
            }
            drop(turn);
            waiting = self.buffers().full.len();
        }
        Ok(())
    }

    /// Writes words at an offset of the file.
    pub fn write(&self, words: &[u64], at: u64) -> Result<()> {
        let bytes: &[u8] = bytemuck::cast_slice(words);
        self.image.write(bytes, at)?;
        start_writing(self.image.file(), at, bytes.len());
        Ok(())
    }

    fn buffers(&self) -> MutexGuard<'_, Buffers> {
        self.buffers.lock().expect("no panic while it was held")
    }
}

/// Has the system begin to write a part of a file to the disk, while the rest is made: what waits for all of it in
/// the end then waits for little. Nothing is lost where it does not.
fn start_writing(file: &fs::File, at: u64, size: usize) {
    // SAFETY: a call about an open descriptor.
    unsafe {
        libc::sync_file_range(
            file.as_raw_fd(),
            at as libc::off64_t,
            size as libc::off64_t,
            libc::SYNC_FILE_RANGE_WRITE,
        )
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;
    use std::thread;

    fn content(file: &NewFile) -> Vec<u8> {
        let size = file.file().metadata().unwrap().len() as usize;
        let mut bytes = vec![0; size];
        file.file().read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn everything_is_written_whoever_has_the_turn() {
        let dir = tempfile::tempdir().unwrap();
        let file = NewFile::create(&dir.path().join("image")).unwrap();
        let writer = Writer::new(&file);
        let (threads, rounds, words) = (8, 200, 512);
        let work = |thread: usize| {
            for round in 0..rounds {
                let number = round * threads + thread;
                let mut buffer = writer.buffer(words);
                buffer.fill(number as u64);
                writer.hand_in(buffer, (number * words * 8) as u64).unwrap();
            }
        };
        thread::scope(|scope| {
            for thread in 0..threads {
                scope.spawn(move || work(thread));
            }
        });
        let written = content(&file);
        assert_eq!(written.len(), threads * rounds * words * 8);
        for (number, bytes) in written.chunks(words * 8).enumerate() {
            let expected = (number as u64).to_le_bytes();
            assert!(bytes.chunks(8).all(|word| word == expected), "{number}");
        }
        // No more buffers than threads and what may wait.
        assert!(writer.buffers().written.len() <= threads + WAITING + 1);
    }

    #[test]
    fn what_waits_is_bounded_and_left_to_who_writes() {
        let dir = tempfile::tempdir().unwrap();
        let file = NewFile::create(&dir.path().join("image")).unwrap();
        let writer = Writer::new(&file);
        let turn = writer.turn.lock().unwrap();
        for number in 0..WAITING as u64 {
            writer.hand_in(vec![number], 8 * number).unwrap();
        }
        assert_eq!(writer.buffers().full.len(), WAITING);
        thread::scope(|scope| {
            let last = scope.spawn(|| writer.hand_in(vec![WAITING as u64], 8 * WAITING as u64));
            thread::sleep(std::time::Duration::from_millis(50));
            assert!(!last.is_finished(), "one more than may wait waits for its turn");
            drop(turn);
            last.join().unwrap().unwrap();
        });
        let expected: Vec<u8> = (0..=WAITING as u64).flat_map(u64::to_le_bytes).collect();
        assert_eq!(content(&file), expected);
    }

    #[test]
    fn an_error_is_some_threads_and_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = NewFile::create(&dir.path().join("image")).unwrap();
        // No file reaches so far.
        let error = Writer::new(&file).hand_in(vec![1], i64::MAX as u64).unwrap_err();
        assert!(error.to_string().contains("/image"), "{error}");
    }
}
