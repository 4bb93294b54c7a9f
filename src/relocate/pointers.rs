//! Marked words of a region translated from what they mean in its file to where region and dependencies lie now. Most
//! are pointers into the region itself and are done by `lanes`; a group that holds another one is done word by word.
//! A pointer into a dependency has to lead into it, and where that is in memory already, to something that an object
//! can begin with.
#![forbid(unsafe_code)]

use super::fault::{Fault, Wrong};
use super::finder::Finder;
use super::lanes::{GROUP, Own, translate_own};
use crate::dependencies::RegionView;
use olean_reader::format::object::{Kind, OBJECT_HEADER, ObjectHeader};

/// The first words of objects in dependencies.
pub trait Heads {
    /// Whether pointers into `dep` are to be looked at: it is in memory, and so that costs little.
    fn are_seen(&self, dep: &RegionView) -> bool;
    /// The word at the live address `at`, where a word of a dependency lies that is to be looked at.
    fn word(&self, at: u64) -> u64;
}

/// Whether an object can begin with `word`.
fn is_head(word: u64) -> bool {
    let header = ObjectHeader::of_word(word);
    let fields = OBJECT_HEADER + 8 * usize::from(header.other);
    word as u32 == 0
        && header
            .kind()
            .is_some_and(|kind| kind != Kind::Ctor || usize::from(header.cs_sz) >= fields)
}

/// What pointers are translated by.
pub(super) struct Pointers<'a, H> {
    own: Own,
    deps: Finder<'a>,
    last: RegionView,
    /// Whether pointers into `last` are looked at.
    seen: bool,
    heads: H,
}

impl<'a, H: Heads> Pointers<'a, H> {
    /// For a region whose objects begin at `objects` in terms of the file, have `length` bytes and lie `delta`
    /// further; `deps` are sorted by base address.
    pub(super) fn new(objects: u64, length: usize, delta: u64, deps: &'a [RegionView], heads: H) -> Self {
        Pointers {
            own: Own {
                objects,
                length: length as u64,
                delta,
            },
            deps: Finder::new(deps),
            last: RegionView {
                begin: 0,
                size: 0,
                base: 0,
            },
            seen: false,
            heads,
        }
    }

    /// Address in the file of the first object.
    pub(super) fn objects(&self) -> u64 {
        self.own.objects
    }

    /// Bytes of all objects.
    pub(super) fn length(&self) -> u64 {
        self.own.length
    }

    /// Translates the words that `marks` marks; boxed scalars among them stay. Words that do not change are
    /// not written where the region landed, so that it keeps its clean pages.
    ///
    /// # Errors
    /// The first pointer that leads nowhere.
    pub(super) fn translate(&mut self, words: &mut [u64], marks: &[u8]) -> Result<(), Wrong> {
        let mut from = 0;
        while let Some(at) = translate_own(self.own, &mut words[from..], &marks[from..]) {
            let at = from + at;
            let end = words.len().min(at + GROUP);
            for (i, word) in words[at..end].iter_mut().enumerate() {
                if marks[at + i] != 0 && *word & 1 == 0 {
                    let new = self.pointer(*word).map_err(|fault| (at + i, fault))?;
                    if new != *word {
                        *word = new;
                    }
                }
            }
            from = end;
        }
        Ok(())
    }

    /// The live address for a pointer of the file.
    #[inline]
    fn pointer(&mut self, pointer: u64) -> Result<u64, Fault> {
        if self.own.holds(pointer) {
            return Ok(pointer.wrapping_add(self.own.delta));
        }
        if pointer & 7 != 0 {
            return Err(Fault::Unaligned(pointer));
        }
        if pointer.wrapping_sub(self.last.base) >= self.last.size as u64 {
            self.last = self.deps.meant_by(pointer).ok_or(Fault::Pointer(pointer))?;
            self.seen = self.heads.are_seen(&self.last);
        }
        let offset = pointer - self.last.base;
        let at = self.last.begin as u64 + offset;
        if self.seen && (self.last.size as u64 - offset < 8 || !is_head(self.heads.word(at))) {
            return Err(Fault::NoObject(pointer));
        }
        Ok(at)
    }
}
