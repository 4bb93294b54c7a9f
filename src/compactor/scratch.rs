//! The memory of a compactor, kept for the next one within bounds: without that, a small save spends most of its time
//! on page faults of fresh memory.

use super::buffer::Buffer;
use super::marks::Marks;
use super::pointer_table::PointerTable;
use super::sharing_table::SharingTable;
use super::stack::Stack;
use crate::os::lock::Lock;

/// Sets of memory that are kept: one for each thread that saves at the same time, within reason.
const KEEP: usize = 2;
/// A buffer that grew beyond this is given back to the system.
const KEEP_BUFFER: usize = 16 << 20;
/// A stack that grew beyond this many words is given back.
const KEEP_STACK: usize = 64 << 10;

/// Buffer, tables and stack.
#[derive(Default)]
pub struct Scratch {
    /// The bytes of all parts.
    pub buffer: Buffer,
    /// Objects by address.
    pub pointers: PointerTable,
    /// Objects by content.
    pub sharing: SharingTable,
    /// Frames of the traversal and the words of finished children.
    pub stack: Stack,
    /// Objects that may have to be entered late.
    pub marks: Marks,
}

static KEPT: Lock<[Option<Scratch>; KEEP]> = Lock::new([const { None }; KEEP]);

impl Scratch {
    /// Empty memory, used before if there is any.
    pub fn take() -> Self {
        let kept = KEPT.lock().iter_mut().find_map(Option::take);
        kept.unwrap_or_default()
    }

    /// Empties the memory and keeps it for later, as far as it is small.
    pub fn give_back(mut self) {
        // Where requests for memory are made to fail, there have to be some.
        if self.buffer.capacity() == 0 && self.stack.capacity() == 0 || cfg!(feature = "fault-injection") {
            return;
        }
        if self.buffer.capacity() > KEEP_BUFFER {
            self.buffer = Buffer::new();
        }
        if self.stack.capacity() > KEEP_STACK {
            self.stack = Stack::default();
        }
        self.buffer.clear();
        self.pointers.clear();
        self.sharing.clear();
        self.marks.clear();
        // What finds no place is released after the lock.
        let mut kept = KEPT.lock();
        if let Some(place) = kept.iter_mut().find(|place| place.is_none()) {
            *place = Some(self);
        }
    }
}
