//! What all searches share: where they work, how much they do, what they count.

use crate::subject::Took;
use std::fmt;
use std::path::PathBuf;
use testkit::olean::Rng;

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
        let seed = self.seed ^ 0xcbf2_9ce4_8422_2325;
        Random(Rng(purpose.bytes().fold(seed, mix)))
    }
}

/// Numbers of chance.
pub struct Random(Rng);

impl Random {
    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0.below(limit as u64) as usize
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

/// What a search, or several, tried and found.
#[derive(Default)]
pub struct Found {
    /// Points tried.
    pub tried: usize,
    /// Points of which another call was hit.
    pub missed: usize,
    /// What is wrong.
    pub failures: Vec<Failure>,
}

impl Found {
    /// Of tallies.
    pub fn of(tallies: Vec<Tally>) -> Self {
        let mut found = Found::default();
        for tally in tallies {
            found.add(Found {
                tried: tally.tried,
                missed: tally.took[Took::Missed as usize],
                failures: tally.failures,
            });
        }
        found
    }

    /// And what others found.
    pub fn add(&mut self, other: Found) {
        self.tried += other.tried;
        self.missed += other.missed;
        self.failures.extend(other.failures);
    }

    /// A search that tries nothing, or misses what it means, finds nothing whatever is wrong.
    pub fn check(&mut self, what: &str) {
        if self.tried == 0 {
            self.failures.push(Failure::plain(what, "nothing was tried"));
        } else if self.missed > self.tried / 2 {
            let text = format!("{} of {} points missed", self.missed, self.tried);
            self.failures.push(Failure::plain(what, text));
        }
    }
}
