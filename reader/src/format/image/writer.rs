//! The tables of a new image, put together in memory.

use super::entry::{Entry, LISTED, Section};
use super::hash::{Digest, EMPTY, SLOTS_PER, digest, file_slot, path_slot};
use super::header::{Counts, Header, Layout, PAGE};
use super::root::{ROOT_SIZE, RootCopy};
use super::tables::record_size;
use crate::format::identity::Identity;
use std::ops::Range;

/// A region for a new image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// The source file.
    pub identity: Identity,
    /// Where the region begins in the image.
    pub offset: u64,
    /// The base address of the source file.
    pub base: u64,
    /// The root as it is in the mapped image.
    pub root: u64,
    /// The copy that readers are given of it.
    pub root_copy: Option<RootCopy>,
    /// The entries that it points into, or was allowed to: numbers in ascending order.
    pub deps: Vec<u32>,
    /// Where it lies.
    pub section: Section,
    /// Whether it has closures.
    pub closures: bool,
    /// Digest of the source file.
    pub source: Digest,
    /// Digest of the region in the image.
    pub region: Digest,
    /// Absolute paths of the file; at least one.
    pub paths: Vec<Vec<u8>>,
}

/// What a new image is made of, besides its regions.
#[derive(Debug, Clone)]
pub struct NewTables {
    /// The address of file offset 0.
    pub base: u64,
    /// Flags of all files.
    pub flags: u8,
    /// Git hash of all files.
    pub githash: [u8; 40],
    /// Version of Lean.
    pub lean_version: [u8; 33],
    /// Seconds since 1970.
    pub built: i64,
    /// The constant section: where it begins, and its bytes.
    pub constant: Range<u64>,
    /// The changeable section.
    pub changeable: Range<u64>,
    /// The entries, ascending by offset.
    pub entries: Vec<NewEntry>,
}

/// The tables do not fit in the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the image would have more regions, paths or dependencies than its tables can count")]
pub struct TooLarge;

/// A header and the tables behind it.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// The header.
    pub header: Header,
    /// Where everything lies.
    pub layout: Layout,
    /// The bytes from the end of the header page to the end of the tables.
    pub tables: Vec<u8>,
}

impl NewTables {
    /// The header and the tables.
    ///
    /// # Errors
    /// [`TooLarge`], also when the tables reach into the first section.
    pub fn encode(&self) -> Result<Encoded, TooLarge> {
        let mut chains: Vec<u32> = Vec::new();
        let mut entries = Vec::with_capacity(self.entries.len());
        for (index, new) in self.entries.iter().enumerate() {
            let chain = chain(index as u32, &new.deps, &mut chains).ok_or(TooLarge)?;
            entries.push(Entry {
                identity: new.identity,
                offset: new.offset,
                base: new.base,
                root: new.root,
                chain,
                section: new.section,
                closures: new.closures,
                copied: new.root_copy.is_some(),
            });
        }
        let mut records: Vec<u8> = Vec::new();
        let mut paths: Vec<(u32, &[u8])> = Vec::new();
        for (index, new) in self.entries.iter().enumerate() {
            for path in &new.paths {
                paths.push((u32::try_from(records.len()).map_err(|_| TooLarge)?, path));
                records.extend((index as u32).to_le_bytes());
                records.extend(u32::try_from(path.len()).map_err(|_| TooLarge)?.to_le_bytes());
                records.extend(path);
                records.resize(records.len().next_multiple_of(4), 0);
                debug_assert_eq!(
                    records.len() - paths[paths.len() - 1].0 as usize,
                    record_size(path)
                );
            }
        }
        let counts = Counts {
            entries: u32::try_from(entries.len()).map_err(|_| TooLarge)?,
            chain_words: u32::try_from(chains.len()).map_err(|_| TooLarge)?,
            paths: u32::try_from(paths.len()).map_err(|_| TooLarge)?,
            path_bytes: records.len() as u64,
            constant_start: self.constant.start,
            constant: self.constant.end - self.constant.start,
            changeable_start: self.changeable.start,
            changeable: self.changeable.end - self.changeable.start,
        };
        let layout = Layout::of(&counts).ok_or(TooLarge)?;
        let slots = slots(entries.iter().enumerate().map(|(i, e)| {
            let place = file_slot(e.identity.device, e.identity.inode, counts.entries * SLOTS_PER);
            (place, i as u32)
        }));
        let path_slots = slots_of_paths(&paths, counts.paths * SLOTS_PER);

        let mut tables = vec![0; (layout.tables_end() - PAGE) as usize];
        let mut put = |range: &Range<u64>, bytes: &mut dyn Iterator<Item = u8>| {
            let range = (range.start - PAGE) as usize..(range.end - PAGE) as usize;
            tables[range]
                .iter_mut()
                .zip(bytes)
                .for_each(|(to, from)| *to = from);
        };
        put(&layout.entries, &mut entries.iter().flat_map(Entry::encode));
        put(&layout.slots, &mut slots.iter().flat_map(|s| s.to_le_bytes()));
        put(&layout.chains, &mut chains.iter().flat_map(|c| c.to_le_bytes()));
        let roots = self.entries.iter().map(|e| e.root_copy.unwrap_or([0; ROOT_SIZE]));
        put(&layout.roots, &mut roots.flatten());
        put(
            &layout.path_slots,
            &mut path_slots.iter().flat_map(|s| s.to_le_bytes()),
        );
        put(&layout.path_records, &mut records.iter().copied());
        put(
            &layout.digests,
            &mut self.entries.iter().flat_map(|e| [e.source, e.region]).flatten(),
        );
        let sum =
            |range: Range<u64>| digest(&tables[(range.start - PAGE) as usize..(range.end - PAGE) as usize]);
        let header = Header {
            base: self.base,
            counts,
            flags: self.flags,
            githash: self.githash,
            lean_version: self.lean_version,
            built: self.built,
            index: sum(layout.index()),
            paths: sum(layout.paths()),
            digests: sum(layout.digests.clone()),
            roots: sum(layout.roots.clone()),
        };
        Ok(Encoded {
            header,
            layout,
            tables,
        })
    }
}

/// The chain of entry `index` as its entry has it; a list goes into the table, unless the same is its end already.
fn chain(index: u32, deps: &[u32], table: &mut Vec<u32>) -> Option<u32> {
    debug_assert!(deps.is_sorted_by(|a, b| a < b));
    let count = u32::try_from(deps.len()).ok()?;
    let before = count <= index && deps.iter().copied().eq(index - count..index);
    if before && count < LISTED {
        return Some(count);
    }
    let mut ranges: Vec<[u32; 2]> = Vec::new();
    for &dep in deps {
        match ranges.last_mut() {
            Some([start, length]) if *start + *length == dep => *length += 1,
            _ => ranges.push([dep, 1]),
        }
    }
    let listed: Vec<u32> = std::iter::once(ranges.len() as u32)
        .chain(ranges.into_flattened())
        .collect();
    let at = match table.ends_with(&listed) {
        true => table.len() - listed.len(),
        false => {
            table.extend(&listed);
            table.len() - listed.len()
        }
    };
    u32::try_from(at)
        .ok()
        .filter(|at| at & LISTED == 0)
        .map(|at| at | LISTED)
}

/// The most words that a chain of so many dependencies takes in the table.
#[must_use]
pub fn chain_words(deps: usize) -> usize {
    1 + 2 * deps
}

/// Bytes that a path takes in the table.
#[must_use]
pub fn path_bytes(path: &[u8]) -> u64 {
    record_size(path) as u64
}

fn slots_of_paths(paths: &[(u32, &[u8])], count: u32) -> Vec<u32> {
    slots(paths.iter().map(|&(at, path)| (path_slot(path, count), at)))
}

/// Slots with each value at the first free place from its own on.
fn slots(values: impl ExactSizeIterator<Item = (u32, u32)>) -> Vec<u32> {
    let mut slots = vec![EMPTY; values.len() * SLOTS_PER as usize];
    for (place, value) in values {
        let mut slot = place as usize;
        while slots[slot] != EMPTY {
            slot = if slot + 1 == slots.len() { 0 } else { slot + 1 };
        }
        slots[slot] = value;
    }
    slots
}
