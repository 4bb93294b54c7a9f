//! The walk over a graph of live objects: depth first, children in ascending order, a parent right after
//! its last child, on a stack of its own in memory, so that the deepest graph cannot overflow the thread's stack.
//!
//! An object is read once. When the walk meets it, its words are copied into a new frame. There the *word* of each
//! child that is finished (what stands for it in the file: its address there, or a scalar) replaces the pointer to
//! the child. When all are replaced, the frame's image is the object as it is written. An object with one reference
//! has one field leading to it, so it is neither looked up nor remembered; see `Compactor::known` for the exceptions.
//! What the walk waits for is memory and mispredicted branches: all fields of an object and its neighbours in memory
//! are prefetched when its frame is opened, and which fields are pointers becomes a mask, not a branch for each.

use super::error::CompactError;
use super::stack::{CHUNK, Frame, Head, LONG, MIN_IMAGE, SHARED, extent};
use super::state::Compactor;
use super::values::Values;
use crate::object::Obj;
use crate::object::region::{BASE_ADDR, BUFFER_OFFSET, ROOT, is_region_structure};
use crate::os::prefetch::prefetch;
use olean_reader::format::object::{
    MAX_CTOR_TAG, OBJECT_HEADER, ObjectHeader, TAG_ARRAY, TAG_STRING, align8,
};

/// What the pointer table holds, instead of an offset, for an object whose frame is open and that could contain
/// itself. No object begins at offset 0, where the header of the first part is.
pub(super) const IN_PROGRESS: usize = 0;

/// When an object is met, cache lines at these distances from it, in bytes, are prefetched. The walk goes on to its
/// first child, whose address nobody knew before and which was mostly allocated just before or after it.
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
        if self.regions.is_empty() {
            // SAFETY: no scalar, and a live object with a live graph by the contract; there is no dependency to be in.
            return unsafe { self.walk::<false>(root, values) };
        }
        match self.regions.in_file(root.0) {
            Some(word) => Ok(word),
            // SAFETY: no scalar, and a live object with a live graph by the contract; no dependency holds it.
            None => unsafe { self.walk::<true>(root, values) },
        }
    }

    /// Compacts what is below `root`; `REGIONS` says whether there are dependencies.
    ///
    /// # Safety
    /// `root` is no scalar and lies in no dependency; besides as [`Compactor::add_part`].
    unsafe fn walk<const REGIONS: bool>(
        &mut self,
        root: Obj,
        values: &impl Values,
    ) -> Result<usize, CompactError> {
        // What holds whenever a loop begins, and what the proofs below rest on:
        // * `frame` is the top frame, and `fields` the first field of its chunk;
        // * a bit of `mask` names a field of that chunk, the lowest bit the first one, which holds the pointer to a
        //   live object that is in no dependency; every other field up to the chunk's end holds a finished word;
        // * the same is true of every frame below and the chunk and mask in its head, and the lowest bit of that mask
        //   names the field that the frame above stands for.
        // The stack grows only in `open` and `meet_other`, which answer where the top frame is then.
        let mut frame = self.bottom(root)?;
        let mut fields = frame.field(0);
        let mut mask = 1_u32;
        loop {
            while mask == 0 {
                // SAFETY: the top frame is on the stack, which does not grow before `head` was used last.
                let head = unsafe { frame.head() };
                let long = head.object.get() & LONG != 0;
                // SAFETY: the top frame is on the stack.
                if long && head.chunk.get() as usize + CHUNK < unsafe { frame.fields() } {
                    // SAFETY: the fields behind the finished chunk are as they were copied from the object.
                    mask = unsafe { self.next_chunk::<REGIONS>(frame) };
                    fields = frame.field(head.chunk.get() as usize);
                    continue;
                }
                self.settle()?;
                if head.object.get() == 0 {
                    // SAFETY: the bottom frame's one field, which `bottom` wrote.
                    return Ok(unsafe { frame.field(0).read() });
                }
                // SAFETY: only the bottom frame has no object, so there is a frame below this one.
                let below = unsafe { frame.below() };
                // SAFETY: that frame is on the stack, which does not grow before `waiting` was used last.
                let waiting = unsafe { below.head() };
                fields = below.field(waiting.chunk.get() as usize);
                mask = waiting.mask.get();
                // SAFETY: `frame` stands for the lowest bit of this mask, so there is one.
                unsafe { std::hint::assert_unchecked(mask != 0) };
                // SAFETY: the bit names a field of the chunk that `fields` begins.
                let slot = unsafe { fields.add(mask.trailing_zeros() as usize) };
                // SAFETY: the top frame, in which every field is finished; `slot` is the field that it stands for.
                unsafe { self.finish(frame, slot)? };
                mask &= mask - 1;
                frame = below;
            }
            // SAFETY: the lowest bit of `mask` names a field of the chunk that `fields` begins.
            let slot = unsafe { fields.add(mask.trailing_zeros() as usize) };
            // SAFETY: a field of the top frame, which holds the pointer to a live object.
            let object = Obj(unsafe { slot.read() });
            // SAFETY: that object is live.
            let header = unsafe { object.upper_header() };
            let kind = ObjectHeader::of_upper(header);
            if kind.tag > MAX_CTOR_TAG {
                if kind.tag == TAG_STRING {
                    // SAFETY: a live string, and its place in the top frame.
                    unsafe { self.meet_string(object, slot)? };
                    mask &= mask - 1;
                    continue;
                }
                // SAFETY: the top frame is on the stack.
                unsafe { frame.head() }.mask.set(mask);
                // SAFETY: a live object of this kind, its place in the top frame, and that frame.
                match unsafe { self.meet_other::<REGIONS>(object, kind, frame, slot, values)? } {
                    None => mask &= mask - 1,
                    Some(opened) => {
                        frame = opened;
                        fields = frame.field(0);
                        // SAFETY: the frame that was opened is the top one now.
                        mask = unsafe { frame.head() }.mask.get();
                    }
                }
                continue;
            }
            // SAFETY: the object is live.
            let shared = !is_one(unsafe { object.rc() });
            if shared && let Some(word) = self.known(object)? {
                // SAFETY: a field of the top frame.
                unsafe { slot.write(word) };
                mask &= mask - 1;
                continue;
            }
            // SAFETY: the top frame is on the stack.
            unsafe { frame.head() }.mask.set(mask);
            // SAFETY: a live constructor with this header; `frame` is the top frame.
            (frame, mask) = unsafe { self.open::<REGIONS>(object, header, shared, frame, values)? };
            fields = frame.field(0);
        }
    }

    /// Writes the bottom frame, which has no object; its one field is the root.
    fn bottom(&mut self, root: Obj) -> Result<Frame, CompactError> {
        self.newest.slot = 0;
        let stack = &mut self.scratch.stack;
        // SAFETY: the stack is empty, so that growing it loses nothing; the frame has room and all of its words are
        // written.
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
            // As for an array, the number of fields follows from the number of words.
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
        // SAFETY: the frame is on top of the stack, by the contract.
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
        // Both `pending` and `newest` hold an address on the stack, which is about to move.
        self.settle()?;
        self.newest.slot = 0;
        let stack = &mut self.scratch.stack;
        // SAFETY: frames lie one behind the other from the bottom to the end of the top one, all words written, so the
        // first `used` words are; afterwards each lies as far from the bottom as before.
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
        let kind = ObjectHeader::of_upper(header);
        let fields = usize::from(kind.other);
        let mut size = usize::from(kind.cs_sz);
        if size < OBJECT_HEADER + 8 * fields {
            // SAFETY: a live object of the host.
            size = unsafe { self.size_of(object, kind, values)? };
            header |= size as u32;
        }
        let words = align8(size) / 8;
        // SAFETY: `room` answers the frame below and that `extent(words)` words above it are free; head and image are
        // written there. The live object has `size` bytes, that is header and `fields` pointers at least, and no more
        // are read.
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
                2 if REGIONS && size == 16 => self.take_some::<2>(from, image, fields),
                3 if REGIONS && size == 24 => self.take_some::<3>(from, image, fields),
                4 if REGIONS && size == 32 => self.take_some::<4>(from, image, fields),
                5 if REGIONS && size == 40 => self.take_some::<5>(from, image, fields),
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
                    if is_region_structure(ObjectHeader::of_upper(header)) {
                        root_of_structure(image, values);
                    }
                    self.scan::<REGIONS>(frame)
                }
            };
            Ok((frame, mask))
        }
    }

    /// As [`take`], where there are dependencies: the words of fields that lead into them are in the image then.
    ///
    /// # Safety
    /// As [`take`].
    #[inline(always)]
    unsafe fn take_some<const WORDS: usize>(
        &self,
        from: *const usize,
        image: *mut usize,
        fields: usize,
    ) -> u32 {
        let mut mask = 0;
        // SAFETY: both have the words that are read and written, by the contract.
        unsafe {
            for i in 1..WORDS {
                let mut word = from.add(i).read();
                if i <= fields && word & 1 == 0 {
                    if let Some(in_file) = self.regions.in_file(word) {
                        word = in_file;
                    } else {
                        mask |= 1 << (i - 1);
                        self.ask_for::<true>(word);
                    }
                }
                image.add(i).write(word);
            }
            for i in WORDS..MIN_IMAGE {
                image.add(i).write(0);
            }
        }
        mask
    }

    /// Goes on to the next fields of the frame, of which there are more; answers their mask.
    ///
    /// # Safety
    /// As [`Compactor::scan`], for the next chunk.
    #[cold]
    #[inline(never)]
    unsafe fn next_chunk<const REGIONS: bool>(&self, frame: Frame) -> u32 {
        // SAFETY: the frame is on the stack, and there are fields behind its chunk, by the contract.
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
    unsafe fn size_of(
        &self,
        object: Obj,
        kind: ObjectHeader,
        values: &impl Values,
    ) -> Result<usize, CompactError> {
        let size = match kind.cs_sz {
            // SAFETY: a live object of the host.
            0 => unsafe { values.byte_size(object) },
            n => n.into(),
        };
        let sound = OBJECT_HEADER + 8 * usize::from(kind.other)..=u16::MAX.into();
        let refused = CompactError::Size {
            address: object.0,
            tag: kind.tag,
            fields: kind.other,
            size,
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
        // SAFETY: the frame is on the stack by the contract, and only its fields are read and written.
        unsafe {
            let head = frame.head();
            let rest = frame.fields() - head.chunk.get() as usize;
            let fields = frame.field(head.chunk.get() as usize);
            let mut mask = 0;
            for i in 0..rest.min(CHUNK) {
                let word = fields.add(i).read();
                if word & 1 == 0 {
                    if REGIONS && let Some(in_file) = self.regions.in_file(word) {
                        fields.add(i).write(in_file);
                        continue;
                    }
                    mask |= 1 << i;
                    if REGIONS || head.chunk.get() == 0 {
                        self.ask_for::<REGIONS>(word);
                    }
                }
            }
            for i in CHUNK..rest.min(2 * CHUNK) {
                let word = fields.add(i).read();
                // With dependencies only for what is known at a glance not to be in one.
                if word & 1 == 0 && (!REGIONS || self.regions.surely_outside(word)) {
                    self.ask_for::<REGIONS>(word);
                }
            }
            mask
        }
    }

    /// Asks for the object at `address`, and with dependencies for its place in the pointer table as well: what refers to
    /// dependencies is the state of a whole process, in which most fields lead to shared objects, met before.
    #[inline(always)]
    fn ask_for<const REGIONS: bool>(&self, address: usize) {
        prefetch(address);
        if REGIONS {
            self.scratch.pointers.prefetch(address);
        }
    }

    /// Writes the object of the top frame, whose fields are done, and puts its word into `slot`.
    ///
    /// # Safety
    /// `frame` is the top frame, and `slot` the word for its object in the frame below.
    #[inline(always)]
    unsafe fn finish(&mut self, frame: Frame, slot: *mut usize) -> Result<(), CompactError> {
        // SAFETY: the top frame and its object's place in the frame below, by the contract; the image of a constructor
        // has as many initialised words as its head says.
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

    /// The word of an object that was written before. Not asked for objects with a count of 1 or -1: one field leads
    /// to such an object, so the walk meets it once. Should it come back in a later part all the same (it was the
    /// root of an earlier one, or what held it was taken apart between the parts), it is written again and then found
    /// by its content; only what is never shared by content must be remembered for that.
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
    // SAFETY: both have the words that are read and written, by the contract.
    unsafe {
        for i in 1..WORDS {
            let word = from.add(i).read();
            image.add(i).write(word);
            mask |= (!word & 1) << (i - 1);
        }
        mask &= (1 << fields) - 1;
        for i in 1..WORDS {
            // A choice between two addresses costs no branch.
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

/// The structure of a region says how far its root lies from the region, which differs from process to process if the
/// root is a copy: in files that is how far the root itself does.
///
/// # Safety
/// An object with a header of that kind has been copied to `image`, the words behind its header as they are.
#[cold]
#[inline(never)]
unsafe fn root_of_structure(image: *mut usize, values: &impl Values) {
    // SAFETY: the words of a structure, by the contract.
    unsafe {
        let (root, behind) = (image.add(ROOT / 8).read(), image.add(BUFFER_OFFSET / 8));
        if let Some(in_files) = values.copied_root(root.wrapping_sub(behind.read()), root) {
            behind.write(in_files.wrapping_sub(image.add(BASE_ADDR / 8).read()));
        }
    }
}
