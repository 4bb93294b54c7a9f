//! What the compactor asks the host about live objects, since only the host's runtime knows: the values of tasks and
//! thunks, sizes that stand nowhere in an object, and which roots of regions are copies.

use crate::object::Obj;

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

    /// The value of a reference that other threads may change meanwhile, owned; `None` where the host has no way to ask
    /// for it. Borrowed in.
    ///
    /// # Safety
    /// `reference` is a live reference of this host.
    unsafe fn ref_get(&self, reference: Obj) -> Option<Obj>;

    /// What gives an owned reference back, on whatever thread.
    fn releaser(&self) -> Box<dyn Fn(Obj) + Send>;

    /// Byte size of a small object whose header does not say it (plain malloc and the small allocator).
    ///
    /// # Safety
    /// `object` is a live object of this host.
    unsafe fn byte_size(&self, object: Obj) -> usize;

    /// What stands in files for the root of the region that begins at `region`, if `root` is a copy of it; `None` for anything
    /// else.
    fn copied_root(&self, region: usize, root: usize) -> Option<usize>;
}
