//! Memory for copies of regions that cannot lie at their base addresses: pieces of large anonymous mappings with
//! huge pages. A page of 4 KB costs a fault, which takes longer than copying what it holds; a huge page costs one
//! for 512 of them. Few regions fill huge pages, so they share chunks, and a process that relocates thousands of
//! regions needs few mappings for them.
//!
//! Where the process has nearly as many mappings as it may have, all copies lie in such chunks, which are larger
//! then, whether there are huge pages or not.
//!
//! No memory is handed out twice: what is given back goes back to the system, at once or, where it is part of a
//! huge page, when the system needs it.

use super::alloc;
use super::huge_pages;
use super::limits::addresses_are_limited;
use super::lock::Lock;
use super::mapping_room;
use super::page::page_size;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Bytes of a huge page on x86-64 and, with pages of 4 KB, on aarch64.
pub const HUGE: usize = 2 << 20;
/// Bytes of a chunk that regions share. Only what they use is ever in memory, to the next huge page.
const CHUNK: usize = 32 << 20;
/// From this size on a region has a chunk of its own.
const OWN: usize = CHUNK / 2;
/// Bytes of a chunk where mappings are scarce: addresses only, until they are used.
const LARGE_CHUNK: usize = 1 << 30;

/// A mapping that begins where a huge page does.
struct Chunk {
    start: usize,
    bytes: usize,
    /// Whether pages that come into memory from now on are huge.
    huge: AtomicBool,
}

/// The chunk that pieces are taken from, and how many bytes of it have been.
static CURRENT: Lock<Option<(Arc<Chunk>, usize)>> = Lock::new(None);

/// What keeps a piece of a chunk, whose place and size its owner knows. Dropped, the piece stays as it is until the
/// chunk goes.
#[derive(Clone)]
pub struct Share(Arc<Chunk>);

/// Memory for `size` > 0 bytes that begins where a page does, zero at first; none if the system has no huge pages to
/// give (unless mappings are scarce), or refuses memory, or where no more of it should be asked for than is needed, as its addresses are limited.
#[must_use]
pub fn take(size: usize) -> Option<(NonNull<u8>, Share)> {
    let bytes = whole_pages(size)?;
    let scarce = mapping_room::is_scarce();
    if !huge_pages::are_given() && !scarce {
        return None;
    }
    if bytes >= OWN && !scarce {
        return piece(Chunk::map(bytes)?, 0);
    }
    let of_current = |current: &mut Option<(Arc<Chunk>, usize)>| {
        let (chunk, used) = current.as_mut()?;
        let at = *used;
        if bytes > chunk.bytes - at {
            return None;
        }
        *used += bytes;
        piece(Arc::clone(chunk), at)
    };
    if let Some(piece) = of_current(&mut CURRENT.lock()) {
        return Some(piece);
    }
    let large = scarce
        .then(|| Chunk::map_addresses(LARGE_CHUNK.max(bytes)))
        .flatten();
    let Some(chunk) = large.or_else(|| Chunk::map(CHUNK.max(bytes))) else {
        return piece(Chunk::map(bytes)?, 0);
    };
    // The chunk that was current goes after the lock, or this one if another thread has been faster.
    let mut current = CURRENT.lock();
    if let Some(piece) = of_current(&mut current) {
        drop(current);
        drop(chunk);
        return Some(piece);
    }
    let before = current.replace((Arc::clone(&chunk), bytes));
    drop(current);
    drop(before);
    piece(chunk, 0)
}

/// Has memory for copies reserved while there are mappings for it, if it can be had.
pub(super) fn reserve() {
    if let Some(chunk) = Chunk::map_addresses(LARGE_CHUNK) {
        let before = CURRENT.lock().replace((chunk, 0));
        drop(before);
    }
}

/// What begins at offset `at` of a chunk, which nobody else has.
fn piece(chunk: Arc<Chunk>, at: usize) -> Option<(NonNull<u8>, Share)> {
    let start = NonNull::new((chunk.start + at) as *mut u8)?;
    Some((start, Share(chunk)))
}

/// The bytes of the pages that `size` bytes lie in.
fn whole_pages(size: usize) -> Option<usize> {
    size.checked_next_multiple_of(page_size())
}

impl Share {
    /// Brings the huge pages that begin in these bytes, which are about to be filled, into memory, or has small ones
    /// there, where huge ones are not worth it.
    pub(super) fn enter(&self, bytes: &mut [u8]) {
        if !huge_pages::are_given() {
            return;
        }
        let start = bytes.as_ptr() as usize;
        for at in (start.next_multiple_of(HUGE) - start..bytes.len()).step_by(HUGE) {
            let huge = huge_pages::next();
            self.0.want(huge);
            if huge {
                let byte = &raw mut bytes[at];
                // SAFETY: a byte of memory that the caller may write to.
                huge_pages::watch(|| unsafe { byte.write_volatile(0) });
            }
        }
    }

    /// Gives a piece back to the system.
    ///
    /// # Safety
    /// `start` and `size` are those of the piece that this was taken for, and it is not used any more.
    pub unsafe fn give_back(self, start: NonNull<u8>, size: usize) {
        // The last one takes the whole chunk with it.
        if Arc::strong_count(&self.0) > 1 {
            let bytes = whole_pages(size).unwrap_or(size);
            // SAFETY: pages of the piece alone, by the caller's word.
            unsafe { libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_DONTNEED) };
        }
    }
}

impl Chunk {
    /// A new chunk of at least `bytes` bytes, if it can be had.
    fn map(bytes: usize) -> Option<Arc<Chunk>> {
        Self::map_with(bytes, 0)
    }

    /// The same, where the system need not have so much memory now.
    fn map_addresses(bytes: usize) -> Option<Arc<Chunk>> {
        Self::map_with(bytes, libc::MAP_NORESERVE)
    }

    fn map_with(bytes: usize, more: libc::c_int) -> Option<Arc<Chunk>> {
        if addresses_are_limited() || alloc::refused() {
            return None;
        }
        let bytes = bytes.checked_next_multiple_of(HUGE)?;
        // The system may place it anywhere: what is too much on both sides is given back.
        let room = bytes.checked_add(HUGE)?;
        // SAFETY: a new anonymous mapping anywhere touches no memory in use.
        let got = unsafe {
            libc::mmap(
                ptr::null_mut(),
                room,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | more,
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
        Some(Arc::new(Chunk {
            start,
            bytes,
            huge: AtomicBool::new(true),
        }))
    }

    /// Has the pages that come into memory from now on be huge or small. That is said of the whole chunk, which stays
    /// one mapping so; what is in memory stays as it is.
    fn want(&self, huge: bool) {
        if self.huge.swap(huge, Relaxed) == huge {
            return;
        }
        // SAFETY: the chunk, which is this value's.
        unsafe { huge_pages::advise(self.start as *mut _, self.bytes, huge) };
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping this value owns; no piece of it is left.
        unsafe { libc::munmap(self.start as *mut _, self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Piece {
        start: NonNull<u8>,
        size: usize,
        share: Option<Share>,
    }

    impl Piece {
        fn take(size: usize) -> Option<Piece> {
            let (start, share) = take(size)?;
            Some(Piece {
                start,
                size,
                share: Some(share),
            })
        }

        /// Its bytes to the end of the last page.
        fn bytes(&mut self) -> &mut [u8] {
            // SAFETY: the piece's own memory, zero at first.
            unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), whole_pages(self.size).unwrap()) }
        }

        fn enter(&mut self) {
            let share = self.share.clone().unwrap();
            share.enter(self.bytes());
        }
    }

    impl Drop for Piece {
        fn drop(&mut self) {
            // SAFETY: its own place and size, and it goes now.
            unsafe { self.share.take().unwrap().give_back(self.start, self.size) };
        }
    }

    #[test]
    fn pieces_are_apart_and_zero_at_first_whatever_was_given_back() {
        if !huge_pages::are_given() {
            assert!(Piece::take(1).is_none());
            return;
        }
        let sizes = [1, 4096, 100_000, 3 << 20, OWN - 1, OWN, CHUNK + 1, 70_000];
        let mut kept: Vec<(u8, Piece)> = Vec::new();
        for round in 0..60_usize {
            let size = sizes[round % sizes.len()];
            let mut piece = Piece::take(size).expect("memory");
            assert!((piece.start.as_ptr() as usize).is_multiple_of(4096));
            let mark = round as u8 + 1;
            if round % 3 > 0 {
                piece.enter();
            }
            assert!(piece.bytes().iter().all(|&b| b == 0), "round {round}");
            piece.bytes().fill(mark);
            kept.push((mark, piece));
            if kept.len() > 5 {
                let (mark, mut piece) = kept.remove(round % 5);
                assert!(piece.bytes().iter().all(|&b| b == mark), "round {round}");
            }
        }
        for (mark, piece) in &mut kept {
            assert!(piece.bytes().iter().all(|b| b == mark));
        }
    }
}
