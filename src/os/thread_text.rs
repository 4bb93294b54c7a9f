//! A text for each thread that has one: what went wrong last.
//!
//! It hangs on a key of the C library and is no thread-local of Rust. One of those that owns memory registers a
//! destructor, and where there is no memory for that the C library ends the process, in the very call that wanted to
//! say so.

use libc::{c_void, pthread_key_t};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The key and one, once it is made.
static KEY: AtomicUsize = AtomicUsize::new(0);

/// The key under which each thread has its text; `None` if the process has no key left.
fn key() -> Option<pthread_key_t> {
    match KEY.load(Ordering::Acquire) {
        0 => make(),
        made => Some((made - 1) as pthread_key_t),
    }
}

#[cold]
fn make() -> Option<pthread_key_t> {
    let mut key = 0;
    // SAFETY: `key` is writable, and `free` takes what is put under it. This library is never unloaded, so `free` is
    // there when a thread ends.
    if unsafe { libc::pthread_key_create(&mut key, Some(free)) } != 0 {
        return None;
    }
    match KEY.compare_exchange(0, key as usize + 1, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Some(key),
        Err(first) => {
            // SAFETY: this thread has just made the key, and nobody else knows of it.
            unsafe { libc::pthread_key_delete(key) };
            Some((first - 1) as pthread_key_t)
        }
    }
}

/// Frees the text of a thread that ends.
unsafe extern "C" fn free(text: *mut c_void) {
    // SAFETY: the C library calls this once for what `set` left under the key, which is not null and from `into_raw`.
    drop(unsafe { Box::from_raw(text.cast::<Box<str>>()) });
}

/// Gives this thread `text` instead of the one that it has; nothing if that is empty, or where there is no memory for
/// it.
pub fn set(text: &str) {
    let Some(key) = key() else {
        return;
    };
    // SAFETY: the key is made and never deleted.
    let old = unsafe { libc::pthread_getspecific(key) };
    let new = match text.is_empty() {
        true => ptr::null_mut(),
        false => Box::into_raw(Box::new(Box::<str>::from(text))),
    };
    // SAFETY: the key is made and never deleted.
    let unused = match unsafe { libc::pthread_setspecific(key, new.cast()) } {
        0 => old.cast::<Box<str>>(),
        _ => new,
    };
    if !unused.is_null() {
        // SAFETY: from `into_raw`, and no longer under the key, or never put there: nobody else has it.
        drop(unsafe { Box::from_raw(unused) });
    }
}

/// What `f` makes of this thread's text, which is empty if it has none. `f` sets none.
pub fn with<T>(f: impl FnOnce(&str) -> T) -> T {
    // SAFETY: the key is made and never deleted.
    let text = key().map_or(ptr::null_mut(), |key| unsafe { libc::pthread_getspecific(key) });
    // SAFETY: null, or a text that `set` put there on this thread; it stays until the next `set` on it, which comes
    // after `f`.
    f(unsafe { text.cast::<Box<str>>().as_ref() }.map_or("", |text| text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_has_its_text_until_it_is_cleared() {
        let own = || with(str::to_owned);
        set("");
        assert_eq!(own(), "");
        set("first");
        set("second");
        assert_eq!(own(), "second");
        let others: Vec<_> = (0..8)
            .map(|i| {
                std::thread::spawn(move || {
                    assert_eq!(with(str::to_owned), "");
                    set(&format!("of {i}"));
                    with(str::to_owned)
                })
            })
            .collect();
        for (i, other) in others.into_iter().enumerate() {
            assert_eq!(other.join().expect("a thread"), format!("of {i}"));
        }
        assert_eq!(own(), "second");
        set("");
        assert_eq!(own(), "");
    }
}
