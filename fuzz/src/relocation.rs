//! Relocation as the loader does it (`lean_region::relocate`, which every read takes that does not land at its base
//! address) held against the rewriting of the validating reader, which finds objects and pointers in another way.

use lean_region::dependencies::{Dependencies, RegionView};
use lean_region::relocate::{AHEAD, Heads, Placement, relocate};
use olean_reader::format::header::{Header, VERSION_3};
use olean_reader::transform::{Rewritten, rewrite};
use olean_reader::{BadPointer, CheckError, File, Region, Violation, Width};

/// A dependency, and where it lies.
#[derive(Clone, Copy)]
pub struct Dep<'r, 'a> {
    pub region: &'r Region<'a>,
    pub lies: u64,
}

/// The dependencies in memory, every pointer into which is looked at.
#[derive(Clone, Copy)]
struct Seen<'s, 'r, 'a>(&'s [Dep<'r, 'a>]);

impl Heads for Seen<'_, '_, '_> {
    fn are_seen(&self, _: &RegionView) -> bool {
        true
    }

    fn word(&self, at: u64) -> u64 {
        let words = self.0.iter().filter_map(|dep| {
            let at = usize::try_from(at.checked_sub(dep.lies)?).ok()?;
            dep.region.file().bytes().get(at..)?.first_chunk()
        });
        // A file of version 3 need not end with a word.
        words
            .into_iter()
            .next()
            .map_or(0, |word| u64::from_le_bytes(*word))
    }
}

/// Relocates a 64-bit file to `address`, a multiple of 64 KiB, in both ways.
///
/// # Panics
/// The two differ: the reader takes the file and relocation refuses it or makes other words of it, or relocation takes
/// a file whose objects or pointers the reader finds beyond the data.
pub fn relocated_alike(bytes: &[u8], deps: &[Dep<'_, '_>], address: u64) {
    let Some(placement) = placement(bytes, address) else {
        return;
    };
    let before = words(bytes);
    let mut after = before.clone();
    let views = deps.iter().map(|d| RegionView {
        begin: d.lies as usize,
        size: d.region.file().bytes().len(),
        base: d.region.file().base(),
    });
    let views = Dependencies::new(views.collect::<Vec<_>>());
    let mut announced = 0;
    let ours = relocate(&mut after, &placement, &views, Seen(deps), |at, words| {
        assert_eq!(at, announced, "every piece is announced once, in order");
        announced = (at + AHEAD).min(bytes.len() & !7);
        assert_eq!(words.len() * 8, announced - at);
    });

    let data = placement.data.start / 8..placement.data.end / 8;
    if let Ok(root) = ours {
        assert!(announced >= placement.data.end, "everything is announced");
        assert_eq!(root, after[data.start]);
        assert_eq!(before[..data.start], after[..data.start]);
        assert_eq!(before[data.end..], after[data.end..]);
        let mut pairs = before.iter().zip(&after).enumerate();
        let wrong = pairs.find(|(_, (old, new))| old != new && !is_moved(&placement, &views, **old, **new));
        assert_eq!(wrong, None, "a word is no pointer, or leads elsewhere");
    }
    match theirs(bytes, deps, address) {
        Err(Refused::Other) => {}
        Err(Refused::Extent(e)) => assert!(ours.is_err(), "the reader alone refuses: {e}"),
        Ok(expected) => {
            ours.unwrap_or_else(|e| panic!("the reader takes it, relocation says: {e}"));
            let expected = &words(&expected)[data.clone()];
            let at = expected.iter().zip(&after[data]).position(|(a, b)| a != b);
            assert_eq!(at, None, "a word of the data differs");
        }
    }
}

/// What the loader's look at header and sizes makes of the file, if it takes it.
fn placement(bytes: &[u8], address: u64) -> Option<Placement> {
    let header = Header::decode(bytes).ok()?;
    let start = header.root_slot();
    let room = bytes.len().checked_sub(start + 8)?;
    let end = match header.version == VERSION_3 {
        true => {
            let size = u64::from_le_bytes(*bytes[start - 8..].first_chunk().expect("8 bytes"));
            if size < 8 || size % 8 != 0 || size > room as u64 {
                return None;
            }
            start + size as usize
        }
        false if bytes.len().is_multiple_of(8) => bytes.len(),
        false => return None,
    };
    if header.base % 8 != 0 || header.base.checked_add(bytes.len() as u64).is_none() {
        return None;
    }
    Some(Placement::of(&header.head(), start..end, address as usize))
}

fn words(bytes: &[u8]) -> Vec<u64> {
    let (words, _) = bytes.as_chunks();
    words.iter().map(|w| u64::from_le_bytes(*w)).collect()
}

/// Whether `new` is where the pointer `old` leads once everything has moved.
fn is_moved(own: &Placement, deps: &Dependencies, old: u64, new: u64) -> bool {
    let inside = |base: u64, size: usize, begin: u64| {
        let at = old.wrapping_sub(base);
        old % 8 == 0 && at < size as u64 && new == begin.wrapping_add(at)
    };
    inside(own.base, own.data.end, own.address as u64)
        || deps
            .views()
            .iter()
            .any(|d| inside(d.base, d.size, d.begin as u64))
}

enum Refused {
    /// By a rule that decides which words are objects and pointers, or where these lead: relocation has to keep it too.
    Extent(CheckError),
    /// By a rule that relocation does not look at.
    Other,
}

/// The reader's way.
fn theirs(bytes: &[u8], deps: &[Dep<'_, '_>], address: u64) -> Result<Vec<u8>, Refused> {
    let regions: Vec<&Region<'_>> = deps.iter().map(|d| d.region).collect();
    let file = File::parse(bytes, "", Some(Width::W64)).map_err(|_| Refused::Other)?;
    // Very old releases wrote the root last, which no loader reads.
    if !file.root_first() {
        return Err(Refused::Other);
    }
    let region = Region::check(file, &regions).map_err(|e| match e.violation() {
        Violation::RefCount(_)
        | Violation::Tag(_)
        | Violation::ClosureInV2
        | Violation::PastEnd
        | Violation::DoesNotFit { .. }
        | Violation::Pointer {
            why: BadPointer::Null | BadPointer::Outside | BadPointer::Unaligned,
            ..
        } if e.object_ref().is_some() => Refused::Extent(e),
        _ => Refused::Other,
    })?;
    let bases: Vec<Option<u64>> = deps.iter().map(|d| Some(d.lies)).collect();
    let target = Rewritten {
        base: Some(address),
        dep_bases: &bases,
        ..Rewritten::default()
    };
    rewrite(&region, &regions, &target).map_err(|_| Refused::Other)
}
