//! What the walk (`traverse`) does with all objects but constructors: arrays, strings and bignums, closures, and the
//! cells whose one field may be set after they were made (references, promises, tasks, thunks), so that they can contain
//! themselves.

use super::buffer::MAX_BYTES;
use super::error::CompactError;
use super::stack::{CHUNK, Frame, Head, KNOWN, LONG, MAX_IMAGE, MIN_IMAGE, SHARED, extent};
use super::state::Compactor;
use super::traverse::{IN_PROGRESS, is_one};
use super::values::Values;
use crate::object::Obj;
use olean_reader::format::object::{
    OBJECT_HEADER, ObjectHeader, TAG_ARRAY, TAG_CLOSURE, TAG_EXTERNAL, TAG_PROMISE, TAG_REF, TAG_SARRAY,
    TAG_TASK, TAG_THUNK,
};

impl Compactor {
    /// Writes the object of the top frame, which is no constructor and whose fields are done, and puts its word into
    /// `slot`.
    ///
    /// # Safety
    /// `frame` is the top frame, and `slot` the word for its object in the frame below.
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn finish_other(&mut self, frame: Frame, slot: *mut usize) -> Result<(), CompactError> {
        // SAFETY: the top frame and its object's place in the frame below, by the contract; behind the frame's header word
        // stand the finished words of all fields of that live object.
        unsafe {
            let head = frame.head();
            let written = self.emit(head.object(), frame.field(0), frame.fields())?;
            self.place_any(head.object.get(), written, slot, self.is_new(frame))
        }
    }

    /// Meets a string, and most of what is no constructor is one: puts its word into `slot`.
    ///
    /// # Safety
    /// `object` is a live string, `slot` its place in the top frame.
    #[inline(never)]
    pub(super) unsafe fn meet_string(&mut self, object: Obj, slot: *mut usize) -> Result<(), CompactError> {
        // SAFETY: a live string, and a word of the top frame's image, by the contract.
        unsafe {
            let shared = !is_one(object.rc());
            if shared && let Some(word) = self.known(object)? {
                slot.write(word);
                return Ok(());
            }
            self.settle()?;
            let start = self.emit_string(object)?;
            self.place_last(object.0 | (usize::from(shared) * SHARED), start, slot)
        }
    }

    /// Meets an object that is neither constructor nor string: puts its word into `slot`, or opens a frame for it
    /// above `frame`.
    ///
    /// # Safety
    /// `object` is a live object of that kind, `slot` its place in the frame `frame`, which is the top one.
    #[inline(never)]
    pub(super) unsafe fn meet_other<const REGIONS: bool>(
        &mut self,
        object: Obj,
        kind: ObjectHeader,
        frame: Frame,
        slot: *mut usize,
        values: &impl Values,
    ) -> Result<Option<Frame>, CompactError> {
        // SAFETY: the object is live.
        let unique = is_one(unsafe { object.rc() });
        // Arrays with one reference need not be remembered. References, closures and bignums must be, because they are never
        // shared by content, and the other cells because they may contain themselves.
        let shared = !unique || !matches!(kind.tag, TAG_ARRAY | TAG_SARRAY);
        if kind.tag == TAG_CLOSURE && !self.closures_allowed {
            return Err(CompactError::Closure);
        }
        if shared && let Some(word) = self.known(object)? {
            // SAFETY: a word of the top frame.
            unsafe { slot.write(word) };
            return Ok(None);
        }
        // SAFETY: a live object of that kind; `fields` says where its fields are. If all are scalars, the fields are the
        // finished words. Otherwise `room` answers the top frame and that the words of a frame above it are free; head
        // and image are written there, and the frame that is answered has been written as far as it is read.
        unsafe {
            let flags = usize::from(shared) * SHARED;
            let mut taken = 0;
            let (at, count) = self.fields(object, kind, &mut taken, values)?;
            let cell = is_cell(kind.tag);
            if !cell && all_scalars(at, count) {
                self.settle()?;
                let written = self.emit(object, at as *const usize, count)?;
                self.place_any(object.0 | flags, written, slot, false)?;
                return Ok(None);
            }
            if cell {
                // Only these can contain themselves. What they hold may change between two looks at it, so it
                // is read once, into the frame.
                self.scratch.pointers.insert(object.0, IN_PROGRESS)?;
            }
            if count >= MAX_IMAGE {
                return Err(CompactError::TooLarge { limit: MAX_BYTES });
            }
            let below = self.room(frame, extent(count + 1))?;
            let frame = below.above();
            let flags = flags | (usize::from(cell) * KNOWN) | (usize::from(count > CHUNK) * LONG);
            frame.start().cast::<Head>().write(Head {
                object: (object.0 | flags).into(),
                below: (below.extent() as u32).into(),
                words: (count as u32 + 1).into(),
                chunk: 0.into(),
                mask: 0.into(),
            });
            let image = frame.image();
            image.cast::<[usize; MIN_IMAGE]>().write([0; MIN_IMAGE]);
            image.write((object.upper_header() as usize) << 32);
            image.add(1).copy_from_nonoverlapping(at as *const usize, count);
            frame.head().mask.set(self.scan::<REGIONS>(frame));
            Ok(Some(frame))
        }
    }

    /// The fields of an object that is no constructor and no string: their address and number. Tasks are waited for and
    /// thunks forced, after which their value is the word behind their header, as it is in promises and references. That
    /// of a reference which other threads may change is put into `taken`, and held.
    ///
    /// # Safety
    /// `object` is a live object of kind `kind`.
    #[inline(always)]
    unsafe fn fields(
        &mut self,
        object: Obj,
        kind: ObjectHeader,
        taken: &mut usize,
        values: &impl Values,
    ) -> Result<(usize, usize), CompactError> {
        // SAFETY: the object is live, so the host may be asked for the value of its tasks and thunks, and what its
        // header says of its fields holds.
        let fields = unsafe {
            match kind.tag {
                TAG_THUNK => {
                    let value = values.thunk_get(object);
                    debug_assert_eq!(value.0, object.word(OBJECT_HEADER));
                }
                TAG_TASK => {
                    let value = values.task_get(object);
                    debug_assert_eq!(value.0, object.word(OBJECT_HEADER));
                }
                TAG_REF if object.rc() <= 0 => {
                    let value = values.ref_get(object);
                    let value = value.ok_or(CompactError::SharedReference { address: object.0 })?;
                    self.held.push(value, values)?;
                    *taken = value.0;
                    return Ok((&raw const *taken as usize, 1));
                }
                TAG_EXTERNAL => return Err(CompactError::External),
                _ => {}
            }
            object.pointers(kind)
        };
        let (offset, count) = fields.ok_or(CompactError::Tag {
            address: object.0,
            tag: kind.tag,
        })?;
        Ok((object.0 + offset, count))
    }
}

/// Whether `count` words at `at` are all scalars; looks no further than the first that is not.
///
/// # Safety
/// `at` is a multiple of 8 and the address of `count` initialised words, which nobody writes meanwhile.
unsafe fn all_scalars(at: usize, count: usize) -> bool {
    // SAFETY: aligned, initialised and not written, by the contract.
    let words = unsafe { std::slice::from_raw_parts(at as *const usize, count) };
    words.iter().all(|word| word & 1 == 1)
}

/// Whether objects with this tag have one field whose value may come after the object was made.
fn is_cell(tag: u8) -> bool {
    matches!(tag, TAG_PROMISE | TAG_THUNK | TAG_TASK | TAG_REF)
}
