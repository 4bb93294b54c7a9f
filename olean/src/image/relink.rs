//! Regions read, proved and rewritten for their places in an image.

use super::collect::{Module, Part, Snapshot};
use super::left_out::LeftOut;
use super::place::{Places, room};
use super::source::{fresh, read};
use super::writer::Writer;
use crate::error::Result;
use crate::input::{Input, Source};
use lean_region::dependencies::{Dependencies, RegionView};
use lean_region::relocate::{self, Placement};
use olean_reader::format::image::{Digest, RootCopy, Section, digest, root_copy};
use olean_reader::{DepBytes, File, Region, Width};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Modules that lie one after the other are read, rewritten and written together, about so many bytes: large writes
/// give the page cache large folios, of which a process maps more at once.
const BATCH: u64 = 8 << 20;

/// A region in its place.
#[derive(Debug, Clone, Copy)]
pub struct Placed {
    /// Its file offset in the image.
    pub offset: u64,
    /// Which section that is in.
    pub section: Section,
    /// Its root there.
    pub root: u64,
    /// The copy that readers are given of it.
    pub root_copy: Option<RootCopy>,
    /// Whether it has closures.
    pub closures: bool,
    /// Digest of its file.
    pub source: Digest,
    /// Digest of its bytes in the image.
    pub region: Digest,
}

/// What became of a module.
#[derive(Debug)]
pub enum Fate {
    /// Its parts are in the constant section.
    Placed(Vec<Placed>),
    /// Something may write to one of its parts.
    Changeable,
    /// Why it is left out.
    LeftOut(Vec<LeftOut>),
}

/// What the threads share.
pub struct Relinker<'a> {
    /// Where everything goes.
    pub places: &'a Places,
    /// The file under construction.
    pub writer: Writer<'a>,
    /// Told of every file that is done with.
    pub progress: &'a (dyn Fn(u64) + Sync),
}

type Checked<T> = std::result::Result<T, LeftOut>;

impl Relinker<'_> {
    /// Puts all modules into the constant section that can lie there, on `jobs` threads.
    pub fn modules(&self, modules: &[Module], jobs: usize) -> Result<Vec<Fate>> {
        let batches = self.batches(modules);
        let next = AtomicUsize::new(0);
        let failed = AtomicBool::new(false);
        let fates: Vec<Mutex<Result<Vec<Fate>>>> =
            batches.iter().map(|_| Mutex::new(Ok(Vec::new()))).collect();
        let work = || {
            while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)).cloned() {
                if failed.load(Ordering::Relaxed) {
                    return;
                }
                let slot = next_slot(&fates, &batches, &batch);
                let done = self.batch(&modules[batch.clone()], &self.places.modules[batch]);
                failed.fetch_or(done.is_err(), Ordering::Relaxed);
                *slot.lock().expect("no panic while it was held") = done;
            }
        };
        crate::prove::on_threads(jobs.min(batches.len()), work);
        let mut all = Vec::with_capacity(modules.len());
        for fate in fates {
            all.extend(fate.into_inner().expect("no panic while it was held")?);
        }
        Ok(all)
    }

    /// Ranges of modules that are worked on together.
    fn batches(&self, modules: &[Module]) -> Vec<Range<usize>> {
        let mut batches = Vec::new();
        let (mut start, mut bytes) = (0, 0);
        for (i, module) in modules.iter().enumerate() {
            bytes += module.iter().map(|p| room(p.identity.size)).sum::<u64>();
            if bytes >= BATCH || i + 1 == modules.len() {
                batches.push(start..i + 1);
                (start, bytes) = (i + 1, 0);
            }
        }
        batches
    }

    fn batch(&self, modules: &[Module], offsets: &[Vec<u64>]) -> Result<Vec<Fate>> {
        let first = offsets
            .iter()
            .flatten()
            .next()
            .copied()
            .unwrap_or(self.places.constant.start);
        let last = modules
            .iter()
            .zip(offsets)
            .rev()
            .find_map(|(m, o)| Some(o.last()? + room(m.last()?.identity.size)));
        let length = last.unwrap_or(first) - first;
        let mut buffer = self.writer.buffer((length / 8) as usize);
        let mut fates = Vec::with_capacity(modules.len());
        for (module, offsets) in modules.iter().zip(offsets) {
            let fate = self.constant(module, offsets, first, &mut buffer);
            (self.progress)(module.len() as u64);
            if !matches!(fate, Fate::Placed(_)) {
                for (part, offset) in module.iter().zip(offsets) {
                    part_of(&mut buffer, offset - first, room(part.identity.size)).fill(0);
                }
            }
            fates.push(fate);
        }
        self.writer.hand_in(buffer, first)?;
        Ok(fates)
    }

    /// A module whose parts lie at `offsets`, of which the first word of `buffer` has the offset `first`.
    fn constant(&self, module: &[Part], offsets: &[u64], first: u64, buffer: &mut [u64]) -> Fate {
        let relinked = self.read(module, offsets, first, buffer).and_then(|sources| {
            let bytes: &[u8] = bytemuck::cast_slice(buffer);
            let files: Vec<&[u8]> = module
                .iter()
                .zip(offsets)
                .map(|(p, o)| &bytes[(o - first) as usize..][..p.identity.size as usize])
                .collect();
            let proved = prove(module, &files)?;
            if proved.iter().any(|p| p.changeable) {
                return Ok(None);
            }
            let mut deps = Vec::new();
            let mut placed = Vec::new();
            for ((part, offset), (shape, source)) in
                module.iter().zip(offsets).zip(proved.iter().zip(sources))
            {
                let words = part_of(buffer, offset - first, room(part.identity.size));
                placed.push(self.rewrite(part, shape, Section::Constant, *offset, words, &deps, source)?);
                deps.push(self.view(part, *offset));
            }
            Ok(Some(placed))
        });
        match relinked {
            Ok(Some(placed)) => Fate::Placed(placed),
            Ok(None) => Fate::Changeable,
            Err(wrong) => Fate::LeftOut(whole(module, wrong)),
        }
    }

    /// Brings the files of a module into the buffer; answers their digests.
    fn read(&self, module: &[Part], offsets: &[u64], first: u64, buffer: &mut [u64]) -> Checked<Vec<Digest>> {
        let read = |(part, offset): (&Part, &u64)| {
            let words = part_of(buffer, offset - first, room(part.identity.size));
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(words);
            let (bytes, behind) = bytes.split_at_mut(part.identity.size as usize);
            behind.fill(0);
            read(part, bytes)?;
            Ok(digest(bytes))
        };
        module.iter().zip(offsets).map(read).collect()
    }

    fn view(&self, part: &Part, offset: u64) -> RegionView {
        RegionView {
            begin: (self.places.base + offset) as usize,
            size: part.identity.size as usize,
            base: part.header.base,
        }
    }

    /// Rewrites the file in `words` for its place at `offset`.
    #[expect(
        clippy::too_many_arguments,
        reason = "what is known of a region, each by its name"
    )]
    fn rewrite(
        &self,
        part: &Part,
        shape: &Shape,
        section: Section,
        offset: u64,
        words: &mut [u64],
        deps: &[RegionView],
        source: Digest,
    ) -> Checked<Placed> {
        let size = part.identity.size as usize;
        let address = (self.places.base + offset) as usize;
        let target = Placement::of(&part.header.head(), shape.data.clone(), address);
        let deps = Dependencies::new(deps.to_vec());
        let root = relocate::relocate(
            &mut words[..size / 8],
            &target,
            &deps,
            relocate::Unseen,
            |_, _| (),
        );
        let root = root.map_err(|e| LeftOut::new(part.path(), format!("it cannot be relocated: {e}")))?;
        let bytes: &[u8] = &bytemuck::cast_slice(words)[..size];
        // Of what can change there must be one object and no copy; a scalar lies in no region.
        let constant = section == Section::Constant && root & 1 == 0;
        Ok(Placed {
            offset,
            section,
            root,
            root_copy: constant
                .then(|| root_copy(bytes, root as usize - address))
                .flatten(),
            closures: shape.closures,
            source,
            region: digest(bytes),
        })
    }

    /// A module of which something may change: those parts go to `next` in the changeable section, which moves on.
    pub fn changeable(&self, module: &[Part], offsets: &[u64], next: &mut u64) -> Result<Fate> {
        let own: Vec<u64> = module
            .iter()
            .scan(0, |at, part| {
                let here = *at;
                *at += room(part.identity.size);
                Some(here)
            })
            .collect();
        let words = module.iter().map(|p| room(p.identity.size)).sum::<u64>() / 8;
        let mut buffer = vec![0u64; words as usize];
        let relinked = self.read(module, &own, 0, &mut buffer).and_then(|sources| {
            let bytes: &[u8] = bytemuck::cast_slice(&buffer);
            let files = module.iter().zip(&own);
            let files: Vec<&[u8]> = files
                .map(|(p, &o)| &bytes[o as usize..][..p.identity.size as usize])
                .collect();
            let proved = prove(module, &files)?;
            let mut after = *next;
            let mut deps = Vec::new();
            let mut placed = Vec::new();
            for (i, part) in module.iter().enumerate() {
                let (section, offset) = match proved[i].changeable {
                    true => (Section::Changeable, after),
                    false => (Section::Constant, offsets[i]),
                };
                if proved[i].changeable {
                    after += room(part.identity.size);
                }
                let words = part_of(&mut buffer, own[i], room(part.identity.size));
                placed.push(self.rewrite(part, &proved[i], section, offset, words, &deps, sources[i])?);
                deps.push(self.view(part, offset));
            }
            *next = after;
            Ok(placed)
        });
        let placed = match relinked {
            Ok(placed) => placed,
            Err(wrong) => return Ok(Fate::LeftOut(whole(module, wrong))),
        };
        for (i, part) in module.iter().enumerate() {
            let words = part_of(&mut buffer, own[i], room(part.identity.size));
            self.writer.write(words, placed[i].offset)?;
        }
        Ok(Fate::Placed(placed))
    }

    /// A snapshot over regions that lie in the image already.
    pub fn snapshot(
        &self,
        snapshot: &Snapshot,
        parts: &[&Part],
        deps: &[RegionView],
        next: &mut u64,
    ) -> Result<Checked<Placed>> {
        let part = &snapshot.part;
        let mut buffer = vec![0u64; (room(part.identity.size) / 8) as usize];
        let mut relinked = || {
            let bytes = &mut bytemuck::cast_slice_mut(&mut buffer)[..part.identity.size as usize];
            read(part, bytes)?;
            let source = digest(bytes);
            let file = parse(part, bytes)?;
            fresh(part, &file, parts)?;
            let shape = Shape::of(part, &file)?;
            self.rewrite(
                part,
                &shape,
                Section::Changeable,
                *next,
                &mut buffer,
                deps,
                source,
            )
        };
        let placed = match relinked() {
            Ok(placed) => placed,
            Err(wrong) => return Ok(Err(wrong)),
        };
        self.writer.write(&buffer, placed.offset)?;
        *next += room(part.identity.size);
        Ok(Ok(placed))
    }
}

/// Proves a snapshot object by object, with the source files of what it points into; answers what that took.
pub fn verify_snapshot(part: &Part, deps: &[&Part]) -> Result<Checked<Duration>> {
    let start = Instant::now();
    let open = |p: &Part| Input::open(&Source::file(p.path().to_owned()));
    let inputs = deps.iter().map(|p| open(p)).collect::<Result<Vec<_>>>()?;
    let deps: Vec<DepBytes<'_>> = inputs
        .iter()
        .map(|i| DepBytes {
            bytes: i,
            name: &i.name,
        })
        .collect();
    let verified = olean_reader::verify_region(&open(part)?, &deps, &olean_reader::Options::default());
    Ok(match verified {
        Ok(_) => Ok(start.elapsed()),
        Err(e) => Err(bad(part, &e)),
    })
}

fn next_slot<'f>(
    fates: &'f [Mutex<Result<Vec<Fate>>>],
    batches: &[Range<usize>],
    batch: &Range<usize>,
) -> &'f Mutex<Result<Vec<Fate>>> {
    &fates[batches.partition_point(|b| b.start < batch.start)]
}

/// The words of a region in a buffer; both numbers are bytes and whole pages.
fn part_of(buffer: &mut [u64], at: u64, room: u64) -> &mut [u64] {
    &mut buffer[(at / 8) as usize..][..(room / 8) as usize]
}

/// All parts of a module are left out for what is wrong with one.
fn whole(module: &[Part], wrong: LeftOut) -> Vec<LeftOut> {
    let because = format!("another part of its module is left out: '{}'", wrong.path);
    let others = module
        .iter()
        .filter(|p| p.path().display().to_string() != wrong.path);
    let others: Vec<LeftOut> = others.map(|p| LeftOut::new(p.path(), because.clone())).collect();
    std::iter::once(wrong).chain(others).collect()
}

fn bad(part: &Part, e: &olean_reader::CheckError) -> LeftOut {
    let at = e
        .offset()
        .map_or(String::new(), |o| format!("at offset {o:#x}: "));
    LeftOut::new(part.path(), at + &e.reason())
}

fn parse<'a>(part: &Part, bytes: &'a [u8]) -> Checked<File<'a>> {
    File::parse(bytes, "", Some(Width::W64)).map_err(|e| bad(part, &e))
}

/// What rewriting has to know of a file.
struct Shape {
    data: Range<usize>,
    closures: bool,
    changeable: bool,
}

impl Shape {
    fn of(part: &Part, file: &File<'_>) -> Checked<Self> {
        if !file.root_first() {
            return Err(LeftOut::new(
                part.path(),
                "its root stands behind its objects, where no loader looks for it",
            ));
        }
        let root = file.root_word();
        if root & 1 == 0 && root.wrapping_sub(file.base()) >= file.bytes().len() as u64 {
            return Err(LeftOut::new(
                part.path(),
                "its root lies in another part of its module",
            ));
        }
        Ok(Self {
            data: file.data(),
            closures: file.sections().is_some_and(|s| s.closure_offsets().len() > 0),
            changeable: true,
        })
    }
}

/// Proves the files of a module, each with the ones before it.
fn prove(module: &[Part], files: &[&[u8]]) -> Checked<Vec<Shape>> {
    let mut regions: Vec<Region<'_>> = Vec::with_capacity(files.len());
    let mut shapes = Vec::with_capacity(files.len());
    for (part, bytes) in module.iter().zip(files) {
        let file = parse(part, bytes)?;
        let shape = Shape::of(part, &file)?;
        let deps: Vec<&Region<'_>> = regions.iter().collect();
        let region = Region::check(file, &deps).map_err(|e| bad(part, &e))?;
        let changeable = region.changeable();
        shapes.push(Shape { changeable, ..shape });
        regions.push(region);
    }
    Ok(shapes)
}
