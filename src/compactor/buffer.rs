//! The growing buffer of a compactor: anonymous memory that grows without being copied (`mremap`), so
//! that the peak is the data and not twice the data.

use super::error::CompactError;
use std::ptr::NonNull;

/// Sizes are multiples of this; growth is by half, so that few calls are needed and little is spare.
const STEP: usize = 64 << 10;
/// Offsets are kept divided by 8 in 32 bits elsewhere, so a buffer ends here.
pub const MAX_BYTES: usize = 32 << 30;

/// Bytes of all parts of a chain so far. Bytes behind `len` may be dirty from dropped copies.
pub struct Buffer {
    start: NonNull<u8>,
    len: usize,
    capacity: usize,
}

// SAFETY: the buffer owns its mapping alone; nothing in it is tied to a thread.
unsafe impl Send for Buffer {}

impl Buffer {
    /// An empty buffer that owns no memory yet.
    #[must_use]
    pub const fn new() -> Self {
        Buffer {
            start: NonNull::dangling(),
            len: 0,
            capacity: 0,
        }
    }

    /// Bytes written.
    #[must_use]
    #[inline(always)]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes that could be written without asking the system for more.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Forgets the content and keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Moves the end back to `len`, dropping what stands behind.
    #[inline(always)]
    pub fn truncate(&mut self, len: usize) {
        debug_assert!(len <= self.len);
        self.len = len;
    }

    /// Makes room for `bytes` more behind the end.
    ///
    /// # Errors
    /// [`CompactError::Memory`] and [`CompactError::TooLarge`].
    #[inline(always)]
    pub fn reserve(&mut self, bytes: usize) -> Result<(), CompactError> {
        if bytes <= self.capacity - self.len {
            Ok(())
        } else {
            self.grow(bytes)
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, bytes: usize) -> Result<(), CompactError> {
        let wanted = self.len.checked_add(bytes).filter(|&n| n <= MAX_BYTES);
        let wanted = wanted.ok_or(CompactError::TooLarge { limit: MAX_BYTES })?;
        let size = wanted
            .max(self.capacity + self.capacity / 2)
            .next_multiple_of(STEP);
        let refused = CompactError::Memory {
            what: "the bytes of the region",
            bytes: size,
        };
        let got = if self.capacity == 0 {
            // SAFETY: a new anonymous mapping anywhere touches no memory in use.
            unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    size,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                    -1,
                    0,
                )
            }
        } else {
            // SAFETY: `start` and `capacity` describe exactly the mapping that this buffer owns, and nothing
            // outside holds a pointer into it across a call that takes `&mut self`.
            unsafe {
                libc::mremap(
                    self.start.as_ptr().cast(),
                    self.capacity,
                    size,
                    libc::MREMAP_MAYMOVE,
                )
            }
        };
        if got == libc::MAP_FAILED {
            return Err(refused);
        }
        self.start = NonNull::new(got.cast()).ok_or(refused)?;
        self.capacity = size;
        Ok(())
    }

    /// Where the byte at offset `at` lies now; moves with the next growth.
    ///
    /// # Safety
    /// `at` is at most the capacity.
    #[must_use]
    #[inline(always)]
    pub unsafe fn at(&self, at: usize) -> *mut u8 {
        debug_assert!(at <= self.capacity);
        // SAFETY: the offset stays inside (or one past) the mapping, by the caller's word.
        unsafe { self.start.as_ptr().add(at) }
    }

    /// Takes `bytes` reserved bytes behind the end as written.
    ///
    /// # Safety
    /// They were reserved and have been initialised.
    #[inline(always)]
    pub unsafe fn commit(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.capacity - self.len);
        self.len += bytes;
    }

    /// Appends `bytes` zero bytes.
    ///
    /// # Errors
    /// As [`Buffer::reserve`].
    pub fn push_zeros(&mut self, bytes: usize) -> Result<(), CompactError> {
        self.reserve(bytes)?;
        // SAFETY: the bytes were just reserved, and are initialised before they are committed.
        unsafe {
            self.at(self.len).write_bytes(0, bytes);
            self.commit(bytes);
        }
        Ok(())
    }

    /// Everything written.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `len` bytes from `start` are initialised and owned; an empty buffer's dangling pointer is
        // valid for no bytes.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// Everything written, to be changed.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `&mut self` excludes every other access.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.capacity != 0 {
            // SAFETY: exactly the mapping this buffer owns, which nobody uses any more.
            unsafe { libc::munmap(self.start.as_ptr().cast(), self.capacity) };
        }
    }
}
