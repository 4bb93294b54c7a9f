//! The registry of live regions: who owns which memory, of which file it is, and who holds it. It alone can tell a
//! handle or a structure that is alive from one that was freed already.
//!
//! A region has one entry, however many structures lead to it: the same file read again can be the same memory. It is
//! released with its last holder. A holder is known by the string object in its structure (the file's name): every
//! structure that shares memory has a string of its own, which its copies share, so a copy of a structure that was
//! freed is not taken for another holder.

mod roots;
mod table;

use crate::compactor::RootCopyAt;
use crate::dependencies::RegionView;
use crate::os::lock::{Guard, Lock};
use crate::os::map::Memory;
use olean_reader::format::dependencies::Dependency;
use olean_reader::format::identity::Identity;
use olean_reader::format::image::RootCopy;
use roots::{RootCopies, RootIndex};
pub use roots::{compactor_goes, compactor_stays};
use std::collections::{HashMap, HashSet, TryReserveError};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::mem;
use table::{Placed, Table};

/// Whether the memory of a region may be handed out again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sharing {
    /// Nobody has looked yet.
    Unknown,
    /// Its file lies at its base address as it is on disk, and nothing in it can change.
    Allowed,
    /// Something in it can change, or it is a relocated copy.
    Refused,
}

/// A region as it is entered.
pub struct NewRegion {
    /// Its bytes, which it owns.
    pub memory: Memory,
    /// Its root: a boxed scalar or a live address.
    pub root: usize,
    /// What is to be given out in place of it.
    pub root_copy: Option<Box<RootCopy>>,
    /// Base address of its file.
    pub base: u64,
    /// Its file.
    pub identity: Identity,
    /// Whether it lies at its base address, mapped.
    pub mapped: bool,
    /// Whether its pointers went through relocation: then it never stands in for its file.
    pub relocated: bool,
    /// Whom it is for (see [`release`]).
    pub holder: usize,
}

/// A live region. Its file's size is that of its memory.
struct Region {
    memory: Memory,
    base: u64,
    /// Linux has 32 bits for it.
    device: u32,
    inode: u64,
    /// Nanoseconds, wrapping: only compared.
    modified: i64,
    changed: i64,
    /// Its only holder, while it has never had another one; 0 is none.
    holder: usize,
    /// Threads that look at it to share it.
    claims: u8,
    lies: Lies,
    /// Where the copy of its root lies among the others.
    root_copy: Option<RootIndex>,
}

/// How a region came into memory.
#[derive(Clone, Copy)]
enum Lies {
    /// Its content was read.
    Copied,
    /// Its file is mapped at its base address.
    Mapped(Sharing),
}

/// What the bookkeeping of a region may take.
const _: () = assert!(table::bytes_per_entry::<Region>() <= 96);

impl Placed for Region {
    fn address(&self) -> usize {
        self.memory.address()
    }

    fn replaced(self) {
        // The copy of its root stays taken: somebody may have it yet.
        // Two regions cannot lie at one address: somebody else has released the memory of the earlier one, and it is
        // the new one's now.
        mem::forget(self.memory);
    }
}

impl Region {
    fn is_of(&self, file: &Identity) -> bool {
        self.memory.size() as u64 == file.size
            && self.device == file.device as u32
            && self.inode == file.inode
            && self.modified == file.modified_at()
            && self.changed == file.changed_at()
    }
}

type Holders = HashSet<usize, BuildHasherDefault<DefaultHasher>>;

/// The registry behind its lock.
#[repr(C)]
struct Registry {
    table: Table<Region>,
    roots: RootCopies,
    /// The holders of regions that have been shared, by address.
    shared: HashMap<usize, Holders, BuildHasherDefault<DefaultHasher>>,
}

static LIVE: Lock<Registry> = Lock::new(Registry {
    table: Table::new(),
    roots: RootCopies::new(),
    shared: HashMap::with_hasher(BuildHasherDefault::new()),
});

/// The registry, for this thread alone. Nothing of the host is called and no file touched under this lock.
fn lock() -> Guard<Registry> {
    LIVE.lock()
}

/// What is known of a live region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts {
    /// Where it lies.
    pub view: RegionView,
    /// Whether it lies at its base address, mapped.
    pub mapped: bool,
}

/// What a region that was entered is known by.
#[derive(Clone, Copy, Debug)]
pub struct Entered {
    /// Its handle: the address of its first byte.
    pub handle: usize,
    /// Where the copy of its root lies as long as it lives, if there is one.
    pub root_copy: Option<usize>,
}

/// Enters a region. If there is no memory for the entry, the region is released and `None` answered.
#[must_use]
#[inline(always)]
pub fn insert(new: NewRegion) -> Option<Entered> {
    let handle = new.memory.address();
    let mut region = Region {
        base: new.base,
        device: new.identity.device as u32,
        inode: new.identity.inode,
        modified: new.identity.modified_at(),
        changed: new.identity.changed_at(),
        holder: new.holder,
        claims: 0,
        lies: match new.mapped {
            true if new.relocated => Lies::Mapped(Sharing::Refused),
            true => Lies::Mapped(Sharing::Unknown),
            false => Lies::Copied,
        },
        root_copy: None,
        memory: new.memory,
    };
    let (inserted, root_copy) = {
        let mut live = lock();
        // Whoever held the memory that was there before, somebody else has released it.
        if !live.shared.is_empty() {
            live.shared.remove(&handle);
        }
        let Registry { table, roots, .. } = &mut *live;
        // Without room for a copy the root itself is given out.
        let mut copy = None;
        if let Some(new_copy) = new.root_copy {
            region.root_copy = roots.place(&new_copy, new.root);
            copy = region.root_copy.map(|index| roots.at(index).address);
        }
        let inserted = table.insert(region);
        if let Err(region) = &inserted {
            roots.give_back(region.root_copy);
        }
        (inserted, copy)
    };
    // If it comes back, it goes after the lock.
    inserted.ok().map(|()| Entered { handle, root_copy })
}

/// Who frees a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// A handle: whoever has it.
    Handle,
    /// The structure with this string object as its file's name.
    Holder(usize),
}

/// What a holder leaves behind.
pub enum Released {
    /// Others hold the region.
    Held,
    /// Nobody does: its memory, which goes when this is dropped.
    Last(Memory),
}

/// Why a region is not released.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotReleased {
    /// No such region is alive.
    Unknown,
    /// It is, but not for this holder: it was freed before.
    Gone,
    /// So many hold it that a handle does not say which of them lets go.
    Shared(usize),
}

/// Lets go of a region. Of a region that has never been shared anybody may: copies of its structure lead to it as well.
///
/// # Errors
/// [`NotReleased`], and everything is as it was.
pub fn release(handle: usize, by: By) -> Result<Released, NotReleased> {
    let mut live = lock();
    let Registry {
        table, shared, roots, ..
    } = &mut *live;
    // Nearly always nothing is shared, and one look does.
    if shared.is_empty()
        && let Some(region) = table.remove_if(handle, |region| region.holder != 0 && region.claims == 0)
    {
        roots.give_back(region.root_copy);
        return Ok(Released::Last(region.memory));
    }
    let region = table.get_mut(handle).ok_or(NotReleased::Unknown)?;
    if let Some(holders) = shared.get_mut(&handle) {
        match by {
            By::Holder(holder) => {
                if !holders.remove(&holder) {
                    return Err(NotReleased::Gone);
                }
            }
            By::Handle if holders.len() > 1 => return Err(NotReleased::Shared(holders.len())),
            By::Handle => holders.clear(),
        }
        if !holders.is_empty() {
            return Ok(Released::Held);
        }
    } else if region.holder == 0 {
        return Err(NotReleased::Unknown);
    } else {
        region.holder = 0;
    }
    Ok(live.forget_unheld(handle).map_or(Released::Held, Released::Last))
}

impl Registry {
    /// Takes out the region at `handle`, which has no holder, unless somebody looks at it.
    fn forget_unheld(&mut self, handle: usize) -> Option<Memory> {
        let region = self.table.remove_if(handle, |region| region.claims == 0)?;
        self.roots.give_back(region.root_copy);
        self.shared.remove(&handle);
        if self.shared.is_empty() {
            self.shared.shrink_to_fit();
        }
        Some(region.memory)
    }

    fn root_copy(&mut self, address: usize) -> Option<RootCopyAt> {
        let index = self.table.get(address)?.root_copy?;
        Some(self.roots.at(index))
    }

    fn is_held(&mut self, handle: usize) -> bool {
        match self.shared.get(&handle) {
            Some(holders) => !holders.is_empty(),
            None => self.table.get(handle).is_some_and(|r| r.holder != 0),
        }
    }
}

/// A region that stays alive while this value does, though all its holders let go of it.
pub struct Claim {
    handle: usize,
    size: usize,
    sharing: Sharing,
    root_copy: Option<usize>,
}

impl Claim {
    /// The live region at `address` if it is a mapping of the file `file` with that base address, as it is on disk.
    #[must_use]
    pub fn of(address: usize, file: &Identity) -> Option<Claim> {
        let mut live = lock();
        if !live.is_held(address) {
            return None;
        }
        let region = live.table.get_mut(address)?;
        let (Lies::Mapped(sharing @ (Sharing::Unknown | Sharing::Allowed)), true) =
            (region.lies, region.is_of(file))
        else {
            return None;
        };
        region.claims = region.claims.checked_add(1)?;
        let size = region.memory.size();
        Some(Claim {
            handle: address,
            size,
            sharing,
            root_copy: live.root_copy(address).map(|copy| copy.address),
        })
    }

    /// What was known of it.
    #[must_use]
    pub fn sharing(&self) -> Sharing {
        self.sharing
    }

    /// Where it begins.
    #[must_use]
    pub fn address(&self) -> usize {
        self.handle
    }

    /// Its bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Where the copy of its root lies that its first holder was given, if there is one.
    #[must_use]
    pub fn root_copy(&self) -> Option<usize> {
        self.root_copy
    }

    /// Remembers whether it may be shared.
    pub fn decide(&mut self, sharing: Sharing) {
        self.sharing = sharing;
        if let Some(region) = lock().table.get_mut(self.handle) {
            region.lies = Lies::Mapped(sharing);
        }
    }

    /// Makes `holder` one more holder. False if there is no memory to remember it, or it holds the region already.
    #[must_use]
    pub fn share(&self, holder: usize) -> bool {
        let mut live = lock();
        let Registry { table, shared, .. } = &mut *live;
        let Some(region) = table.get_mut(self.handle) else {
            return false;
        };
        if shared.try_reserve(1).is_err() {
            return false;
        }
        let holders = shared.entry(self.handle).or_default();
        if holders.try_reserve(2).is_err() {
            return false;
        }
        if region.holder != 0 {
            holders.insert(mem::take(&mut region.holder));
        }
        holders.insert(holder)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut live = lock();
        if let Some(region) = live.table.get_mut(self.handle) {
            region.claims = region.claims.saturating_sub(1);
        }
        let unheld = match live.is_held(self.handle) {
            true => None,
            false => live.forget_unheld(self.handle),
        };
        drop(live);
        drop(unheld);
    }
}

/// What is known of a live region.
#[must_use]
pub fn facts(handle: usize) -> Option<Facts> {
    let mut live = lock();
    if !live.is_held(handle) {
        return None;
    }
    let region = live.table.get(handle)?;
    let view = RegionView {
        begin: handle,
        size: region.memory.size(),
        base: region.base,
    };
    Some(Facts {
        view,
        mapped: matches!(region.lies, Lies::Mapped(_)),
    })
}

/// The file that a region came from, as it was when it was read: what is kept of an [`Identity`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FileOf {
    /// Device, as far as Linux uses it.
    pub device: u32,
    /// Inode.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Modification time in nanoseconds.
    pub modified: i64,
    /// Change time in nanoseconds.
    pub changed: i64,
}

impl From<&Identity> for FileOf {
    fn from(file: &Identity) -> Self {
        FileOf {
            device: file.device as u32,
            inode: file.inode,
            size: file.size,
            modified: file.modified_at(),
            changed: file.changed_at(),
        }
    }
}

impl FileOf {
    /// Whether `now` is this file, unchanged.
    #[must_use]
    pub fn is(&self, now: &Identity) -> bool {
        *self == FileOf::from(now)
    }

    /// Whether a file that was saved depended on this one, unchanged.
    #[must_use]
    pub fn is_of(&self, saved: &Dependency<'_>) -> bool {
        u64::from(self.device) == saved.device
            && self.inode == saved.inode
            && self.size == saved.size
            && self.modified == saved.modified
            && self.changed == saved.changed
    }
}

/// The files of the live regions that begin at these addresses; `None` for a region that is not of this registry.
///
/// # Errors
/// When there is no memory for the answer.
pub fn files(
    addresses: impl ExactSizeIterator<Item = usize>,
) -> Result<Vec<Option<FileOf>>, TryReserveError> {
    let mut out = Vec::new();
    out.try_reserve_exact(addresses.len())?;
    let mut live = lock();
    out.extend(addresses.map(|address| {
        live.table.get(address).map(|region| FileOf {
            device: region.device,
            inode: region.inode,
            size: region.memory.size() as u64,
            modified: region.modified,
            changed: region.changed,
        })
    }));
    Ok(out)
}

/// Puts the copies of roots into `out` that were given out for the regions that begin at these addresses; there is room
/// for as many as there are addresses.
pub fn root_copies(addresses: impl Iterator<Item = usize>, out: &mut Vec<RootCopyAt>) {
    let mut live = lock();
    if !live.roots.is_empty() {
        out.extend(addresses.filter_map(|address| live.root_copy(address)));
    }
}

/// The copy of the root that was given out for the region that begins at `address`.
#[must_use]
pub fn root_copy(address: usize) -> Option<RootCopyAt> {
    let mut live = lock();
    match live.roots.is_empty() {
        true => None,
        false => live.root_copy(address),
    }
}

/// How many regions are alive.
#[must_use]
pub fn live() -> usize {
    lock().table.len()
}

#[cfg(test)]
mod tests;
