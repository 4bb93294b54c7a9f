//! The walk over a graph of live objects: depth first, children in ascending order, a parent right after
//! its last child (spec section 6.1), on an explicit stack, so that depth costs memory and no stack.
//!
//! An object is touched once: when it is met it is copied into a frame, and its children's words take their
//! places there, until it is written. An object with one reference has one edge leading to it, so it is neither
//! looked up nor remembered; see `Compactor::known` for the exceptions. What the walk waits for is memory and
//! mispredicted branches: all fields of an object and its neighbours in memory are prefetched when its frame is
//! opened, and which fields are pointers becomes a mask, not a branch for each.

use super::error::CompactError;
use super::memory::prefetch;
use super::stack::{CHUNK, Frame, Head, LONG, MIN_IMAGE, SHARED, extent};
use super::state::Compactor;
use super::values::Values;
use crate::object::{Kind, Obj};
use olean_reader::format::layout::{MAX_CTOR_TAG, OBJECT_HEADER, TAG_ARRAY, TAG_STRING, align8};

/// What the pointer table holds for an object that is being compacted and could contain itself: no object begins
/// at this offset.
pub(super) const IN_PROGRESS: usize = 0;

/// Where memory is asked for when an object is met, in bytes from it: a walk over objects that are in no cache is
/// led by first children, and nobody knows of these before they are met.
const NEARBY: [isize; 3] = [-512, -192, 192];

impl Compactor {
    /// Compacts what is below `root` and answers the word that stands for it.
    ///
    /// # Safety
    /// As [`Compactor::add_part`].
    pub(super) unsafe fn traverse(&mut self, root: Obj, values: &impl Values) -> Result<usize, CompactError> {
        if root.is_scalar() {
            return Ok(root.0);
        }
        // SAFETY: passed on from the caller; without regions no address is in one.
        unsafe {
            if self.regions.is_empty() {
                self.walk::<false>(root, values)
            } else {
                match self.regions.word(root.0) {
                    Some(word) => Ok(word),
                    None => self.walk::<true>(root, values),
                }
            }
        }
    }

    /// The same for a root that is in no dependency; `REGIONS` says whether there are any.
    ///
    /// # Safety
    /// As [`Compactor::add_part`].
    unsafe fn walk<const REGIONS: bool>(
        &mut self,
        root: Obj,
        values: &impl Values,
    ) -> Result<usize, CompactError> {
        let has_roots = self.has_roots;
        // SAFETY: `frame` is the top frame, `fields` its fields from its chunk on, and each bit of `mask`, or of
        // the mask in the head of a frame below, names a field that still holds the pointer to a live object;
        // all other fields of a chunk hold finished words. A frame above another one stands for the lowest bit of
        // that one's mask. Frames move only in `open` and `meet_other`, which answer where the top frame is then.
        unsafe {
            let mut frame = self.bottom(root)?;
            let mut fields = frame.field(0);
            let mut mask = 1_u32;
            loop {
                while mask == 0 {
                    let head = frame.head();
                    if head.object.get() & LONG != 0 && head.chunk.get() as usize + CHUNK < frame.fields() {
                        mask = self.next_chunk::<REGIONS>(frame);
                        fields = frame.field(head.chunk.get() as usize);
                        continue;
                    }
                    self.settle()?;
                    if head.object.get() == 0 {
                        return Ok(frame.field(0).read());
                    }
                    let below = frame.below();
                    let waiting = below.head();
                    fields = below.field(waiting.chunk.get() as usize);
                    // The bit of the field that the frame stands for.
                    mask = waiting.mask.get();
                    std::hint::assert_unchecked(mask != 0);
                    self.finish(frame, fields.add(mask.trailing_zeros() as usize))?;
                    mask &= mask - 1;
                    frame = below;
                }
                let slot = fields.add(mask.trailing_zeros() as usize);
                let object = Obj(slot.read());
                let header = object.upper_header();
                let kind = Kind::of_header(header);
                if kind.tag > MAX_CTOR_TAG {
                    if kind.tag == TAG_STRING {
                        self.meet_string(object, slot)?;
                        mask &= mask - 1;
                        continue;
                    }
                    frame.head().mask.set(mask);
                    match self.meet_other::<REGIONS>(object, kind, frame, slot, values)? {
                        None => mask &= mask - 1,
                        Some(opened) => {
                            frame = opened;
                            fields = frame.field(0);
                            mask = frame.head().mask.get();
                        }
                    }
                    continue;
                }
                let shared = !is_one(object.rc());
                // Nothing is known of an object with one reference, unless it was the root of an earlier part.
                if (shared || (has_roots && self.root_filter.may_hold(object.0)))
                    && let Some(word) = self.known(object)?
                {
                    slot.write(word);
                    mask &= mask - 1;
                    continue;
                }
                frame.head().mask.set(mask);
                (frame, mask) = self.open::<REGIONS>(object, header, shared, frame, values)?;
                fields = frame.field(0);
            }
        }
    }

    /// The bottom frame: its one field is the root.
    fn bottom(&mut self, root: Obj) -> Result<Frame, CompactError> {
        self.newest.slot = 0;
        let stack = &mut self.scratch.stack;
        // SAFETY: no word is in use. Room is made, then everything written.
        unsafe {
            let bottom = stack.bottom();
            if !stack.fits(bottom, extent(0)) {
                stack.grow(0, extent(0))?;
            }
            let frame = stack.bottom();
            frame.start().cast::<Head>().write(Head {
                object: 0.into(),
                below: 0.into(),
                words: 2.into(),
                chunk: 0.into(),
                mask: 1.into(),
            });
            // The header of an array: there are only fields.
            let header = usize::from(TAG_ARRAY) << 56;
            frame
                .image()
                .cast::<[usize; MIN_IMAGE]>()
                .write([header, root.0, 0, 0]);
            Ok(frame)
        }
    }

    /// Room for a frame of `words` words above `frame`; answers where `frame` is then.
    ///
    /// # Safety
    /// `frame` is on top of the stack.
    #[inline(always)]
    pub(super) unsafe fn room(&mut self, frame: Frame, words: usize) -> Result<Frame, CompactError> {
        // SAFETY: by the caller's word.
        unsafe {
            if self.scratch.stack.fits(frame.above(), words) {
                Ok(frame)
            } else {
                self.more_stack(frame, words)
            }
        }
    }

    /// # Safety
    /// As [`Compactor::room`].
    #[cold]
    #[inline(never)]
    unsafe fn more_stack(&mut self, frame: Frame, words: usize) -> Result<Frame, CompactError> {
        // What is pending and what is newest know a place on the stack.
        self.settle()?;
        self.newest.slot = 0;
        let stack = &mut self.scratch.stack;
        // SAFETY: frames are written without gaps up to the end of the top one, and lie as before relative to
        // the bottom.
        unsafe {
            let bottom = stack.bottom().start();
            let at = frame.start().offset_from_unsigned(bottom);
            let used = frame.above().start().offset_from_unsigned(bottom);
            stack.grow(used, words)?;
            Ok(Frame::at(stack.bottom().start().add(at)))
        }
    }

    /// Opens a frame for the constructor `object` above `below`, and answers it and the mask of its fields.
    /// `header` is the upper half of its header word; `shared` says whether it has to be remembered.
    ///
    /// # Safety
    /// The object is live and has that header; `below` is on top of the stack.
    #[inline(always)]
    unsafe fn open<const REGIONS: bool>(
        &mut self,
        object: Obj,
        header: u32,
        shared: bool,
        below: Frame,
        values: &impl Values,
    ) -> Result<(Frame, u32), CompactError> {
        let mut header = header;
        let kind = Kind::of_header(header);
        let fields = usize::from(kind.other);
        let mut size = usize::from(kind.cs_sz);
        if size < OBJECT_HEADER + 8 * fields {
            // SAFETY: a live object of the host.
            size = unsafe { self.size_of(object, kind, values)? };
            header |= size as u32;
        }
        let words = align8(size) / 8;
        // SAFETY: room is made, then head and image are written. The object has `size` bytes, `fields`
        // pointers first.
        unsafe {
            let below = self.room(below, extent(words))?;
            let frame = below.above();
            frame.start().cast::<Head>().write(Head {
                object: (object.0 | (usize::from(shared) * SHARED)).into(),
                below: (below.extent() as u32).into(),
                words: (words as u32).into(),
                chunk: 0.into(),
                mask: 0.into(),
            });
            // Objects that belong together are made one after the other, mostly what is referred to first.
            for distance in NEARBY {
                prefetch(object.0.wrapping_add_signed(distance));
            }
            let image = frame.image();
            let from = object.ptr().cast::<usize>();
            let whole = size.is_multiple_of(8) && !REGIONS;
            image.write((header as usize) << 32);
            // Most have up to five words behind the header; their number is known to the compiler in each arm.
            let mask = match words {
                1 if whole => take::<1>(from, image, fields),
                2 if whole => take::<2>(from, image, fields),
                3 if whole => take::<3>(from, image, fields),
                4 if whole => take::<4>(from, image, fields),
                5 if whole => take::<5>(from, image, fields),
                6 if whole => take::<6>(from, image, fields),
                _ => {
                    if fields > CHUNK {
                        let object = &frame.head().object;
                        object.set(object.get() | LONG);
                    }
                    image
                        .add(1)
                        .cast::<[usize; MIN_IMAGE - 1]>()
                        .write([0; MIN_IMAGE - 1]);
                    let whole = size / 8;
                    for i in 1..whole {
                        // One by one: most are few.
                        image.add(i).write(from.add(i).read_volatile());
                    }
                    if whole < words {
                        // Scalars do not fill the last word.
                        image.add(whole).write(0);
                        let (from, to) = (from.add(whole).cast::<u8>(), image.add(whole).cast::<u8>());
                        to.copy_from_nonoverlapping(from, size % 8);
                    }
                    self.scan::<REGIONS>(frame)
                }
            };
            Ok((frame, mask))
        }
    }

    /// Goes on to the next fields of the frame, of which there are more; answers their mask.
    ///
    /// # Safety
    /// As [`Compactor::scan`], for the next chunk.
    #[cold]
    #[inline(never)]
    unsafe fn next_chunk<const REGIONS: bool>(&self, frame: Frame) -> u32 {
        // SAFETY: by the caller's word.
        unsafe {
            let chunk = &frame.head().chunk;
            chunk.set(chunk.get() + CHUNK as u32);
            self.scan::<REGIONS>(frame)
        }
    }

    /// The size of a constructor whose header does not say it.
    ///
    /// # Safety
    /// As [`Compactor::open`].
    #[cold]
    #[inline(never)]
    unsafe fn size_of(&self, object: Obj, kind: Kind, values: &impl Values) -> Result<usize, CompactError> {
        let size = match kind.cs_sz {
            // SAFETY: a live object of the host.
            0 => unsafe { values.byte_size(object) },
            n => n.into(),
        };
        let sound = OBJECT_HEADER + 8 * usize::from(kind.other)..=u16::MAX.into();
        let refused = CompactError::Tag {
            address: object.0,
            tag: kind.tag,
        };
        if sound.contains(&size) {
            Ok(size)
        } else {
            Err(refused)
        }
    }

    /// Which of the fields of the frame's chunk have to be compacted: all that are pointers and not into
    /// dependencies, whose words take their places here. Asks for what the next chunk points to.
    ///
    /// # Safety
    /// `frame` is on the stack, the fields from its chunk on are as they were in the object.
    pub(super) unsafe fn scan<const REGIONS: bool>(&self, frame: Frame) -> u32 {
        // SAFETY: by the caller's word.
        unsafe {
            let head = frame.head();
            let rest = frame.fields() - head.chunk.get() as usize;
            let fields = frame.field(head.chunk.get() as usize);
            let mut mask = 0;
            for i in 0..rest.min(CHUNK) {
                let word = fields.add(i).read();
                if word & 1 == 0 {
                    if REGIONS && let Some(word) = self.regions.word(word) {
                        fields.add(i).write(word);
                        continue;
                    }
                    mask |= 1 << i;
                }
            }
            let ahead = if head.chunk.get() == 0 { 0 } else { CHUNK };
            for i in ahead..rest.min(2 * CHUNK) {
                let word = fields.add(i).read();
                if word & 1 == 0 && !(REGIONS && self.regions.word(word).is_some()) {
                    prefetch(word);
                }
            }
            mask
        }
    }

    /// Writes the object of the top frame, whose fields are done, and puts its word into `slot`.
    ///
    /// # Safety
    /// `frame` is the top frame, and `slot` the word for its object in the frame below.
    #[inline(always)]
    unsafe fn finish(&mut self, frame: Frame, slot: *mut usize) -> Result<(), CompactError> {
        // SAFETY: the object is live; its image holds the words of its children.
        unsafe {
            let object = frame.head().object.get();
            if (frame.image().read() >> 56) as u8 <= MAX_CTOR_TAG {
                let (image, words) = (frame.image().cast(), frame.head().words.get() as usize);
                if self.is_new(frame) {
                    let (start, _) = self.emit_ctor::<false>(image, words)?;
                    return self.place_new(object, start, slot);
                }
                if self.next != 0 && self.image_is_next(image, words)? {
                    return self.place_found(object, self.next, 8 * words, slot);
                }
                let (start, hash) = self.emit_ctor::<true>(image, words)?;
                self.place(object, start, hash, slot);
                Ok(())
            } else {
                self.finish_other(frame, slot)
            }
        }
    }

    /// Looks an object up (spec section 6.2). What is left out: an object with a count of 1 or -1 has one
    /// field leading to it and is met once, unless it was the root of an earlier part. Should it come back
    /// in a later part all the same (its owner was taken apart between the parts), it is written again and
    /// then found by its content; only what is never shared by content must be remembered for that.
    #[inline(always)]
    pub(super) fn known(&mut self, object: Obj) -> Result<Option<usize>, CompactError> {
        if self.is_pending(object) {
            self.settle()?;
        }
        match self.scratch.pointers.get(object.0) {
            Some(IN_PROGRESS) => Err(CompactError::Cycle { address: object.0 }),
            known => Ok(known.map(|offset| self.address(offset))),
        }
    }
}

/// Copies an object of `WORDS` words without its header into an image, fills that up to [`MIN_IMAGE`] words, and
/// asks for what its fields point to. Answers which of the fields are pointers.
///
/// # Safety
/// The object at `from` has so many words, `image` room for them and for [`MIN_IMAGE`].
#[inline(always)]
unsafe fn take<const WORDS: usize>(from: *const usize, image: *mut usize, fields: usize) -> u32 {
    let mut mask = 0_usize;
    // SAFETY: by the caller's word.
    unsafe {
        for i in 1..WORDS {
            let word = from.add(i).read();
            image.add(i).write(word);
            mask |= (!word & 1) << (i - 1);
        }
        mask &= (1 << fields) - 1;
        for i in 1..WORDS {
            // A choice between two addresses, not between two ways.
            let pointer = 0_usize.wrapping_sub(mask >> (i - 1) & 1);
            prefetch(from.add(i).read() & pointer | from as usize & !pointer);
        }
        for i in WORDS..MIN_IMAGE {
            image.add(i).write(0);
        }
    }
    mask as u32
}

/// Whether a count is 1, or -1 as several threads count.
#[inline(always)]
pub(super) fn is_one(rc: i32) -> bool {
    // 1 becomes 2 and -1 becomes 0; no other number becomes either.
    rc.wrapping_add(1) & !2 == 0
}
