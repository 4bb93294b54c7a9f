//! What a compactor keeps from object to object and from part to part of a chain. The files that write objects
//! (`parts`, `traverse`, `non_constructors`, `emit`, `find_equal`, `newest`) add methods to this one type.

use super::error::CompactError;
use super::held::Held;
use super::region_index::{RegionIndex, RootCopyAt};
use super::scratch::Scratch;
use crate::dependencies::Dependencies;

/// Objects already written, shared by all parts of a chain.
pub struct Compactor {
    pub(super) scratch: Scratch,
    pub(super) base: u64,
    pub(super) regions: RegionIndex,
    pub(super) pending: Pending,
    pub(super) newest: Newest,
    /// Offset of the object right behind the earlier object that was found equal last; 0 for none. See `newest`.
    pub(super) next: usize,
    pub(super) gmp: bool,
    pub(super) closures_allowed: bool,
    /// Buffer offsets of the `m_fun` fields of the current part's closures.
    pub(super) closures: Vec<usize>,
    pub(super) dirty: bool,
    /// Values of shared references.
    pub(super) held: Held,
}

/// The object written last, as long as no equal one has been looked for among the earlier ones (see `find_equal`).
#[derive(Default)]
pub(super) struct Pending {
    /// Its address and flags as in [`Head`](super::stack::Head); 0 for none.
    pub(super) object: usize,
    /// Where it begins in the buffer; it ends where the buffer ends.
    pub(super) start: usize,
    pub(super) hash: u32,
    /// Address of the word on the stack that stands for it.
    pub(super) slot: usize,
}

/// The last object that was written for good: no earlier one was found equal to it (see `newest`).
#[derive(Default)]
pub(super) struct Newest {
    /// Where it begins.
    pub start: usize,
    /// Address of the one word on the stack that stands for it, if its count says that no other will except by its
    /// content; else 0.
    pub slot: usize,
}

impl Compactor {
    /// An empty compactor whose first part wants to be mapped at `base`. Pointers into `deps` stay pointers.
    /// `gmp` says how the host lays out bignums.
    ///
    /// # Errors
    /// [`CompactError::Memory`].
    pub fn new(base: u64, deps: &Dependencies, gmp: bool) -> Result<Self, CompactError> {
        Self::with_roots(base, deps, &[], gmp)
    }

    /// The same where `roots` are copies of roots of `deps`: pointers to them become pointers to the roots themselves.
    ///
    /// # Errors
    /// [`CompactError::Memory`].
    pub fn with_roots(
        base: u64,
        deps: &Dependencies,
        roots: &[RootCopyAt],
        gmp: bool,
    ) -> Result<Self, CompactError> {
        let regions = RegionIndex::new(deps, roots)?;
        Ok(Compactor {
            scratch: Scratch::take(),
            base,
            regions,
            pending: Pending::default(),
            newest: Newest::default(),
            next: 0,
            gmp,
            closures_allowed: false,
            closures: Vec::new(),
            dirty: false,
            held: Held::default(),
        })
    }

    /// Whether a reference was met that other threads may change: another save of the same graph may see other values.
    #[must_use]
    pub fn met_shared_references(&self) -> bool {
        !self.held.is_empty()
    }

    /// The address that the byte at `offset` of the buffer has in files.
    #[inline(always)]
    pub(super) fn address(&self, offset: usize) -> usize {
        (self.base as usize).wrapping_add(offset)
    }

    /// The words of the buffer from one offset to another one.
    pub(super) fn words(&self, from: usize, to: usize) -> &[u64] {
        let bytes = &self.scratch.buffer.bytes()[from..to];
        bytemuck::cast_slice(bytes)
    }
}

impl Drop for Compactor {
    fn drop(&mut self) {
        std::mem::take(&mut self.scratch).give_back();
    }
}
