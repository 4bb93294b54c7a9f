//! How numbers, texts and tables look.

use anstyle::{AnsiColor, Style};

/// What a line is about.
pub const TITLE: Style = Style::new().bold();
/// Labels and what matters less.
pub const DIM: Style = Style::new().dimmed();
/// Names and strings.
pub const TEXT: Style = AnsiColor::Green.on_default();
/// Good news.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Bad news.
pub const BAD: Style = AnsiColor::Red.on_default().bold();

/// News that may be bad.
pub const WARN: Style = AnsiColor::Yellow.on_default().bold();

/// A number with its digits in groups of three.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(c);
    }
    text
}

/// Bytes in a unit that reads well.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let (mut value, mut unit) = (n as f64 / 1024.0, 0);
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A time in milliseconds.
pub fn milliseconds(seconds: f64) -> String {
    format!("{:.2} ms", seconds * 1e3)
}

/// A share in percent.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    format!("{:.1} %", part as f64 * 100.0 / whole as f64)
}

/// `1 file`, `2 files`.
pub fn plural(n: u64, what: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {what}{s}", count(n))
}

/// A text with control characters escaped, so that no file can drive the terminal.
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// A table: the first column to the left, the others to the right.
#[derive(Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these titles.
    pub fn new(titles: &[&str]) -> Self {
        let titles = titles.iter().map(|&t| t.to_owned()).collect();
        Self { rows: vec![titles] }
    }

    /// Adds a row with as many cells as there are titles.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Characters in each column.
    fn widths(&self) -> Vec<usize> {
        let mut widths = vec![0; self.rows[0].len()];
        for row in &self.rows {
            for (w, cell) in widths.iter_mut().zip(row) {
                *w = (*w).max(cell.chars().count());
            }
        }
        widths
    }

    /// Characters in a line, if none is cut.
    pub fn width(&self) -> usize {
        let widths = self.widths();
        widths.iter().sum::<usize>() + 2 * (widths.len() - 1)
    }

    /// The lines, indented by `indent`; the first column is cut so that lines fit in `width` columns.
    pub fn lines(&self, indent: usize, width: usize) -> Vec<String> {
        let mut widths = self.widths();
        let others: usize = widths[1..].iter().map(|w| w + 2).sum();
        widths[0] = widths[0].min(width.saturating_sub(others + indent).max(12));
        let line = |(i, row): (usize, &Vec<String>)| {
            let first = cut(&row[0], widths[0]);
            let mut line = " ".repeat(indent) + &first + &" ".repeat(widths[0] - first.chars().count());
            for (cell, w) in row.iter().zip(&widths).skip(1) {
                line += &format!("  {cell:>w$}");
            }
            let line = line.trim_end();
            if i == 0 {
                format!("{DIM}{line}{DIM:#}")
            } else {
                line.to_owned()
            }
        };
        self.rows.iter().enumerate().map(line).collect()
    }
}

/// At most `width` characters of a text.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// The last `width` characters of a text.
pub fn cut_left(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.to_owned();
    }
    let tail = text.chars().skip(count - width.saturating_sub(1));
    std::iter::once('…').chain(tail).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [count(0), count(999), count(1000), count(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [bytes(1023), bytes(1024), bytes(1 << 20), bytes(1_048_575)],
            ["1023 B", "1.0 KiB", "1.0 MiB", "1.0 MiB"]
        );
        assert_eq!([percent(1, 3), percent(0, 0)], ["33.3 %", "-"]);
        assert_eq!(
            [plural(1, "file"), plural(2000, "file")],
            ["1 file", "2,000 files"]
        );
    }

    #[test]
    fn no_text_drives_the_terminal() {
        assert_eq!(clean("a\u{1b}[31mλ\n"), "a\\u{1b}[31mλ\\n");
    }

    #[test]
    fn tables_fit_the_width() {
        let mut t = Table::new(&["kind", "bytes"]);
        t.row(["a very long name that goes on".to_owned(), "12".to_owned()]);
        let lines = t.lines(2, 24);
        assert_eq!(lines[1], "  a very long na…     12");
    }
}
