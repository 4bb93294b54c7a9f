//! Memory for copies of regions that cannot lie at their base addresses: pieces of large anonymous mappings with
//! huge pages. A page of 4 KB costs a fault, which takes longer than copying what it holds; a huge page costs one
//! for 512 of them. Few regions fill huge pages, so they share chunks, and a process that relocates thousands of
//! regions needs few mappings for them.
//!
//! No memory is handed out twice: what is given back goes back to the system, at once or, where it is part of a
//! huge page, when the system needs it.

use super::page::page_size;
use once_cell::sync::Lazy;
use parking_lot::Mutex;
use std::fs;
use std::ptr::{self, NonNull};
use std::sync::Arc;

/// Bytes of a huge page on x86-64 and, with pages of 4 KB, on aarch64.
pub const HUGE: usize = 2 << 20;
/// Bytes of a chunk that regions share. Only what they use is ever in memory, to the next huge page.
const CHUNK: usize = 32 << 20;
/// From this size on a region has a chunk of its own.
const OWN: usize = CHUNK / 2;

/// A mapping that begins where a huge page does.
struct Chunk {
    start: usize,
    bytes: usize,
}

/// The chunk that pieces are taken from, and how many bytes of it have been.
static CURRENT: Mutex<Option<(Arc<Chunk>, usize)>> = Mutex::new(None);

/// A part of a chunk, zero at first.
pub struct Piece {
    chunk: Arc<Chunk>,
    start: NonNull<u8>,
    /// Whole pages.
    bytes: usize,
}

// SAFETY: the piece is owned alone; nothing in it is tied to a thread.
unsafe impl Send for Piece {}

impl Piece {
    /// Memory for `size` > 0 bytes that begins where a page does; none if the system has no huge pages to give,
    /// or refuses memory.
    #[must_use]
    pub fn take(size: usize) -> Option<Piece> {
        let bytes = size.checked_next_multiple_of(page_size())?;
        if !huge_pages() {
            return None;
        }
        if bytes >= OWN {
            return Self::of(Chunk::map(bytes)?, 0, bytes);
        }
        let mut current = CURRENT.lock();
        if let Some((chunk, used)) = &mut *current
            && bytes <= chunk.bytes - *used
        {
            let at = *used;
            *used += bytes;
            return Self::of(Arc::clone(chunk), at, bytes);
        }
        let Some(chunk) = Chunk::map(CHUNK) else {
            return Self::of(Chunk::map(bytes)?, 0, bytes);
        };
        *current = Some((Arc::clone(&chunk), bytes));
        Self::of(chunk, 0, bytes)
    }

    /// `bytes` bytes from offset `at` of a chunk on, which nobody else has.
    fn of(chunk: Arc<Chunk>, at: usize, bytes: usize) -> Option<Piece> {
        let start = NonNull::new((chunk.start + at) as *mut u8)?;
        Some(Piece { chunk, start, bytes })
    }

    /// Where it begins.
    #[must_use]
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // The last one takes the whole chunk with it.
        if Arc::strong_count(&self.chunk) > 1 {
            // SAFETY: pages of this piece alone, which is not used any more.
            unsafe { libc::madvise(self.start.as_ptr().cast(), self.bytes, libc::MADV_DONTNEED) };
        }
    }
}

impl Chunk {
    /// A new chunk of at least `bytes` bytes, if it can be had.
    fn map(bytes: usize) -> Option<Arc<Chunk>> {
        let bytes = bytes.checked_next_multiple_of(HUGE)?;
        // The system may place it anywhere: what is too much on both sides is given back.
        let room = bytes.checked_add(HUGE)?;
        // SAFETY: a new anonymous mapping anywhere touches no memory in use.
        let got = unsafe {
            libc::mmap(
                ptr::null_mut(),
                room,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if got == libc::MAP_FAILED {
            return None;
        }
        let start = (got as usize).next_multiple_of(HUGE);
        let before = start - got as usize;
        // SAFETY: parts of the mapping made above, unknown to anybody else, and not the chunk itself. Advice on the
        // chunk changes no content; a system that does not take it leaves small pages.
        unsafe {
            if before > 0 {
                libc::munmap(got, before);
            }
            if before < HUGE {
                libc::munmap((start + bytes) as *mut _, HUGE - before);
            }
            libc::madvise(start as *mut _, bytes, libc::MADV_HUGEPAGE);
        }
        Some(Arc::new(Chunk { start, bytes }))
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping this value owns; no piece of it is left.
        unsafe { libc::munmap(self.start as *mut _, self.bytes) };
    }
}

/// Whether this system gives huge pages to who asks for them (`transparent_hugepage/enabled`).
fn huge_pages() -> bool {
    static ASKED: Lazy<bool> = Lazy::new(|| {
        let said = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
        said.is_ok_and(|said| !said.contains("[never]"))
    });
    *ASKED
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of a piece.
    fn bytes(piece: &mut Piece) -> &mut [u8] {
        // SAFETY: the piece's own memory, zero at first.
        unsafe { std::slice::from_raw_parts_mut(piece.start.as_ptr(), piece.bytes) }
    }

    #[test]
    fn pieces_are_apart_and_zero_at_first_whatever_was_given_back() {
        if !huge_pages() {
            assert!(Piece::take(1).is_none());
            return;
        }
        let sizes = [1, 4096, 100_000, 3 << 20, OWN - 1, OWN, CHUNK + 1, 70_000];
        let mut kept: Vec<(u8, Piece)> = Vec::new();
        for round in 0..60_usize {
            let size = sizes[round % sizes.len()];
            let mut piece = Piece::take(size).expect("memory");
            assert!(piece.bytes >= size && (piece.start.as_ptr() as usize).is_multiple_of(4096));
            let mark = round as u8 + 1;
            assert!(bytes(&mut piece).iter().all(|&b| b == 0), "round {round}");
            bytes(&mut piece).fill(mark);
            kept.push((mark, piece));
            if kept.len() > 5 {
                let (mark, mut piece) = kept.remove(round % 5);
                assert!(bytes(&mut piece).iter().all(|&b| b == mark), "round {round}");
            }
        }
        for (mark, piece) in &mut kept {
            assert!(bytes(piece).iter().all(|b| b == mark));
        }
    }
}
