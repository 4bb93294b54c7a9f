//! Rows, the table they make, and the same as JSON.

use crate::measure::Spread;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// A wish of the command line: rows whose name holds a text.
pub type Wanted<'a> = &'a dyn Fn(&str) -> bool;

/// What a row is measured against.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Goal {
    /// At most this part of the incumbent, both without the floor.
    Net(f64),
    /// At most this part of the incumbent.
    Ratio(f64),
    /// At most this multiple of the floor.
    Floor(f64),
    /// None; the row is there to be known.
    None,
}

/// What the numbers of a row are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Nanoseconds.
    Time,
    /// Bytes.
    Bytes,
}

/// One row.
pub struct Row {
    /// What is done.
    pub work: String,
    /// Objects or files it is done to, and what these are.
    pub count: (usize, &'static str),
    /// What is measured.
    pub unit: Unit,
    /// Our runs.
    pub ours: Vec<f64>,
    /// The incumbent's runs, pair by pair.
    pub incumbent: Vec<f64>,
    /// Runs of the floor, if it has one.
    pub floor: Option<Vec<f64>>,
    /// First call in a process, ours and the incumbent's, if that was measured.
    pub first: Option<(f64, f64)>,
    /// The target.
    pub target: Goal,
}

impl Row {
    /// Ours in parts of the incumbent.
    #[must_use]
    pub fn ratio(&self) -> Spread {
        Spread::of_pairs(&self.ours, &self.incumbent, |a, b| a / b)
    }

    /// The same without the floor, from the medians.
    #[must_use]
    pub fn net(&self) -> Option<f64> {
        let floor = Spread::of(self.floor.as_ref()?).median;
        Some((Spread::of(&self.ours).median - floor) / (Spread::of(&self.incumbent).median - floor))
    }

    /// Ours in multiples of the floor.
    #[must_use]
    pub fn of_floor(&self) -> Option<f64> {
        let floor = self.floor.as_ref()?;
        Some(Spread::of_pairs(&self.ours, floor, |a, b| a / b).median)
    }

    /// The floor in parts of the incumbent.
    #[must_use]
    pub fn floor_ratio(&self) -> Option<f64> {
        let floor = self.floor.as_ref()?;
        Some(Spread::of_pairs(floor, &self.incumbent, |a, b| a / b).median)
    }

    /// Whether the floor alone takes more than the target allows.
    #[must_use]
    pub fn out_of_reach(&self) -> bool {
        matches!((self.target, self.floor_ratio()), (Goal::Ratio(most), Some(floor)) if floor > most)
    }

    /// The value that the target is about and the most it may be.
    #[must_use]
    pub fn judged(&self) -> Option<(f64, f64)> {
        match self.target {
            Goal::Net(most) => Some((self.net()?, most)),
            Goal::Ratio(most) => Some((self.ratio().median, most)),
            Goal::Floor(most) => Some((self.of_floor()?, most)),
            Goal::None => None,
        }
    }

    /// The row as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let (target, kind) = match self.target {
            Goal::Net(t) => (Some(t), "net"),
            Goal::Ratio(t) => (Some(t), "ratio"),
            Goal::Floor(t) => (Some(t), "of_floor"),
            Goal::None => (None, "none"),
        };
        let unit = if self.unit == Unit::Time { "ns" } else { "bytes" };
        let mut row = json!({
            "work": self.work,
            "count": self.count.0,
            "counted": self.count.1,
            "runs": self.ours.len(),
            "ratio": self.ratio().median,
            "ratio_quartiles": [self.ratio().quartiles.0, self.ratio().quartiles.1],
            "net": self.net(),
            "of_floor": self.of_floor(),
            "floor_ratio": self.floor_ratio(),
            "floor_above_target": self.out_of_reach(),
            "target": target,
            "target_is": kind,
            "met": self.judged().map(|(value, most)| value <= most),
        });
        row[format!("ours_{unit}")] = Spread::of(&self.ours).median.into();
        row[format!("incumbent_{unit}")] = Spread::of(&self.incumbent).median.into();
        row[format!("floor_{unit}")] = self.floor.as_ref().map(|f| Spread::of(f).median).into();
        if let Some((ours, incumbent)) = self.first {
            row["first_ours_ns"] = ours.into();
            row["first_incumbent_ns"] = incumbent.into();
        }
        row
    }

    /// One line of the table.
    #[must_use]
    pub fn line(&self) -> String {
        let show = |v: f64| match self.unit {
            Unit::Time => time(v),
            Unit::Bytes => bytes(v),
        };
        let ratio = self.ratio();
        let mut line = format!(
            "| {} | {} {} | {} | {} | {} | {:.3} ({:.3} to {:.3}) | {} |",
            self.work,
            grouped(self.count.0),
            self.count.1,
            show(Spread::of(&self.ours).median),
            show(Spread::of(&self.incumbent).median),
            self.floor
                .as_ref()
                .map_or("-".to_owned(), |f| show(Spread::of(f).median)),
            ratio.median,
            ratio.quartiles.0,
            ratio.quartiles.1,
            self.net().map_or("-".to_owned(), |n| format!("{n:.3}")),
        );
        let first = self
            .first
            .map_or("-".to_owned(), |(a, b)| format!("{:.2}", a / b));
        let target = match (self.target, self.judged()) {
            (Goal::None, _) | (_, None) => "-".to_owned(),
            (target, Some((value, most))) => {
                let what = match target {
                    Goal::Net(_) => "net",
                    Goal::Ratio(_) => "ratio",
                    _ => "of floor",
                };
                let met = if value <= most { "met" } else { "MISSED" };
                let why = match (self.floor_ratio(), self.of_floor()) {
                    (Some(floor), Some(times)) if value > most && matches!(target, Goal::Ratio(_)) => {
                        format!(", the floor alone is {floor:.3}; ours is {times:.2} of it")
                    }
                    _ => String::new(),
                };
                format!("{what} {value:.3}, at most {most:.2}: {met}{why}")
            }
        };
        let _ = write!(line, " {first} | {target} |");
        line
    }
}

/// The head of the table, in Markdown.
pub const HEAD: &str = "| work | on | ours | incumbent | floor | ratio (quartiles) | net | first call | target |\n\
                        |---|---|---|---|---|---|---|---|---|";

/// Digits in groups of three.
#[must_use]
pub fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

fn time(ns: f64) -> String {
    match ns {
        n if n < 1e4 => format!("{n:.0} ns"),
        n if n < 1e7 => format!("{:.1} us", n / 1e3),
        n if n < 1e10 => format!("{:.1} ms", n / 1e6),
        n => format!("{:.2} s", n / 1e9),
    }
}

fn bytes(n: f64) -> String {
    match n {
        n if n < 1e6 => format!("{:.0} KB", n / 1e3),
        n => format!("{:.1} MB", n / 1e6),
    }
}
