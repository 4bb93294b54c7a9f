//! The explicit stack of a traversal: frames and the words of finished children, without a check for each
//! word. Room is made when a frame is opened, for everything that the frame will hold.

use super::error::CompactError;

/// Words on a stack.
#[derive(Default)]
pub struct Stack {
    /// The words in use are its first `top` ones; its length says nothing.
    words: Vec<usize>,
    top: usize,
}

impl Stack {
    /// Number of words.
    #[must_use]
    #[inline(always)]
    pub fn top(&self) -> usize {
        self.top
    }

    /// Words that there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.words.capacity()
    }

    /// Makes room for `words` more.
    ///
    /// # Errors
    /// [`CompactError::Memory`].
    #[inline(always)]
    pub fn reserve(&mut self, words: usize) -> Result<(), CompactError> {
        if words <= self.words.capacity() - self.top {
            Ok(())
        } else {
            self.grow(words)
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, words: usize) -> Result<(), CompactError> {
        let refused = CompactError::Memory {
            what: "the stack of the traversal",
            bytes: words.saturating_add(self.top).saturating_mul(8),
        };
        // SAFETY: the first `top` words have been written, and lie within the capacity.
        unsafe { self.words.set_len(self.top) };
        let grown = self.words.try_reserve(words);
        // SAFETY: no words is always right; `top` says which ones count.
        unsafe { self.words.set_len(0) };
        grown.map_err(|_| refused)
    }

    /// Puts a word on top.
    ///
    /// # Safety
    /// Room for it was made.
    #[inline(always)]
    pub unsafe fn push(&mut self, word: usize) {
        debug_assert!(self.top < self.words.capacity());
        // SAFETY: within the capacity, by the caller's word.
        unsafe { self.words.as_mut_ptr().add(self.top).write(word) };
        self.top += 1;
    }

    /// Overwrites the word at index `at`.
    ///
    /// # Safety
    /// `at` is below the top.
    #[inline(always)]
    pub unsafe fn replace(&mut self, at: usize, word: usize) {
        debug_assert!(at < self.top);
        // SAFETY: words below the top are within the capacity.
        unsafe { self.words.as_mut_ptr().add(at).write(word) };
    }

    /// Puts the four words of a frame on top.
    ///
    /// # Safety
    /// Room for them was made.
    #[inline(always)]
    pub unsafe fn push_frame(&mut self, frame: [usize; 4]) {
        debug_assert!(self.top + 4 <= self.words.capacity());
        // SAFETY: within the capacity, by the caller's word; words are as aligned as their array.
        unsafe {
            self.words
                .as_mut_ptr()
                .add(self.top)
                .cast::<[usize; 4]>()
                .write(frame)
        };
        self.top += 4;
    }

    /// The four words of the frame at index `at`.
    ///
    /// # Safety
    /// They are below the top.
    #[inline(always)]
    #[must_use]
    pub unsafe fn frame(&self, at: usize) -> [usize; 4] {
        debug_assert!(at + 4 <= self.top);
        // SAFETY: words below the top have been written.
        unsafe { self.words.as_ptr().add(at).cast::<[usize; 4]>().read() }
    }

    /// The words from index `at` on; moves when the stack grows.
    ///
    /// # Safety
    /// `at` is at most the top.
    #[inline(always)]
    #[must_use]
    pub unsafe fn from(&self, at: usize) -> *const usize {
        debug_assert!(at <= self.top);
        // SAFETY: at most one past the words in use.
        unsafe { self.words.as_ptr().add(at) }
    }

    /// Takes away the words from index `top` on.
    #[inline(always)]
    pub fn truncate(&mut self, top: usize) {
        debug_assert!(top <= self.top);
        self.top = top;
    }
}
