//! Mappings: a file at the address it asks for, and memory for a region that cannot lie there.

use super::file::File;
use std::fs;
use std::io;
use std::ptr::NonNull;

/// Memory that holds a whole region.
pub struct Memory {
    start: NonNull<u8>,
    size: usize,
    kind: MemoryKind,
}

/// How memory was had, and so how it is released.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum MemoryKind {
    /// A mapping.
    Mapping,
    /// From `malloc`: copies of small files, and of all when no more mappings can be had.
    Heap,
}

// SAFETY: the memory is owned alone; nothing in it is tied to a thread.
unsafe impl Send for Memory {}

/// Why a file did not land at its base address.
#[derive(Debug)]
pub enum Missed {
    /// Something else is there.
    Taken,
    /// The system refused for another reason.
    Refused(io::Error),
}

const READ_WRITE: libc::c_int = libc::PROT_READ | libc::PROT_WRITE;

/// From this size on a copy is a mapping of its own.
const OWN_MAPPING: usize = 64 << 10;

impl Memory {
    /// Maps `size` > 0 bytes of a file privately and writably at exactly `base`.
    ///
    /// # Errors
    /// [`Missed`], and nothing stays mapped.
    pub fn map_file_at(file: &File, size: usize, base: u64) -> Result<Memory, Missed> {
        let wanted = base as usize as *mut libc::c_void;
        let flags = libc::MAP_PRIVATE | libc::MAP_FIXED_NOREPLACE;
        // SAFETY: without replacing anything a new mapping touches no memory in use.
        let got = unsafe { libc::mmap(wanted, size, READ_WRITE, flags, file.fd(), 0) };
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
        let start = NonNull::new(got.cast()).ok_or(Missed::Taken)?;
        Ok(Memory {
            start,
            size,
            kind: MemoryKind::Mapping,
        })
    }

    /// A copy of the `size` > 0 bytes of a file, anywhere, 8-aligned. A large one is a private mapping, whose
    /// pages are copied when they are written or asked for ([`Memory::populate`]): that saves clearing them
    /// first. A small one is read into memory from `malloc`.
    ///
    /// # Errors
    /// `Err` when the memory cannot be had, `Ok(Err)` with what `pread` said, or `UnexpectedEof` when the file is
    /// shorter now.
    pub fn copy_file(file: &File, size: usize) -> Result<io::Result<Memory>, OutOfMemory> {
        if size >= OWN_MAPPING {
            // SAFETY: a new mapping anywhere touches no memory in use.
            let got = unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    size,
                    READ_WRITE,
                    libc::MAP_PRIVATE,
                    file.fd(),
                    0,
                )
            };
            if got != libc::MAP_FAILED
                && let Some(start) = NonNull::new(got.cast())
            {
                return Ok(Ok(Memory {
                    start,
                    size,
                    kind: MemoryKind::Mapping,
                }));
            }
        }
        // SAFETY: asking for memory has no precondition.
        let got = unsafe { libc::malloc(size) };
        let start = NonNull::new(got.cast()).ok_or(OutOfMemory { bytes: size })?;
        let mut memory = Memory {
            start,
            size,
            kind: MemoryKind::Heap,
        };
        // SAFETY: `read_at` only writes into the bytes.
        Ok(match file.read_at(unsafe { memory.uninit_bytes() }, 0) {
            Ok(n) if n == size => Ok(memory),
            Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(e) => Err(e),
        })
    }

    /// What brings pages of a private mapping into memory, to be written, before they are touched one by one.
    #[must_use]
    pub fn populate(&self) -> Populate {
        let size = if self.kind == MemoryKind::Mapping {
            self.size
        } else {
            0
        };
        Populate {
            address: self.address(),
            size,
        }
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

/// See [`Memory::populate`]. It changes no content, so it may be used while the content is borrowed; after its
/// memory is gone it does harm to nobody but asks for pages that nobody wants.
pub struct Populate {
    address: usize,
    size: usize,
}

impl Populate {
    /// Copies the pages of `length` bytes from offset `from` on at once, as far as the system can. What it
    /// leaves out is copied when it is written.
    pub fn bytes(&self, from: usize, length: usize) {
        let page = page_size();
        let from = from & !(page - 1);
        let end = from.saturating_add(length.next_multiple_of(page)).min(self.size);
        if from < end {
            let start = (self.address + from) as *mut libc::c_void;
            // SAFETY: populating pages changes no content; an address that is not mapped is refused.
            unsafe { libc::madvise(start, end - from, libc::MADV_POPULATE_WRITE) };
        }
    }
}

fn page_size() -> usize {
    // SAFETY: asks for a number.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

impl Drop for Memory {
    fn drop(&mut self) {
        let start = self.start.as_ptr().cast();
        match self.kind {
            // SAFETY: exactly the mapping this value owns.
            MemoryKind::Mapping => unsafe {
                libc::munmap(start, self.size);
            },
            // SAFETY: exactly the allocation this value owns.
            MemoryKind::Heap => unsafe { libc::free(start) },
        }
    }
}

/// Memory for a region could not be had.
#[derive(Clone, Copy, Debug)]
pub struct OutOfMemory {
    /// Bytes asked for.
    pub bytes: usize,
}

/// How many mappings this process has and how many it may have (`vm.max_map_count`), if the system tells.
#[must_use]
pub fn mapping_counts() -> (Option<usize>, Option<usize>) {
    let current = fs::read("/proc/self/maps")
        .ok()
        .map(|m| m.iter().filter(|&&b| b == b'\n').count());
    let limit = fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()
        .and_then(|s| s.trim().parse().ok());
    (current, limit)
}
