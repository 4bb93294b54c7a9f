//! The registry of live regions: who owns which memory. It alone can tell a handle or a structure that is
//! alive from one that was freed already.

use crate::dependencies::RegionView;
use crate::os::map::Memory;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A region that was read and not yet freed.
pub struct LiveRegion {
    /// Its bytes, which it owns.
    pub memory: Memory,
    /// Base address of its file.
    pub base: u64,
    /// Whether it lies at its base address, mapped.
    pub mapped: bool,
}

/// Mixes an address; the registry holds nothing but addresses, so nobody can choose colliding ones.
#[derive(Default)]
struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.write_usize(b.into());
        }
    }

    fn write_usize(&mut self, n: usize) {
        let p = u128::from(self.0 ^ n as u64) * 0x9e37_79b9_7f4a_7c15;
        self.0 = p as u64 ^ (p >> 64) as u64;
    }
}

type Regions = HashMap<usize, LiveRegion, BuildHasherDefault<AddressHasher>>;

static LIVE: Mutex<Option<Regions>> = Mutex::new(None);

/// Enters a region and answers its handle: the address of its first byte.
pub fn insert(region: LiveRegion) -> usize {
    let handle = region.memory.address();
    LIVE.lock().get_or_insert_default().insert(handle, region);
    handle
}

/// Takes a region out; dropping the result releases its memory. `None` if no such region is alive. The last one
/// takes the registry's own memory with it.
#[must_use]
pub fn remove(handle: usize) -> Option<LiveRegion> {
    let mut live = LIVE.lock();
    let regions = live.as_mut()?;
    let region = regions.remove(&handle);
    if regions.is_empty() {
        *live = None;
    }
    region
}

/// What is known of a live region, and whether it is mapped at its base address.
#[must_use]
pub fn view(handle: usize) -> Option<(RegionView, bool)> {
    let live = LIVE.lock();
    let region = live.as_ref()?.get(&handle)?;
    let view = RegionView {
        begin: handle,
        size: region.memory.size(),
        base: region.base,
    };
    Some((view, region.mapped))
}

/// How many regions are alive.
#[must_use]
pub fn live() -> usize {
    LIVE.lock().as_ref().map_or(0, HashMap::len)
}
