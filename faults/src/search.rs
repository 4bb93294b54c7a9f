//! What all searches share: where they work, how much they do, what they count.

use crate::subject::Took;
use std::fmt;
use std::path::PathBuf;

/// How a search is run.
pub struct Search {
    /// A sample of what the long form does.
    pub short: bool,
    /// Points of each operation at most, where it is said.
    pub points: Option<usize>,
    /// What is drawn is drawn from this.
    pub seed: u64,
    /// At the same time.
    pub workers: usize,
    /// Where everything lies.
    pub dir: PathBuf,
    /// Only operations with this in their names.
    pub only: Option<String>,
    /// `liblean_region.so`.
    pub library: PathBuf,
    /// `olean`.
    pub tool: PathBuf,
}

impl Search {
    /// A directory of a worker.
    pub fn place(&self, what: &str, worker: usize) -> PathBuf {
        self.dir.join(format!("{what}.{worker}"))
    }

    /// Whether an operation is asked for.
    pub fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }

    /// How many points of an operation are tried at most.
    pub fn points_of_each(&self) -> usize {
        self.points.unwrap_or(if self.short { 12 } else { usize::MAX })
    }

    /// Numbers of chance, the same for the same seed and purpose.
    pub fn random(&self, purpose: &str) -> Random {
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Random(purpose.bytes().fold(self.seed ^ 0xcbf2_9ce4_8422_2325, mix))
    }
}

/// SplitMix64.
pub struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// Another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// Something that should not have happened, and how to see it again.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The operation.
    pub subject: String,
    /// What was done to it.
    pub point: String,
    /// What came of it.
    pub what: String,
    /// A command.
    pub again: String,
}

impl Failure {
    /// One without a command.
    pub fn plain(subject: &str, what: impl Into<String>) -> Self {
        Failure {
            subject: subject.to_owned(),
            point: String::new(),
            what: what.into(),
            again: String::new(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.subject, self.point)?;
        for line in self.what.trim_end().lines().take(12) {
            writeln!(f, "    {line}")?;
        }
        if !self.again.is_empty() {
            writeln!(f, "    again: {}", self.again)?;
        }
        Ok(())
    }
}

/// What came of a search of one operation.
pub struct Tally {
    /// Its name.
    pub name: String,
    /// Points that there are.
    pub possible: usize,
    /// Points tried.
    pub tried: usize,
    /// Borne, reported, missed.
    pub took: [usize; 3],
    /// What is wrong.
    pub failures: Vec<Failure>,
}

impl Tally {
    /// Nothing yet.
    pub fn new(name: &str) -> Self {
        Tally {
            name: name.to_owned(),
            possible: 0,
            tried: 0,
            took: [0; 3],
            failures: Vec::new(),
        }
    }

    /// One more.
    pub fn add(&mut self, outcome: Result<Took, Failure>) {
        self.tried += 1;
        match outcome {
            Ok(took) => self.took[took as usize] += 1,
            Err(failure) => self.failures.push(failure),
        }
    }
}
