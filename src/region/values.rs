//! The compactor asks the host for the values of tasks, thunks and shared references and for sizes that only the
//! allocator knows.

use super::image::in_use as image;
use super::registry;
use crate::compactor::Values;
use crate::host::Host;
use crate::object::Obj;

impl Values for Host {
    unsafe fn task_get(&self, task: Obj) -> Obj {
        // SAFETY: a live task of this host, by the contract.
        unsafe { Host::task_get(self, task) }
    }

    unsafe fn thunk_get(&self, thunk: Obj) -> Obj {
        // SAFETY: a live thunk of this host, by the contract.
        unsafe { Host::thunk_get(self, thunk) }
    }

    unsafe fn ref_get(&self, reference: Obj) -> Option<Obj> {
        // SAFETY: passed on from the caller; the host can allocate where its objects are saved.
        unsafe { Host::ref_get(self, reference) }
    }

    fn releaser(&self) -> Box<dyn Fn(Obj) + Send> {
        Host::releaser(self)
    }

    unsafe fn byte_size(&self, object: Obj) -> usize {
        // SAFETY: a live small object of this host, by the contract.
        unsafe { self.small_byte_size(object) }
    }

    fn copied_root(&self, region: usize, root: usize) -> Option<usize> {
        let copy = registry::root_copy(region).or_else(|| image::root_copy(region))?;
        (copy.address == root).then_some(copy.in_files)
    }
}
