//! Load: threads and processes that save, read and free the same files and different ones, files damaged meanwhile,
//! forks while threads are in the loader.

use crate::run::{LOAD, Program, Traced, compiled, empty, number};
use crate::search::{Failure, Search, Tally};
use std::path::{Path, PathBuf};

/// The programs.
pub struct Loads {
    load: PathBuf,
    forks: PathBuf,
}

/// Compiles them against a library.
pub fn build(library: &Path, into: &Path) -> Loads {
    Loads {
        load: compiled(library, &LOAD, &[], into.join("load")),
        forks: compiled(library, &["forks.c"], &[], into.join("forks")),
    }
}

/// A run of one of them.
pub struct Run {
    /// What it is called.
    pub name: &'static str,
    /// The program.
    pub program: Program,
    /// Whether files are damaged meanwhile.
    pub vandal: bool,
}

impl Loads {
    /// The program of threads and processes.
    pub fn load(&self, dir: &Path, numbers: [usize; 3], seed: u64, vandal: bool) -> Program {
        let mut words = vec![self.load.display().to_string(), ".".into()];
        words.extend(numbers.iter().map(ToString::to_string));
        words.push(seed.to_string());
        let mut env = Vec::new();
        if vandal {
            words.push("vandal".into());
            env = ["LEAN_REGION_VERIFY", "LEAN_REGION_FORCE_RELOCATE"]
                .map(|name| (name.to_owned(), "1".to_owned()))
                .to_vec();
        }
        Program {
            words,
            env,
            preload: Vec::new(),
            dir: dir.to_owned(),
        }
    }

    /// All runs, `much` times as long as the shortest.
    fn runs(&self, dir: &Path, seed: u64, much: usize) -> Vec<Run> {
        let forks = |children: usize| Program {
            words: vec![
                self.forks.display().to_string(),
                (children * much).to_string(),
                "8".into(),
                ".".into(),
            ],
            dir: dir.to_owned(),
            ..Program::default()
        };
        let load = |name, [threads, processes, rounds]: [usize; 3], vandal| Run {
            name,
            program: self.load(dir, [threads, processes, rounds * much], seed, vandal),
            vandal,
        };
        vec![
            load("eight threads", [8, 1, 300], false),
            load("eight processes of eight threads", [8, 8, 50], false),
            load("files damaged meanwhile", [4, 2, 200], true),
            Run {
                name: "forks under load",
                program: forks(100),
                vandal: false,
            },
        ]
    }
}

/// Runs them; operations and children are counted.
pub fn search(search: &Search) -> Vec<Tally> {
    let loads = build(&search.library, &search.dir);
    let (dir, logs) = (search.place("load", 0), search.place("logs", 0));
    let mut tallies = Vec::new();
    for run in loads.runs(&dir, search.seed, if search.short { 1 } else { 20 }) {
        if !search.wants(run.name) {
            continue;
        }
        empty(&dir);
        let left = run.program.run(&Traced::Not, &logs);
        let mut tally = Tally::new(run.name);
        let mut spoilt = 0;
        for line in left.stdout.lines() {
            let [saves, reads, errors, good] =
                ["saves", "reads", "errors", "good"].map(|word| number(line, word));
            tally.took[0] += saves + reads + good - errors;
            tally.took[1] += errors;
            spoilt += number(line, "spoilt");
        }
        tally.tried = tally.took.iter().sum();
        tally.possible = tally.tried;
        if run.vandal && spoilt == 0 {
            tally
                .failures
                .push(Failure::plain(run.name, "no read met a file that was damaged"));
        }
        if left.code() != Some(0) || tally.tried == 0 || !left.stderr.is_empty() {
            let err: Vec<&str> = left.stderr.lines().take(8).collect();
            tally.failures.push(Failure {
                subject: run.name.to_owned(),
                point: format!("seed {}", search.seed),
                what: format!("{:?}\n{}\n{}", left.status, left.stdout, err.join("\n")),
                again: run.program.shown(&Traced::Not),
            });
        }
        tallies.push(tally);
    }
    tallies
}
