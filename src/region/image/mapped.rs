//! The image in memory: its file mapped at its address and checked as far as that is cheap, its tables, and which
//! regions are taken.

use super::facts::Facts;
use super::{chain, own};
use crate::compactor::RootCopyAt;
use crate::dependencies::RegionView;
use crate::os::file::{File, errno_text, stat_of};
use crate::os::image_use::{ABSENT, Alone, SERVED, STALE, all_saves};
use crate::os::map::Missed;
use crate::os::page::page_size;
use crate::os::whole_file::WholeFile;
use crate::region::closures::libraries::MissingCode;
use crate::region::error::ReadError;
use crate::region::examine::{LookedAt, identity_of};
use olean_reader::DepBytes;
use olean_reader::format::header::field_text;
use olean_reader::format::identity::Identity;
use olean_reader::format::image::header::{HEADER_END, Header, Layout};
use olean_reader::format::image::path::{absolute, is_absolute};
use olean_reader::format::image::tables::Found;
use olean_reader::format::image::{Digest, Entry, Section, Tables, root_copy};
use once_cell::race::OnceBool;
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};

/// Nobody has the region.
const FREE: u8 = 0;
/// Somebody has it who must have it alone.
const HELD: u8 = 1;
/// It may have been written to, or was found to be damaged: not given out again.
const SPENT: u8 = 2;

/// After so many files in a row that had to be read, the next one is opened before it is looked for.
const MISSED: u32 = 4;

/// An image that is mapped for the life of the process.
pub struct Mapped {
    tables: Tables<'static>,
    size: u64,
    /// Whether files are known by their paths alone.
    trust: bool,
    /// Whether several readers may have a region that nothing writes to: freeing one of their structures says which.
    shares: bool,
    /// Whether there is no other loader in this process.
    only: bool,
    /// What is known of each region that is not shared.
    states: Box<[AtomicU8]>,
    live: Alone<AtomicUsize>,
    /// How many files in a row had to be read, as far as that counts.
    missed: AtomicU32,
    /// Whether the digests are what was written, once somebody has asked for one.
    digests: OnceBool,
}

/// The entry of a file that was asked for.
#[derive(Clone, Copy)]
pub struct Candidate {
    index: u32,
    entry: Entry,
}

impl Mapped {
    /// Maps the image `path` for a host with these flags and that git hash, if it tells one; `only` says whether there is no
    /// other loader in this process.
    ///
    /// # Errors
    /// Why it cannot be used, and what to do; nothing stays mapped.
    pub fn open(
        path: &Path,
        flags: u8,
        githash: Option<&[u8; 40]>,
        trust: bool,
        shares: bool,
        only: bool,
    ) -> Result<Self, String> {
        let name =
            CString::new(path.as_os_str().as_bytes()).map_err(|_| "its name contains a NUL".to_owned())?;
        let io = |what: &str, e: &std::io::Error| format!("it cannot be {what}: {}", errno_text(e));
        let file = File::open(&name).map_err(|e| io("opened", &e))?;
        let size = file.stat().map_err(|e| io("looked at", &e))?.st_size as u64;
        let mut start = [0; HEADER_END];
        let got = file.read_at(&mut start, 0).map_err(|e| io("read", &e))?;
        let anew = |e: &dyn std::fmt::Display| format!("{e}; build it again with olean image build");
        let (header, layout) =
            Header::decode(&start[..got], size, page_size() as u64).map_err(|e| anew(&e))?;
        if header.flags != flags || githash.is_some_and(|g| *g != header.githash) {
            return Err(anew(&format!(
                "it is made of files of Lean {} {} (flags {}), and this is another Lean",
                field_text(&header.lean_version),
                field_text(&header.githash),
                header.flags
            )));
        }
        let bytes = usize::try_from(size).map_err(|_| "it is too large for this system".to_owned())?;
        let (base, end) = (header.base, header.base.saturating_add(size));
        let mut mapping = WholeFile::map_at(&file, bytes, base).map_err(|e| match e {
            Missed::Taken => format!(
                "something else lies in its range of addresses, {base:#x} to {end:#x}; build it again with another --base"
            ),
            Missed::Low => {
                format!("its base address {base:#x} is too low to be mapped at; build it again with another --base")
            }
            Missed::Refused(e) => io("mapped", &e),
            Missed::Scarce => "this process has nearly all mappings that vm.max_map_count allows it".to_owned(),
        })?;
        // The header's counts fit in the file, so these numbers fit in memory.
        let tables_end = layout.tables_end() as usize;
        let check = |header: &Header, layout: &Layout| {
            let tables = Tables::new(header, layout, mapping.head(tables_end))?;
            tables.check_index()?;
            tables.check_roots()?;
            if trust { tables.check_paths() } else { Ok(()) }
        };
        check(&header, &layout).map_err(|e| anew(&e))?;
        let changeable = layout.changeable.start as usize..layout.changeable.end as usize;
        if !changeable.is_empty() {
            mapping
                .make_writable(&changeable)
                .map_err(|e| io("made writable where it has to be", &e))?;
            // Snapshots, for the most part, which are walked whole.
            mapping.read_in_large_pieces(&changeable);
        }
        let states = (0..header.counts.entries).map(|_| AtomicU8::new(FREE)).collect();
        let (header, layout) = (Box::leak(Box::new(header)), Box::leak(Box::new(layout)));
        let tables = Tables::new(header, layout, mapping.leak(tables_end)).map_err(|e| anew(&e))?;
        Ok(Self {
            tables,
            size,
            trust,
            shares,
            only,
            states,
            live: Alone::default(),
            missed: AtomicU32::new(0),
            digests: OnceBool::new(),
        })
    }

    /// How many regions there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.tables.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry of the file `path`, if it is what it was.
    #[must_use]
    pub fn find(&self, path: &CStr) -> Option<Candidate> {
        if self.trust {
            return self.find_trusted(path);
        }
        // Reading the file says what is wrong with it.
        let now = stat_of(path).map(|st| identity_of(&st));
        self.find_identity(path, now.ok().as_ref())
    }

    /// The same, or the file, opened and looked at, where one that has to be read is expected: where the last ones had
    /// to be. Then the image costs no call beside.
    ///
    /// # Errors
    /// The file has to be read.
    pub fn find_or_open(&self, path: &CStr) -> Result<Candidate, Option<LookedAt>> {
        if self.trust {
            return self.find_trusted(path).ok_or(None);
        }
        if self.missed.load(Ordering::Relaxed) < MISSED {
            let found = self.find(path);
            if found.is_none() {
                self.missed.fetch_add(1, Ordering::Relaxed);
            }
            return found.ok_or(None);
        }
        let Ok(file) = LookedAt::open(path) else {
            // Of a file that is there it need not matter.
            return self.find(path).ok_or(None);
        };
        let found = self.find_identity(path, Some(&file.identity));
        if found.is_some() {
            self.missed.store(0, Ordering::Relaxed);
        }
        found.ok_or(Some(file))
    }

    fn find_trusted(&self, path: &CStr) -> Option<Candidate> {
        let found = self.find_path(path.to_bytes());
        if found.is_none() {
            ABSENT.fetch_add(1, Ordering::Relaxed);
        }
        found.map(|(index, entry)| Candidate { index, entry })
    }

    /// The entry of the file `path`, which is this one `now`, if that is known.
    fn find_identity(&self, path: &CStr, now: Option<&Identity>) -> Option<Candidate> {
        let absent = || {
            ABSENT.fetch_add(1, Ordering::Relaxed);
            None
        };
        let stale = || {
            STALE.fetch_add(1, Ordering::Relaxed);
            None
        };
        let Some(now) = now else {
            return absent();
        };
        match self.tables.find(now) {
            Found::Same(index, entry) => Some(Candidate { index, entry }),
            // A file that took the place of another one under its name has another inode.
            Found::Absent if self.find_path(path.to_bytes()).is_none() => absent(),
            Found::Absent => stale(),
            Found::Stale(_) => stale(),
        }
    }

    fn find_path(&self, path: &[u8]) -> Option<(u32, Entry)> {
        if is_absolute(path) {
            return self.tables.find_path(path);
        }
        let folder = match path.first() {
            Some(b'/') => None,
            _ => Some(std::env::current_dir().ok()?),
        };
        let folder = folder.as_deref().map_or(&b""[..], |f| f.as_os_str().as_bytes());
        let mut made = Vec::with_capacity(folder.len() + path.len() + 1);
        absolute(folder, path, &mut made);
        self.tables.find_path(&made)
    }

    /// Whether the candidate was linked against the regions that begin at `begins`, of which there are `count`; an
    /// element is `None` for what is no live region.
    #[must_use]
    pub fn is_linked_against(
        &self,
        candidate: &Candidate,
        count: usize,
        begins: impl Iterator<Item = Option<usize>>,
    ) -> bool {
        let entry = (candidate.index, &candidate.entry);
        let linked = chain::is_linked_against(&self.tables, self.size, entry, count, begins);
        if !linked {
            STALE.fetch_add(1, Ordering::Relaxed);
        }
        linked
    }

    /// Whether the candidate was linked against the `earlier` ones alone.
    #[must_use]
    pub fn follows(&self, candidate: &Candidate, earlier: &[Candidate]) -> bool {
        let begins = earlier.iter().map(|c| Some(self.address(&c.entry)));
        self.is_linked_against(candidate, earlier.len(), begins)
    }

    /// Gives the candidate's region out, if it may be. `verify` asks for a proof of all its objects, for which the
    /// regions `deps` are looked at.
    ///
    /// # Errors
    /// The region is damaged, or its closures' libraries are not there; the image does not give it out again.
    ///
    /// # Safety
    /// `deps` describes the live regions that the candidate was linked against.
    pub unsafe fn give_out(
        &self,
        path: &CStr,
        candidate: &Candidate,
        verify: Option<&[RegionView]>,
        missing: MissingCode,
    ) -> Result<Option<Facts>, ReadError> {
        let Candidate { index, entry } = candidate;
        let state = self.state(*index);
        let changeable = entry.section == Section::Changeable;
        let alone = changeable || !self.shares;
        if alone
            && state
                .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
                .is_err()
            || state.load(Ordering::Relaxed) == SPENT
        {
            return Ok(None);
        }
        let prepared = || {
            if let Some(deps) = verify {
                // SAFETY: passed on from the caller.
                unsafe { self.verify(path, candidate, deps)? };
            }
            if changeable {
                // SAFETY: the bytes lie in the mapped changeable section (`Entry::fits`), which is writable; this
                // thread alone has the region, as it alone took it from `FREE`, and nobody knows of it yet.
                let bytes = unsafe {
                    std::slice::from_raw_parts_mut(
                        self.address(entry) as *mut u8,
                        entry.identity.size as usize,
                    )
                };
                own::prepare(path, bytes, missing)?;
            }
            Ok(())
        };
        if let Err(e) = prepared() {
            state.store(SPENT, Ordering::Release);
            return Err(e);
        }
        self.live.fetch_add(1, Ordering::Relaxed);
        SERVED.fetch_add(1, Ordering::Relaxed);
        Ok(Some(self.facts(candidate)))
    }

    /// Takes back what was given out in a call that failed later.
    pub fn take_back(&self, candidate: &Candidate) {
        SERVED.fetch_sub(1, Ordering::Relaxed);
        let _ = self.release(self.address(&candidate.entry));
    }

    /// Proves the region object by object for where it and its dependencies lie.
    ///
    /// # Safety
    /// As [`Mapped::give_out`].
    unsafe fn verify(
        &self,
        path: &CStr,
        candidate: &Candidate,
        deps: &[RegionView],
    ) -> Result<(), ReadError> {
        let entry = &candidate.entry;
        let bytes = |begin: usize, size: usize| {
            // SAFETY: by the caller's word a live region of that size, or a region of the mapped image that nobody
            // else has (`Entry::fits`); nobody writes to it meanwhile.
            unsafe { std::slice::from_raw_parts(begin as *const u8, size) }
        };
        let views: Vec<(DepBytes<'_>, u64)> = deps
            .iter()
            .map(|v| {
                (
                    DepBytes {
                        bytes: bytes(v.begin, v.size),
                        name: "",
                    },
                    v.begin as u64,
                )
            })
            .collect();
        let at = self.address(entry);
        let region = bytes(at, entry.identity.size as usize);
        let proved = olean_reader::verify_relocated(region, at as u64, &views);
        let root =
            region.get(olean_reader::format::header::Header::decode(region).map_or(0, |h| h.root_slot())..);
        let same_root =
            root.and_then(|r| r.first_chunk()).map(|r| u64::from_le_bytes(*r)) == Some(entry.root);
        let copy = self.tables.root_copy(candidate.index, entry).copied();
        let same_copy = copy.is_none() || copy == root_copy(region, (entry.root as usize).wrapping_sub(at));
        match proved {
            Ok(_) if same_root && same_copy => Ok(()),
            Ok(_) => Err(ReadError::content(
                path,
                "its root is not the one in the image's index".to_owned(),
            )),
            Err(e) => Err(ReadError::content(path, e.to_string())),
        }
    }

    fn state(&self, index: u32) -> &AtomicU8 {
        // One for each entry.
        &self.states[index as usize]
    }

    fn address(&self, entry: &Entry) -> usize {
        (self.tables.header().base + entry.offset) as usize
    }

    fn facts(&self, Candidate { index, entry }: &Candidate) -> Facts {
        // Whoever else saves takes a root for a part of its region only if it lies there.
        let root = match self.only || all_saves() {
            true => self.tables.root(*index, entry),
            false => entry.root,
        };
        Facts {
            view: RegionView {
                begin: self.address(entry),
                size: entry.identity.size as usize,
                base: entry.base,
            },
            root: root as usize,
        }
    }

    /// Where readers may have a copy of the root of the region at `address`.
    #[must_use]
    pub fn root_copy_at(&self, address: usize) -> Option<RootCopyAt> {
        let Candidate { index, entry } = self.at(address)?;
        let root = self.tables.root(index, &entry);
        (root != entry.root).then(|| RootCopyAt {
            address: root as usize,
            in_files: entry.base.wrapping_add(entry.root.wrapping_sub(address as u64)) as usize,
        })
    }

    /// Whether `address` lies in the image.
    #[must_use]
    pub fn holds(&self, address: usize) -> bool {
        (address as u64).wrapping_sub(self.tables.header().base) < self.size
    }

    /// The entry whose region begins at `address`.
    fn at(&self, address: usize) -> Option<Candidate> {
        let offset = (address as u64).wrapping_sub(self.tables.header().base);
        if offset >= self.size {
            return None;
        }
        let index = self.tables.at_offset(offset)?;
        let entry = self.tables.entry(index)?;
        Some(Candidate { index, entry })
    }

    /// Whether somebody can have this region.
    fn is_alive(&self, candidate: &Candidate) -> bool {
        let shared = self.shares && candidate.entry.section == Section::Constant;
        shared || self.state(candidate.index).load(Ordering::Acquire) == HELD
    }

    /// The live region that begins at `address`.
    #[must_use]
    pub fn facts_at(&self, address: usize) -> Option<Facts> {
        let candidate = self.at(address).filter(|c| self.is_alive(c))?;
        Some(self.facts(&candidate))
    }

    /// The file, as it was when the image was made and is now, that the live region at `address` came from.
    #[must_use]
    pub fn identity_at(&self, address: usize) -> Option<Identity> {
        let candidate = self.at(address).filter(|c| self.is_alive(c))?;
        Some(candidate.entry.identity)
    }

    /// The digest of that file's content, if the image's digests are what was written: a region of the image is its
    /// content with other addresses.
    #[must_use]
    pub fn source_digest_at(&self, address: usize) -> Option<Digest> {
        let candidate = self.at(address).filter(|c| self.is_alive(c))?;
        let whole = self.digests.get_or_init(|| self.tables.check_digests().is_ok());
        whole
            .then(|| self.tables.digests(candidate.index))?
            .map(|(source, _)| source)
    }

    /// Lets go of the region at `address`; false if there is none, or nobody can have it.
    #[must_use]
    pub fn release(&self, address: usize) -> bool {
        let Some(candidate) = self.at(address) else {
            return false;
        };
        let changeable = candidate.entry.section == Section::Changeable;
        if changeable || !self.shares {
            let after = if changeable { SPENT } else { FREE };
            let state = self.state(candidate.index);
            if state
                .compare_exchange(HELD, after, Ordering::AcqRel, Ordering::Relaxed)
                .is_err()
            {
                return false;
            }
        }
        // Of a shared region a copy of a structure may be freed after the structure.
        let less = |live: usize| live.checked_sub(1);
        let _ = self.live.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        true
    }

    /// How many regions were given out and not released.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }
}
