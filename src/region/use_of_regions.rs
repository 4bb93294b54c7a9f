//! Whether the host uses the regions that it reads. An import walks through each of them, while the load of a snapshot
//! looks at their roots and, until they are needed, at nothing else. To touch a region for the first time costs a page
//! fault, which brings up to 16 pages and a page of page tables with it, and takes longer than anything else that is
//! done for a read. So where nobody would touch it we do not either, and give out a copy of the root; where it is touched
//! anyway, the call that reads the root would be for nothing.
//!
//! Who touches what cannot be seen, but page faults are counted by the system. They are looked at after each batch of
//! reads that touched nothing. If the process had many in two batches in a row, the host is taken to use its regions, and
//! regions are touched as they are read; after a while batches are tried again. One batch alone says little: at times the
//! host's allocator begins a piece of memory.

use crate::os::lock::Lock;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Reads in a batch while nothing is known, and at most: where batches had few faults, each has twice as many reads as
/// the one before.
const BATCH: u64 = 32;
const LONGEST_BATCH: u64 = 1 << 8;
/// Page faults for so many reads from which on they are many: 5 for 32. An import has 8 to 10, as it looks at what each
/// module imports before it reads the next, and would have 6 if each module had five files; the load of a snapshot has 1 or
/// 2, for the objects that Lean makes, and at times 16 more, when the allocator begins a piece of memory.
const MANY: (u64, u64) = (5, 32);
/// Batches with many faults in a row after which regions are taken to be used.
const ENOUGH: u32 = 2;
/// Reads before batches are tried again, at first and at most.
const PAUSE: u64 = 1 << 10;
const LONGEST_PAUSE: u64 = 1 << 14;

/// What every read looks at, in a cache line of its own.
#[repr(align(64))]
struct Known {
    /// Reads so far.
    reads: AtomicU64,
    /// From so many on somebody is to look.
    next: AtomicU64,
    /// Whether regions are taken not to be used.
    unseen: AtomicBool,
}

static KNOWN: Known = Known::new();

static RULE: Lock<Rule> = Lock::new(Rule::new());

#[derive(Debug)]
struct Rule {
    /// The batch that is under way, if one is.
    batch: Option<Batch>,
    /// Reads before the next one is tried.
    pause: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Batch {
    /// What was there when it began.
    before: Counts,
    /// After so many reads somebody looks.
    reads: u64,
    /// How many before it had many faults, in a row.
    many: u32,
}

/// What a process did so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Counts {
    reads: u64,
    faults: u64,
}

impl Rule {
    const fn new() -> Self {
        Rule {
            batch: None,
            pause: PAUSE,
        }
    }

    /// Answers after how many reads to look again; `batch` says whether these are one. The child of a fork has had fewer
    /// faults than its parent, and goes on with the batch.
    fn go_on(&mut self, now: Counts) -> u64 {
        let mut many = 0;
        let mut reads = BATCH;
        if let Some(Batch {
            before,
            reads: planned,
            many: earlier,
        }) = self.batch
        {
            let faults = now.faults.saturating_sub(before.faults);
            // Other threads may have read more meanwhile.
            let most = now.reads.saturating_sub(before.reads);
            if faults.saturating_mul(MANY.1) >= MANY.0.saturating_mul(most) {
                many = earlier + 1;
            } else {
                reads = (planned * 2).min(LONGEST_BATCH);
            }
        }
        if many == ENOUGH {
            self.batch = None;
            let next = (self.pause * 2).min(LONGEST_PAUSE);
            return mem::replace(&mut self.pause, next);
        }
        self.batch = Some(Batch {
            before: now,
            reads,
            many,
        });
        reads
    }
}

impl Known {
    const fn new() -> Self {
        Known {
            reads: AtomicU64::new(0),
            next: AtomicU64::new(0),
            unseen: AtomicBool::new(false),
        }
    }

    /// Counts a read; whether somebody is to look.
    #[inline]
    fn count(&self) -> bool {
        self.reads.fetch_add(1, Relaxed) + 1 >= self.next.load(Relaxed)
    }

    /// Looks, unless another thread has done so meanwhile. One thread at a time may call this: numbers that two threads saw at
    /// about the same time would say that a batch had no reads, or fewer faults than none.
    fn look(&self, rule: &mut Rule, faults: impl FnOnce() -> u64) {
        let reads = self.reads.load(Relaxed);
        if reads < self.next.load(Relaxed) {
            return;
        }
        let faults = faults();
        let next = rule.go_on(Counts { reads, faults });
        self.next.store(reads + next, Relaxed);
        self.unseen.store(rule.batch.is_some(), Relaxed);
    }
}

/// Whether regions are taken not to be used, so that nothing of them should be touched.
pub(super) fn is_unseen() -> bool {
    KNOWN.unseen.load(Relaxed)
}

/// Counts a read, and looks whether regions are used when it is time.
#[inline]
pub(super) fn count() {
    if KNOWN.count() {
        look();
    }
}

#[cold]
fn look() {
    // Whoever does not get it has another thread that looks.
    if let Some(mut rule) = RULE.try_lock() {
        KNOWN.look(&mut rule, page_faults);
    }
}

/// Page faults of this process so far. A call that fails answers 0.
fn page_faults() -> u64 {
    let mut usage = mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is writable, and stays zeros, which are a value of the type, if the call fails.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    (usage.ru_minflt as u64).wrapping_add(usage.ru_majflt as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of one more batch, of as many reads as planned, with so many faults.
    fn after(rule: &mut Rule, faults: u64) -> (u64, bool) {
        let begun = rule.batch.map_or(0, |batch| batch.reads);
        after_reads(rule, begun, faults)
    }

    fn after_reads(rule: &mut Rule, reads: u64, faults: u64) -> (u64, bool) {
        let before = rule.batch.map_or(
            Counts {
                reads: 0,
                faults: 1_000,
            },
            |batch| batch.before,
        );
        let now = Counts {
            reads: before.reads + reads,
            faults: before.faults + faults,
        };
        (rule.go_on(now), rule.batch.is_some())
    }

    #[test]
    fn batches_go_on_and_grow_as_long_as_few_pages_are_touched() {
        let mut rule = Rule::new();
        assert_eq!(after(&mut rule, 1000), (32, true), "what was before says nothing");
        for (faults, reads) in [(4, 64), (9, 128), (19, 256), (39, 256), (39, 256)] {
            assert_eq!(after(&mut rule, faults), (reads, true), "{faults}");
        }
        // Many once, as where the allocator begins a piece of memory.
        assert_eq!(after(&mut rule, 40), (32, true));
        assert_eq!(after(&mut rule, 4), (64, true));
        assert_eq!(after(&mut rule, 10), (32, true));
        assert_eq!(after(&mut rule, 4), (64, true), "not twice in a row");
    }

    #[test]
    fn after_two_batches_with_many_faults_pages_are_touched_and_pauses_grow() {
        let mut rule = Rule::new();
        for pause in [1024, 2048, 4096, 8192, 16384, 16384] {
            assert_eq!(after(&mut rule, 1_000_000), (32, true));
            assert_eq!(after(&mut rule, 5), (32, true));
            assert_eq!(after(&mut rule, 5), (pause, false));
        }
    }

    #[test]
    fn looks_come_after_as_many_reads_as_they_say_and_only_once() {
        let (known, mut rule) = (Known::new(), Rule::new());
        let mut looks = Vec::new();
        for read in 1..=800 {
            if known.count() {
                known.look(&mut rule, || {
                    looks.push(read);
                    7
                });
                // Another thread has counted a read meanwhile, and comes to it later.
                known.look(&mut rule, || unreachable!("somebody has looked"));
                assert!(known.unseen.load(Relaxed));
            }
        }
        assert_eq!(looks, [1, 33, 97, 225, 481, 737]);
    }

    #[test]
    fn faults_are_held_against_the_reads_that_were_made() {
        let mut rule = Rule::new();
        after(&mut rule, 0);
        // Other threads read while the one that looks was not running.
        assert_eq!(after_reads(&mut rule, 320, 49), (64, true));
        assert_eq!(after_reads(&mut rule, 320, 50), (32, true));
        // The child of a fork has had few.
        let now = Counts {
            reads: 10_000,
            faults: 3,
        };
        assert_eq!((rule.go_on(now), rule.batch.is_some()), (64, true));
    }

    #[test]
    fn the_system_counts_pages_that_are_touched() {
        let before = page_faults();
        let memory = vec![1_u8; 4 << 20];
        assert!(page_faults() > before, "{}", memory.len());
    }
}
