//! How many more files may be mapped. The system allows a process `vm.max_map_count` mappings (65,530 unless somebody
//! raised it), and at that number nothing works any more: no file can be mapped, no memory be had, no thread be
//! started. So mapping files ends some hundred mappings before, and what is read from there on is copied into memory
//! that was reserved for it.
//!
//! A mapping that is made or given back is counted by one atomic. The mappings of everybody else are counted when a
//! first few of ours are made, and again near the limit: counting takes long where there are many.

use super::limits::mapping_counts;
use super::lock::Lock;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering::Relaxed};

/// So many of ours are made before anything is counted: most processes end before.
const FIRST: isize = 128;
/// So many are left to everybody else, or a part of the limit where that is less.
const RESERVE: usize = 500;
const RESERVE_PART: usize = 8;
/// With so many left at most, the count is exact enough: others will not make more than the reserve meanwhile.
const NEAR: usize = 2000;
/// Farther away, others may make one for so many of ours before it is counted again.
const OTHERS: usize = 8;

/// How many more we may make before somebody counts, or, after the last count, at all.
static ROOM: AtomicIsize = AtomicIsize::new(FIRST);
/// Whether there was a last count.
static COUNTED: AtomicBool = AtomicBool::new(false);
/// The limit as it was read last; 0 where the system does not tell.
static LIMIT: AtomicUsize = AtomicUsize::new(0);
/// Held while one counts.
static COUNTING: Lock<()> = Lock::new(());

/// What a count comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Plan {
    /// How many more mappings we may make.
    room: usize,
    /// Whether that is all; otherwise it is counted again then.
    last: bool,
}

/// What to do in a process that has `are` of `limit` mappings.
fn plan(are: usize, limit: usize) -> Plan {
    let left = limit
        .saturating_sub(RESERVE.min(limit / RESERVE_PART))
        .saturating_sub(are);
    match left <= NEAR {
        true => Plan {
            room: left,
            last: true,
        },
        false => Plan {
            room: left - left / OTHERS,
            last: false,
        },
    }
}

/// Whether one more file may be mapped. `last_call` is what has to be done while there are still mappings to be had.
#[inline]
pub(super) fn is_left(last_call: fn()) -> bool {
    ROOM.load(Relaxed) > 0 || count(last_call)
}

/// Counts, if that was not done for the last time.
#[cold]
fn count(last_call: fn()) -> bool {
    if COUNTED.load(Relaxed) {
        return false;
    }
    let counting = COUNTING.lock();
    // Others may have counted while this thread waited.
    let mine = !COUNTED.load(Relaxed) && ROOM.load(Relaxed) <= 0;
    if mine {
        let (limit, plan) = match mapping_counts() {
            (Some(are), Some(limit)) => (limit, plan(are, limit)),
            // Nobody tells: then the system refuses when it must.
            _ => (
                0,
                Plan {
                    room: isize::MAX as usize / 2,
                    last: true,
                },
            ),
        };
        LIMIT.store(limit, Relaxed);
        ROOM.store(plan.room as isize, Relaxed);
        COUNTED.store(plan.last, Relaxed);
    }
    drop(counting);
    if mine && is_scarce() {
        last_call();
    }
    ROOM.load(Relaxed) > 0
}

/// A mapping was made.
#[inline]
pub(super) fn took() {
    ROOM.fetch_sub(1, Relaxed);
}

/// A mapping was given back.
#[inline]
pub(super) fn gave_back() {
    ROOM.fetch_add(1, Relaxed);
}

/// Whether so few mappings are left that copies must not have ones of their own.
pub(super) fn is_scarce() -> bool {
    COUNTED.load(Relaxed) && LIMIT.load(Relaxed) != 0
}

/// The limit as it was when files ceased to be mapped.
#[must_use]
pub fn limit() -> usize {
    LIMIT.load(Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapping_ends_before_the_limit_and_the_last_count_is_near_it() {
        let room = |room, last| Plan { room, last };
        // Far away: counted again when most of it is used.
        assert_eq!(plan(200, 65_530), room(64_830 - 8_103, false));
        assert_eq!(plan(57_000, 65_530), room(8_030 - 1_003, false));
        assert_eq!(plan(64_030, 65_530), room(1_000, true));
        // At it, beyond it.
        assert_eq!(plan(65_030, 65_530), room(0, true));
        assert_eq!(plan(70_000, 65_530), room(0, true));
        // A part of a small limit is left to the others.
        assert_eq!(plan(100, 2_000), room(1_650, true));
        assert_eq!(plan(0, 0), room(0, true));
        // Whatever the others do that was allowed for, the reserve is there at the end.
        let (limit, mut ours, mut others) = (65_530, 0, 300);
        loop {
            let plan = plan(ours + others, limit);
            ours += plan.room;
            if plan.last {
                break;
            }
            others += plan.room / OTHERS;
        }
        assert!(
            limit - ours - others >= RESERVE && ours > 56_000,
            "{ours} {others}"
        );
    }
}
