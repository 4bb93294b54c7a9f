//! Whole processes at scale: a real Lean imports some thousand modules, saves a snapshot of that and loads it, with
//! its own loader and with ours, in turn. What counts is the processor time of the whole process, for that is what is
//! left of a loader's gains when everything about it has its say: page faults later on, memory, start-up.
//!
//! * [`process`]: one run, and what it took;
//! * [`side`]: who loads; [`works`]: what is run;
//! * this file: rounds and the table.

pub mod process;
pub mod side;
pub mod works;

use crate::measure::Spread;
use process::Usage;
use serde_json::{Value, json};
use side::{Side, sides};
use std::path::{Path, PathBuf};
use works::{Work, Works};

/// How much is run.
pub struct Options {
    /// Runs of each side; the first ones come on top and are not counted.
    pub runs: usize,
    /// Only works whose name contains this.
    pub filter: String,
    /// Works beside those that are always run: `cold`, `delay`, `calls`, `restored`.
    pub extra: Vec<String>,
    /// Where the numbers go as JSON.
    pub json: Option<PathBuf>,
}

/// The runs of one work: for each side its usages.
type Runs = Vec<Vec<Usage>>;

/// Runs everything over the tree in `dir`, which is made if it is not there, and prints the table.
pub fn run(dir: &Path, options: &Options) {
    let sides = sides();
    let works = Works::new(dir, &sides);
    println!("{}", head(&sides));
    let mut all = Vec::new();
    for work in works.list(&options.extra) {
        if !work.name.contains(&options.filter) {
            continue;
        }
        let runs = measure(&works, &work, &sides, options.runs);
        for line in lines(&work, &sides, &runs) {
            println!("{line}");
        }
        all.push(to_json(&work, &sides, &runs));
    }
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&json!({ "works": all })).expect("numbers and texts");
        std::fs::write(path, text + "\n").unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
}

/// One unmeasured run of each side, then rounds in turning order, so that what else the machine does hits all alike.
fn measure(works: &Works, work: &Work, sides: &[Side], runs: usize) -> Runs {
    let runs = work.runs.unwrap_or(runs);
    let mut out = vec![Vec::with_capacity(runs); sides.len()];
    for round in 0..=runs {
        for i in 0..sides.len() {
            let side = if round % 2 == 0 { i } else { sides.len() - 1 - i };
            let usage = works.run(work, &sides[side]);
            if round > 0 {
                out[side].push(usage);
            }
        }
    }
    out
}

/// A figure of a run, and how the table shows it.
struct Figure {
    name: &'static str,
    of: fn(&Usage) -> f64,
    show: fn(f64) -> String,
}

const FIGURES: [Figure; 5] = [
    Figure {
        name: "processor time",
        of: |u| u.processor.as_secs_f64(),
        show: |s| format!("{:.1} ms", s * 1e3),
    },
    Figure {
        name: "wall time",
        of: |u| u.wall.as_secs_f64(),
        show: |s| format!("{:.1} ms", s * 1e3),
    },
    Figure {
        name: "peak memory",
        of: |u| u.peak as f64,
        show: |b| format!("{:.1} MB", b / 1e6),
    },
    Figure {
        name: "page faults",
        of: |u| u.faults as f64,
        show: |n| format!("{n:.0}"),
    },
    Figure {
        name: "system calls",
        of: |u| u.calls as f64,
        show: |n| format!("{n:.0}"),
    },
];

fn head(sides: &[Side]) -> String {
    let mut head = format!("{:<32} {:<15}", "work", "figure");
    for (i, side) in sides.iter().enumerate() {
        head += &format!(" {:>12}", side.name);
        if i > 0 {
            head += &format!(" {:>24}", "ratio (quartiles)");
        }
    }
    head
}

fn lines(work: &Work, sides: &[Side], runs: &Runs) -> Vec<String> {
    let figures = FIGURES
        .iter()
        .filter(|figure| work.figures.contains(&figure.name));
    let line = |figure: &Figure| {
        let values: Vec<Vec<f64>> = runs
            .iter()
            .map(|side| side.iter().map(figure.of).collect())
            .collect();
        let mut line = format!("{:<32} {:<15}", work.name, figure.name);
        for (i, side) in values.iter().enumerate().take(sides.len()) {
            line += &format!(" {:>12}", (figure.show)(Spread::of(side).median));
            if i > 0 {
                let ratio = Spread::of_pairs(side, &values[0], |a, b| a / b);
                let (low, high) = ratio.quartiles;
                line += &format!(" {:>24}", format!("{:.3} ({low:.3} … {high:.3})", ratio.median));
            }
        }
        line
    };
    figures.map(line).collect()
}

fn to_json(work: &Work, sides: &[Side], runs: &Runs) -> Value {
    let side = |(side, runs): (&Side, &Vec<Usage>)| {
        let of = |figure: &Figure| json!({"figure": figure.name, "runs": runs.iter().map(figure.of).collect::<Vec<_>>()});
        json!({"side": side.name, "figures": FIGURES.iter().map(of).collect::<Vec<_>>()})
    };
    json!({"work": work.name, "sides": sides.iter().zip(runs).map(side).collect::<Vec<_>>()})
}
