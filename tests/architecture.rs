//! The order of the house: which folder may use which, and that no two files use each other in a circle. What counts
//! is every path in the code that names a module of the workspace, in `use` lines and elsewhere; tests are left out.
//! docs/architecture.md shows the table, and is held against it here, with the drawing of it and the files that it
//! names.

#[path = "architecture/drawing.rs"]
mod drawing;
#[path = "architecture/page.rs"]
mod page;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A room: a folder with what is in it, or one file; what lives there; the rooms that it may use, all of them above
/// it here.
type Room = (&'static str, &'static str, &'static [&'static str]);

#[rustfmt::skip]
const ROOMS: &[Room] = &[
    ("reader/src/format", "header, trailer of version 3, extension section, tags, sizes and fields of objects, base addresses", &[]),
    ("reader/src", "the fully validating reader; graph, hashes, widening and relocation of files", &["reader/src/format"]),
    ("src/os", "files, mappings, loaded libraries, pages of code, locks, variables; what is counted of calls", &[]),
    ("src/object", "live objects: layout and raw accessors", &["reader/src/format"]),
    ("src/dependencies.rs", "where the regions lie that others point into", &["reader/src/format"]),
    ("src/relocate", "pointers of a region rewritten for another address", &["reader/src/format", "src/dependencies.rs"]),
    ("src/compactor", "live objects to bytes: traversal, pointer table, sharing table, buffer", &["reader/src/format", "src/os", "src/object", "src/dependencies.rs"]),
    ("src/host", "the Lean runtime of the process as one interface; the embedded runtime", &["reader/src/format", "src/os", "src/object"]),
    ("src/compare", "two loaders' files and regions held against each other", &["reader/src/format"]),
    ("src/region", "saving and reading files, registry of live regions, dependency regions of a call", &["reader/src/format", "reader/src", "src/os", "src/object", "src/dependencies.rs", "src/relocate", "src/compactor", "src/host", "src/compare"]),
    ("src/redirect", "the host's entry points redirected to ours, modes observe and compare, what happens at exit, the report", &["reader/src/format", "src/os", "src/object", "src/host", "src/compare", "src/region"]),
    ("src/capi", "C entry points: translation and the panic boundary", &["reader/src/format", "reader/src", "src/os", "src/object", "src/host", "src/region", "src/redirect"]),
    ("olean/src", "what the subcommands share: input, output, errors, proofs", &["reader/src/format", "reader/src", "src/os"]),
    ("olean/src/demo", "the processes of the demonstration", &["src/os", "src/capi"]),
    ("olean/src/load.rs", "a snapshot loaded into the tool's own process", &["src/os", "src/capi"]),
    ("olean/src/dump", "graphs as lines, terms and pictures", &["reader/src", "olean/src"]),
    ("olean/src/decls", "modules as lists of declarations", &["reader/src", "olean/src", "olean/src/dump"]),
    ("olean/src/image", "images of region files: built, refreshed, looked into", &["reader/src/format", "reader/src", "src/os", "src/dependencies.rs", "src/relocate", "olean/src"]),
    ("olean/src/swap", "commands run with the library swapped into their Lean", &["src/compare", "olean/src"]),
    ("olean/src/commands", "one file for each subcommand", &["reader/src/format", "reader/src", "olean/src", "olean/src/demo", "olean/src/load.rs", "olean/src/dump", "olean/src/decls", "olean/src/image", "olean/src/swap"]),
    ("olean/src/cli.rs", "the command line", &["olean/src/commands"]),
    ("olean/src/main.rs", "the program", &["olean/src", "olean/src/commands", "olean/src/cli.rs"]),
    ("bench/src", "the library measured beside a real Lean's loader", &["reader/src/format", "reader/src", "src/object", "src/host", "src/capi"]),
];

/// Files that use each other and are none the worse for it, and why.
const CIRCLES: &[(&[&str], &str)] = &[];

/// Crates: the name in paths, and the folder of the sources.
const CRATES: [(&str, &str); 4] = [
    ("olean_reader", "reader/src"),
    ("lean_region", "src"),
    ("olean", "olean/src"),
    ("bench", "bench/src"),
];

/// A module's path: its crate, then the names in it.
type Module = Vec<String>;
/// From file to file: the path in the code that makes the arrow.
type Arrows = BTreeMap<(String, String), String>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of every module. A crate's root is its library where it has one.
fn modules() -> BTreeMap<Module, String> {
    fn collect(folder: &str, module: &Module, out: &mut BTreeMap<Module, String>) {
        for entry in fs::read_dir(root().join(folder)).expect("a folder of sources") {
            let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
            let file = format!("{folder}/{name}");
            let within = |name: &str| module.iter().cloned().chain([name.to_owned()]).collect();
            match name.strip_suffix(".rs") {
                Some("lib" | "mod") => _ = out.insert(module.clone(), file),
                Some("tests") => {}
                Some(stem) => _ = out.insert(within(stem), file),
                None => collect(&file, &within(&name), out),
            }
        }
    }
    let mut out = BTreeMap::new();
    for (name, folder) in CRATES {
        collect(folder, &vec![name.to_owned()], &mut out);
        let (main, library) = (vec![name.to_owned(), "main".to_owned()], vec![name.to_owned()]);
        if !out.contains_key(&library) {
            let program = out.remove(&main).expect("a library or a program");
            out.insert(library, program);
        }
    }
    out
}

/// Words and signs of a source; comments and literals of text are left out.
fn tokens(source: &str) -> Vec<&str> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut out, mut rest) = (Vec::new(), source);
    while let Some(first) = rest.chars().next() {
        let raw = rest
            .strip_prefix('r')
            .map_or("", |s| &s[..s.len() - s.trim_start_matches('#').len()]);
        let end = |from: usize, sign: &str| {
            rest[from..]
                .find(sign)
                .map_or(rest.len(), |at| from + at + sign.len())
        };
        let (len, counts) = match first {
            _ if rest.starts_with("//") => (end(2, "\n"), false),
            'r' if rest[1 + raw.len()..].starts_with('"') => (end(2 + raw.len(), &format!("\"{raw}")), false),
            '"' => {
                let mut escaped = false;
                let close = rest[1..].find(|c| {
                    let here = escaped;
                    escaped = c == '\\' && !here;
                    c == '"' && !here
                });
                (close.map_or(rest.len(), |at| at + 2), false)
            }
            '\'' if rest.starts_with("'\\") => (end(3, "'"), false),
            '\'' if rest.chars().nth(2) == Some('\'') => (end(1, "'"), false),
            _ if word(first) => (rest.find(|c| !word(c)).unwrap_or(rest.len()), true),
            ':' if rest.starts_with("::") => (2, true),
            _ => (first.len_utf8(), !first.is_whitespace()),
        };
        if counts {
            out.push(&rest[..len]);
        }
        rest = &rest[len..];
    }
    out
}

/// The paths at the beginning of `tokens`, groups taken apart: where each leads from `start`.
fn paths(tokens: &[&str], start: &Module, out: &mut Vec<Module>) -> usize {
    let (mut at, mut path) = (0, start.clone());
    while let Some(&token) = tokens.get(at) {
        match token {
            "{" => {
                at += 1;
                while !matches!(tokens.get(at), None | Some(&"}")) {
                    at += paths(&tokens[at..], &path, out).max(1);
                    at += usize::from(tokens.get(at) == Some(&","));
                }
                return at + 1;
            }
            "super" => _ = path.pop(),
            "self" | "crate" => {}
            name => path.push(name.to_owned()),
        }
        at += 1;
        if tokens.get(at) != Some(&"::") {
            break;
        }
        at += 1;
    }
    out.push(path);
    at + if tokens.get(at) == Some(&"as") { 2 } else { 0 }
}

/// Every path in a source that leads to a module, seen from `module`.
fn used(source: &str, module: &Module, modules: &BTreeMap<Module, String>) -> Vec<Module> {
    let tokens = tokens(source);
    let (mut out, mut at) = (Vec::new(), 0);
    // Modules inside the file: the depth of braces at which each ends.
    let (mut here, mut inside, mut depth) = (module.clone(), Vec::new(), 0);
    while at < tokens.len() {
        let before = if at == 0 { "" } else { tokens[at - 1] };
        let path = tokens.get(at + 1) == Some(&"::") && !matches!(before, "::" | "in");
        let child = || {
            here.iter()
                .cloned()
                .chain([tokens[at].to_owned()])
                .collect::<Module>()
        };
        let start = match tokens[at] {
            "crate" if path => Some(here[..1].to_vec()),
            "super" | "self" if path => Some(here.clone()),
            name if path && CRATES.iter().any(|c| c.0 == name) => Some(Vec::new()),
            _ if (path || before == "use") && modules.contains_key(&child()) => Some(here.clone()),
            _ => None,
        };
        if let Some(start) = start {
            at += paths(&tokens[at..], &start, &mut out);
            continue;
        }
        match tokens[at] {
            "{" => {
                depth += 1;
                if at >= 2 && tokens[at - 2] == "mod" {
                    here.push(before.to_owned());
                    inside.push((depth, before == "tests", out.len()));
                }
            }
            "}" => {
                if let Some(&(_, test, from)) = inside.last().filter(|i| i.0 == depth) {
                    inside.pop();
                    here.pop();
                    out.truncate(if test { from } else { out.len() });
                }
                depth -= 1;
            }
            _ => {}
        }
        at += 1;
    }
    out
}

fn arrows() -> Arrows {
    let modules = modules();
    let mut out = Arrows::new();
    for (module, file) in &modules {
        let source = fs::read_to_string(root().join(file)).expect("a source");
        for path in used(&source, module, &modules) {
            let target = (1..=path.len()).rev().find_map(|n| modules.get(&path[..n]));
            if let Some(target) = target.filter(|target| *target != file) {
                out.insert((file.clone(), target.clone()), path.join("::"));
            }
        }
    }
    assert!(out.len() > 300, "sources are read: {} arrows", out.len());
    out
}

/// The room that a file is in.
fn room(file: &str) -> &'static Room {
    let within = |room: &&Room| {
        let rest = file.strip_prefix(room.0);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let room = ROOMS.iter().filter(within).max_by_key(|room| room.0.len());
    room.unwrap_or_else(|| panic!("{file} is in no room of the table in tests/architecture.rs"))
}

/// What to do about a file of `from` that uses something of `to`.
fn advice(from: &Room, to: &Room) -> String {
    let names = |rooms: &mut dyn Iterator<Item = &Room>| rooms.map(|r| r.0).collect::<Vec<_>>().join(", ");
    let over = names(&mut ROOMS.iter().filter(|r| {
        let may = |room: &Room| r.0 == room.0 || r.2.contains(&room.0);
        r.0 != from.0 && may(from) && may(to)
    }));
    let under = names(
        &mut ROOMS
            .iter()
            .filter(|r| from.2.contains(&r.0) && (to.2.contains(&r.0) || r.2.is_empty())),
    );
    format!(
        "What needs both belongs into a room that may use both ({}); what both need belongs below both ({})",
        if over.is_empty() {
            "there is none yet"
        } else {
            &over
        },
        if under.is_empty() {
            "there is no room below both yet"
        } else {
            &under
        },
    )
}

#[test]
fn rooms_use_only_what_the_table_allows() {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for ((file, target), path) in arrows() {
        let (from, to) = (room(&file), room(&target));
        if from.0 != to.0 && !from.2.contains(&to.0) {
            wrong.push(format!(
                "{file} uses {path}, but {} may not use {}. {}.",
                from.0,
                to.0,
                advice(from, to)
            ));
        }
        seen.insert((from.0, to.0));
    }
    for (at, (name, _, uses)) in ROOMS.iter().enumerate() {
        for &used in *uses {
            if !ROOMS[..at].iter().any(|r| r.0 == used) {
                wrong.push(format!(
                    "{name} may use {used}, which does not stand above it in the table."
                ));
            } else if !seen.contains(&(name, used)) {
                wrong.push(format!(
                    "{name} uses nothing of {used}: strike that from the table."
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// All files that a file uses, itself or through others.
fn reached<'a>(from: &'a str, arrows: &'a Arrows) -> BTreeSet<&'a str> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(file) = open.pop() {
        let targets = arrows
            .range((file.to_owned(), String::new())..)
            .map(|(arrow, _)| arrow)
            .take_while(|arrow| arrow.0 == file);
        open.extend(
            targets
                .map(|arrow| arrow.1.as_str())
                .filter(|target| seen.insert(*target)),
        );
    }
    seen
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let arrows = arrows();
    let reach: BTreeMap<&str, BTreeSet<&str>> = arrows
        .keys()
        .map(|(file, _)| (file.as_str(), reached(file, &arrows)))
        .collect();
    let circle = |file: &str| -> Vec<&str> {
        let both = |other: &&str| {
            reach[file].contains(*other) && reach.get(*other).is_some_and(|r| r.contains(file))
        };
        reach.keys().copied().filter(both).collect()
    };
    let found: BTreeSet<Vec<&str>> = reach
        .keys()
        .map(|file| circle(file))
        .filter(|c| !c.is_empty())
        .collect();
    let listed: BTreeSet<Vec<&str>> = CIRCLES.iter().map(|(files, _)| files.to_vec()).collect();
    let mut wrong = Vec::new();
    for circle in found.difference(&listed) {
        wrong.push(format!(
            "These files use each other in a circle: {}.",
            circle.join(", ")
        ));
        for ((file, target), path) in &arrows {
            if circle.contains(&file.as_str()) && circle.contains(&target.as_str()) {
                wrong.push(format!("    {file} uses {path}"));
            }
        }
        wrong.push("    What two of them need belongs into a file below both.".to_owned());
    }
    for circle in listed.difference(&found) {
        wrong.push(format!(
            "These files are no circle any more: {}.",
            circle.join(", ")
        ));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
