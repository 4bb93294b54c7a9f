//! The walk over a graph of live objects: depth first, children in ascending order, a parent right after
//! its last child (spec section 6.1), on an explicit stack, so that depth costs memory and no stack.
//!
//! A frame on the stack is `[object, and of the frame below: its index, next field, end of fields]`, and above
//! it stand the finished words of its children. An object with one reference has one edge leading to it, so it
//! is neither looked up nor remembered; see `Compactor::known` for the exceptions. What the walk waits for is
//! memory: the first touch of each object and the tables. So all fields of an object are prefetched when its
//! frame is opened.

use super::error::CompactError;
use super::memory::prefetch;
use super::{Compactor, Values};
use crate::format::layout::{
    ARRAY_HEADER, CLOSURE_HEADER, MAX_CTOR_TAG, OBJECT_HEADER, TAG_ARRAY, TAG_CLOSURE, TAG_EXTERNAL, TAG_MPZ,
    TAG_PROMISE, TAG_REF, TAG_SARRAY, TAG_STRING, TAG_TASK, TAG_THUNK,
};
use crate::object::{Kind, Obj};

/// Words of a frame before the words of its children.
const FRAME: usize = 4;
/// The index of the frame below the first one.
const NO_FRAME: usize = usize::MAX;
/// How many fields ahead of the one that is compacted are prefetched.
const AHEAD: usize = 8;

/// What the pointer table holds for an object that is being compacted and could contain itself.
const IN_PROGRESS: usize = 0;

/// The frame on top of the stack, in registers.
#[derive(Clone, Copy)]
struct Frame {
    /// Where it lies on the stack.
    at: usize,
    /// Address of the next field.
    next: usize,
    /// Address behind the fields.
    end: usize,
}

/// What meeting an object led to.
enum Met {
    /// The word that stands for it.
    Word(usize),
    /// It has to be written after its fields: `count` words at `at`.
    Fields { at: usize, count: usize },
}

impl Compactor {
    /// Compacts what is below `root` and answers the word that stands for it.
    ///
    /// # Safety
    /// As [`Compactor::add_part`].
    pub(super) unsafe fn traverse(&mut self, root: Obj, values: &impl Values) -> Result<usize, CompactError> {
        self.scratch.stack.truncate(0);
        if root.is_scalar() {
            return Ok(root.0);
        }
        let looked_up = !self.regions.is_empty();
        let has_roots = self.has_roots;
        let mut frame = Frame {
            at: NO_FRAME,
            next: 0,
            end: 0,
        };
        let mut current = root;
        loop {
            // SAFETY: `current` is no scalar, so a live object, and no prefetch reads anything.
            let met = unsafe {
                let kind = current.kind();
                // Nothing is known of an object with one reference, unless it is in a dependency or was the root
                // of an earlier part.
                if kind.tag <= MAX_CTOR_TAG
                    && !looked_up
                    && is_one(current.rc())
                    && !(has_roots && self.root_filter.may_hold(current.0))
                {
                    Met::Fields {
                        at: current.0 + OBJECT_HEADER,
                        count: kind.other.into(),
                    }
                } else {
                    self.meet(current, values)?
                }
            };
            let mut word = match met {
                Met::Word(word) => word,
                Met::Fields { at, count } => {
                    // SAFETY: these are the fields of the live object.
                    frame = unsafe { self.open(current, at, count, frame)? };
                    // SAFETY: its frame is on top.
                    match unsafe { self.advance(&mut frame) } {
                        Some(child) => {
                            current = child;
                            continue;
                        }
                        // SAFETY: as above; all its fields are done.
                        None => unsafe { self.finish(&mut frame, values)? },
                    }
                }
            };
            // Hands the word to the frame on top, and finishes all frames that were waiting for it alone.
            loop {
                if frame.at == NO_FRAME {
                    return self.settled(word);
                }
                // SAFETY: the frame has room for a word for each of its fields, and this is the next one's.
                let child = unsafe {
                    self.scratch.stack.push(word);
                    self.advance(&mut frame)
                };
                if let Some(child) = child {
                    current = child;
                    break;
                }
                // SAFETY: all fields of the frame on top are done.
                word = unsafe { self.finish(&mut frame, values)? };
            }
        }
    }

    /// Opens a frame for `object`, whose fields are `count` words at `at`, above the frame `below`.
    ///
    /// # Safety
    /// The object is live, and these are its fields.
    #[inline(always)]
    unsafe fn open(
        &mut self,
        object: Obj,
        at: usize,
        count: usize,
        below: Frame,
    ) -> Result<Frame, CompactError> {
        // The first one is met at once.
        for i in 1..count.min(AHEAD) {
            // SAFETY: a field of the object.
            self.prefetch(unsafe { (at as *const usize).add(i).read() });
        }
        let stack = &mut self.scratch.stack;
        stack.reserve(FRAME + count)?;
        let frame = Frame {
            at: stack.top(),
            next: at,
            end: at + 8 * count,
        };
        // SAFETY: room was just made.
        unsafe { stack.push_frame([object.0, below.at, below.next, below.end]) };
        Ok(frame)
    }

    /// Passes the fields of the top frame on to its words as long as they are scalars; answers the first that
    /// is not.
    ///
    /// # Safety
    /// `frame` is on top of the stack.
    #[inline(always)]
    unsafe fn advance(&mut self, frame: &mut Frame) -> Option<Obj> {
        while frame.next < frame.end {
            // SAFETY: `next` to `end` are fields of the live object whose frame this is, and `ahead` is one
            // of them; room for their words was made when the frame was opened.
            unsafe {
                let field = (frame.next as *const usize).read();
                frame.next += 8;
                if field & 1 == 0 {
                    let ahead = frame.next + 8 * (AHEAD - 1);
                    if ahead < frame.end {
                        self.prefetch((ahead as *const usize).read());
                    }
                    return Some(Obj(field));
                }
                self.scratch.stack.push(field);
            }
        }
        None
    }

    /// Asks for the object that a field holds, unless it is in a dependency: that one is never looked at.
    #[inline(always)]
    fn prefetch(&self, field: usize) {
        if field & 1 == 0 && (self.regions.is_empty() || self.regions.word(field).is_none()) {
            prefetch(field);
        }
    }

    /// Meets an object of any kind.
    ///
    /// # Safety
    /// `object` is a live object.
    #[inline(never)]
    unsafe fn meet(&mut self, object: Obj, values: &impl Values) -> Result<Met, CompactError> {
        if !self.regions.is_empty()
            && let Some(word) = self.regions.word(object.0)
        {
            return Ok(Met::Word(word));
        }
        // SAFETY: the object is live.
        let (rc, kind) = unsafe { (object.rc(), object.kind()) };
        let shared = remembered(kind.tag, rc);
        if kind.tag == TAG_CLOSURE && !self.closures_allowed {
            return Err(CompactError::Closure);
        }
        if let Some(word) = self.known(object, shared)? {
            return Ok(Met::Word(word));
        }
        // SAFETY: a live object of that kind.
        let (at, count) = unsafe { self.fields(object, kind, values)? };
        if kind.tag <= MAX_CTOR_TAG {
            return Ok(Met::Fields { at, count });
        }
        if is_cell(kind.tag) {
            // Only these can contain themselves. What they hold may change between two looks at it, so it is
            // read once, in its frame.
            self.scratch.pointers.insert(object.0, IN_PROGRESS)?;
            return Ok(Met::Fields { at, count });
        }
        // SAFETY: these are the fields of a live object, which stand for themselves if all are scalars.
        unsafe {
            if !all_scalars(at, count) {
                return Ok(Met::Fields { at, count });
            }
            self.settle()?;
            let written = self.emit(object, kind, at as *const usize, count, values)?;
            Ok(Met::Word(self.place(object, written, shared)?))
        }
    }

    /// Writes the object of the top frame, whose fields are done, remembers it if it can be met again, and
    /// takes the frame away.
    ///
    /// # Safety
    /// `frame` is the top frame, and its fields' words are all that stands above it.
    #[inline(always)]
    unsafe fn finish(&mut self, frame: &mut Frame, values: &impl Values) -> Result<usize, CompactError> {
        self.settle()?;
        let stack = &self.scratch.stack;
        // SAFETY: the object is live; the words are those of its children.
        unsafe {
            let [object, at, next, end] = stack.frame(frame.at);
            let object = Obj(object);
            let (kind, rc) = (object.kind(), object.rc());
            let words = stack.from(frame.at + FRAME);
            let written = if kind.tag <= MAX_CTOR_TAG {
                self.emit_ctor(object, kind, words, values)?
            } else {
                let count = stack.top() - frame.at - FRAME;
                self.emit(object, kind, words, count, values)?
            };
            self.scratch.stack.truncate(frame.at);
            *frame = Frame { at, next, end };
            self.place(object, written, remembered(kind.tag, rc))
        }
    }

    /// The word of the root, for which all frames are finished, once it is final.
    #[cold]
    fn settled(&mut self, word: usize) -> Result<usize, CompactError> {
        self.scratch.stack.reserve(1)?;
        let at = self.scratch.stack.top();
        // SAFETY: room was just made, and the word is below the top then.
        unsafe {
            self.scratch.stack.push(word);
            self.settle()?;
            Ok(self.scratch.stack.from(at).read())
        }
    }

    /// Looks an object up (spec section 6.2). What is left out: an object with a count of 1 or -1 has one
    /// field leading to it and is met once, unless it was the root of an earlier part. Should it come back
    /// in a later part all the same (its owner was taken apart between the parts), it is written again and
    /// then found by its content; only what is never shared by content must be remembered for that.
    #[inline(always)]
    fn known(&mut self, object: Obj, shared: bool) -> Result<Option<usize>, CompactError> {
        if !shared && !self.root_filter.may_hold(object.0) {
            return Ok(None);
        }
        if self.is_pending(object) {
            self.settle()?;
        }
        match self.scratch.pointers.get(object.0) {
            Some(IN_PROGRESS) => Err(CompactError::Cycle { address: object.0 }),
            known => Ok(known),
        }
    }

    /// The fields that come before the object itself: their address and number. Tasks are waited for and thunks forced, after which their
    /// value is the word behind their header, as it is in promises and references.
    ///
    /// # Safety
    /// `object` is a live object of kind `kind`.
    #[inline(always)]
    unsafe fn fields(
        &self,
        object: Obj,
        kind: Kind,
        values: &impl Values,
    ) -> Result<(usize, usize), CompactError> {
        if kind.tag <= MAX_CTOR_TAG {
            return Ok((object.0 + OBJECT_HEADER, kind.other.into()));
        }
        // SAFETY: the object is live, so each kind may be read by its own layout, and the host may be asked
        // for the value of its tasks and thunks.
        let (offset, count) = unsafe {
            match kind.tag {
                TAG_STRING | TAG_SARRAY | TAG_MPZ => (OBJECT_HEADER, 0),
                TAG_ARRAY => (ARRAY_HEADER, object.size()),
                TAG_CLOSURE => (CLOSURE_HEADER, object.closure_fixed()),
                TAG_THUNK => {
                    let value = values.thunk_get(object);
                    debug_assert_eq!(value.0, object.word(OBJECT_HEADER));
                    (OBJECT_HEADER, 1)
                }
                TAG_TASK => {
                    let value = values.task_get(object);
                    debug_assert_eq!(value.0, object.word(OBJECT_HEADER));
                    (OBJECT_HEADER, 1)
                }
                TAG_PROMISE | TAG_REF => (OBJECT_HEADER, 1),
                TAG_EXTERNAL => return Err(CompactError::External),
                tag => {
                    return Err(CompactError::Tag {
                        address: object.0,
                        tag,
                    });
                }
            }
        };
        Ok((object.0 + offset, count))
    }
}

/// Whether `count` words at `at` are all scalars; looks no further than the first that is not.
///
/// # Safety
/// The words can be read.
unsafe fn all_scalars(at: usize, count: usize) -> bool {
    // SAFETY: the words can be read.
    let words = unsafe { std::slice::from_raw_parts(at as *const usize, count) };
    words.iter().all(|word| word & 1 == 1)
}

/// Whether objects with this tag have one field that can be set after they were made, or is made by running.
fn is_cell(tag: u8) -> bool {
    matches!(tag, TAG_PROMISE | TAG_THUNK | TAG_TASK | TAG_REF)
}

/// Whether an object belongs into the pointer table: it can be met again, or it is a kind that is never
/// shared by content.
#[inline(always)]
fn remembered(tag: u8, rc: i32) -> bool {
    // Tags from promise on, except array, scalar array and string, are rare; refs, closures and bignums
    // are never shared by content, the other rare ones may contain themselves.
    !is_one(rc) || (tag > MAX_CTOR_TAG && !matches!(tag, TAG_ARRAY | TAG_SARRAY | TAG_STRING))
}

/// Whether a count is 1, or -1 as several threads count.
#[inline(always)]
fn is_one(rc: i32) -> bool {
    // 1 becomes 2 and -1 becomes 0; no other number becomes either.
    rc.wrapping_add(1) & !2 == 0
}
