//! The region files that a Lean would read: who wrote them, and whether their base addresses are free.

use crate::addresses::{Mapping, taken};
use crate::error::Result;
use crate::input::region_files;
use olean_reader::format::header::{HEADER_SIZE, Header, field_text};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What is known of all files together.
#[derive(Default)]
pub struct Survey {
    /// Files with a header.
    pub files: u64,
    pub bytes: u64,
    /// Files without one, or that cannot be read.
    pub unreadable: Vec<PathBuf>,
    /// Files by the githash in them.
    pub githashes: BTreeMap<String, u64>,
    /// Base address, size and path, ascending.
    regions: Vec<(u64, u64, PathBuf)>,
}

impl Survey {
    /// Looks at the headers of all region files below `folders`; a folder that is none is left out.
    pub fn of(folders: &[PathBuf]) -> Result<Self> {
        let mut survey = Self::default();
        for folder in folders.iter().filter(|folder| folder.is_dir()) {
            for path in region_files(folder)? {
                survey.add(path);
            }
        }
        survey.regions.sort();
        survey.regions.dedup();
        Ok(survey)
    }

    fn add(&mut self, path: PathBuf) {
        let Some((header, size)) = header(&path) else {
            self.unreadable.push(path);
            return;
        };
        self.files += 1;
        self.bytes += size;
        *self.githashes.entry(field_text(&header.githash)).or_default() += 1;
        self.regions.push((header.base, size, path));
    }

    /// Files whose base address is not free in a process with these mappings, and what is there.
    pub fn misses(&self, maps: &[Mapping]) -> Vec<(&Path, String)> {
        let regions = self.regions.iter();
        regions
            .filter_map(|(base, size, path)| Some((path.as_path(), taken(maps, *base, *size)?)))
            .collect()
    }

    /// Pairs of files that want the same addresses.
    pub fn overlaps(&self) -> Vec<(&Path, &Path)> {
        let pairs = self.regions.windows(2);
        pairs
            .filter(|pair| pair[0].0 + pair[0].1 > pair[1].0)
            .map(|pair| (pair[0].2.as_path(), pair[1].2.as_path()))
            .collect()
    }
}

/// The header of a file, and its size.
fn header(path: &Path) -> Option<(Header, u64)> {
    let mut file = File::open(path).ok()?;
    let size = file.metadata().ok()?.len();
    let mut bytes = [0; HEADER_SIZE];
    file.read_exact(&mut bytes).ok()?;
    Some((Header::decode(&bytes).ok()?, size))
}
