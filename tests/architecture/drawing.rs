//! docs/layers.svg, drawn from the table of rooms: a room stands in the row above the highest of those that it may
//! use, and lines lead down to what it uses, except where another of these leads there already.

use super::Room;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Pixels: a box, what lies between boxes, and what lies between rows.
const BOX: (usize, usize) = (230, 76);
const GAP: usize = 22;
const ROW: usize = 46;
/// Boxes in a row, at most, and characters in a line of their text.
const COLUMNS: usize = 4;
const LINE: usize = 36;

/// How many rooms stand below each.
fn rows(rooms: &[Room]) -> BTreeMap<&'static str, usize> {
    let mut rows = BTreeMap::new();
    // What a room uses stands before it in the table.
    for (name, _, uses) in rooms {
        let below = uses.iter().map(|used| rows[used] + 1).max();
        rows.insert(*name, below.unwrap_or(0));
    }
    rows
}

/// The rooms that lines lead to: those that no other of them uses, itself or through others.
fn drawn(rooms: &[Room], room: &Room) -> Vec<&'static str> {
    fn reaches(rooms: &[Room], from: &str, to: &str) -> bool {
        let uses = rooms.iter().find(|r| r.0 == from).map_or(&[][..], |r| r.2);
        uses.iter().any(|&used| used == to || reaches(rooms, used, to))
    }
    let others = |used: &&str| !room.2.iter().any(|other| reaches(rooms, other, used));
    room.2.iter().copied().filter(others).collect()
}

/// A colour for each crate.
fn colour(room: &str) -> &'static str {
    match room {
        room if room.starts_with("reader") => "#dbe9f6",
        room if room.starts_with("olean") => "#e4f0dc",
        room if room.starts_with("src") => "#f9ead2",
        _ => "#eeeeee",
    }
}

/// Words in lines of at most [`LINE`] characters.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("there is one");
        if !last.is_empty() && last.len() + 1 + word.len() > LINE {
            lines.push(word.to_owned());
        } else {
            let space = if last.is_empty() { "" } else { " " };
            *last += &format!("{space}{word}");
        }
    }
    lines
}

/// Where a room's box stands: its row from below, and its column.
type Places = BTreeMap<&'static str, (usize, usize)>;

/// The upper left corner of the box at a place, with this many rows in all.
fn corner((row, column): (usize, usize), rows: usize) -> (usize, usize) {
    (
        GAP + column * (BOX.0 + GAP),
        GAP + (rows - 1 - row) * (BOX.1 + ROW),
    )
}

/// The four points of the curve from one box down to another.
fn curve(from: (usize, usize), to: (usize, usize)) -> [(usize, usize); 4] {
    let (x1, y1, x2, y2) = (from.0 + BOX.0 / 2, from.1 + BOX.1, to.0 + BOX.0 / 2, to.1);
    [(x1, y1), (x1, y1 + ROW), (x2, y2 - ROW), (x2, y2)]
}

/// How often a line passes behind a box.
fn hidden(lines: &[(&str, &str)], places: &Places, rows: usize) -> usize {
    let mut count = 0;
    for (from, to) in lines {
        let points = curve(corner(places[from], rows), corner(places[to], rows));
        for step in 1..30 {
            let (t, u) = (step, 30 - step);
            let at = |p: [usize; 4]| {
                (u * u * u * p[0] + 3 * u * u * t * p[1] + 3 * u * t * t * p[2] + t * t * t * p[3]) / 27_000
            };
            let (x, y) = (at(points.map(|p| p.0)), at(points.map(|p| p.1)));
            let behind = places.values().any(|&place| {
                let (left, top) = corner(place, rows);
                (left..left + BOX.0).contains(&x) && (top..top + BOX.1).contains(&y)
            });
            count += usize::from(behind);
        }
    }
    count
}

/// Every way to give `n` boxes columns of their own.
fn columns(n: usize) -> Vec<Vec<usize>> {
    let mut ways = vec![vec![]];
    for _ in 0..n {
        let longer = |way: &Vec<usize>| {
            let free = (0..COLUMNS).filter(|c| !way.contains(c));
            free.map(|c| [&way[..], &[c]].concat()).collect::<Vec<_>>()
        };
        ways = ways.iter().flat_map(longer).collect();
    }
    ways
}

/// Boxes in their rows: the library's from the left, the tool's from the right, and then moved along the rows as long
/// as that leaves fewer lines behind boxes.
fn places(rooms: &[Room], rows: &BTreeMap<&'static str, usize>, lines: &[(&str, &str)]) -> (Places, usize) {
    let last = *rows.values().max().expect("there are rooms");
    let in_row = |row: usize| -> Vec<&'static str> {
        let names = rooms.iter().map(|r| r.0);
        names.filter(|name| rows[name] == row).collect()
    };
    let mut places = Places::new();
    for row in 0..=last {
        let here = in_row(row);
        assert!(here.len() <= COLUMNS, "row {row} is too long");
        for (i, name) in here.iter().enumerate() {
            let is_tool = name.starts_with("olean/");
            let column = if is_tool { COLUMNS - here.len() + i } else { i };
            places.insert(name, (row, column));
        }
    }
    let mut least = hidden(lines, &places, last + 1);
    loop {
        let before = least;
        for row in 0..=last {
            let here = in_row(row);
            for way in columns(here.len()) {
                let mut moved = places.clone();
                moved.extend(
                    here.iter()
                        .zip(&way)
                        .map(|(&name, &column)| (name, (row, column))),
                );
                let count = hidden(lines, &moved, last + 1);
                if count < least {
                    (least, places) = (count, moved);
                }
            }
        }
        if least == before {
            return (places, last + 1);
        }
    }
}

/// The drawing.
pub fn svg(rooms: &[Room]) -> String {
    let lines: Vec<(&str, &str)> = rooms
        .iter()
        .flat_map(|room| drawn(rooms, room).into_iter().map(|used| (room.0, used)))
        .collect();
    let (places, rows) = places(rooms, &rows(rooms), &lines);
    let (width, height) = (COLUMNS * (BOX.0 + GAP) + GAP, rows * (BOX.1 + ROW) + GAP);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    // Writing to a string does not fail.
    for (from, to) in lines {
        let [a, b, c, d] =
            curve(corner(places[from], rows), corner(places[to], rows)).map(|(x, y)| format!("{x} {y}"));
        let _ = writeln!(
            out,
            "<path d=\"M{a} C{b} {c} {d}\" fill=\"none\" stroke=\"#777777\"/>"
        );
    }
    for (name, what, _) in rooms {
        let ((x, y), (w, h)) = (corner(places[name], rows), BOX);
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" rx=\"5\" fill=\"{}\" stroke=\"#555555\"/>\n\
             <text x=\"{}\" y=\"{}\" font-size=\"14\" font-weight=\"bold\">{name}</text>",
            colour(name),
            x + 9,
            y + 20
        );
        for (i, line) in wrapped(what).iter().enumerate() {
            let _ = writeln!(
                out,
                "<text x=\"{}\" y=\"{}\" font-size=\"11\">{line}</text>",
                x + 9,
                y + 37 + 13 * i
            );
        }
    }
    out + "</svg>\n"
}
