//! What both hash tables of a compactor are made of. The hot loop of a save is a look into them, and it waits for memory,
//! so entries are small: 8 bytes, of which 4 are the key and 4 the offset of an object divided by 8. Eight entries are a
//! bucket, one cache line. A bucket fills from its first place on; an entry that finds its bucket full goes into the
//! next one. A look compares all keys of a bucket at once and has one answer, so that it mostly costs one branch.

use super::equal8::equal8;
use super::error::CompactError;
use super::memory::{HUGE, Pages};
use std::marker::PhantomData;

/// Bytes of a bucket.
const LINE: usize = 64;
/// Places of a bucket.
pub const PLACES: usize = 8;
/// Bytes of the buckets of a table at first. Growth starts from here for every save, so that a small one touches
/// little.
const FIRST_BYTES: usize = 1 << 12;
/// Below this size growth is twofold: small modules need no more than this, and touching memory is what they
/// cost.
const TINY_BYTES: usize = 1 << 14;
/// Below this size growth is fourfold, above it twofold again.
const SMALL_BYTES: usize = 1 << 18;
/// A table grows when so many sixteenths of its places are used. Memory is dearer than a look into a second
/// bucket now and then.
const MAX_SIXTEENTHS: usize = 13;
/// Memory that is kept for the next compactor, in bytes; what is larger is given back.
const KEEP: usize = 1 << 20;

/// One cache line of a table. An empty place has key 0.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Bucket {
    /// 0 in an empty place.
    pub keys: [u32; PLACES],
    /// Offsets divided by 8.
    pub offsets: [u32; PLACES],
}

impl Bucket {
    /// The offset at place `i`.
    #[inline(always)]
    pub fn offset(&self, i: u32) -> usize {
        (self.offsets[i as usize % PLACES] as usize) << 3
    }

    /// Enters a key and an offset at place `i`.
    #[inline(always)]
    pub fn set(&mut self, i: u32, key: u32, offset: usize) {
        self.keys[i as usize % PLACES] = key;
        self.offsets[i as usize % PLACES] = (offset >> 3) as u32;
    }
}

/// What kind of keys a table has.
pub trait Keys {
    /// The hash of a key, of which the upper bits count most.
    fn hash(key: u32) -> u32;
}

/// A power of two of buckets, at the beginning of `pages`; everything behind them and in `spare` is zero. Growth
/// alternates between the two, so that memory that was used before is used again and need not be cleared; a large table
/// grows where it is.
pub struct Buckets<K> {
    pages: Pages,
    spare: Pages,
    /// The first bucket; one that is empty and is never written while there are none.
    pub first: *mut Bucket,
    /// Number of buckets minus one.
    mask: usize,
    /// How far a hash has to be shifted to the right to be the number of a bucket.
    shift: u32,
    /// Entries at which the table grows; 0 while there are no buckets.
    pub limit: usize,
    /// Entries.
    pub used: usize,
    keys: PhantomData<K>,
}

// SAFETY: the buckets are owned by this value alone, and nothing in them is tied to a thread; the ones that are
// not are never written.
unsafe impl<K> Send for Buckets<K> {}

const EMPTY: Bucket = Bucket {
    keys: [0; PLACES],
    offsets: [0; PLACES],
};

/// What a table without memory looks into: two empty buckets, for a hash shifted by 31 is 0 or 1.
static NO_BUCKETS: [Bucket; 2] = [EMPTY; 2];

impl<K: Keys> Buckets<K> {
    /// A table without memory.
    pub const fn new() -> Self {
        Buckets {
            pages: Pages::none(),
            spare: Pages::none(),
            first: NO_BUCKETS.as_ptr().cast_mut(),
            mask: 0,
            shift: 31,
            limit: 0,
            used: 0,
            keys: PhantomData,
        }
    }

    /// How many there are.
    fn count(&self) -> usize {
        if self.limit == 0 { 0 } else { self.mask + 1 }
    }

    /// The number of the bucket where the probe for a key begins: its upper bits, so that growth goes through
    /// memory from the beginning to the end.
    #[inline(always)]
    pub fn home(&self, key: u32) -> usize {
        (K::hash(key) >> self.shift) as usize
    }

    /// The bucket number `i`; the first one comes after the last.
    #[inline(always)]
    pub fn at(&self, i: usize) -> *mut Bucket {
        self.first.wrapping_add(i & self.mask)
    }

    /// Makes room for an entry, if there is none.
    #[inline(always)]
    pub fn room(&mut self) -> Result<(), CompactError> {
        if self.used < self.limit {
            Ok(())
        } else {
            self.grow()
        }
    }

    /// Puts an entry where a probe for it finds it, without counting it.
    ///
    /// # Safety
    /// There are buckets, and one has an empty place.
    #[inline(always)]
    pub unsafe fn put(&mut self, key: u32, offset: usize) {
        let mut i = self.home(key);
        loop {
            // SAFETY: there are buckets, by the contract, and `&mut self` excludes every other access.
            let bucket = unsafe { &mut *self.at(i) };
            let empty = equal8(&bucket.keys, 0) & 0xff;
            if empty != 0 {
                return bucket.set(empty.trailing_zeros(), key, offset);
            }
            i += 1;
        }
    }

    /// More buckets.
    #[cold]
    #[inline(never)]
    fn grow(&mut self) -> Result<(), CompactError> {
        let old = self.count();
        let bytes = match old * LINE {
            0 => FIRST_BYTES,
            n if (TINY_BYTES..SMALL_BYTES).contains(&n) => n * 4,
            n => n * 2,
        };
        if bytes > HUGE {
            let before = self.pages.bytes();
            self.pages.grow(bytes, "a hash table")?;
            self.pages.enter(before, bytes);
            self.resized(bytes);
            return self.spread(old);
        }
        if self.spare.bytes() < bytes {
            self.spare = Pages::zeroed(bytes, "a hash table")?;
            self.spare.enter(0, bytes);
        }
        std::mem::swap(&mut self.pages, &mut self.spare);
        self.resized(bytes);
        for i in 0..old {
            // SAFETY: the old buckets are at the beginning of `spare` now; the new table has places enough, as
            // less than half of them will be used.
            unsafe {
                let bucket = self.spare.start().cast::<Bucket>().add(i).read();
                for (&key, &offset) in bucket.keys.iter().zip(&bucket.offsets) {
                    if key == 0 {
                        break;
                    }
                    self.put(key, (offset as usize) << 3);
                }
            }
        }
        if bytes == HUGE {
            self.spare = Pages::none();
        } else {
            Self::recycle(&mut self.spare, old);
        }
        Ok(())
    }

    /// The buckets have become the first `bytes` bytes of `pages`.
    fn resized(&mut self, bytes: usize) {
        self.first = self.pages.start().cast();
        self.mask = bytes / LINE - 1;
        self.shift = 32 - (bytes / LINE).ilog2();
        self.limit = bytes / LINE * PLACES / 16 * MAX_SIXTEENTHS;
    }

    /// Has the entries of the first `old` buckets, which were all, where a probe finds them among twice as many: from the
    /// last bucket to the first, for what a bucket holds mostly goes into one that is further behind, which is empty by
    /// then. Half of the memory need not be had anew so, nor cleared.
    fn spread(&mut self, old: usize) -> Result<(), CompactError> {
        // What would go in front, as in the first buckets where many are full, or round the end.
        let mut others: Vec<(u32, u32)> = Vec::new();
        for i in (0..old).rev() {
            // SAFETY: a bucket, and `&mut self` excludes every other access.
            let Bucket { keys, offsets } = unsafe { self.at(i).replace(EMPTY) };
            let mut free = self.free_in_pair(i);
            for (&key, &offset) in keys.iter().zip(&offsets).take_while(|(key, _)| **key != 0) {
                // Most go into one of these two buckets, by the next bit of their hashes. Which one is no branch.
                let which = self.home(key).wrapping_sub(2 * i);
                if let Some(free) = free.get_mut(which)
                    && *free < PLACES
                {
                    // SAFETY: a bucket, and `&mut self` excludes every other access.
                    unsafe { &mut *self.at(2 * i + which) }.set(*free as u32, key, (offset as usize) << 3);
                    *free += 1;
                    continue;
                }
                if self.put_from(i, key, offset) {
                    // That may be one of the two.
                    free = self.free_in_pair(i);
                    continue;
                }
                if others.try_reserve(1).is_err() {
                    return Err(CompactError::Memory {
                        what: "a hash table",
                        bytes: (others.len() + 1) * size_of::<(u32, u32)>(),
                    });
                }
                others.push((key, offset));
            }
        }
        for (key, offset) in others {
            // SAFETY: there are buckets, and fewer than half of their places are used.
            unsafe { self.put(key, (offset as usize) << 3) };
        }
        Ok(())
    }

    /// The first free place of each of the buckets that the content of bucket `i` mostly goes into among twice as many;
    /// [`PLACES`] if it has none.
    #[inline(always)]
    fn free_in_pair(&self, i: usize) -> [usize; 2] {
        [2 * i, 2 * i + 1].map(|i| {
            // SAFETY: a bucket, which nobody writes meanwhile.
            let empty = equal8(unsafe { &(*self.at(i)).keys }, 0) & 0xff;
            // A bucket fills from its first place on.
            (empty | 1 << PLACES).trailing_zeros() as usize
        })
    }

    /// As [`Buckets::put`], if a probe finds it without looking into a bucket before number `first`.
    #[inline(always)]
    fn put_from(&mut self, first: usize, key: u32, offset: u32) -> bool {
        let home = self.home(key);
        if home < first {
            return false;
        }
        for i in home..=self.mask {
            // SAFETY: a bucket, and `&mut self` excludes every other access.
            let bucket = unsafe { &mut *self.at(i) };
            let empty = equal8(&bucket.keys, 0) & 0xff;
            if empty != 0 {
                bucket.set(empty.trailing_zeros(), key, (offset as usize) << 3);
                return true;
            }
        }
        false
    }

    /// Makes memory whose first `used` buckets were in use zero again, or gives it back if it is large.
    fn recycle(pages: &mut Pages, used: usize) {
        if pages.bytes() > KEEP {
            *pages = Pages::none();
        } else {
            // SAFETY: the buckets lie in this memory, which is the caller's alone.
            unsafe { pages.start().write_bytes(0, used * LINE) };
        }
    }

    /// Forgets everything; keeps memory that is not large.
    pub fn clear(&mut self) {
        let count = self.count();
        Self::recycle(&mut self.pages, count);
        let Buckets {
            first,
            mask,
            shift,
            limit,
            used,
            ..
        } = Self::new();
        (self.first, self.mask, self.shift, self.limit, self.used) = (first, mask, shift, limit, used);
    }
}
