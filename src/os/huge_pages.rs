//! Whether the next two megabytes of copies, or of what a save needs, are to lie in one huge page or in 512 small ones.
//!
//! A huge page mostly takes a third of the time of what small ones take, or less. Not where the system has to make
//! room for it, and not in a virtual machine that has given its free memory back: there it is exactly whole huge
//! pages that were given back, each page of 4 KB of it has to be asked for again, and small pages, which come from
//! what is left over elsewhere, cost half. Nobody says in which state a system is, and it changes from moment to
//! moment. So the time that each huge page takes is looked at: if they are not worth it, small ones are taken for a
//! while, which is longer each time that a huge page then still is not.

use super::lock::Lock;
use once_cell::race::OnceBool;
use std::fs;
use std::time::Duration;

/// What a huge page may take: as much as 512 small ones, which took 770 and 1,100 us on the machines where it was
/// measured.
const FAIR: i64 = 800;
/// So much may be taken beyond that by one huge page if those before it took less.
const CREDIT: i64 = 2 * FAIR;
/// How many steps of small pages follow at first, and at most.
const SHORT_REST: u32 = 8;
const LONG_REST: u32 = 128;

/// What is remembered of the huge pages so far.
struct Pace {
    /// Microseconds that they took less than was fair, lately.
    credit: i64,
    /// Steps of small pages that are left.
    rest: u32,
    /// How many there will be the next time.
    next_rest: u32,
}

static PACE: Lock<Pace> = Lock::new(Pace::new());

impl Pace {
    const fn new() -> Self {
        Pace {
            credit: 0,
            rest: 0,
            next_rest: SHORT_REST,
        }
    }

    /// Whether the next step is a huge page.
    fn next(&mut self) -> bool {
        let huge = self.rest == 0;
        self.rest = self.rest.saturating_sub(1);
        huge
    }

    /// A huge page took that many microseconds.
    fn took(&mut self, time: i64) {
        self.credit = (self.credit + FAIR - time).min(CREDIT);
        if self.credit < 0 {
            self.credit = 0;
            self.rest = self.next_rest;
            self.next_rest = (2 * self.next_rest).min(LONG_REST);
        } else if time <= FAIR {
            self.next_rest = (self.next_rest / 2).max(SHORT_REST);
        }
    }
}

/// Whether this system gives huge pages to who asks for them (`transparent_hugepage/enabled`).
#[must_use]
pub fn are_given() -> bool {
    static ASKED: OnceBool = OnceBool::new();
    ASKED.get_or_init(|| {
        let said = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
        said.is_ok_and(|said| !said.contains("[never]"))
    })
}

/// Has the pages that come into the memory from `start` on be huge or small from now on; what is there stays as it is. A
/// system that does not take the advice goes on as before.
///
/// # Safety
/// The `bytes` bytes are those of a mapping, or of a part of one, that is the caller's.
pub unsafe fn advise(start: *mut u8, bytes: usize, huge: bool) {
    let advice = match huge {
        true => libc::MADV_HUGEPAGE,
        false => libc::MADV_NOHUGEPAGE,
    };
    // SAFETY: a mapping of the caller's, by the contract; no content changes.
    unsafe { libc::madvise(start.cast(), bytes, advice) };
}

/// Whether the next step is to be a huge page.
#[must_use]
pub fn next() -> bool {
    PACE.lock().next()
}

/// Runs `touch`, which brings a huge page into memory, and looks at the time that this takes the thread.
pub fn watch(touch: impl FnOnce()) {
    let start = thread_time();
    touch();
    let time = thread_time().saturating_sub(start);
    PACE.lock()
        .took(i64::try_from(time.as_micros()).unwrap_or(i64::MAX / 2));
}

/// The processor time of this thread: what others do meanwhile does not count.
fn thread_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is writable; a call that fails leaves it zero.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `steps` steps take, in microseconds, where huge pages take `huge` and small ones 1,100; and how many are
    /// huge.
    fn taken(pace: &mut Pace, steps: usize, mut huge: impl FnMut(usize) -> i64) -> (i64, usize) {
        let (mut time, mut count) = (0, 0);
        for step in 0..steps {
            if pace.next() {
                let one = huge(step);
                pace.took(one);
                time += one;
                count += 1;
            } else {
                time += 1100;
            }
        }
        (time, count)
    }

    #[test]
    fn huge_pages_that_are_cheap_are_always_taken() {
        for cost in [40, 330, FAIR] {
            assert_eq!(taken(&mut Pace::new(), 1000, |_| cost).1, 1000, "{cost}");
        }
        // One that took long, for whatever reason, changes nothing.
        let once = |step| if step == 500 { 2000 } else { 330 };
        assert_eq!(taken(&mut Pace::new(), 1000, once).1, 1000);
    }

    #[test]
    fn dear_ones_are_tried_less_and_less_often() {
        // As many as make 5 GiB.
        let (time, count) = taken(&mut Pace::new(), 2560, |_| 2500);
        assert!((10..30).contains(&count), "{count}");
        assert!(time * 100 < 2560 * 1100 * 102, "{time}");
        // Few pages: the first is known to be dear only then.
        assert_eq!(taken(&mut Pace::new(), 9, |_| 2500).1, 1);
        // Cheap ones come first where some memory was in use a moment ago.
        let (time, _) = taken(&mut Pace::new(), 256, |step| if step < 20 { 330 } else { 2500 });
        assert!(time < 256 * 1100, "{time}");
        // Half of them are dear: more than small ones together.
        let (time, _) = taken(
            &mut Pace::new(),
            2560,
            |step| if step % 2 == 0 { 330 } else { 2500 },
        );
        assert!(time * 100 < 2560 * 1100 * 107, "{time}");
    }

    #[test]
    fn a_system_that_has_recovered_is_found_out() {
        let mut pace = Pace::new();
        taken(&mut pace, 2560, |_| 2500);
        let (_, count) = taken(&mut pace, 1000, |_| 330);
        assert!(count >= 1000 - LONG_REST as usize, "{count}");
        // And after a while a single dear page is not taken for the rule.
        assert_eq!(pace.next_rest, SHORT_REST);
    }
}
