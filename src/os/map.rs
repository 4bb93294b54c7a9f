//! Memory of regions: a file mapped at the base address that it asks for, or memory elsewhere for a copy of its
//! content.

use super::alloc;
use super::arena::{self, Share};
use super::file::File;
use super::mapping_room;
use super::page::LOWEST_ADDRESS;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Memory that holds a whole region.
pub struct Memory {
    start: NonNull<u8>,
    size: usize,
    kind: MemoryKind,
}

/// How memory was had, and so how it is released.
enum MemoryKind {
    /// A mapping.
    Mapping,
    /// A piece of a chunk with huge pages.
    Piece(Share),
    /// From `malloc`: copies of small files, and of all when no more mappings can be had.
    Heap,
    /// It has been released.
    Gone,
}

// SAFETY: the memory is owned alone; nothing in it is tied to a thread.
unsafe impl Send for Memory {}

/// Why a file did not land at its base address.
#[derive(Debug)]
pub enum Missed {
    /// Something else is there.
    Taken,
    /// The process has nearly as many mappings as the system allows it.
    Scarce,
    /// It is below [`LOWEST_ADDRESS`].
    Low,
    /// The system refused for another reason.
    Refused(io::Error),
}

const READ_WRITE: libc::c_int = libc::PROT_READ | libc::PROT_WRITE;

/// From this size on a copy is a piece of a chunk with huge pages.
const PIECE: usize = 4 << 10;
/// Where there are none, it is a mapping of its own from this size on.
const OWN_MAPPING: usize = 64 << 10;

impl Memory {
    /// Maps `size` > 0 bytes of a file privately and writably at exactly `base`.
    ///
    /// # Errors
    /// [`Missed`], and nothing stays mapped.
    pub fn map_file_at(file: &File, size: usize, base: u64) -> Result<Memory, Missed> {
        if !mapping_room::is_left(arena::reserve) {
            return Err(Missed::Scarce);
        }
        let start = map_exactly(file, size, base, READ_WRITE)?;
        mapping_room::took();
        Ok(Memory {
            start,
            size,
            kind: MemoryKind::Mapping,
        })
    }

    /// Brings the first page of a mapped file into memory, and those around it, without looking at it: what it holds can be
    /// waited for later. False if the system says that there is no such page, as in a file that was shortened, or that it
    /// cannot be read: a look at it would end the process by SIGBUS. A system that cannot bring pages says nothing.
    #[must_use]
    pub fn bring_first_page(&self) -> bool {
        /// Linux before 5.14 does not know the advice.
        static UNKNOWN: AtomicBool = AtomicBool::new(false);
        if UNKNOWN.load(Relaxed) {
            return true;
        }
        // A length is rounded up to pages.
        // SAFETY: the page is this value's; its content stays as it is.
        if unsafe { libc::madvise(self.start.as_ptr().cast(), 1, libc::MADV_POPULATE_READ) } == 0 {
            return true;
        }
        let error = io::Error::last_os_error().raw_os_error();
        if error == Some(libc::EINVAL) {
            UNKNOWN.store(true, Relaxed);
        }
        error != Some(libc::EFAULT)
    }

    /// Memory for a copy of the `size` > 0 bytes of a file, anywhere, 8-aligned, and what brings the content there. It
    /// has huge pages, or is a mapping of its own; that of a small file is from `malloc`, and has its content at once.
    /// It is never a mapping of the file: who truncates that meanwhile would end the process by a signal.
    ///
    /// # Errors
    /// `Err` when the memory cannot be had, `Ok(Err)` with what `pread` said, or `UnexpectedEof` when the file is
    /// shorter now.
    pub fn for_copy(file: &File, size: usize) -> Result<io::Result<(Memory, Filling<'_>)>, OutOfMemory> {
        if size >= PIECE
            && let Some((start, share)) = arena::take(size)
        {
            let filling = Filling::Read(file, Some(share.clone()));
            let memory = Memory {
                start,
                size,
                kind: MemoryKind::Piece(share),
            };
            return Ok(Ok((memory, filling)));
        }
        if size >= OWN_MAPPING && !alloc::refused() && !mapping_room::is_scarce() {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            // SAFETY: a new anonymous mapping anywhere touches no memory in use.
            let got = unsafe { libc::mmap(std::ptr::null_mut(), size, READ_WRITE, flags, -1, 0) };
            if got != libc::MAP_FAILED
                && let Some(start) = NonNull::new(got.cast())
            {
                mapping_room::took();
                let memory = Memory {
                    start,
                    size,
                    kind: MemoryKind::Mapping,
                };
                return Ok(Ok((memory, Filling::Read(file, None))));
            }
        }
        if alloc::refused() {
            return Err(OutOfMemory { bytes: size });
        }
        // SAFETY: asking for memory has no precondition.
        let got = unsafe { libc::malloc(size) };
        let start = NonNull::new(got.cast()).ok_or(OutOfMemory { bytes: size })?;
        let mut memory = Memory {
            start,
            size,
            kind: MemoryKind::Heap,
        };
        // SAFETY: `read_exactly` only writes into the bytes.
        Ok(read_exactly(file, 0, unsafe { memory.uninit_bytes() }).map(|()| (memory, Filling::Done)))
    }

    /// # Safety
    /// The bytes may be uninitialised: the caller only writes them.
    unsafe fn uninit_bytes(&mut self) -> &mut [u8] {
        // SAFETY: `size` bytes are owned and writable; the caller only writes.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.size) }
    }

    /// Where the first byte lies.
    #[must_use]
    pub fn address(&self) -> usize {
        self.start.as_ptr() as usize
    }

    /// Bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// The content. Whoever truncates a mapped file meanwhile makes reading it end in SIGBUS.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `size` initialised bytes are owned by this value, and `&self` excludes `bytes_mut`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.size) }
    }

    /// The content, to be changed; of a mapped file the pages written become private copies.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `&mut self` excludes every other access.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.size) }
    }

    /// The content as whole words, to be changed; up to 7 bytes at the end may be left out.
    #[must_use]
    pub fn words_mut(&mut self) -> &mut [u64] {
        // SAFETY: as in `bytes_mut`; mappings begin at a page and `malloc` aligns to 16 bytes.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.size / 8) }
    }
}

/// A new private mapping of `size` > 0 bytes of a file at exactly `base`, which replaces nothing.
pub(super) fn map_exactly(
    file: &File,
    size: usize,
    base: u64,
    protection: libc::c_int,
) -> Result<NonNull<u8>, Missed> {
    if base < LOWEST_ADDRESS as u64 {
        return Err(Missed::Low);
    }
    let wanted = base as usize as *mut libc::c_void;
    let flags = libc::MAP_PRIVATE | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: without replacing anything a new mapping touches no memory in use.
    let got = unsafe { libc::mmap(wanted, size, protection, flags, file.fd(), 0) };
    if got == libc::MAP_FAILED {
        let e = io::Error::last_os_error();
        return Err(if e.raw_os_error() == Some(libc::EEXIST) {
            Missed::Taken
        } else {
            Missed::Refused(e)
        });
    }
    if got != wanted {
        // A kernel before 4.17 takes the address as a hint.
        // SAFETY: exactly the mapping made above, unknown to anybody else.
        unsafe { libc::munmap(got, size) };
        return Err(Missed::Taken);
    }
    NonNull::new(got.cast()).ok_or(Missed::Taken)
}

/// How content comes into the memory of a copy, a part at a time, while it is still in a cache when it is used.
pub enum Filling<'a> {
    /// It is there.
    Done,
    /// From this file, into this chunk of memory if it is one.
    Read(&'a File, Option<Share>),
}

impl Filling<'_> {
    /// Brings the content of the file from offset `from` on into `bytes`, which lie at that offset of the memory.
    ///
    /// # Errors
    /// What `pread` says, or `UnexpectedEof` when the file is shorter now.
    pub fn fill(&self, from: usize, bytes: &mut [u8]) -> io::Result<()> {
        match self {
            Filling::Done => Ok(()),
            Filling::Read(file, share) => {
                share.iter().for_each(|share| share.enter(bytes));
                read_exactly(file, from, bytes)
            }
        }
    }
}

/// Fills `bytes` with what stands in the file from offset `at` on.
fn read_exactly(file: &File, at: usize, bytes: &mut [u8]) -> io::Result<()> {
    match file.read_at(bytes, at as u64)? {
        n if n == bytes.len() => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

impl Memory {
    /// Gives the memory back.
    ///
    /// # Errors
    /// What `munmap` says; then the memory stays as it is, and nobody has it any more.
    pub fn release(mut self) -> io::Result<()> {
        self.give_back()
    }

    fn give_back(&mut self) -> io::Result<()> {
        let start = self.start.as_ptr().cast();
        match std::mem::replace(&mut self.kind, MemoryKind::Gone) {
            // SAFETY: exactly the mapping this value owns.
            MemoryKind::Mapping => match unsafe { libc::munmap(start, self.size) } {
                0 => mapping_room::gave_back(),
                _ => return Err(io::Error::last_os_error()),
            },
            // SAFETY: exactly the piece this value owns.
            MemoryKind::Piece(share) => unsafe { share.give_back(self.start, self.size) },
            MemoryKind::Gone => {}
            // SAFETY: exactly the allocation this value owns.
            MemoryKind::Heap => unsafe { libc::free(start) },
        }
        Ok(())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // Who drops it asks for nothing.
        let _ = self.give_back();
    }
}

/// Memory for a region could not be had.
#[derive(Clone, Copy, Debug)]
pub struct OutOfMemory {
    /// Bytes asked for.
    pub bytes: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::page::page_size;
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn a_page_that_a_file_has_no_more_is_told_and_not_looked_at() {
        let dir = testkit::temp_dir("first-page");
        let path = dir.path().join("file");
        let size = 3 * page_size();
        std::fs::write(&path, vec![7; size]).expect("written");
        let file = File::open(&CString::new(path.as_os_str().as_bytes()).expect("a path")).expect("opened");
        let base = 0x5100_0000_0000;
        let memory = Memory::map_file_at(&file, size, base).expect("nothing is there");
        assert!(memory.bring_first_page());
        assert_eq!(memory.bytes()[size - 1], 7);
        let writer = std::fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .expect("opened");
        writer.set_len(1).expect("shortened");
        assert!(memory.bring_first_page(), "a part of the page is there");
        writer.set_len(0).expect("shortened");
        // SAFETY: a page of this mapping, whose content stays as it is.
        unsafe { libc::madvise(memory.address() as *mut libc::c_void, 1, libc::MADV_POPULATE_READ) };
        // Linux before 5.14 does not know the advice.
        let is_known = io::Error::last_os_error().raw_os_error() != Some(libc::EINVAL);
        assert_eq!(memory.bring_first_page(), !is_known);
    }
}
