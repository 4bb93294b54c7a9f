//! The compactor asks the host for the values of tasks and thunks and for sizes that only the allocator knows.

use crate::compactor::Values;
use crate::host::Host;
use crate::object::Obj;

impl Values for Host {
    unsafe fn task_get(&self, task: Obj) -> Obj {
        // SAFETY: passed on from the caller.
        unsafe { Host::task_get(self, task) }
    }

    unsafe fn thunk_get(&self, thunk: Obj) -> Obj {
        // SAFETY: passed on from the caller.
        unsafe { Host::thunk_get(self, thunk) }
    }

    unsafe fn byte_size(&self, object: Obj) -> usize {
        // SAFETY: passed on from the caller.
        unsafe { self.small_byte_size(object) }
    }
}
