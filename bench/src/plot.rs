//! Line charts on logarithmic axes as SVG, drawn by hand: a handful of lines needs no library.

use std::fmt::Write as _;

/// One line.
pub struct Series {
    /// What it shows, written beside its end.
    pub name: String,
    /// Colour of the line.
    pub colour: &'static str,
    /// Whether it is dashed.
    pub dashed: bool,
    /// Points, all coordinates positive.
    pub points: Vec<(f64, f64)>,
}

/// A chart.
pub struct Chart<'a> {
    /// What is shown.
    pub title: &'a str,
    /// What the horizontal axis counts.
    pub x: &'a str,
    /// What the vertical axis measures.
    pub y: &'a str,
    /// The lines.
    pub series: &'a [Series],
}

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 230.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 55.0;

/// The whole powers of ten around the values.
fn decades(values: impl Iterator<Item = f64>) -> (i32, i32) {
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
    (
        low.log10().floor() as i32,
        (high.log10().ceil() as i32).max(low.log10().floor() as i32 + 1),
    )
}

impl Chart<'_> {
    /// The chart as an SVG file.
    #[must_use]
    pub fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|s| &s.points);
        let (x0, x1) = decades(points().map(|p| p.0));
        let (y0, y1) = decades(points().map(|p| p.1));
        let at_x = |v: f64| LEFT + (v.log10() - f64::from(x0)) / f64::from(x1 - x0) * (WIDTH - LEFT - RIGHT);
        let at_y = |v: f64| {
            HEIGHT - BOTTOM - (v.log10() - f64::from(y0)) / f64::from(y1 - y0) * (HEIGHT - TOP - BOTTOM)
        };
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
             <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{}</text>\n",
            self.title
        );
        let mut line = |x1: f64, y1: f64, x2: f64, y2: f64, grey: &str| {
            let _ = writeln!(
                svg,
                "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{grey}\"/>"
            );
        };
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for power in y0..=y1 {
            for step in 1..10 {
                let y = at_y(f64::from(step) * 10f64.powi(power));
                if y >= TOP - 0.1 {
                    line(LEFT, y, right, y, if step == 1 { "#bbb" } else { "#eee" });
                }
            }
        }
        for power in x0..=x1 {
            let x = at_x(10f64.powi(power));
            line(x, TOP, x, bottom, "#bbb");
        }
        let mut text = |x: f64, y: f64, anchor: &str, fill: &str, what: &str| {
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{fill}\">{what}</text>"
            );
        };
        for power in y0..=y1 {
            text(
                LEFT - 8.0,
                at_y(10f64.powi(power)) + 4.0,
                "end",
                "black",
                &shown(power),
            );
        }
        for power in x0..=x1 {
            text(
                at_x(10f64.powi(power)),
                bottom + 18.0,
                "middle",
                "black",
                &shown(power),
            );
        }
        text((LEFT + right) / 2.0, HEIGHT - 12.0, "middle", "black", self.x);
        text(LEFT, TOP - 6.0, "start", "#555", self.y);
        // Names stand beside the ends of their lines, moved apart where ends are close.
        let mut ends: Vec<(f64, &Series)> = self
            .series
            .iter()
            .filter_map(|s| Some((at_y(s.points.last()?.1), s)))
            .collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut lowest = f64::MIN;
        for (y, series) in ends {
            lowest = y.max(lowest + 15.0);
            text(right + 8.0, lowest + 4.0, "start", series.colour, &series.name);
        }
        for series in self.series {
            let points: Vec<String> = series
                .points
                .iter()
                .map(|&(x, y)| format!("{:.1},{:.1}", at_x(x), at_y(y)))
                .collect();
            let dashes = if series.dashed {
                " stroke-dasharray=\"6 4\""
            } else {
                ""
            };
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"{dashes}/>",
                points.join(" "),
                series.colour
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// A power of ten as people write it.
fn shown(power: i32) -> String {
    match power {
        0..=7 => crate::report::grouped(10usize.pow(power as u32)),
        _ => format!("1e{power}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_lie_between_the_axes() {
        let series = [Series {
            name: "one".to_owned(),
            colour: "#000",
            dashed: false,
            points: vec![(10.0, 3.0), (1000.0, 250.0)],
        }];
        let svg = Chart {
            title: "t",
            x: "x",
            y: "y",
            series: &series,
        }
        .svg();
        // Decades 1 to 3 and 0 to 3: the first point stands on the left axis, the last on the right end.
        let points = svg.split("points=\"").nth(1).and_then(|s| s.split('"').next());
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        let height = HEIGHT - TOP - BOTTOM;
        let y = |v: f64| bottom - v.log10() / 3.0 * height;
        let expected = format!("{LEFT:.1},{:.1} {right:.1},{:.1}", y(3.0), y(250.0));
        assert_eq!(points, Some(expected.as_str()));
    }
}
