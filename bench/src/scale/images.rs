//! The images of the tree, how long building takes and what the disk alone takes, and states of the page cache.

use super::process::{self, Usage};
use olean_reader::format::image::header::{ENTRY_SIZE, HEADER_END};
use olean_reader::format::image::{Entry, Header, digest};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Images beside each other in one directory, on a disk.
pub struct Images {
    source: PathBuf,
    snapshot: PathBuf,
    /// Of the tree.
    pub tree: PathBuf,
    /// Of the tree and the header snapshot.
    pub inside: PathBuf,
    /// As [`Images::tree`], but every file seems to have changed since.
    pub stale: PathBuf,
}

impl Images {
    /// Names for images in `dir` of the modules below `source` and of `snapshot`.
    #[must_use]
    pub fn new(dir: &Path, source: &Path, snapshot: &Path) -> Self {
        Images {
            source: source.to_owned(),
            snapshot: snapshot.to_owned(),
            tree: dir.join("tree.image"),
            inside: dir.join("inside.image"),
            stale: dir.join("stale.image"),
        }
    }

    /// Builds all of them.
    pub fn build(&self) {
        process::run(&mut self.builder(&self.tree));
        process::run(self.builder(&self.inside).arg("--snapshot").arg(&self.snapshot));
        self.make_stale();
    }

    /// Builds the image of the tree alone.
    #[must_use]
    pub fn build_tree(&self) -> Usage {
        process::run(&mut self.builder(&self.tree))
    }

    fn builder(&self, output: &Path) -> Command {
        let mut command = Command::new(testkit::program("olean"));
        command
            .args(["image", "build"])
            .arg(&self.source)
            .arg("-o")
            .arg(output);
        testkit::lean::Options::stock().apply(&mut command);
        command
    }

    /// What the disk takes for as many bytes: the image copied and synchronised.
    #[must_use]
    pub fn write_bare(&self) -> Duration {
        let copy = self.tree.with_extension("copy");
        let mut from = open(&self.tree);
        let mut buffer = vec![0; 8 << 20];
        let start = Instant::now();
        let mut to = File::create(&copy).unwrap_or_else(|e| panic!("{}: {e}", copy.display()));
        loop {
            let n = from.read(&mut buffer).expect("the image can be read");
            if n == 0 {
                break;
            }
            to.write_all(&buffer[..n]).expect("there is room on the disk");
        }
        to.sync_all().expect("the disk writes");
        let took = start.elapsed();
        fs::remove_file(&copy).expect("it was made just now");
        took
    }

    /// An image with the tables of the tree's, whose files all have another change time; its regions are holes, as
    /// nobody looks at them.
    fn make_stale(&self) {
        let from = open(&self.tree);
        let size = from.metadata().expect("a size").len();
        let mut start = [0; HEADER_END];
        from.read_exact_at(&mut start, 0).expect("a header");
        let (mut header, layout) = Header::decode(&start, size, 4096).expect("an image of this build");
        let mut tables = vec![0; layout.tables_end() as usize];
        from.read_exact_at(&mut tables, 0).expect("tables");
        let entries = layout.entries.start as usize..layout.entries.end as usize;
        for bytes in tables[entries].chunks_exact_mut(ENTRY_SIZE) {
            let mut entry = Entry::decode(bytes).expect("an entry");
            entry.identity.changed_ns ^= 1;
            bytes.copy_from_slice(&entry.encode());
        }
        let index = layout.index();
        header.index = digest(&tables[index.start as usize..index.end as usize]);
        let head = header.encode();
        tables[..head.len()].copy_from_slice(&head);
        let to = File::create(&self.stale).unwrap_or_else(|e| panic!("{}: {e}", self.stale.display()));
        to.write_all_at(&tables, 0).expect("there is room on the disk");
        to.set_len(size).expect("a file with holes");
    }

    /// Reads every file of the tree, and the images, from their first byte to their last.
    pub fn read_all(&self) {
        let images = [&self.tree, &self.inside, &self.snapshot];
        for path in files(&self.source).iter().chain(images) {
            io::copy(&mut open(path), &mut io::sink()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }
}

fn open(path: &Path) -> File {
    File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// All files below `dir`.
#[must_use]
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Throws the page cache of the whole machine away, which only root can.
pub fn drop_caches() {
    // SAFETY: writes to disk what is not there yet.
    unsafe { libc::sync() };
    fs::write("/proc/sys/vm/drop_caches", "3")
        .unwrap_or_else(|e| panic!("the page cache cannot be dropped: {e}"));
}
