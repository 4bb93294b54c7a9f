//! docs/architecture.md shows the table of rooms and their drawing, names files that are there, and lists all locks.

use super::{CIRCLES, ROOMS, drawing, modules, root};
use std::collections::BTreeSet;
use std::fs;

/// The table as the page shows it: an entry for each room, in lines of a bounded length.
fn table() -> String {
    let mut table = String::new();
    for (room, what, uses) in ROOMS {
        let uses = match uses {
            [] => "Uses nothing.".to_owned(),
            uses => format!("Uses `{}`.", uses.join("`, `")),
        };
        let mut line = format!("* **`{room}`**: {what}.");
        for word in uses.split(' ') {
            if line.len() + 1 + word.len() > 118 {
                table += &(std::mem::take(&mut line) + "\n");
                line += " ";
            }
            line += &format!(" {word}");
        }
        table += &(line + "\n");
    }
    table
}

#[test]
fn the_page_shows_the_table() {
    let page = fs::read_to_string(root().join("docs/architecture.md")).expect("the page");
    assert!(
        page.contains(&table()),
        "docs/architecture.md should have this table:\n\n{}",
        table()
    );
    for (files, reason) in CIRCLES {
        assert!(
            page.contains(reason),
            "docs/architecture.md does not say of {files:?}: {reason}"
        );
    }
}

#[test]
fn the_drawing_is_that_of_the_table() {
    let path = root().join("docs/layers.svg");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, drawing::svg(ROOMS)).expect("the drawing can be written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == drawing::svg(ROOMS),
        "docs/layers.svg is not up to date: run `UPDATE_EXPECT=1 cargo test --test architecture`"
    );
}

#[test]
fn files_that_the_page_names_exist() {
    let page = fs::read_to_string(root().join("docs/architecture.md")).expect("the page");
    let mut count = 0;
    for word in page.split('`').skip(1).step_by(2) {
        let is_path = word.contains('/') && !word.contains([' ', '=', '<', '$', '*']);
        if !is_path || word.starts_with('/') {
            continue;
        }
        count += 1;
        assert!(
            root().join(word).exists(),
            "docs/architecture.md names `{word}`, which is not there"
        );
    }
    assert!(count > 60, "the page names files: {count}");
}

/// The `Lock`s in the library's sources, as the page names them.
fn locks() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in modules().into_values().filter(|file| file.starts_with("src/")) {
        let text = fs::read_to_string(root().join(&file)).expect("a source");
        let code = text.split("#[cfg(test)]").next().expect("a first part");
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let name = line
                .rsplit_once("static ")
                .and_then(|(_, l)| l.split_once(": Lock<"));
            if let Some((name, _)) = name {
                found.insert(format!("| `{name}` in `{file}` |"));
            }
        }
    }
    found
}

#[test]
fn all_locks_are_listed() {
    let page = fs::read_to_string(root().join("docs/architecture.md")).expect("the page");
    let there = locks();
    assert!(there.len() > 5, "locks are found: {there:?}");
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| `") && line.contains("` in `"));
    let shown = rows.map(|row| row[..row[2..].find(" |").expect("two columns") + 4].to_owned());
    assert_eq!(shown.collect::<BTreeSet<_>>(), there);
}
