//! Work that some threads do together, all of which end before the answer is given.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

/// Has up to `threads` threads do `work`, this one among them, and answers what each made; where no more threads can
/// be had, those that are there do it. What a thread makes that panics is lost.
///
/// # Panics
/// When the work panics on this thread, after all others have ended.
pub fn together<R: Send>(threads: usize, work: impl Fn() -> R + Sync) -> Vec<R> {
    let (mut others, mut made) = (Vec::new(), Vec::new());
    let wanted = match others
        .try_reserve_exact(threads)
        .and(made.try_reserve_exact(threads))
    {
        Ok(()) => threads,
        Err(_) => 1,
    };
    for _ in 1..wanted {
        // Not `thread::scope`: that makes a handle of the calling thread, which leak checkers take for lost.
        // SAFETY: the thread uses `work` and what it borrows, and has ended before this function returns: every handle
        // is joined below, and nothing between here and there unwinds, as the work of this thread is caught.
        match unsafe { thread::Builder::new().spawn_unchecked(&work) } {
            Ok(other) => others.push(other),
            Err(_) => break,
        }
    }
    let own = catch_unwind(AssertUnwindSafe(&work));
    for other in others {
        made.extend(other.join());
    }
    match own {
        Ok(own) => made.push(own),
        Err(panic) => resume_unwind(panic),
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[test]
    fn everything_is_done_once_by_as_many_as_there_may_be() {
        for threads in [0, 1, 2, 5] {
            let next = AtomicUsize::new(0);
            let made = together(threads, || {
                let mut own = Vec::new();
                loop {
                    match next.fetch_add(1, Ordering::Relaxed) {
                        i if i < 100 => own.push(i),
                        _ => return own,
                    }
                }
            });
            assert_eq!(made.len(), threads.max(1));
            let mut all = made.concat();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..100));
        }
    }

    #[test]
    fn a_panic_waits_for_the_other_threads() {
        let (first, ended) = (thread::current().id(), AtomicUsize::new(0));
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            together(4, || {
                assert_ne!(thread::current().id(), first, "on purpose");
                thread::sleep(Duration::from_millis(50));
                ended.fetch_add(1, Ordering::Relaxed);
            })
        }));
        assert!(panicked.is_err());
        assert_eq!(ended.load(Ordering::Relaxed), 3);
        // Of another thread only its own part is lost.
        let made = together(3, || assert_eq!(thread::current().id(), first, "on purpose"));
        assert_eq!(made.len(), 1);
    }
}
