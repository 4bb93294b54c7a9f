//! Room for what grows with a file, asked for so that a failure is an error and does not end the process.

use thiserror::Error;

/// Memory could not be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("out of memory: {bytes} bytes for {what} are not available")]
pub struct NoMemory {
    /// What it was for, as in "the table of objects".
    pub what: &'static str,
    /// Bytes asked for.
    pub bytes: usize,
}

fn refused<T>(items: usize, what: &'static str) -> NoMemory {
    NoMemory {
        what,
        bytes: items.saturating_mul(size_of::<T>()),
    }
}

/// An empty vector with room for `items`.
///
/// # Errors
/// [`NoMemory`].
pub fn room<T>(items: usize, what: &'static str) -> Result<Vec<T>, NoMemory> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(items)
        .map_err(|_| refused::<T>(items, what))?;
    Ok(vec)
}

/// `items` times `value`.
///
/// # Errors
/// [`NoMemory`].
pub fn filled<T: Clone>(value: T, items: usize, what: &'static str) -> Result<Vec<T>, NoMemory> {
    let mut vec = room(items, what)?;
    vec.resize(items, value);
    Ok(vec)
}

/// What `items` gives.
///
/// # Errors
/// [`NoMemory`].
pub fn collected<T>(items: impl ExactSizeIterator<Item = T>, what: &'static str) -> Result<Vec<T>, NoMemory> {
    let mut vec = room(items.len(), what)?;
    vec.extend(items);
    Ok(vec)
}

/// Puts `value` behind the last element of `vec`.
///
/// # Errors
/// [`NoMemory`].
#[inline]
pub fn push<T>(vec: &mut Vec<T>, value: T, what: &'static str) -> Result<(), NoMemory> {
    if vec.len() == vec.capacity() {
        vec.try_reserve(1)
            .map_err(|_| refused::<T>(vec.len().saturating_mul(2), what))?;
    }
    vec.push(value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_had_is_an_error_that_says_what_and_how_much() {
        let e = room::<u64>(usize::MAX / 16, "the test").unwrap_err();
        assert_eq!(e.bytes, usize::MAX / 16 * 8);
        assert!(e.to_string().contains("for the test"), "{e}");
        assert!(filled(7_u32, usize::MAX / 8, "it").is_err());
        assert_eq!(filled(7, 3, "it").unwrap(), [7, 7, 7]);
        assert_eq!(collected([1, 2].into_iter(), "it").unwrap(), [1, 2]);
        let mut vec = Vec::new();
        (0..100).for_each(|i| push(&mut vec, i, "it").unwrap());
        assert!(vec.iter().copied().eq(0..100));
    }
}
