//! docs/layers.svg, drawn from the table of rooms: a room stands in the row above the highest of those that it may use, and
//! lines lead down to what it uses, except where another of these leads there already.

use super::Room;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Pixels: a box, what lies between boxes, and what lies between rows.
const BOX: (usize, usize) = (230, 76);
const GAP: usize = 22;
const ROW: usize = 46;
/// Boxes in a row, at most, and characters in a line of their text.
const COLUMNS: usize = 4;
const LINE: usize = 40;

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

/// The drawing.
pub fn svg(rooms: &[Room]) -> String {
    let rows = &rows(rooms);
    let last = rows.values().max().expect("there are rooms");
    let (width, height) = (COLUMNS * (BOX.0 + GAP) + GAP, (last + 1) * (BOX.1 + ROW) + GAP);
    let mut places: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for row in 0..=*last {
        let here = |tool: bool| {
            let in_row = rooms
                .iter()
                .filter(move |r| rows[r.0] == row && r.0.starts_with("olean/") == tool);
            in_row.map(|r| r.0).collect::<Vec<_>>()
        };
        let (library, tool) = (here(false), here(true));
        assert!(library.len() + tool.len() <= COLUMNS, "row {row} is too long");
        let first = COLUMNS - tool.len();
        let columns = (0..library.len()).chain(first..COLUMNS);
        for (room, column) in library.iter().chain(&tool).zip(columns) {
            let place = (GAP + column * (BOX.0 + GAP), GAP + (last - row) * (BOX.1 + ROW));
            places.insert(room, place);
        }
    }
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    // Writing to a string does not fail.
    for room in rooms {
        for used in drawn(rooms, room) {
            let (from, to) = (places[room.0], places[used]);
            let (x1, y1, x2, y2) = (from.0 + BOX.0 / 2, from.1 + BOX.1, to.0 + BOX.0 / 2, to.1);
            let _ = writeln!(
                out,
                "<path d=\"M{x1} {y1} C{x1} {} {x2} {} {x2} {y2}\" fill=\"none\" stroke=\"#888888\"/>",
                y1 + ROW,
                y2 - ROW
            );
        }
    }
    for (name, what, _) in rooms {
        let ((x, y), (w, h)) = (places[name], BOX);
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
