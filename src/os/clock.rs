//! How long calls take, in nanoseconds of the monotonic clock. Asked twice for each call of the loader, of which there
//! are tens of thousands, so nothing is converted.

/// A moment of the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Moment(u64);

impl Moment {
    /// Now.
    #[must_use]
    #[inline]
    pub fn now() -> Self {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `time` is writable, and stays zero if the clock cannot be read.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
        // The clock begins with the machine: centuries of nanoseconds fit.
        Moment(
            (time.tv_sec as u64)
                .wrapping_mul(1_000_000_000)
                .wrapping_add(time.tv_nsec as u64),
        )
    }

    /// Nanoseconds since then.
    #[must_use]
    #[inline]
    pub fn elapsed(self) -> u64 {
        Self::now().0.saturating_sub(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn nanoseconds_are_those_of_the_standard_library() {
        let (moment, instant) = (Moment::now(), Instant::now());
        std::thread::sleep(Duration::from_millis(20));
        let least = instant.elapsed().as_nanos();
        let found = u128::from(moment.elapsed());
        let most = instant.elapsed().as_nanos() + 1_000_000_000;
        assert!((least..most).contains(&found), "{least} {found} {most}");
    }
}
