//! Regions as Lean values: the structure `CompactedRegion` of v4.32 and later, and the boxed handle before.

use super::runtime::Host;
use crate::object::Obj;
use crate::object::region::{
    BASE_ADDR, BUFFER_OFFSET, FILE_PATH, IS_MEMORY_MAPPED, REGION_SCALARS, REGION_SIZE, REGION_SIZE_EXACT,
    ROOT, SIZE,
};

/// Bytes of a boxed `USize`: header and value.
const USIZE_SIZE: u16 = 16;

/// What a region structure says of its region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RegionFacts {
    /// The root object in the buffer or in a dependency, or a scalar.
    pub root: Obj,
    /// Bytes of the buffer: the file's size.
    pub size: usize,
    /// The address that the file asks for.
    pub base: u64,
    /// The address of the buffer.
    pub buffer: usize,
    /// Whether the buffer is a mapping of the file at its base.
    pub mapped: bool,
}

impl RegionFacts {
    /// Whether the root is an object in the buffer.
    #[must_use]
    pub fn holds_root(&self) -> bool {
        !self.root.is_scalar() && self.root.0.wrapping_sub(self.buffer) < self.size
    }
}

impl Host {
    /// A region structure; `file_path` is a string and consumed.
    ///
    /// # Safety
    /// The runtime can allocate on this thread; the caller owns `file_path`.
    #[must_use]
    #[inline]
    pub unsafe fn mk_region(&self, file_path: Obj, facts: &RegionFacts) -> Obj {
        // SAFETY: a fresh constructor of 49 bytes, in which every field lies and is set.
        unsafe {
            let o = self.alloc_ctor(0, 2, REGION_SCALARS);
            o.set_word(FILE_PATH, file_path.0);
            o.set_word(ROOT, facts.root.0);
            o.set_word(SIZE, facts.size);
            o.set_word(BASE_ADDR, facts.base as usize);
            o.set_word(BUFFER_OFFSET, facts.root.0.wrapping_sub(facts.buffer));
            o.ptr().add(IS_MEMORY_MAPPED).write(u8::from(facts.mapped));
            o
        }
    }

    /// What `o` (borrowed) says if it is a region structure; `None` if it is a scalar or its header is that
    /// of anything else. Whether the region exists is not known here.
    ///
    /// # Safety
    /// `o` is a scalar or points to a live object.
    #[must_use]
    #[inline]
    pub unsafe fn read_region_structure(&self, o: Obj) -> Option<RegionFacts> {
        // SAFETY: an object with the header and size of the structure has the structure's bytes.
        unsafe {
            if !self.is_ctor(o, 2, &[REGION_SIZE, REGION_SIZE_EXACT]) {
                return None;
            }
            let root = Obj(o.word(ROOT));
            Some(RegionFacts {
                root,
                size: o.word(SIZE),
                base: o.word(BASE_ADDR) as u64,
                buffer: root.0.wrapping_sub(o.word(BUFFER_OFFSET)),
                mapped: o.ptr().add(IS_MEMORY_MAPPED).read() != 0,
            })
        }
    }

    /// The path (borrowed) in a region structure.
    ///
    /// # Safety
    /// `o` is a live region structure.
    #[must_use]
    pub unsafe fn region_file_path(&self, o: Obj) -> Obj {
        // SAFETY: the structure has this field.
        Obj(unsafe { o.word(FILE_PATH) })
    }

    /// Makes a region structure that of no region, even if it is shared: the first thing that freeing its
    /// region does. The root becomes a scalar, as with the incumbent, and the buffer it
    /// leads to lies at an odd address, where no region is.
    ///
    /// # Safety
    /// `o` is a live region structure, in memory that can be written.
    pub unsafe fn neutralise_region(&self, o: Obj) {
        // SAFETY: the structure has these fields.
        unsafe {
            o.set_word(ROOT, Obj::UNIT.0);
            o.set_word(BUFFER_OFFSET, 0);
        }
    }

    /// A boxed `USize`.
    ///
    /// # Safety
    /// The runtime can allocate on this thread.
    #[must_use]
    pub unsafe fn box_usize(&self, value: usize) -> Obj {
        // SAFETY: a constructor with one scalar word, which is set.
        unsafe {
            let o = self.alloc_ctor(0, 0, 8);
            o.set_word(8, value);
            o
        }
    }

    /// The value of a boxed `USize` (borrowed); `None` if `o` is a scalar or its header is that of anything
    /// else.
    ///
    /// # Safety
    /// `o` is a scalar or points to a live object.
    #[must_use]
    pub unsafe fn unbox_usize(&self, o: Obj) -> Option<usize> {
        // SAFETY: an object with the header and size of a boxed word has that word.
        unsafe { self.is_ctor(o, 0, &[USIZE_SIZE]).then(|| o.word(8)) }
    }

    /// Whether `o` is a constructor with tag 0, that many objects, and one of these sizes, by its header or,
    /// where runtimes record none there, by the allocator.
    ///
    /// # Safety
    /// `o` is a scalar or points to a live object.
    #[inline]
    unsafe fn is_ctor(&self, o: Obj, objects: u8, sizes: &[u16]) -> bool {
        if o.is_scalar() {
            return false;
        }
        // SAFETY: not a scalar, so a live object, and asked for its size only if it is a constructor.
        unsafe {
            let kind = o.kind();
            let size = || match kind.cs_sz {
                0 => self.small_byte_size(o),
                recorded => usize::from(recorded),
            };
            kind.tag == 0 && kind.other == objects && sizes.iter().any(|&s| usize::from(s) == size())
        }
    }
}
