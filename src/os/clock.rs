//! How long calls take, in nanoseconds. Asked twice for each call of the loader, of which there are tens of thousands:
//! so where the system itself keeps its time by the processor's counter of cycles (`tsc`), that counter is read without
//! asking the system, which takes a third of the time. The system vouches for the counter then: it goes at one rate, and
//! is the same on all processors. What it counts in a second is found out once, by the monotonic clock.

use super::lock::Lock;
use std::fs::File;
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Nanoseconds for which the counter is watched beside the clock before it serves, with a look at both at either end.
const WATCHED: u64 = 2_000_000;
/// A look at both that takes longer was interrupted. One takes less than a tenth of this, so the rate is right to less than
/// a thousandth, and mostly to a twenty-thousandth.
const LOOK: u64 = 1_000;
/// After so many looks that were interrupted nobody tries any more.
const LOOKS: u32 = 16;
/// Fraction bits of [`RATE`].
const FRACTION: u32 = 32;

/// Nanoseconds in a count of the counter, with [`FRACTION`] bits behind the point, or one of the two below.
static RATE: AtomicU64 = AtomicU64::new(UNKNOWN);
/// Nobody knows yet whether the counter can serve.
const UNKNOWN: u64 = 0;
/// It cannot. No counter goes so fast.
const CLOCK: u64 = 1;

/// Clock, in nanoseconds, and counter when the counter began to be watched.
static BEGAN: Lock<Option<(u64, u64)>> = Lock::new(None);

/// A moment, by the counter or by the clock.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    at: u64,
    /// [`RATE`], or [`CLOCK`] for the clock's nanoseconds.
    rate: u64,
}

impl Moment {
    /// Now.
    #[must_use]
    #[inline]
    pub fn now() -> Self {
        match RATE.load(Relaxed) {
            UNKNOWN => Self::while_unknown(),
            CLOCK => Self::by_clock(),
            rate => Moment { at: count(), rate },
        }
    }

    fn by_clock() -> Self {
        Moment {
            at: clock(),
            rate: CLOCK,
        }
    }

    #[cold]
    fn while_unknown() -> Self {
        let now = Self::by_clock();
        // Whoever does not get it has another thread that looks after it.
        if let Some(mut began) = BEGAN.try_lock() {
            watch(&mut began, now.at);
        }
        now
    }

    /// Nanoseconds since then.
    #[must_use]
    #[inline]
    pub fn elapsed(self) -> u64 {
        match self.rate {
            CLOCK => clock().saturating_sub(self.at),
            rate => nanoseconds(count().saturating_sub(self.at), rate),
        }
    }
}

#[inline]
fn nanoseconds(counts: u64, rate: u64) -> u64 {
    ((u128::from(counts) * u128::from(rate)) >> FRACTION) as u64
}

/// The monotonic clock. It begins with the machine: centuries of nanoseconds fit.
fn clock() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is writable, and stays zero if the clock cannot be read.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    (time.tv_sec as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(time.tv_nsec as u64)
}

/// The processor's counter; 0 on processors without one that is used here.
#[inline]
fn count() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the instruction. A process may forbid it to itself, and is ended by it then, but
    // the same goes for asking the system for the time by this counter.
    unsafe {
        std::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_arch = "x86_64"))]
    0
}

/// One step of finding out the rate, with the clock at `now` a moment ago.
fn watch(began: &mut Option<(u64, u64)>, now: u64) {
    let found = match *began {
        None => {
            *began = both();
            began.map_or(CLOCK, |_| UNKNOWN)
        }
        Some((clock, _)) if now.saturating_sub(clock) < WATCHED => UNKNOWN,
        Some((clock, count)) => match both().filter(|_| is_the_systems()) {
            Some((now, counted)) => rate(now.saturating_sub(clock), counted.saturating_sub(count)),
            None => CLOCK,
        },
    };
    RATE.store(found, Relaxed);
}

/// The rate of a counter that counted `counts` in so many nanoseconds; [`CLOCK`] if that is none to go by.
fn rate(nanoseconds: u64, counts: u64) -> u64 {
    let rate = (u128::from(nanoseconds) << FRACTION).checked_div(u128::from(counts));
    let rate = rate.and_then(|rate| u64::try_from(rate).ok());
    rate.filter(|&rate| rate > CLOCK).unwrap_or(CLOCK)
}

/// Clock and counter at the same moment; `None` if something came between each time.
fn both() -> Option<(u64, u64)> {
    (0..LOOKS).find_map(|_| {
        let before = clock();
        let count = count();
        let took = clock().saturating_sub(before);
        (took < LOOK).then(|| (before + took / 2, count))
    })
}

/// Whether the system keeps its time by the counter. Allocates nothing.
fn is_the_systems() -> bool {
    const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let mut name = [0; 16];
    let mut read = || File::open(SOURCE)?.read(&mut name);
    cfg!(target_arch = "x86_64") && read().is_ok_and(|n| name[..n].trim_ascii() == b"tsc")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    /// What both say of the same time. The rate of a counter is right to a thousandth.
    fn compared() {
        let outer = Instant::now();
        let moment = Moment::now();
        let inner = Instant::now();
        std::thread::sleep(Duration::from_millis(20));
        let least = inner.elapsed();
        let found = Duration::from_nanos(moment.elapsed());
        let most = outer.elapsed();
        assert!(
            (least - least / 1_000..most + most / 1_000).contains(&found),
            "{least:?} {found:?} {most:?}"
        );
    }

    #[test]
    fn nanoseconds_are_those_of_the_standard_library() {
        compared();
        let begun = Instant::now();
        while RATE.load(Relaxed) == UNKNOWN && begun.elapsed() < Duration::from_secs(5) {
            let _ = Moment::now();
        }
        // By the counter now, where the system uses it.
        compared();
        let rate = RATE.load(Relaxed);
        assert_ne!(rate, UNKNOWN);
        assert_eq!(rate != CLOCK, is_the_systems(), "{rate}");
    }

    #[test]
    fn a_counter_that_stands_still_or_hardly_moves_does_not_serve() {
        assert_eq!(rate(WATCHED, 0), CLOCK);
        assert_eq!(rate(0, WATCHED), CLOCK);
        assert_eq!(rate(u64::MAX, 1), CLOCK);
        assert_eq!(nanoseconds(3_000, rate(WATCHED, 2 * WATCHED)), 1_500);
        assert_eq!(nanoseconds(u64::MAX, rate(1, 1)), u64::MAX);
    }
}
