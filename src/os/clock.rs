//! How long calls take, in nanoseconds. Asked twice for each call of the loader, of which there are tens of thousands:
//! so where the system itself keeps its time by the processor's counter of cycles, that counter is read, which takes less
//! than to ask for the time. The system has found then that the counter is the same on all processors. What it counts in
//! a second is found out once, by the monotonic clock.

use super::lock::Lock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Nanoseconds for which the counter is watched beside the clock before it serves, with a look at both at either end.
const WATCHED: u64 = 2_000_000;
/// A look at both that takes longer was interrupted. One takes a fifth of this, so the rate is right to some
/// ten-thousandths.
const LOOK: u64 = 250;
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

static BEGAN: Lock<Began> = Lock::new(Began {
    clock: 0,
    count: None,
});

/// What was seen first.
struct Began {
    /// The clock, in nanoseconds; 0 before it was asked.
    clock: u64,
    /// The counter at that moment, once it is known to be the system's. Before that it is not looked at: a process may
    /// have forbidden that to itself.
    count: Option<u64>,
}

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
    // the same goes for asking the system for the time, which goes by this counter where it is looked at.
    unsafe {
        std::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_arch = "x86_64"))]
    0
}

/// One step of finding out the rate, with the clock at `now` a moment ago.
fn watch(began: &mut Began, now: u64) {
    // Another thread may have found it meanwhile.
    if RATE.load(Relaxed) != UNKNOWN {
        return;
    }
    if began.clock == 0 {
        began.clock = now;
    } else if now.saturating_sub(began.clock) < WATCHED {
        // It is too early.
    } else if let Some(count) = began.count {
        let found =
            both().map(|(now, counted)| rate(now.saturating_sub(began.clock), counted.saturating_sub(count)));
        RATE.store(found.unwrap_or(CLOCK), Relaxed);
    } else if let Some((clock, count)) = is_the_systems().then(both).flatten() {
        *began = Began {
            clock,
            count: Some(count),
        };
    } else {
        RATE.store(CLOCK, Relaxed);
    }
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

/// Whether the system keeps its time by the counter. It does where the counter goes at one rate whatever the processor
/// does, which that says itself, and to ask for the time takes so little that no device is asked, nor the system.
fn is_the_systems() -> bool {
    is_invariant() && (0..LOOKS).any(|_| clock().abs_diff(clock()) < LOOK)
}

/// Whether the counter goes at one rate ("invariant TSC": bit 8 of EDX in leaf 0x8000_0007 of `cpuid`).
#[cfg(target_arch = "x86_64")]
fn is_invariant() -> bool {
    use std::arch::x86_64::__cpuid;
    const LEAF: u32 = 0x8000_0007;
    __cpuid(LEAF & 0x8000_0000).eax >= LEAF && __cpuid(LEAF).edx & 1 << 8 != 0
}

#[cfg(not(target_arch = "x86_64"))]
fn is_invariant() -> bool {
    false
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
        // A look that takes long, as in an emulator, is of no use.
        assert_eq!(rate != CLOCK, is_the_systems() && both().is_some(), "{rate}");
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
