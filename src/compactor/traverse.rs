//! The walk over a graph of live objects: depth first, children in ascending order, a parent right after
//! its last child (spec section 6.1), on an explicit stack, so that depth costs memory and no stack.
//!
//! A frame on the stack is `[object, next field, end of fields, previous frame]`, and above it stand the
//! finished words of its children. An object with one reference has one edge leading to it, so it is
//! neither looked up nor remembered; see `Compactor::resolve` for the exceptions.

use super::error::CompactError;
use super::{Compactor, Values};
use crate::format::layout::{
    ARRAY_HEADER, CLOSURE_HEADER, MAX_CTOR_TAG, OBJECT_HEADER, TAG_ARRAY, TAG_CLOSURE, TAG_EXTERNAL, TAG_MPZ,
    TAG_PROMISE, TAG_REF, TAG_SARRAY, TAG_STRING, TAG_TASK, TAG_THUNK,
};
use crate::object::{Kind, Obj};

/// Words of a frame before the words of its children.
pub(super) const FRAME: usize = 4;

/// What the pointer table holds for an object that is being compacted and could contain itself.
const IN_PROGRESS: usize = 0;

/// What is known of an object that was met.
enum Met {
    /// The word that stands for it.
    Known(usize),
    /// It has to be written, and remembered if `shared`.
    New { kind: Kind, shared: bool },
}

/// The fields of an object that are compacted before it.
enum Fields {
    /// `count` words from this address on.
    At(usize, usize),
    /// One value that the host named.
    One(Obj),
}

impl Compactor {
    /// Compacts what is below `root` and answers the word that stands for it.
    ///
    /// # Safety
    /// As [`Compactor::add_part`].
    pub(super) unsafe fn traverse(&mut self, root: Obj, values: &impl Values) -> Result<usize, CompactError> {
        self.scratch.stack.clear();
        let mut frame = usize::MAX;
        let mut current = root;
        loop {
            // SAFETY: `current` is `root` or a field of a live object below it.
            let mut word = match unsafe { self.enter(current, values, &mut frame)? } {
                Step::Done(word) => word,
                Step::Child(child) => {
                    current = child;
                    continue;
                }
            };
            // Hands the word to the frame on top, and finishes all frames that were waiting for it alone.
            loop {
                if frame == usize::MAX {
                    return Ok(word);
                }
                let stack = &mut self.scratch.stack;
                stack.push(word);
                let next = stack[frame + 1];
                if next < stack[frame + 2] {
                    stack[frame + 1] = next + 8;
                    // SAFETY: `next` is the address of a field of the live object whose frame this is.
                    current = Obj(unsafe { (next as *const usize).read() });
                    break;
                }
                let object = Obj(stack[frame]);
                let previous = stack[frame + 3];
                // SAFETY: all children of the live object stand on the stack above its frame.
                word = unsafe { self.finish(object, frame + FRAME, values)? };
                self.scratch.stack.truncate(frame);
                frame = previous;
            }
        }
    }

    /// Meets `object`: answers its word if it needs no frame, else opens a frame and answers its first child.
    ///
    /// # Safety
    /// As [`Compactor::traverse`].
    #[inline(always)]
    unsafe fn enter(
        &mut self,
        object: Obj,
        values: &impl Values,
        frame: &mut usize,
    ) -> Result<Step, CompactError> {
        if object.is_scalar() {
            return Ok(Step::Done(object.0));
        }
        // SAFETY: not a scalar, so by the caller's word a live object.
        let (kind, shared) = match unsafe { self.resolve(object)? } {
            Met::Known(word) => return Ok(Step::Done(word)),
            Met::New { kind, shared } => (kind, shared),
        };
        // SAFETY: a live object of that kind.
        let fields = unsafe { self.fields(object, kind, values)? };
        let (first, next, end) = match fields {
            Fields::At(_, 0) => {
                // SAFETY: a live object without children.
                let word = unsafe { self.emit(object, kind, self.scratch.stack.len(), values)? };
                if shared {
                    self.scratch.pointers.insert(object.0, word)?;
                }
                return Ok(Step::Done(word));
            }
            Fields::At(address, count) => {
                // SAFETY: the object has `count` > 0 fields from `address` on.
                let first = Obj(unsafe { (address as *const usize).read() });
                (first, address + 8, address + 8 * count)
            }
            Fields::One(value) => {
                // Only these can contain themselves.
                self.scratch.pointers.insert(object.0, IN_PROGRESS)?;
                (value, 0, 0)
            }
        };
        let room = FRAME + 1 + (end - next) / 8;
        let stack = &mut self.scratch.stack;
        if stack.capacity() - stack.len() < room {
            grow(stack, room)?;
        }
        let at = stack.len();
        stack.extend_from_slice(&[object.0, next, end, *frame]);
        *frame = at;
        Ok(Step::Child(first))
    }

    /// Writes an object whose children are done and remembers it if it can be met again.
    ///
    /// # Safety
    /// `object` is live, and the words of its children are the stack from `children` on.
    #[inline(always)]
    unsafe fn finish(
        &mut self,
        object: Obj,
        children: usize,
        values: &impl Values,
    ) -> Result<usize, CompactError> {
        // SAFETY: the object is live.
        let (kind, rc) = unsafe { (object.kind(), object.rc()) };
        // SAFETY: passed on from the caller.
        let word = unsafe { self.emit(object, kind, children, values)? };
        if remembered(kind.tag, rc) {
            self.scratch.pointers.insert(object.0, word)?;
        }
        Ok(word)
    }

    /// Looks an object up (spec section 6.2). What is left out: an object with a count of 1 or -1 has one
    /// field leading to it and is met once, unless it was the root of an earlier part. Should it come back
    /// in a later part all the same (its owner was taken apart between the parts), it is written again and
    /// then found by its content; only what is never shared by content must be remembered for that.
    ///
    /// # Safety
    /// `object` is a live object.
    #[inline(always)]
    unsafe fn resolve(&mut self, object: Obj) -> Result<Met, CompactError> {
        // SAFETY: the object is live.
        let (rc, kind) = unsafe { (object.rc(), object.kind()) };
        let shared = remembered(kind.tag, rc);
        if kind.tag == TAG_CLOSURE && !self.closures_allowed {
            // Only pointers to closures of a dependency are no closures of this part.
            let dependency = if rc == 0 {
                self.deps.holding(object.0)
            } else {
                None
            };
            return match dependency {
                Some(dep) => Ok(Met::Known((dep.base as usize).wrapping_add(object.0 - dep.begin))),
                None => Err(CompactError::Closure),
            };
        }
        if !shared && !self.root_filter.may_hold(object.0) {
            return Ok(Met::New { kind, shared });
        }
        if rc == 0 && !self.deps.views().is_empty() {
            let last = &self.last_dep;
            let inside = object.0.wrapping_sub(last.begin);
            if inside < last.size {
                return Ok(Met::Known((last.base as usize).wrapping_add(inside)));
            }
        }
        match self.scratch.pointers.get(object.0) {
            Some(IN_PROGRESS) => return Err(CompactError::Cycle { address: object.0 }),
            Some(word) => return Ok(Met::Known(word)),
            None => {}
        }
        if rc == 0
            && let Some(dep) = self.deps.holding(object.0)
        {
            self.last_dep = dep;
            let word = (dep.base as usize).wrapping_add(object.0 - dep.begin);
            return Ok(Met::Known(word));
        }
        Ok(Met::New { kind, shared })
    }

    /// The fields that come before the object itself.
    ///
    /// # Safety
    /// `object` is a live object of kind `kind`.
    #[inline(always)]
    unsafe fn fields(&self, object: Obj, kind: Kind, values: &impl Values) -> Result<Fields, CompactError> {
        if kind.tag <= MAX_CTOR_TAG {
            return Ok(Fields::At(object.0 + OBJECT_HEADER, kind.other.into()));
        }
        // SAFETY: the object is live, so each kind may be read by its own layout, and the host may be asked
        // for the value of its tasks and thunks.
        unsafe {
            Ok(match kind.tag {
                TAG_STRING | TAG_SARRAY | TAG_MPZ => Fields::At(0, 0),
                TAG_ARRAY => Fields::At(object.0 + ARRAY_HEADER, object.size()),
                TAG_CLOSURE => Fields::At(object.0 + CLOSURE_HEADER, object.closure_fixed()),
                TAG_THUNK => Fields::One(values.thunk_get(object)),
                TAG_TASK => Fields::One(values.task_get(object)),
                TAG_PROMISE | TAG_REF => Fields::One(Obj(object.word(OBJECT_HEADER))),
                TAG_EXTERNAL => return Err(CompactError::External),
                tag => {
                    return Err(CompactError::Tag {
                        address: object.0,
                        tag,
                    });
                }
            })
        }
    }
}

/// What meeting an object led to.
enum Step {
    /// Its word.
    Done(usize),
    /// A frame was opened; this is its first child.
    Child(Obj),
}

/// Whether an object belongs into the pointer table: it can be met again, or it is a kind that is never
/// shared by content.
#[inline(always)]
fn remembered(tag: u8, rc: i32) -> bool {
    // Tags from promise on, except array, scalar array and string, are rare; refs, closures and bignums
    // are never shared by content, the other rare ones may contain themselves.
    (rc != 1 && rc != -1) || (tag > MAX_CTOR_TAG && !matches!(tag, TAG_ARRAY | TAG_SARRAY | TAG_STRING))
}

#[cold]
#[inline(never)]
fn grow(stack: &mut Vec<usize>, room: usize) -> Result<(), CompactError> {
    let bytes = (stack.len() + room) * 8;
    stack.try_reserve(room).map_err(|_| CompactError::Memory {
        what: "the stack of the traversal",
        bytes,
    })
}
