//! Parts of a chain: one graph after the other, each in the place of one file, in one growing buffer. A pointer to an
//! object of an earlier part stays a pointer into that part's file.

use super::error::CompactError;
use super::state::Compactor;
use super::values::Values;
use crate::object::Obj;
use olean_reader::format::base::BASE_ALIGN;
use olean_reader::format::header::{HEADER_SIZE, VERSION_3};

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

impl Compactor {
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
        // SAFETY: `traverse` asks for what this function asks for: a graph below `root` that lives and does not change.
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

    /// Keeps the root of a finished part where a later part finds it, for which its count must be another one by then: it
    /// was 1, perhaps, because that one reference is the caller's and no field's.
    fn remember_root(&mut self, root: Obj, word: usize) -> Result<(), CompactError> {
        // A root in a dependency stands for itself in every part and is never looked up.
        if root.is_scalar() || self.regions.in_file(root.0).is_some() {
            return Ok(());
        }
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
