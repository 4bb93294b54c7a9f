//! The table: a line for each figure of a work, with the ratios to its first side and what became of the targets.

use super::process::Usage;
use super::targets::{Target, target};
use super::works::Work;
use crate::measure::Spread;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The runs of one work: for each of its sides its usages.
pub type Runs = Vec<Vec<Usage>>;

/// A figure of a run, and how the table shows it.
struct Figure {
    name: &'static str,
    of: fn(&Usage) -> f64,
    show: fn(f64) -> String,
}

fn milliseconds(s: f64) -> String {
    format!("{:.1} ms", s * 1e3)
}

fn megabytes(b: f64) -> String {
    format!("{:.1} MB", b / 1e6)
}

fn number(n: f64) -> String {
    format!("{n:.0}")
}

const fn figure(name: &'static str, of: fn(&Usage) -> f64, show: fn(f64) -> String) -> Figure {
    Figure { name, of, show }
}

const FIGURES: [Figure; 8] = [
    figure("processor time", |u| u.processor.as_secs_f64(), milliseconds),
    figure("wall time", |u| u.wall.as_secs_f64(), milliseconds),
    figure("peak memory", |u| u.peak as f64, megabytes),
    figure("page faults", |u| u.faults as f64, number),
    figure("system calls", |u| u.calls as f64, number),
    figure("page tables", |u| u.page_tables as f64, megabytes),
    figure("mappings", |u| u.mappings as f64, number),
    figure("anonymous memory", |u| u.anonymous as f64, megabytes),
];

/// The table's lines, printed as they come, and which targets were met.
pub struct Table {
    /// Regions of the tree.
    regions: usize,
    works: Vec<Value>,
    targets: usize,
    missed: Vec<String>,
}

impl Table {
    /// A table over a tree of so many regions.
    #[must_use]
    pub fn new(regions: usize) -> Table {
        println!(
            "{:<44} {:<17} and each side: median, ratio to the first (quartiles), target",
            "work", "figure"
        );
        Table {
            regions,
            works: Vec::new(),
            targets: 0,
            missed: Vec::new(),
        }
    }

    /// Adds the runs of a work.
    pub fn add(&mut self, work: &Work, runs: &Runs) {
        let mut figures = Vec::new();
        for figure in FIGURES.iter().filter(|f| work.figures.contains(&f.name)) {
            let values: Vec<Vec<f64>> = runs
                .iter()
                .map(|side| side.iter().map(figure.of).collect())
                .collect();
            figures.push(self.row(&work.name, figure.name, work.sides, &values, figure.show));
        }
        self.works.push(json!({"work": work.name, "figures": figures}));
    }

    /// Adds a row of nanoseconds for each read; each side has the runs of the first side that it was measured beside.
    pub fn add_reads(&mut self, side: &'static str, stock: &[f64], own: &[f64]) {
        let show = |ns: f64| format!("{:.2} us", ns / 1e3);
        let sides = [super::side::STOCK, side];
        let values = [stock.to_vec(), own.to_vec()];
        let work = "read, inside the loader";
        let row = self.row(work, "each read", &sides, &values, show);
        self.works.push(json!({"work": work, "figures": [row]}));
    }

    /// Adds a line of its own with a number that has a target in all.
    pub fn add_build(&mut self, wall: f64, processor: f64, floor: f64, most: f64) {
        let verdict = self.verdict("building an image: wall time", wall, Target::Most(most), |s| {
            format!("{s:.2} s")
        });
        println!(
            "{:<44} {:<17} {wall:.2} s{verdict}; processor time {processor:.2} s; the same bytes copied and \
             synchronised: {floor:.2} s",
            "building an image", "wall time"
        );
        self.works
            .push(json!({"work": "building an image", "wall": wall, "processor": processor, "floor": floor}));
    }

    fn row(
        &mut self,
        work: &str,
        figure: &str,
        sides: &[&str],
        values: &[Vec<f64>],
        show: impl Fn(f64) -> String + Copy,
    ) -> Value {
        let first = Spread::of(&values[0]).median;
        let mut line = format!("{work:<44} {figure:<17} {} {}", sides[0], show(first));
        for (side, own) in sides.iter().zip(values).skip(1) {
            let ratio = Spread::of_pairs(own, &values[0], |a, b| a / b);
            let median = Spread::of(own).median;
            let (low, high) = ratio.quartiles;
            let _ = write!(
                line,
                "; {side} {} {:.3} ({low:.3} … {high:.3})",
                show(median),
                ratio.median
            );
            if let Some(target) = target(work, figure, side, first, self.regions as f64) {
                let reached = match target {
                    Target::Ratio(_) => ratio.median,
                    Target::Most(_) => median,
                };
                line += &self.verdict(&format!("{work}: {figure}, {side}"), reached, target, show);
            }
        }
        println!("{line}");
        let side = |(side, runs): (&&str, &Vec<f64>)| json!({"side": side, "runs": runs});
        json!({"figure": figure, "sides": sides.iter().zip(values).map(side).collect::<Vec<_>>()})
    }

    /// What became of a target, in words.
    fn verdict(&mut self, what: &str, reached: f64, target: Target, show: impl Fn(f64) -> String) -> String {
        self.targets += 1;
        let (most, text) = match target {
            Target::Ratio(most) => (most, format!("{most:.2}")),
            Target::Most(most) => (most, show(most)),
        };
        if reached <= most {
            return format!(" [target {text}: met]");
        }
        let now = match target {
            Target::Ratio(_) => format!("{reached:.3}"),
            Target::Most(_) => show(reached),
        };
        self.missed.push(format!("{what}: {now}, target {text}"));
        format!(" [target {text}: MISSED]")
    }

    /// Prints which targets were missed, and answers all numbers.
    #[must_use]
    pub fn finish(self) -> Value {
        println!(
            "{} of {} targets met",
            self.targets - self.missed.len(),
            self.targets
        );
        for missed in &self.missed {
            println!("missed: {missed}");
        }
        json!({"works": self.works, "targets": self.targets, "missed": self.missed})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_target_is_told() {
        let mut table = Table::new(10);
        table.add_reads("image", &[100.0, 100.0], &[19.0, 20.0]);
        table.add_reads("trust", &[100.0, 100.0], &[5.0, 5.0]);
        let all = table.finish();
        assert_eq!(all["targets"], 2);
        assert_eq!(
            all["missed"],
            json!(["read, inside the loader: each read, trust: 0.050, target 0.04"])
        );
    }
}
