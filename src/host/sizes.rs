//! How many bytes a small object has when its header does not say it.

use super::alloc::Allocator;
use super::runtime::Host;
use crate::object::Obj;
use olean_reader::format::object::OBJECT_HEADER;

impl Host {
    /// Bytes of a small object (borrowed) whose header holds 0 for them: what the allocator knows, or else
    /// the object's pointer fields alone.
    ///
    /// # Safety
    /// `o` points to a live constructor of this runtime.
    #[must_use]
    pub unsafe fn small_byte_size(&self, o: Obj) -> usize {
        // SAFETY: the object is live, by the contract, and the function takes any live object. On plain malloc the
        // size stands in the word before an object that was allocated, which one with a count was.
        unsafe {
            match self.entries.object_byte_size {
                Some(byte_size) => byte_size(o),
                None if matches!(self.allocator, Allocator::Plain { .. }) && o.rc() != 0 => {
                    o.ptr().sub(8).cast::<usize>().read()
                }
                None => OBJECT_HEADER + 8 * usize::from(o.kind().other),
            }
        }
    }
}
