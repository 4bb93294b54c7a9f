//! Whether a region holds nothing that can change: then it can be handed out as often as its file is read.
//!
//! References, promises, tasks and thunks change in place, closures were given this process's code addresses, and
//! freeing a region whose structure is data writes to that structure. Everything else in a region is never written:
//! reference counts there are zero and stay so.

use super::registry::{Claim, Sharing};
use crate::object::Obj;
use crate::object::region::is_region_structure;
use olean_reader::format::header::{HEADER_SIZE, Header, VERSION_3};
use olean_reader::format::object::{Kind, Layout, OBJECT_HEADER, ObjectHeader};
use olean_reader::format::word::Width;

/// A claim to a region in which nothing changes.
pub struct UnchangingClaim(Claim);

impl UnchangingClaim {
    /// Looks through the region, if nobody has yet; `None` if something in it can change.
    #[must_use]
    pub fn new(mut claim: Claim) -> Option<Self> {
        if claim.sharing() == Sharing::Unknown {
            // SAFETY: the region stays alive while it is claimed.
            let unchanging = unsafe { is_unchanging(claim.address(), claim.size()) };
            claim.decide(match unchanging {
                true => Sharing::Allowed,
                false => Sharing::Refused,
            });
        }
        (claim.sharing() == Sharing::Allowed).then_some(Self(claim))
    }

    /// The region's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the registry owns that many initialised bytes there and releases no region that is claimed; nobody
        // writes to this one, as it was looked through for everything that is ever written.
        unsafe { std::slice::from_raw_parts(self.0.address() as *const u8, self.0.size()) }
    }

    /// The copy of its root, if its first holder was given one: all holders of a region have the same root.
    #[must_use]
    pub fn root_copy(&self) -> Option<usize> {
        self.0.root_copy()
    }

    /// Makes `holder` one more holder of the region. False if there is no memory to remember it.
    #[must_use]
    pub fn share(&self, holder: usize) -> bool {
        self.0.share(holder)
    }
}

/// Whether nothing in the region changes. A region whose objects do not follow one another as they should is taken for
/// one in which something might.
///
/// # Safety
/// `size` bytes from `start` on are a live region.
unsafe fn is_unchanging(start: usize, size: usize) -> bool {
    if size < HEADER_SIZE + 16 {
        return false;
    }
    // SAFETY: the header is in the region, by the test above, and never written after loading.
    let header = unsafe { std::slice::from_raw_parts(start as *const u8, HEADER_SIZE) };
    let Ok(header) = Header::decode(header) else {
        return false;
    };
    let root_slot = header.root_slot();
    let end = if header.version == VERSION_3 {
        // SAFETY: the word before the root slot, inside the region by the test above.
        let bytes = unsafe { Obj(start).word(root_slot - 8) };
        match root_slot.checked_add(bytes) {
            Some(end) if end <= size => end,
            _ => return false,
        }
    } else {
        size
    };
    let layout = Layout::new(Width::W64, header.bignums());
    let mut at = root_slot + 8;
    while at < end {
        let object = Obj(start + at);
        let left = (end - at) as u64;
        if left < OBJECT_HEADER as u64 {
            return false;
        }
        // SAFETY: the object's header is inside the region; its upper half is never written.
        let header = ObjectHeader::of_upper(unsafe { object.upper_header() });
        let Some(kind @ (Kind::Ctor | Kind::Array | Kind::Sarray | Kind::String | Kind::Mpz)) = header.kind()
        else {
            return false;
        };
        let count = match layout.capacity_word(kind).or(layout.count_word(kind)) {
            Some(word) if left < word as u64 + 8 => return false,
            // SAFETY: inside the region. Objects of the kinds above do not change.
            Some(word) => layout.count_in(kind, unsafe { object.word(word) } as u64),
            None => 0,
        };
        match layout.bytes(kind, header, count) {
            Some(bytes) if !is_region_structure(header) && bytes >= OBJECT_HEADER as u64 && bytes <= left => {
                at += (bytes as usize).next_multiple_of(8);
            }
            _ => return false,
        }
    }
    at == end
}
