//! The library's allocator: the system's, and behind it a small reserve for when that has nothing left.
//!
//! Rust ends the process when an allocation fails that was not asked for with `try_reserve`. A call of the loader must
//! not: what grows with a file or with the number of dependencies is asked for that way, and the small rest, such as
//! file names, error texts and a handful of words for a list, comes out of this reserve if it has to. Its blocks are
//! given back like any memory, so it serves any number of failing calls.
//!
//! Atomics and no locks: usable in the child of a fork, and by all threads at once.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

/// What blocks are aligned to, as `malloc` does.
const ALIGN: usize = 16;

/// Blocks of one size, of which a bit says whether they are taken.
#[repr(C, align(16))]
struct Pool<const BLOCK: usize, const BLOCKS: usize> {
    memory: UnsafeCell<[[u8; BLOCK]; BLOCKS]>,
    taken: AtomicU64,
}

// SAFETY: a block is used by who took its bit, and by nobody else.
unsafe impl<const BLOCK: usize, const BLOCKS: usize> Sync for Pool<BLOCK, BLOCKS> {}

impl<const BLOCK: usize, const BLOCKS: usize> Pool<BLOCK, BLOCKS> {
    const fn new() -> Self {
        assert!(BLOCKS <= 64 && BLOCK.is_multiple_of(ALIGN));
        Pool {
            memory: UnsafeCell::new([[0; BLOCK]; BLOCKS]),
            taken: AtomicU64::new(0),
        }
    }

    fn start(&self) -> *mut u8 {
        self.memory.get().cast()
    }

    /// A block for `layout`; null if it does not fit or all are taken.
    fn take(&self, layout: Layout) -> *mut u8 {
        if layout.size() > BLOCK || layout.align() > ALIGN {
            return ptr::null_mut();
        }
        let mut taken = self.taken.load(Ordering::Relaxed);
        loop {
            let free = (!taken).trailing_zeros() as usize;
            if free >= BLOCKS {
                return ptr::null_mut();
            }
            let with = taken | 1 << free;
            match self
                .taken
                .compare_exchange_weak(taken, with, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return self.start().wrapping_add(free * BLOCK),
                Err(now) => taken = now,
            }
        }
    }

    /// Gives `block` back if it is one of this pool.
    fn give_back(&self, block: *mut u8) -> bool {
        let at = (block as usize).wrapping_sub(self.start() as usize);
        if at >= BLOCK * BLOCKS {
            return false;
        }
        self.taken.fetch_and(!(1 << (at / BLOCK)), Ordering::Release);
        true
    }
}

/// Memory for names and lists, for texts, and for long texts while they grow. No page of it is in memory before it is
/// used.
#[repr(C)]
struct Reserve {
    small: Pool<512, 64>,
    middle: Pool<4096, 32>,
    large: Pool<{ 16 << 10 }, 16>,
    huge: Pool<{ 64 << 10 }, 4>,
}

static RESERVE: Reserve = Reserve {
    small: Pool::new(),
    middle: Pool::new(),
    large: Pool::new(),
    huge: Pool::new(),
};

impl Reserve {
    /// Memory for `layout`; null if there is none.
    #[cold]
    #[inline(never)]
    fn take(&self, layout: Layout) -> *mut u8 {
        let mut got = self.small.take(layout);
        if got.is_null() {
            got = self.middle.take(layout);
        }
        if got.is_null() {
            got = self.large.take(layout);
        }
        if got.is_null() {
            got = self.huge.take(layout);
        }
        got
    }

    #[inline]
    fn holds(&self, memory: *mut u8) -> bool {
        (memory as usize).wrapping_sub(ptr::from_ref(self) as usize) < size_of::<Reserve>()
    }

    #[cold]
    #[inline(never)]
    fn give_back(&self, memory: *mut u8) {
        let _ = self.small.give_back(memory)
            || self.middle.give_back(memory)
            || self.large.give_back(memory)
            || self.huge.give_back(memory);
    }
}

/// The system's allocator with a reserve behind it.
pub struct Allocator;

/// What this library allocates with, also in programs that it is linked into as a Rust library.
#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

// SAFETY: memory comes from the system's allocator, or is a block of the reserve that was taken for this request alone,
// is large enough and aligned; each goes back to where it came from, which its address tells.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let got = match refused() {
            // SAFETY: the contract is the same.
            false => unsafe { System.alloc(layout) },
            true => ptr::null_mut(),
        };
        counted(if got.is_null() { RESERVE.take(layout) } else { got })
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let mut got = match refused() {
            // SAFETY: the contract is the same.
            false => unsafe { System.alloc_zeroed(layout) },
            true => ptr::null_mut(),
        };
        if got.is_null() {
            got = RESERVE.take(layout);
            if !got.is_null() {
                // SAFETY: a block of at least that size, taken for this request.
                unsafe { got.write_bytes(0, layout.size()) };
            }
        }
        counted(got)
    }

    #[inline]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        #[cfg(feature = "fault-injection")]
        fault::given_back();
        if RESERVE.holds(memory) {
            RESERVE.give_back(memory);
        } else {
            // SAFETY: not the reserve's, so the system's, with the layout it was asked for.
            unsafe { System.dealloc(memory, layout) };
        }
    }

    #[inline]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: `realloc` is asked only for a size that, rounded up to the alignment, does not exceed `isize::MAX`,
        // and the alignment is that of a layout.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        let mut moved = ptr::null_mut();
        if RESERVE.holds(memory) {
            if !refused() {
                // SAFETY: passed on from the caller.
                moved = unsafe { System.alloc(new) };
            }
        } else if !refused() {
            // SAFETY: passed on from the caller; not the reserve's, so the system's.
            let grown = unsafe { System.realloc(memory, layout, size) };
            if !grown.is_null() {
                return grown;
            }
        }
        if moved.is_null() {
            moved = RESERVE.take(new);
        }
        if !counted(moved).is_null() {
            // SAFETY: both have the bytes, and are apart; the old memory goes back once.
            unsafe {
                moved.copy_from_nonoverlapping(memory, layout.size().min(size));
                self.dealloc(memory, layout);
            }
        }
        moved
    }
}

/// Whether a request for memory is to fail that could be granted: in builds that test for that alone.
#[inline(always)]
#[must_use]
pub fn refused() -> bool {
    #[cfg(feature = "fault-injection")]
    return fault::refuses();
    #[cfg(not(feature = "fault-injection"))]
    false
}

#[inline(always)]
fn counted(memory: *mut u8) -> *mut u8 {
    #[cfg(feature = "fault-injection")]
    if !memory.is_null() {
        fault::handed_out();
    }
    memory
}

/// Requests for memory that fail on purpose, on the thread that asks for it.
#[cfg(feature = "fault-injection")]
mod fault {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicI64, Ordering};

    thread_local! {
        /// Requests counted so far, the first and the last one that fails.
        static FAULT: Cell<(u64, u64, u64)> = const { Cell::new((0, 0, 0)) };
    }

    static LIVE: AtomicI64 = AtomicI64::new(0);

    pub(super) fn refuses() -> bool {
        let refuse = FAULT.try_with(|fault| {
            let (asked, first, last) = fault.get();
            fault.set((asked + 1, first, last));
            (first..=last).contains(&(asked + 1))
        });
        refuse.unwrap_or(false)
    }

    pub(super) fn handed_out() {
        LIVE.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn given_back() {
        LIVE.fetch_sub(1, Ordering::Relaxed);
    }

    /// The requests of this thread from number `first` to number `last`, counted from now on from 1, fail; 0 and 0 for
    /// none. Answers how many there were since the last call.
    ///
    /// cbindgen:ignore
    #[unsafe(no_mangle)]
    extern "C" fn lean_region_fault_memory(first: u64, last: u64) -> u64 {
        FAULT.replace((0, first, last)).0
    }

    /// Allocations that live.
    ///
    /// cbindgen:ignore
    #[unsafe(no_mangle)]
    extern "C" fn lean_region_fault_live() -> i64 {
        LIVE.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_hands_out_each_block_once_and_takes_it_back() {
        static POOL: Pool<64, 5> = Pool::new();
        let layout = |size| Layout::from_size_align(size, 8).unwrap();
        let mut taken: Vec<*mut u8> = (0..5).map(|_| POOL.take(layout(64))).collect();
        taken.sort_unstable();
        assert!(
            taken
                .iter()
                .all(|p| !p.is_null() && (*p as usize).is_multiple_of(ALIGN))
        );
        assert!(
            taken
                .windows(2)
                .all(|pair| pair[1] as usize - pair[0] as usize == 64)
        );
        assert!(POOL.take(layout(1)).is_null());
        assert!(POOL.give_back(taken[3]) && !POOL.give_back(ptr::null_mut()));
        assert!(POOL.take(layout(65)).is_null());
        assert!(POOL.take(Layout::from_size_align(1, 64).unwrap()).is_null());
        assert_eq!(POOL.take(layout(1)), taken[3]);
    }

    #[test]
    fn threads_share_the_reserve() {
        static POOL: Pool<16, 7> = Pool::new();
        let layout = Layout::from_size_align(8, 8).unwrap();
        let work = || {
            for round in 0..20_000_u64 {
                let block = POOL.take(layout).cast::<u64>();
                if block.is_null() {
                    continue;
                }
                // SAFETY: a block of 16 bytes that this thread alone has.
                unsafe {
                    block.write(round);
                    std::thread::yield_now();
                    assert_eq!(block.read(), round);
                }
                assert!(POOL.give_back(block.cast()));
            }
        };
        std::thread::scope(|s| (0..4).for_each(|_| _ = s.spawn(work)));
        assert_eq!(POOL.taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn memory_of_the_reserve_grows_into_the_systems() {
        let allocator = &ALLOCATOR;
        let layout = Layout::from_size_align(300, 8).unwrap();
        let block = RESERVE.take(layout);
        assert!(RESERVE.holds(block));
        // SAFETY: a block of at least 300 bytes, grown and given back once each.
        unsafe {
            block.write_bytes(7, 300);
            let grown = allocator.realloc(block, layout, 1 << 20);
            assert!(!RESERVE.holds(grown));
            assert!(std::slice::from_raw_parts(grown, 300).iter().all(|&b| b == 7));
            allocator.dealloc(grown, Layout::from_size_align(1 << 20, 8).unwrap());
        }
        assert_eq!(RESERVE.small.taken.load(Ordering::Relaxed), 0);
    }
}
