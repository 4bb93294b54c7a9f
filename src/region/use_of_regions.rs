//! Whether the host uses the regions that it reads. An import walks through each of them, while the load of a snapshot
//! looks at their roots and, until they are needed, at nothing else. To touch a region for the first time costs a page
//! fault, which brings up to 16 pages and a page of page tables with it, and takes longer than anything else that is
//! done for a read. So where nobody would touch it we do not either, and give out a copy of the root; where it is touched
//! anyway, the call that reads the root would be for nothing.
//!
//! Who touches what cannot be seen, but page faults are counted by the system. They are looked at after each batch of
//! reads that touched nothing. If the process had many, the host is taken to use its regions, and regions are touched
//! as they are read; after a while another batch is tried.

use crate::os::lock::Lock;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Reads in a batch.
pub(super) const BATCH: u32 = 256;
/// Page faults in a batch from which on regions are taken to be used. An import has 75 to 83, as it looks at what each module
/// imports before it reads the next; the load of a snapshot has 10, for the objects that Lean makes, and at times 16
/// more, when the allocator begins a piece of memory.
const MANY: u64 = 40;
/// Reads before the next batch is tried, at first and at most.
const PAUSE: u32 = 1 << 10;
const LONGEST_PAUSE: u32 = 1 << 14;

/// Whether regions are taken not to be used.
static UNSEEN: AtomicBool = AtomicBool::new(false);

static RULE: Lock<Rule> = Lock::new(Rule::new());

#[derive(Debug)]
struct Rule {
    /// Page faults before the batch, if one is under way.
    before: Option<u64>,
    /// Reads before the next one is tried.
    pause: u32,
}

impl Rule {
    const fn new() -> Self {
        Rule {
            before: None,
            pause: PAUSE,
        }
    }

    /// The process has had so many page faults by now. Answers after how many reads that is asked next, and `before`
    /// says whether these are a batch.
    fn go_on(&mut self, faults: u64) -> u32 {
        if let Some(before) = self.before
            && faults.wrapping_sub(before) >= MANY
        {
            self.before = None;
            let next = (self.pause * 2).min(LONGEST_PAUSE);
            return mem::replace(&mut self.pause, next);
        }
        self.before = Some(faults);
        BATCH
    }
}

/// Whether regions are taken not to be used, so that nothing of them should be touched.
pub(super) fn is_unseen() -> bool {
    UNSEEN.load(Relaxed)
}

/// Looks whether they are; answers after how many reads to look again.
pub(super) fn look() -> u32 {
    let faults = page_faults();
    let mut rule = RULE.lock();
    let next = rule.go_on(faults);
    UNSEEN.store(rule.before.is_some(), Relaxed);
    next
}

/// Page faults of this process so far. A call that fails answers 0. The child of a fork begins with none again, and so
/// takes a batch that was under way for one with many.
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

    #[test]
    fn batches_go_on_as_long_as_few_pages_are_touched_and_pauses_grow() {
        let mut rule = Rule::new();
        let mut faults = 1000;
        assert_eq!((rule.go_on(faults), rule.before), (BATCH, Some(1000)));
        for _ in 0..10 {
            faults += MANY - 1;
            assert_eq!((rule.go_on(faults), rule.before), (BATCH, Some(faults)));
        }
        for pause in [1024, 2048, 4096, 8192, 16384, 16384] {
            faults += MANY;
            assert_eq!((rule.go_on(faults), rule.before), (pause, None));
            // What was touched meanwhile says nothing.
            faults += 1_000_000;
            assert_eq!((rule.go_on(faults), rule.before), (BATCH, Some(faults)));
        }
    }

    #[test]
    fn the_system_counts_pages_that_are_touched() {
        let before = page_faults();
        let memory = vec![1_u8; 4 << 20];
        assert!(page_faults() > before, "{}", memory.len());
    }
}
