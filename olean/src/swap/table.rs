//! The measurements of both legs side by side: as rows of a table and of the JSON document.

use super::run::{Mode, Run};
use crate::render::{Table, bytes, count};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use std::time::Duration;

/// What a number counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unit {
    Seconds,
    Bytes,
    Count,
}

/// A measurement: its name in JSON, its label, and where it is in a run.
struct Metric {
    name: &'static str,
    label: &'static str,
    unit: Unit,
    of: fn(&Run) -> f64,
}

const fn metric(name: &'static str, label: &'static str, unit: Unit, of: fn(&Run) -> f64) -> Metric {
    Metric {
        name,
        label,
        unit,
        of,
    }
}

fn seconds(ns: u64) -> f64 {
    Duration::from_nanos(ns).as_secs_f64()
}

const METRICS: [Metric; 16] = [
    metric("wall_s", "wall time", Unit::Seconds, |r| {
        r.usage.wall.as_secs_f64()
    }),
    metric("user_s", "user time", Unit::Seconds, |r| {
        r.usage.user.as_secs_f64()
    }),
    metric("system_s", "system time", Unit::Seconds, |r| {
        r.usage.system.as_secs_f64()
    }),
    metric("peak_memory_bytes", "peak memory", Unit::Bytes, |r| {
        r.usage.peak as f64
    }),
    metric("page_faults", "page faults", Unit::Count, |r| {
        r.usage.faults as f64
    }),
    metric("mappings", "mappings", Unit::Count, |r| r.total.mappings as f64),
    metric("save_calls", "saves", Unit::Count, |r| r.total.save.calls as f64),
    metric("save_bytes", "bytes saved", Unit::Bytes, |r| {
        r.total.save.bytes as f64
    }),
    metric("save_s", "save time", Unit::Seconds, |r| seconds(r.total.save.ns)),
    metric("read_calls", "reads", Unit::Count, |r| r.total.read.calls as f64),
    metric("read_bytes", "bytes read", Unit::Bytes, |r| {
        r.total.read.bytes as f64
    }),
    metric("read_mapped", "mapped reads", Unit::Count, |r| {
        r.total.read.mapped as f64
    }),
    metric("read_mapped_s", "mapped read time", Unit::Seconds, |r| {
        seconds(r.total.read.mapped_ns)
    }),
    metric("read_relocated", "relocated reads", Unit::Count, |r| {
        let read = &r.total.read;
        read.calls.saturating_sub(read.errors).saturating_sub(read.mapped) as f64
    }),
    metric("read_relocated_s", "relocated read time", Unit::Seconds, |r| {
        seconds(r.total.read.ns.saturating_sub(r.total.read.mapped_ns))
    }),
    metric("free_calls", "frees", Unit::Count, |r| r.total.frees as f64),
];

/// One measurement in several runs.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// Of at least one number.
    pub fn of(mut numbers: Vec<f64>) -> Self {
        numbers.sort_by(f64::total_cmp);
        let (n, middle) = (numbers.len(), numbers.len() / 2);
        Self {
            median: if n % 2 == 1 {
                numbers[middle]
            } else {
                (numbers[middle - 1] + numbers[middle]) / 2.0
            },
            min: numbers[0],
            max: numbers[n - 1],
        }
    }
}

/// One row.
pub struct Row {
    metric: &'static Metric,
    other: Mode,
    host: Spread,
    ours: Spread,
}

impl Row {
    /// Ours in relation to the host's; `None` where the host's is nothing.
    fn ratio(&self) -> Option<f64> {
        (self.host.median > 0.0).then(|| self.ours.median / self.host.median)
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("metric", self.metric.name)?;
        map.serialize_entry("observe", &self.host)?;
        map.serialize_entry(self.other.name(), &self.ours)?;
        map.serialize_entry("ratio", &self.ratio())?;
        map.end()
    }
}

/// The rows for `runs`, of which there is at least one in mode observe and one in mode `other`.
pub fn rows(runs: &[Run], other: Mode) -> Vec<Row> {
    let spread = |mode: Mode, metric: &Metric| {
        Spread::of(
            runs.iter()
                .filter(|run| run.mode == mode)
                .map(metric.of)
                .collect(),
        )
    };
    METRICS
        .iter()
        .map(|metric| Row {
            metric,
            other,
            host: spread(Mode::Observe, metric),
            ours: spread(other, metric),
        })
        .collect()
}

/// The rows as lines for people; rows with nothing on either side are left out.
///
/// Where the lines would be longer than `width`, the spreads are left out.
pub fn lines(rows: &[Row], other: Mode, width: usize) -> Vec<String> {
    let full = table(rows, other, true);
    if full.width() <= width {
        return full.lines(0, width);
    }
    table(rows, other, false).lines(0, width)
}

fn table(rows: &[Row], other: Mode, spreads: bool) -> Table {
    let titles = ["", "observe", "min … max", other.name(), "min … max", "ratio"];
    let shown_columns = |i: usize| spreads || !matches!(i, 2 | 4);
    let titles: Vec<&str> = (0..6).filter(|&i| shown_columns(i)).map(|i| titles[i]).collect();
    let mut table = Table::new(&titles);
    for row in rows.iter().filter(|row| row.host.max > 0.0 || row.ours.max > 0.0) {
        let unit = row.metric.unit;
        let spread = |s: Spread| match (shown(s.min, unit), shown(s.max, unit)) {
            (min, max) if min == max => String::new(),
            (min, max) => format!("{min} … {max}"),
        };
        let cells = [
            row.metric.label.to_owned(),
            shown(row.host.median, unit),
            spread(row.host),
            shown(row.ours.median, unit),
            spread(row.ours),
            row.ratio().map_or("-".to_owned(), |ratio| format!("{ratio:.2}")),
        ];
        table.row(
            cells
                .into_iter()
                .enumerate()
                .filter(|(i, _)| shown_columns(*i))
                .map(|(_, cell)| cell),
        );
    }
    table
}

fn shown(number: f64, unit: Unit) -> String {
    match unit {
        Unit::Bytes => bytes(number as u64),
        Unit::Count => count(number.round() as u64),
        Unit::Seconds if number >= 10.0 => format!("{number:.1} s"),
        Unit::Seconds if number >= 1.0 => format!("{number:.2} s"),
        Unit::Seconds if number >= 0.01 => format!("{:.0} ms", number * 1e3),
        Unit::Seconds if number >= 0.001 => format!("{:.1} ms", number * 1e3),
        Unit::Seconds => format!("{:.0} µs", number * 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_of_the_middle() {
        let spread = |numbers: &[f64]| Spread::of(numbers.to_vec());
        assert_eq!(
            spread(&[3.0, 1.0, 2.0]),
            Spread {
                median: 2.0,
                min: 1.0,
                max: 3.0
            }
        );
        assert_eq!(
            spread(&[4.0, 1.0]),
            Spread {
                median: 2.5,
                min: 1.0,
                max: 4.0
            }
        );
    }

    #[test]
    fn numbers_have_three_digits_or_so() {
        let times = [12.34, 1.234, 0.1234, 0.01234, 0.001234, 0.0001234, 0.0];
        let texts = ["12.3 s", "1.23 s", "123 ms", "12 ms", "1.2 ms", "123 µs", "0 µs"];
        assert_eq!(times.map(|t| shown(t, Unit::Seconds)), texts);
        assert_eq!(
            [shown(2048.0, Unit::Bytes), shown(1234.6, Unit::Count)],
            ["2.0 KiB", "1,235"]
        );
    }

    #[test]
    fn a_row_is_the_documented_json() {
        let row = Row {
            metric: &METRICS[0],
            other: Mode::Replace,
            host: Spread {
                median: 2.0,
                min: 1.0,
                max: 3.0,
            },
            ours: Spread {
                median: 1.0,
                min: 1.0,
                max: 1.0,
            },
        };
        assert_eq!(
            serde_json::to_string(&row).unwrap(),
            r#"{"metric":"wall_s","observe":{"median":2.0,"min":1.0,"max":3.0},"replace":{"median":1.0,"min":1.0,"max":1.0},"ratio":0.5}"#
        );
        let nothing = Row {
            host: Spread {
                median: 0.0,
                min: 0.0,
                max: 0.0,
            },
            ..row
        };
        assert!(
            serde_json::to_string(&nothing)
                .unwrap()
                .ends_with(r#""ratio":null}"#)
        );
    }
}
