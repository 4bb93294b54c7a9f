//! Which loaded library a code address belongs to, and what the dynamic linker knows of that library. The
//! list is kept until the linker says that it has changed.

use std::sync::Arc;

use libc::{Elf64_Phdr, PF_R, PF_X, PT_DYNAMIC, PT_LOAD, PT_NOTE};

use super::linker::{Listed, each_listed};
use super::lock::Lock;

/// A range of addresses, `start` included, `end` not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First address.
    pub start: usize,
    /// First address beyond.
    pub end: usize,
}

impl Range {
    /// Whether `address` and the `len` bytes from it on lie in the range.
    #[must_use]
    pub fn holds(&self, address: usize, len: usize) -> bool {
        address >= self.start
            && self
                .end
                .checked_sub(address)
                .is_some_and(|left| left >= len.max(1))
    }
}

/// A loaded segment of a library (`PT_LOAD`).
#[derive(Debug, Clone, Copy)]
pub struct Segment {
    /// The addresses it occupies in this process.
    pub range: Range,
    /// Mapped readable (`PF_R`).
    pub readable: bool,
    /// Mapped executable (`PF_X`).
    pub executable: bool,
}

/// A loaded library, as it was when the list was taken. What its ranges lead to may be gone by now: only
/// [`while_loaded`] shows ranges that may be read.
#[derive(Debug, Clone)]
pub struct Library {
    /// `dlpi_name`, byte for byte: what the incumbent writes as the library's id. Empty for the main program.
    pub(crate) id: Vec<u8>,
    /// `dlpi_addr`: what was added to the addresses in the file.
    pub(crate) base: usize,
    /// Its loaded segments.
    pub(crate) segments: Vec<Segment>,
    /// Its note segments (`PT_NOTE`).
    pub(crate) notes: Vec<Range>,
    /// Its dynamic section (`PT_DYNAMIC`).
    pub(crate) dynamic: Option<Range>,
    /// Its program headers: type, flags, and the fields offset, vaddr, filesz, memsz and align. None of them
    /// depends on where it was loaded.
    pub(crate) headers: Vec<[u64; 7]>,
}

impl Library {
    /// How the library is called in messages: its id, or what an empty id stands for.
    #[must_use]
    pub fn name(&self) -> String {
        display_id(&self.id)
    }

    /// Whether `len` bytes from `address` on lie in a segment that can be read.
    #[must_use]
    pub fn readable(&self, address: usize, len: usize) -> bool {
        self.segments
            .iter()
            .any(|s| s.readable && s.range.holds(address, len))
    }

    /// The executable segment that `address` lies in.
    #[must_use]
    pub fn code_segment(&self, address: usize) -> Option<&Segment> {
        self.segments
            .iter()
            .find(|s| s.executable && s.range.holds(address, 1))
    }
}

/// A library's id for messages: the empty id is the main program's.
#[must_use]
pub fn display_id(id: &[u8]) -> String {
    if id.is_empty() {
        "the main program".to_owned()
    } else {
        String::from_utf8_lossy(id).into_owned()
    }
}

/// The libraries loaded at one moment.
#[derive(Debug)]
pub struct Libraries {
    /// All of them, in the linker's order: the main program comes first.
    pub list: Vec<Library>,
    /// Executable segments by start address; without a library where two of them overlap.
    code: Vec<(Range, Option<usize>)>,
    /// `dlpi_adds` and `dlpi_subs` at that moment.
    generation: (u64, u64),
}

impl Libraries {
    /// The place in [`Self::list`] of the only library with an executable segment around `address`.
    #[must_use]
    pub fn of_code(&self, address: usize) -> Option<usize> {
        let after = self.code.partition_point(|(range, _)| range.start <= address);
        let (range, library) = self.code.get(after.checked_sub(1)?)?;
        if range.holds(address, 1) { *library } else { None }
    }

    fn new(list: Vec<Library>, generation: (u64, u64)) -> Self {
        let mut code = Vec::new();
        for (index, library) in list.iter().enumerate() {
            let segments = library.segments.iter().filter(|s| s.executable);
            code.extend(segments.map(|s| (s.range, Some(index))));
        }
        code.sort_by_key(|(range, _)| range.start);
        let mut highest = 0;
        for i in 0..code.len() {
            if i > 0 && code[i].0.start < code[highest].0.end {
                code[i].1 = None;
                code[highest].1 = None;
            }
            if code[i].0.end > code[highest].0.end {
                highest = i;
            }
        }
        Self {
            list,
            code,
            generation,
        }
    }
}

/// The libraries loaded now. Asks the linker only whether its list has changed since the last call.
#[must_use]
pub fn loaded() -> Arc<Libraries> {
    static LAST: Lock<Option<Arc<Libraries>>> = Lock::new(None);
    let now = generation();
    let known = LAST.lock().clone();
    if let Some(known) = known
        && known.generation == now
    {
        return known;
    }
    let mut list = Vec::new();
    let mut generation = (0, 0);
    each_listed(|listed| {
        generation = listed.generation();
        list.push(describe(listed));
        false
    });
    let fresh = Arc::new(Libraries::new(list, generation));
    // What was kept before goes when the lock is free again.
    let before = LAST.lock().replace(Arc::clone(&fresh));
    drop(before);
    fresh
}

/// Shows the library at the place of `library`, as it is now, to `f` while it cannot be unloaded; `None` when there is
/// none of that id any more. It need not be the same one: a library may have been unloaded and another version of it
/// loaded in its place since `library` was described.
///
/// `f` runs under the dynamic linker's lock and must not load or unload libraries.
pub fn while_loaded<R>(library: &Library, f: impl FnOnce(&Library) -> R) -> Option<R> {
    let mut f = Some(f);
    let mut result = None;
    each_listed(|listed| {
        let here = listed.base() == library.base && listed.name().to_bytes() == library.id;
        if here && let Some(f) = f.take() {
            result = Some(f(&describe(listed)));
        }
        here
    });
    result
}

/// How often the linker has loaded and unloaded libraries.
fn generation() -> (u64, u64) {
    let mut now = (0, 0);
    each_listed(|listed| {
        now = listed.generation();
        true
    });
    now
}

fn describe(listed: &Listed) -> Library {
    let base = listed.base();
    let headers = listed.headers();
    let range = |p: &Elf64_Phdr| {
        let start = base.wrapping_add(p.p_vaddr as usize);
        Range {
            start,
            end: start.saturating_add(p.p_memsz as usize),
        }
    };
    let of_type = |wanted: u32| headers.iter().filter(move |p| p.p_type == wanted);
    Library {
        id: listed.name().to_bytes().to_vec(),
        base,
        segments: of_type(PT_LOAD)
            .map(|p| Segment {
                range: range(p),
                readable: p.p_flags & PF_R != 0,
                executable: p.p_flags & PF_X != 0,
            })
            .collect(),
        notes: of_type(PT_NOTE).map(range).collect(),
        dynamic: of_type(PT_DYNAMIC).map(range).next(),
        headers: headers
            .iter()
            .map(|p| {
                let kind = u64::from(p.p_type) | u64::from(p.p_flags) << 32;
                [
                    kind, p.p_offset, p.p_vaddr, p.p_paddr, p.p_filesz, p.p_memsz, p.p_align,
                ]
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn library(id: &str, ranges: &[(usize, usize, bool)]) -> Library {
        let segments = ranges
            .iter()
            .map(|&(start, end, executable)| Segment {
                range: Range { start, end },
                readable: true,
                executable,
            })
            .collect();
        let id = id.as_bytes().to_vec();
        Library {
            id,
            base: 0,
            segments,
            notes: vec![],
            dynamic: None,
            headers: vec![],
        }
    }

    #[test]
    fn own_code_belongs_to_the_main_program_and_libc_to_libc() {
        let libraries = loaded();
        let own = libraries.of_code(own_code_belongs_to_the_main_program_and_libc_to_libc as fn() as usize);
        let own = &libraries.list[own.expect("the test program is listed")];
        assert_eq!(
            (own.id.as_slice(), own.name().as_str()),
            (&b""[..], "the main program")
        );
        let libc = libraries
            .of_code(libc::getpid as *const () as usize)
            .expect("libc is listed");
        assert!(
            libraries.list[libc].name().contains("libc.so"),
            "{}",
            libraries.list[libc].name()
        );
    }

    #[test]
    fn heap_stack_data_and_nothing_belong_to_no_library() {
        static DATA: u64 = 1;
        let libraries = loaded();
        let heap = Box::new(0u64);
        for address in [
            &raw const *heap as usize,
            &raw const heap as usize,
            &raw const DATA as usize,
            0,
            usize::MAX,
        ] {
            assert_eq!(libraries.of_code(address), None, "{address:#x}");
        }
    }

    #[test]
    fn gaps_ends_and_data_segments_are_told_apart() {
        let list = vec![
            library("a", &[(100, 200, false), (200, 300, true), (400, 500, true)]),
            library("b", &[(300, 400, true)]),
        ];
        let libraries = Libraries::new(list, (0, 0));
        let found = [150, 199, 200, 299, 300, 399, 400, 499, 500].map(|a| libraries.of_code(a));
        assert_eq!(
            found,
            [
                None,
                None,
                Some(0),
                Some(0),
                Some(1),
                Some(1),
                Some(0),
                Some(0),
                None
            ]
        );
    }

    #[test]
    fn overlapping_code_belongs_to_nobody() {
        let list = vec![
            library("wide", &[(100, 500, true)]),
            library("inside", &[(200, 300, true)]),
            library("inside too", &[(350, 360, true)]),
            library("apart", &[(500, 600, true)]),
        ];
        let libraries = Libraries::new(list, (0, 0));
        assert_eq!([150, 250, 355].map(|a| libraries.of_code(a)), [None; 3]);
        assert_eq!(libraries.of_code(550), Some(3));
    }

    #[test]
    fn the_list_is_kept_until_something_is_loaded() {
        // Other tests of this process may load libraries in between, but not every time.
        assert!((0..1000).any(|_| Arc::ptr_eq(&loaded(), &loaded())));
        let listed = || loaded().list.iter().any(|l| l.name().contains("libutil.so"));
        assert!(!listed());
        // SAFETY: the library has no initialisers with side effects.
        let library = unsafe { libloading::Library::new("libutil.so.1") }.expect("part of the C library");
        assert!(listed());
        drop(library);
        assert!(!listed());
    }

    #[test]
    fn a_library_that_is_gone_runs_nothing() {
        let libraries = loaded();
        assert_eq!(while_loaded(&libraries.list[0], |_| 5), Some(5));
        let mut moved = libraries.list[0].clone();
        moved.base += 4096;
        assert_eq!(while_loaded(&moved, |_| 5), None);
    }

    #[test]
    fn a_library_is_looked_at_as_it_is_and_not_as_it_was() {
        // As if what lay there before had been larger.
        let mut before = loaded().list[0].clone();
        let sizes = |l: &Library| -> Vec<Range> { l.segments.iter().map(|s| s.range).collect() };
        let now = sizes(&before);
        for segment in &mut before.segments {
            segment.range.end += 1 << 30;
        }
        before.notes.push(Range { start: 8, end: 16 });
        assert_eq!(while_loaded(&before, sizes), Some(now));
        assert_eq!(
            while_loaded(&before, |l| l.notes.contains(&Range { start: 8, end: 16 })),
            Some(false)
        );
    }

    #[test]
    fn a_panic_inside_comes_out() {
        let libraries = loaded();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            while_loaded(&libraries.list[0], |_| panic!("inside"))
        }));
        assert!(caught.is_err());
        assert_eq!(while_loaded(&libraries.list[0], |_| 1), Some(1));
    }
}
