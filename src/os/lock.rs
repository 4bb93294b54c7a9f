//! A lock for what the whole process shares, usable in the child of a fork.
//!
//! A child has the one thread that forked; a lock that another thread held at that moment would be held for ever there.
//! So every [`Lock`] that was ever used is taken before a fork and let go on both sides of it (`pthread_atfork`): the
//! child finds all of them free, and what they guard between two changes. Waiting and letting go allocate nothing.
//!
//! That asks two things of who holds one: take no second lock meanwhile, and stay short, for a fork waits. Only a lock
//! made by [`Lock::outer`] may be held while one other is taken; a fork takes those first.
//!
//! What is made once at its first use is not made under a lock at all but with [`once_cell::race`]: threads that come
//! at the same time each make it and the first one's is kept.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

/// Nobody holds it.
const FREE: u32 = 0;
/// Somebody holds it.
const HELD: u32 = 1;
/// Somebody holds it, and others may sleep until it is free.
const AWAITED: u32 = 2;
/// It was never taken, and no fork knows of it.
const UNKNOWN: u32 = 3;

/// How often a thread looks again before it sleeps: what is done under a lock mostly takes less than a system call.
const SPINS: u32 = 100;

/// The lock without what it guards.
struct Raw {
    state: AtomicU32,
    /// The one that was used first before this one was. Set once, before the state leaves [`UNKNOWN`].
    before: AtomicPtr<Raw>,
    /// Whether others are taken while it is held.
    outer: bool,
}

/// The lock used first last.
static KNOWN: AtomicPtr<Raw> = AtomicPtr::new(ptr::null_mut());
/// Held while a lock becomes known, and through a fork, so that none becomes known then.
static KNOWING: Raw = Raw::new(FREE, false);
/// Whether the process's forks know of the locks.
static HANDLED: AtomicBool = AtomicBool::new(false);

impl Raw {
    const fn new(state: u32, outer: bool) -> Self {
        Raw {
            state: AtomicU32::new(state),
            before: AtomicPtr::new(ptr::null_mut()),
            outer,
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        self.state
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Takes a lock that is not [`UNKNOWN`].
    #[cold]
    fn wait(&self) {
        for _ in 0..SPINS {
            if self.try_lock() {
                return;
            }
            std::hint::spin_loop();
        }
        while self.state.swap(AWAITED, Ordering::Acquire) != FREE {
            // Goes on at once if the state has changed meanwhile; wake-ups without cause only make it look again.
            self.futex(libc::FUTEX_WAIT, AWAITED);
        }
    }

    #[inline]
    fn unlock(&self) {
        if self.state.swap(FREE, Ordering::Release) == AWAITED {
            self.futex(libc::FUTEX_WAKE, 1);
        }
    }

    #[cold]
    fn futex(&self, operation: libc::c_int, value: u32) {
        let none: *const libc::timespec = ptr::null();
        // SAFETY: futex(2) on a word that lives through the call; waiting without a time limit, or waking.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.state.as_ptr(),
                operation | libc::FUTEX_PRIVATE_FLAG,
                value,
                none,
            );
        }
    }

    /// Makes a lock known to forks.
    #[cold]
    fn introduce(&'static self) {
        live_through_forks();
        if !KNOWING.try_lock() {
            KNOWING.wait();
        }
        if self.state.load(Ordering::Relaxed) == UNKNOWN {
            self.before
                .store(KNOWN.load(Ordering::Relaxed), Ordering::Relaxed);
            KNOWN.store(ptr::from_ref(self).cast_mut(), Ordering::Release);
            self.state.store(FREE, Ordering::Release);
        }
        KNOWING.unlock();
    }
}

/// Has forks look after the locks from now on. Called when the library is loaded, before there are threads; the first
/// use of a lock does the same.
pub fn live_through_forks() {
    if !HANDLED.swap(true, Ordering::Relaxed) {
        // SAFETY: the handlers take and let go locks of this module, of the same thread before and after the fork;
        // they stay in memory, as this library does. Without memory for the entry, forks are as dangerous as they
        // would be without this module.
        unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork), Some(after_fork)) };
    }
}

/// All known locks.
fn each(mut f: impl FnMut(&'static Raw)) {
    let mut next = KNOWN.load(Ordering::Acquire);
    // SAFETY: null or a lock that was introduced, which is static.
    while let Some(raw) = unsafe { next.as_ref() } {
        f(raw);
        next = raw.before.load(Ordering::Relaxed);
    }
}

unsafe extern "C" fn before_fork() {
    if !KNOWING.try_lock() {
        KNOWING.wait();
    }
    for outer in [true, false] {
        each(|raw| {
            if raw.outer == outer && !raw.try_lock() {
                raw.wait();
            }
        });
    }
}

/// On both sides: the locks are those that were taken before the fork, for none became known since.
unsafe extern "C" fn after_fork() {
    each(Raw::unlock);
    KNOWING.unlock();
}

/// A value that one thread at a time may use, in a child of a fork as well. It begins a cache line, and what the value
/// begins with is in the line of the lock: who takes one has the other.
#[repr(C, align(64))]
pub struct Lock<T> {
    raw: Raw,
    value: UnsafeCell<T>,
}

// SAFETY: the value is handed to one thread at a time, and so goes from thread to thread.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    /// A lock that nobody holds.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Lock {
            raw: Raw::new(UNKNOWN, false),
            value: UnsafeCell::new(value),
        }
    }

    /// The same, which may be held while one made by [`Lock::new`] is taken.
    #[must_use]
    pub const fn outer(value: T) -> Self {
        Lock {
            raw: Raw::new(UNKNOWN, true),
            value: UnsafeCell::new(value),
        }
    }

    /// Waits until nobody else uses the value.
    #[inline]
    pub fn lock(&'static self) -> Guard<T> {
        if !self.raw.try_lock() {
            self.lock_slowly();
        }
        Guard {
            lock: self,
            here: PhantomData,
        }
    }

    #[cold]
    fn lock_slowly(&'static self) {
        if self.raw.state.load(Ordering::Acquire) == UNKNOWN {
            self.raw.introduce();
        }
        self.raw.wait();
    }

    /// The value, if nobody else uses it now.
    #[inline]
    pub fn try_lock(&'static self) -> Option<Guard<T>> {
        if !self.raw.try_lock() {
            if self.raw.state.load(Ordering::Acquire) != UNKNOWN {
                return None;
            }
            self.raw.introduce();
            if !self.raw.try_lock() {
                return None;
            }
        }
        Some(Guard {
            lock: self,
            here: PhantomData,
        })
    }
}

/// The value of a [`Lock`], until dropped. It stays on its thread.
pub struct Guard<T: 'static> {
    lock: &'static Lock<T>,
    here: PhantomData<*const ()>,
}

impl<T> Deref for Guard<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the lock is held, so nobody else uses the value.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is held, so nobody else uses the value, and `&mut self` excludes other references of ours.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Guard<T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.raw.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn one_at_a_time() {
        static SUM: Lock<(u64, u64)> = Lock::new((0, 0));
        static WENT_ON: AtomicU64 = AtomicU64::new(0);
        let add = || {
            for _ in 0..50_000 {
                let mut sum = SUM.lock();
                sum.0 += 1;
                std::hint::black_box(&mut *sum);
                sum.1 += 1;
                drop(sum);
                match SUM.try_lock() {
                    Some(sum) => assert_eq!(sum.0, sum.1),
                    None => _ = WENT_ON.fetch_add(1, Ordering::Relaxed),
                }
            }
        };
        std::thread::scope(|s| (0..4).for_each(|_| _ = s.spawn(add)));
        assert_eq!(*SUM.lock(), (200_000, 200_000));
        let held = SUM.lock();
        assert!(SUM.try_lock().is_none());
        drop(held);
        assert!(SUM.try_lock().is_some());
    }

    /// Four threads change a value under locks all the while; each child finds the locks free and the values whole.
    #[test]
    fn a_child_of_a_fork_finds_locks_free_and_values_whole() {
        static FIRST: Lock<[u64; 2]> = Lock::new([0; 2]);
        static SECOND: Lock<[u64; 2]> = Lock::new([0; 2]);
        static LATE: [Lock<[u64; 2]>; 64] = [const { Lock::new([0; 2]) }; 64];
        static AROUND: Lock<()> = Lock::outer(());
        static STOP: AtomicBool = AtomicBool::new(false);
        static ROUND: AtomicU64 = AtomicU64::new(0);
        let change = |lock: &'static Lock<[u64; 2]>| {
            let mut value = lock.lock();
            value[0] += 1;
            (0..50).for_each(|_| std::hint::spin_loop());
            value[1] += 1;
        };
        let whole = |lock: &'static Lock<[u64; 2]>| {
            let value = lock.lock();
            value[0] == value[1]
        };
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(move || {
                    while !STOP.load(Ordering::Relaxed) {
                        let around = AROUND.lock();
                        change(&FIRST);
                        drop(around);
                        change(&SECOND);
                        // Locks become known while others fork.
                        change(&LATE[ROUND.load(Ordering::Relaxed) as usize % LATE.len()]);
                    }
                });
            }
            let mut failed = Vec::new();
            for round in 0..400 {
                ROUND.store(round, Ordering::Relaxed);
                // SAFETY: the child calls nothing but alarm, the locks and _exit.
                let pid = unsafe { libc::fork() };
                if pid == 0 {
                    // SAFETY: as above; a child that hangs ends by a signal.
                    unsafe { libc::alarm(20) };
                    let late = &LATE[round as usize % LATE.len()];
                    let good = [&FIRST, &SECOND, late].into_iter().all(whole);
                    // SAFETY: ends the child.
                    unsafe { libc::_exit(i32::from(!good)) };
                }
                let mut status = 0;
                // SAFETY: waits for the child made above.
                let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
                if pid < 0 || waited != pid || status != 0 {
                    failed.push((round, pid, waited, status));
                    break;
                }
            }
            STOP.store(true, Ordering::Relaxed);
            assert!(failed.is_empty(), "{failed:?}");
        });
    }
}
