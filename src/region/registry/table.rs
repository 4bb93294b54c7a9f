//! A table of live regions by the address of their first byte. It never moves what it holds and never copies itself
//! to grow: entries lie in pieces of doubling size, and each new entry splits at most one bucket (linear hashing).
//! So an insertion takes the same time whether there are ten regions or a hundred thousand, and nothing is in memory
//! twice.
//!
//! A new entry is put behind the last one, and found its place in the buckets only when somebody looks for one. Many
//! processes read tens of thousands of regions and never do, and each look into the buckets waits for memory: entries
//! are far apart, and the system's work for one read pushes those of the others out of the caches.

use std::collections::TryReserveError;

/// Entries in the first piece, which is small for processes that read a few regions; the others have as many as all
/// before them together.
const FIRST: usize = 8;
/// Pieces enough for all indices of 32 bits.
const PIECES: usize = 29;
/// No entry.
const NONE: u32 = u32::MAX;

/// A list whose elements stay where they are: it grows by further pieces.
#[repr(C)]
struct Pieces<T> {
    len: usize,
    pieces: [Vec<T>; PIECES],
}

impl<T> Pieces<T> {
    const fn new() -> Self {
        Pieces {
            len: 0,
            pieces: [const { Vec::new() }; PIECES],
        }
    }

    /// The piece of element `index` and the place in it.
    fn place(index: usize) -> (usize, usize) {
        let n = index + FIRST;
        let piece = (n / FIRST).ilog2() as usize;
        (piece, n - (FIRST << piece))
    }

    fn get(&self, index: u32) -> Option<&T> {
        let (piece, at) = Self::place(index as usize);
        self.pieces.get(piece)?.get(at)
    }

    fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        let (piece, at) = Self::place(index as usize);
        self.pieces.get_mut(piece)?.get_mut(at)
    }

    /// Sees to it that there is room for one more element.
    #[inline]
    fn reserve(&mut self) -> Result<(), TryReserveError> {
        match Self::place(self.len) {
            (piece, 0) => self.reserve_piece(piece),
            _ => Ok(()),
        }
    }

    #[cold]
    fn reserve_piece(&mut self, piece: usize) -> Result<(), TryReserveError> {
        // Memory that is not used yet is not in memory: large allocations are mappings.
        self.pieces[piece].try_reserve_exact(FIRST << piece)
    }

    /// Adds an element at the end. There is room for it, or memory is asked for as a vector does.
    #[inline]
    fn push(&mut self, element: T) {
        let (piece, _) = Self::place(self.len);
        self.pieces[piece].push(element);
        self.len += 1;
    }
}

/// What lies at an address of its own.
pub(super) trait Placed {
    /// Where it begins.
    fn address(&self) -> usize;

    /// Drops one at whose address another one was entered later.
    fn replaced(self);
}

/// An entry, or a free place for one.
struct Slot<R> {
    region: Option<R>,
    /// The next slot of the bucket, or the next free one.
    next: u32,
}

/// Bytes of bookkeeping for a region: a slot, and a bucket.
pub(super) const fn bytes_per_entry<R>() -> usize {
    size_of::<Slot<R>>() + size_of::<u32>()
}

/// See the module. What each insertion changes comes first, in one cache line with the lock.
#[repr(C)]
pub(super) struct Table<R> {
    count: usize,
    /// The first free slot.
    free: u32,
    /// The first slot that is in no bucket yet, nor are those behind it.
    loose: u32,
    slots: Pieces<Slot<R>>,
    /// The first slot of each bucket.
    buckets: Pieces<u32>,
}

/// Spreads the bits of an address over all of a word. The table holds nothing but addresses of mappings and
/// allocations, so nobody can choose many that collide.
fn hash(address: usize) -> u64 {
    let p = u128::from(address as u64) * 0x9e37_79b9_7f4a_7c15;
    p as u64 ^ (p >> 64) as u64
}

/// The bucket of `hash` where there are `buckets` > 0 of them: those that were not split yet in this round take what
/// belongs to their later halves.
fn bucket(hash: u64, buckets: usize) -> u32 {
    let mask = buckets.next_power_of_two() - 1;
    let wide = hash as usize & mask;
    let index = if wide < buckets { wide } else { wide & (mask >> 1) };
    index as u32
}

impl<R> Table<R> {
    pub(super) const fn new() -> Self {
        Table {
            count: 0,
            free: NONE,
            loose: 0,
            slots: Pieces::new(),
            buckets: Pieces::new(),
        }
    }
}

impl<R: Placed> Table<R> {
    /// How many regions it holds.
    pub(super) fn len(&mut self) -> usize {
        self.settle();
        self.count
    }

    /// The slot of the region that begins at `address`.
    fn find(&mut self, address: usize) -> Option<u32> {
        self.settle();
        if self.count == 0 {
            return None;
        }
        self.find_in(self.bucket_of(address), address)
    }

    /// The bucket of the region that begins at `address`, of which there is at least one.
    fn bucket_of(&self, address: usize) -> u32 {
        bucket(hash(address), self.buckets.len)
    }

    /// The slot of the region that begins at `address` among those in its bucket.
    fn find_in(&self, bucket: u32, address: usize) -> Option<u32> {
        let mut index = *self.buckets.get(bucket)?;
        loop {
            let slot = self.slots.get(index)?;
            if slot.region.as_ref().is_some_and(|r| r.address() == address) {
                return Some(index);
            }
            index = slot.next;
        }
    }

    pub(super) fn get(&mut self, address: usize) -> Option<&R> {
        let index = self.find(address)?;
        self.slots.get(index)?.region.as_ref()
    }

    pub(super) fn get_mut(&mut self, address: usize) -> Option<&mut R> {
        let index = self.find(address)?;
        self.slots.get_mut(index)?.region.as_mut()
    }

    /// Enters a region, in whose place another one at the same address goes, sooner or later. If there is no memory
    /// for the entry, the region comes back.
    #[inline(always)]
    pub(super) fn insert(&mut self, region: R) -> Result<(), R> {
        if self.buckets.len < FIRST && !self.begin() || self.slots.len >= NONE as usize {
            return Err(region);
        }
        if self.free != NONE {
            self.reuse(region);
            return Ok(());
        }
        if self.slots.reserve().is_err() {
            return Err(region);
        }
        self.slots.push(Slot {
            region: Some(region),
            next: NONE,
        });
        self.count += 1;
        Ok(())
    }

    /// Makes the first buckets; false if there is no memory for them.
    #[cold]
    fn begin(&mut self) -> bool {
        while self.buckets.len < FIRST {
            if self.buckets.reserve().is_err() {
                return false;
            }
            self.buckets.push(NONE);
        }
        true
    }

    /// Enters a region in a free slot, of which there is one.
    #[inline(never)]
    fn reuse(&mut self, region: R) {
        self.settle();
        let index = self.free;
        if let Some(slot) = self.slots.get_mut(index) {
            self.free = slot.next;
            slot.region = Some(region);
            self.count += 1;
            self.enter(index);
        }
    }

    /// Gives what was entered lately its place in the buckets.
    fn settle(&mut self) {
        while (self.loose as usize) < self.slots.len {
            let index = self.loose;
            self.loose += 1;
            self.enter(index);
        }
    }

    /// Gives the region in a slot its place in the buckets, or that of another one at its address.
    fn enter(&mut self, index: u32) {
        let address = |slot: &Slot<R>| slot.region.as_ref().map(R::address);
        let Some(address) = self.slots.get(index).and_then(address) else {
            return;
        };
        let bucket = self.bucket_of(address);
        let Some(earlier) = self.find_in(bucket, address) else {
            self.link(index, bucket);
            if self.count > self.buckets.len {
                self.split();
            }
            return;
        };
        let region = self.clear(index);
        if let Some(slot) = self.slots.get_mut(earlier)
            && let Some(earlier) = std::mem::replace(&mut slot.region, region)
        {
            earlier.replaced();
        }
    }

    /// Makes a slot that is in no bucket a free one; answers what was in it.
    fn clear(&mut self, index: u32) -> Option<R> {
        let free = self.free;
        let slot = self.slots.get_mut(index)?;
        let region = slot.region.take();
        slot.next = free;
        self.free = index;
        self.count -= 1;
        region
    }

    /// Puts a slot at the front of its bucket.
    fn link(&mut self, index: u32, bucket: u32) {
        if let (Some(slot), Some(first)) = (self.slots.get_mut(index), self.buckets.get_mut(bucket)) {
            slot.next = std::mem::replace(first, index);
        }
    }

    /// One more bucket, which takes its share of the one it is split from. Without memory for it the buckets stay
    /// longer.
    fn split(&mut self) {
        let new = self.buckets.len;
        if self.buckets.reserve().is_err() {
            return;
        }
        self.buckets.push(NONE);
        // Its number without the highest bit: see `bucket`.
        let old = new - (1 << new.ilog2());
        let Some(first) = self.buckets.get_mut(old as u32) else {
            return;
        };
        let mut index = std::mem::replace(first, NONE);
        while let Some(slot) = self.slots.get(index) {
            let next = slot.next;
            if let Some(region) = &slot.region {
                let bucket = self.bucket_of(region.address());
                self.link(index, bucket);
            }
            index = next;
        }
    }

    /// Takes a region out, if it is there and `wanted` says so. The last one takes the table's memory with it, but
    /// for a little that the next one needs.
    pub(super) fn remove_if(&mut self, address: usize, wanted: impl FnOnce(&R) -> bool) -> Option<R> {
        self.settle();
        if self.count == 0 {
            return None;
        }
        let first = self.bucket_of(address);
        let mut before = None;
        let mut index = *self.buckets.get(first)?;
        let next = loop {
            let slot = self.slots.get(index)?;
            match &slot.region {
                Some(region) if region.address() == address => {
                    if !wanted(region) {
                        return None;
                    }
                    break slot.next;
                }
                _ => before = Some(std::mem::replace(&mut index, slot.next)),
            }
        };
        match before {
            None => *self.buckets.get_mut(first)? = next,
            Some(before) => self.slots.get_mut(before)?.next = next,
        }
        let region = self.clear(index);
        // What was never large stays as it is: a process that reads and frees one region after the other would make it
        // anew each time.
        if self.count == 0 && self.buckets.len > FIRST {
            *self = Table::new();
        }
        region
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::RefCell;
    use std::collections::HashMap;

    impl Placed for (usize, u32) {
        fn address(&self) -> usize {
            self.0
        }

        fn replaced(self) {
            REPLACED.with_borrow_mut(|replaced| replaced.push(self));
        }
    }

    thread_local! {
        /// What another entry at its address has taken the place of.
        static REPLACED: RefCell<Vec<(usize, u32)>> = const { RefCell::new(Vec::new()) };
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: proptest::test_runner::RngSeed::Fixed(13), cases: 48, ..ProptestConfig::default() })]
        #[test]
        fn it_holds_what_a_map_holds(
            steps in proptest::collection::vec((0..400_usize, 0..4_u8), 0..2000),
            looks in 1..50_usize,
        ) {
            let mut table = Table::new();
            let mut map = HashMap::new();
            let mut replaced = Vec::new();
            for (i, (place, step)) in steps.into_iter().enumerate() {
                let address = place << 16;
                if step == 0 {
                    prop_assert_eq!(table.remove_if(address, |_| false), None);
                    prop_assert_eq!(table.remove_if(address, |_| true), map.remove(&address));
                } else {
                    let entry = (address, i as u32);
                    replaced.extend(map.insert(address, entry));
                    prop_assert_eq!(table.insert(entry), Ok(()));
                }
                if i % looks == 0 {
                    prop_assert_eq!(table.len(), map.len());
                    prop_assert_eq!(REPLACED.take(), std::mem::take(&mut replaced));
                }
            }
            prop_assert_eq!(table.len(), map.len());
            prop_assert_eq!(REPLACED.take(), replaced);
            for place in 0..400_usize {
                prop_assert_eq!(table.get(place << 16), map.get(&(place << 16)));
            }
        }
    }

    #[test]
    fn a_piece_has_room_for_all_of_its_elements_from_the_first_on() {
        let mut pieces = Pieces::new();
        for i in 0..1000_u32 {
            let (piece, at) = Pieces::<u32>::place(i as usize);
            pieces.reserve().expect("memory");
            pieces.push(i);
            assert_eq!((pieces.pieces[piece].len(), pieces.get(i)), (at + 1, Some(&i)));
            assert_eq!(pieces.pieces[piece].capacity(), FIRST << piece);
        }
        assert_eq!((pieces.len, pieces.get(1000)), (1000, None));
    }

    /// As many buckets as entries keep look-ups short; more would be memory for nothing.
    #[test]
    fn there_is_a_bucket_for_each_entry_and_a_few_from_the_first_on() {
        let mut table = Table::new();
        for many in [FIRST, 100] {
            for i in 0..many {
                assert_eq!(table.insert((i << 16, 0)), Ok(()));
                assert_eq!((table.len(), table.buckets.len), (i + 1, FIRST.max(i + 1)));
            }
            for i in 0..many {
                assert!(table.remove_if(i << 16, |_| true).is_some());
                let left = if many == FIRST || i + 1 < many { many } else { 0 };
                assert_eq!((table.len(), table.buckets.len), (many - i - 1, left));
            }
        }
    }

    #[test]
    fn many_entries_stay_where_they_are_and_buckets_stay_short() {
        const MANY: usize = 100_000;
        let mut table = Table::new();
        for i in 0..MANY {
            assert_eq!(table.insert((i << 16, i as u32)), Ok(()));
        }
        let first = table.get(0).unwrap() as *const _;
        for i in MANY..2 * MANY {
            assert_eq!(table.insert((i << 16, i as u32)), Ok(()));
        }
        assert_eq!(table.get(0).unwrap() as *const _, first);
        let length = |bucket: u32| {
            let mut index = *table.buckets.get(bucket).unwrap();
            std::iter::from_fn(|| {
                let slot = table.slots.get(index)?;
                index = slot.next;
                Some(())
            })
            .count()
        };
        let lengths: Vec<usize> = (0..table.buckets.len as u32).map(length).collect();
        assert_eq!(lengths.iter().sum::<usize>(), 2 * MANY);
        assert!(*lengths.iter().max().unwrap() < 20);
        for i in (0..2 * MANY).rev() {
            assert_eq!(table.remove_if(i << 16, |_| true), Some((i << 16, i as u32)));
        }
        assert_eq!(table.slots.len, 0);
    }
}
