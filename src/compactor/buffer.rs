//! The growing buffer of a compactor: anonymous memory that grows without being copied (`mremap`), so
//! that the peak is the data and not twice the data.

use super::error::CompactError;
use super::memory::{HUGE, Pages};

/// Sizes are multiples of this; growth is by half, so that few calls are needed and little is spare.
const STEP: usize = 64 << 10;
const PAGE: usize = 4096;
/// Memory is brought in in steps of this many bytes while there are no huge pages.
const POPULATE: usize = 128 << 10;
/// From this size on the buffer has huge pages: the part of the last one that is not used is little then.
const LARGE: usize = 4 << 20;
/// Bytes behind what was reserved that may be read and written as well, so that short copies need no exact end; their
/// content counts for nothing.
pub const MARGIN: usize = 32;
/// Offsets are kept divided by 8 in 32 bits elsewhere, so a buffer ends here.
pub const MAX_BYTES: usize = 32 << 30;

/// Bytes of all parts of a chain so far. All memory of the mapping is initialised; behind `len`
/// it may be dirty from dropped copies.
pub struct Buffer {
    pages: Pages,
    len: usize,
    /// Bytes that may be written before [`Buffer::grow`] has to look after the memory.
    ready: usize,
}

impl Buffer {
    /// An empty buffer that owns no memory yet.
    #[must_use]
    pub const fn new() -> Self {
        Buffer {
            pages: Pages::none(),
            len: 0,
            ready: 0,
        }
    }

    /// Bytes written.
    #[must_use]
    #[inline(always)]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.pages.bytes()
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
        let bytes = bytes.saturating_add(MARGIN);
        if bytes <= self.ready - self.len {
            Ok(())
        } else {
            self.grow(bytes)
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, bytes: usize) -> Result<(), CompactError> {
        let wanted = self.extend(bytes)?;
        let capacity = self.pages.bytes();
        let step = if capacity >= LARGE { HUGE } else { POPULATE };
        let ready = wanted.next_multiple_of(step).min(capacity);
        // The page that what is ready ends in may have been written to.
        self.pages.enter(self.ready.next_multiple_of(PAGE), ready);
        self.ready = ready;
        Ok(())
    }

    /// Has memory for `bytes` more behind the end, and answers where it ends.
    fn extend(&mut self, bytes: usize) -> Result<usize, CompactError> {
        let wanted = self.len.checked_add(bytes).filter(|&n| n <= MAX_BYTES);
        let wanted = wanted.ok_or(CompactError::TooLarge { limit: MAX_BYTES })?;
        let capacity = self.pages.bytes();
        if wanted > capacity {
            let size = wanted.max(capacity + capacity / 2);
            let step = if size >= LARGE { HUGE } else { STEP };
            self.pages
                .grow(size.next_multiple_of(step), "the bytes of the region")?;
        }
        Ok(wanted)
    }

    /// Moves the end to the next multiple of `align`. What is skipped belongs to no file, so it is not touched,
    /// except for one word, which is 0 so that nothing takes it for the beginning of an object.
    ///
    /// # Errors
    /// As [`Buffer::reserve`].
    pub fn align(&mut self, align: usize) -> Result<(), CompactError> {
        let bytes = self.len.next_multiple_of(align) - self.len;
        let len = self.extend(bytes)?;
        if bytes > 0 {
            // SAFETY: `extend` made room for `bytes` more, which are a whole number of words.
            unsafe { self.pages.start().add(self.len).cast::<u64>().write(0) };
        }
        self.len = len;
        self.ready = self.ready.max(self.len);
        Ok(())
    }

    /// Where the byte at offset `at` lies now; moves with the next growth.
    ///
    /// # Safety
    /// `at` is at most what was reserved.
    #[must_use]
    #[inline(always)]
    pub unsafe fn at(&self, at: usize) -> *mut u8 {
        debug_assert!(at <= self.ready);
        // SAFETY: at most what was reserved, by the contract, so inside the mapping or at its end.
        unsafe { self.pages.start().add(at) }
    }

    /// Takes `bytes` reserved bytes behind the end as written.
    ///
    /// # Safety
    /// They were reserved and have been initialised.
    #[inline(always)]
    pub unsafe fn commit(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.ready - self.len);
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
        unsafe { std::slice::from_raw_parts(self.pages.start(), self.len) }
    }

    /// Everything written, to be changed.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `&mut self` excludes every other access.
        unsafe { std::slice::from_raw_parts_mut(self.pages.start(), self.len) }
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_no_memory_has_are_refused() {
        let mut buffer = Buffer::new();
        for bytes in [usize::MAX, usize::MAX & !7, usize::MAX - MARGIN, MAX_BYTES] {
            for _ in 0..2 {
                let refused = buffer.reserve(bytes);
                assert!(
                    matches!(refused, Err(CompactError::TooLarge { .. })),
                    "{bytes:#x}"
                );
                buffer.push_zeros(1000).unwrap();
            }
        }
    }
}
