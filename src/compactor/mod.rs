//! Live objects to the bytes of a region: traversal with an explicit stack, the pointer table, maximal
//! sharing, chained parts (spec sections 5.2 to 6).
//!
//! * [`Compactor`] keeps what a chain of parts shares, and lays out parts in one growing buffer;
//! * `traverse` walks a graph in the incumbent's order, `others` is what it does with all but constructors; `emit`
//!   writes one object, `share` finds its equals;
//! * `pointers` and `sharing`, tables made of `buckets` with `select`, then `hash`, `buffer` and `stack` are the hot
//!   data structures on `memory`; `scratch` keeps it between saves; `regions` finds the dependency region of an
//!   address.

mod buckets;
mod buffer;
mod emit;
mod error;
mod hash;
mod late;
mod memory;
mod others;
mod pointers;
mod regions;
mod scratch;
mod select;
mod share;
mod sharing;
mod stack;
mod traverse;

pub use error::CompactError;

use crate::object::Obj;
use crate::relocate::Dependencies;
use late::Newest;
use olean_reader::format::base::BASE_ALIGN;
use olean_reader::format::header::{HEADER_SIZE, VERSION_3};
use regions::RegionIndex;
use scratch::Scratch;
use share::Pending;

/// What the compactor asks the host about live objects.
pub trait Values {
    /// The value of a task, waiting until it is finished. Borrowed in, borrowed out.
    ///
    /// # Safety
    /// `task` is a live task of this host.
    unsafe fn task_get(&self, task: Obj) -> Obj;

    /// The value of a thunk, forcing it. Borrowed in, borrowed out.
    ///
    /// # Safety
    /// `thunk` is a live thunk of this host.
    unsafe fn thunk_get(&self, thunk: Obj) -> Obj;

    /// Byte size of a small object whose header does not say it (plain malloc and the small allocator).
    ///
    /// # Safety
    /// `object` is a live object of this host.
    unsafe fn byte_size(&self, object: Obj) -> usize;
}

/// Where one part lies in the compactor's buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// Offset of the part's first header byte.
    pub offset: usize,
    /// Offset behind the part's last data byte.
    pub end: usize,
    /// The base address of the part's file.
    pub base: u64,
    /// Format version, 2 or 3.
    pub version: u8,
}

/// Objects already written, shared by all parts of a chain.
pub struct Compactor {
    scratch: Scratch,
    base: u64,
    regions: RegionIndex,
    pending: Pending,
    newest: Newest,
    /// Where the object begins that is behind the one found last; 0 for none.
    next: usize,
    gmp: bool,
    closures_allowed: bool,
    /// Buffer offsets of the `m_fun` fields of the current part's closures.
    closures: Vec<usize>,
    /// Roots with one reference that earlier parts wrote: these alone may be met again although their
    /// count says that there is one edge to them.
    root_filter: RootFilter,
    /// Whether it holds any.
    has_roots: bool,
    dirty: bool,
}

/// A set of addresses that may answer yes wrongly, never no.
struct RootFilter([u64; 16]);

impl RootFilter {
    fn bit(address: usize) -> (usize, u64) {
        let hash = (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
        ((hash >> 6) as usize, 1 << (hash & 63))
    }

    fn insert(&mut self, address: usize) {
        let (word, bit) = Self::bit(address);
        self.0[word] |= bit;
    }

    #[inline(always)]
    fn may_hold(&self, address: usize) -> bool {
        let (word, bit) = Self::bit(address);
        self.0[word] & bit != 0
    }
}

impl Compactor {
    /// An empty compactor whose first part wants to be mapped at `base`. Pointers into `deps` stay pointers.
    /// `gmp` says how the host lays out bignums.
    #[must_use]
    pub fn new(base: u64, deps: &Dependencies, gmp: bool) -> Self {
        Compactor {
            scratch: Scratch::take(),
            base,
            regions: RegionIndex::new(deps),
            pending: Pending::default(),
            newest: Newest::default(),
            next: 0,
            gmp,
            closures_allowed: false,
            closures: Vec::new(),
            root_filter: RootFilter([0; 16]),
            has_roots: false,
            dirty: false,
        }
    }

    /// Compacts the graph below `root` as the next part, of format `version` 2 or 3 (closures allowed).
    ///
    /// # Errors
    /// Any [`CompactError`]; the compactor is dirty then and refuses further parts.
    ///
    /// # Safety
    /// `root` is a scalar or a live object of the host behind `values`, and everything reachable from it is
    /// live and unchanged until the call returns, except references, tasks, thunks and promises, which may
    /// change as the host lets them.
    pub unsafe fn add_part(
        &mut self,
        root: Obj,
        version: u8,
        values: &impl Values,
    ) -> Result<Part, CompactError> {
        if self.dirty {
            return Err(CompactError::Dirty);
        }
        self.dirty = true;
        let buffer = &mut self.scratch.buffer;
        buffer.align(BASE_ALIGN as usize)?;
        let offset = buffer.len();
        let root_slot = offset
            + if version == VERSION_3 {
                HEADER_SIZE + 8
            } else {
                HEADER_SIZE
            };
        buffer.push_zeros(root_slot + 8 - offset)?;
        self.closures_allowed = version == VERSION_3;
        self.closures.clear();
        // SAFETY: the caller vouches for the graph below `root`.
        let word = unsafe { self.traverse(root, values)? };
        self.remember_root(root, word)?;
        // Fields of later parts may lead to this root, and so to the one that was found for it.
        self.leave_next()?;
        let buffer = &mut self.scratch.buffer;
        buffer.bytes_mut()[root_slot..root_slot + 8].copy_from_slice(&word.to_le_bytes());
        let end = buffer.len();
        self.dirty = false;
        Ok(Part {
            offset,
            end,
            base: self.base.wrapping_add(offset as u64),
            version,
        })
    }

    /// A root is the one object that can be met in a later part although its count is 1: its reference is
    /// the caller's and no field's.
    fn remember_root(&mut self, root: Obj, word: usize) -> Result<(), CompactError> {
        // One in a dependency is never looked up.
        if root.is_scalar() || self.regions.word(root.0).is_some() {
            return Ok(());
        }
        self.root_filter.insert(root.0);
        self.has_roots = true;
        let offset = word.wrapping_sub(self.base as usize);
        self.scratch.pointers.insert(root.0, offset)
    }

    /// The bytes of a part as they belong into its file, the header still zero.
    #[must_use]
    pub fn bytes(&self, part: &Part) -> &[u8] {
        &self.scratch.buffer.bytes()[part.offset..part.end]
    }

    /// The same, to put the header in.
    #[must_use]
    pub fn bytes_mut(&mut self, part: &Part) -> &mut [u8] {
        &mut self.scratch.buffer.bytes_mut()[part.offset..part.end]
    }

    /// Offsets of the `m_fun` fields of the closures of the part that was added last, relative to the start
    /// of `part`'s file.
    pub fn closure_offsets(&self, part: &Part) -> impl ExactSizeIterator<Item = usize> {
        let offset = part.offset;
        self.closures.iter().map(move |at| at - offset)
    }

    /// Takes `bytes` behind the last part out of use, so that the next part cannot lie there.
    ///
    /// # Errors
    /// As for growing the buffer; the compactor is dirty then.
    pub fn reserve_behind(&mut self, bytes: usize) -> Result<(), CompactError> {
        let grown = self.scratch.buffer.push_zeros(bytes);
        self.dirty |= grown.is_err();
        grown
    }

    /// Marks the compactor as left by a failed save.
    pub fn poison(&mut self) {
        self.dirty = true;
    }
}

impl Drop for Compactor {
    fn drop(&mut self) {
        std::mem::take(&mut self.scratch).give_back();
    }
}
