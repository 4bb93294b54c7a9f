//! What the loader did in this process, counted for the report: calls, bytes, time. Atomics and no locks, so that the
//! numbers can be read at any moment, also while the process ends.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts of one kind of call, in a cache line of their own: threads that read at the same time take it from one another
/// once for each read.
#[derive(Debug)]
#[repr(align(64))]
pub struct Counter {
    calls: AtomicU64,
    errors: AtomicU64,
    bytes: AtomicU64,
    nanoseconds: AtomicU64,
    /// Calls that did not fail and left no region that lies mapped; nearly none of tens of thousands are.
    unmapped: AtomicU64,
    /// Time of these, and of those that failed.
    unmapped_nanoseconds: AtomicU64,
    relocated: AtomicU64,
}

/// Files written (each part of a batch is one call).
pub static SAVE: Counter = Counter::new();
/// Files read.
pub static READ: Counter = Counter::new();
/// Regions released.
pub static FREE: Counter = Counter::new();

/// The numbers of a [`Counter`] at one moment.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counts {
    /// Calls, the failed ones included.
    pub calls: u64,
    /// Calls that failed.
    pub errors: u64,
    /// Bytes of the files of successful calls.
    pub bytes: u64,
    /// Time inside the loader, failed calls included.
    pub nanoseconds: u64,
    /// Reads whose region lies in a mapping at its base address; of calls of another kind all that did not fail.
    pub mapped: u64,
    /// Time of those reads inside the loader.
    pub mapped_nanoseconds: u64,
    /// Reads that went through relocation.
    pub relocated: u64,
}

impl Counter {
    const fn new() -> Self {
        Self {
            calls: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            nanoseconds: AtomicU64::new(0),
            unmapped: AtomicU64::new(0),
            unmapped_nanoseconds: AtomicU64::new(0),
            relocated: AtomicU64::new(0),
        }
    }

    /// Counts a successful call on a file of `bytes` bytes that took `time` nanoseconds.
    pub fn record(&self, bytes: u64, time: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
        self.call(time);
    }

    /// Counts a failed call that took `time` nanoseconds.
    pub fn error(&self, time: u64) {
        self.errors.fetch_add(1, Relaxed);
        self.unmapped_nanoseconds.fetch_add(time, Relaxed);
        self.call(time);
    }

    fn call(&self, time: u64) {
        self.nanoseconds.fetch_add(time, Relaxed);
        self.calls.fetch_add(1, Relaxed);
    }

    /// Counts a read of `time` nanoseconds whose region is not handed out as it is mapped, in addition to
    /// [`record`](Self::record).
    pub fn add_unmapped(&self, time: u64) {
        self.unmapped.fetch_add(1, Relaxed);
        self.unmapped_nanoseconds.fetch_add(time, Relaxed);
    }

    /// Counts a read that went through relocation, in addition to [`record`](Self::record).
    pub fn add_relocated(&self) {
        self.relocated.fetch_add(1, Relaxed);
    }

    /// The numbers now. Calls that are under way in other threads may be counted in part.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let calls = self.calls.load(Relaxed);
        let errors = self.errors.load(Relaxed);
        let nanoseconds = self.nanoseconds.load(Relaxed);
        let rest = errors + self.unmapped.load(Relaxed);
        Counts {
            calls,
            errors,
            bytes: self.bytes.load(Relaxed),
            nanoseconds,
            mapped: calls.saturating_sub(rest),
            mapped_nanoseconds: nanoseconds.saturating_sub(self.unmapped_nanoseconds.load(Relaxed)),
            relocated: self.relocated.load(Relaxed),
        }
    }

    fn reset(&self) {
        let all = [
            &self.calls,
            &self.errors,
            &self.bytes,
            &self.nanoseconds,
            &self.unmapped,
            &self.unmapped_nanoseconds,
            &self.relocated,
        ];
        all.iter().for_each(|number| number.store(0, Relaxed));
    }
}

/// Sets all counts to zero: what a forked child begins with. Stores only, and so allowed in the child of a process with
/// several threads.
pub fn reset() {
    [&SAVE, &READ, &FREE].iter().for_each(|counter| counter.reset());
    super::image_use::reset();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_errors_and_times_add_up() {
        let counter = Counter::new();
        counter.record(100, 5);
        counter.record(20, 7);
        counter.error(1000);
        counter.add_unmapped(7);
        counter.add_relocated();
        let expected = Counts {
            calls: 3,
            errors: 1,
            bytes: 120,
            nanoseconds: 1012,
            mapped: 1,
            mapped_nanoseconds: 5,
            relocated: 1,
        };
        assert_eq!(counter.counts(), expected);
        counter.reset();
        assert_eq!(counter.counts(), Counts::default());
    }
}
