//! What code and pages cite of the documentation is there: every page, and every heading of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use testkit::workspace_dir;

/// Where citations are looked for, besides the pages at the top.
const FOLDERS: [&str; 14] = [
    "bench",
    "c-tests",
    "conformance",
    "docs",
    "examples",
    "faults",
    "fuzz",
    "include",
    "olean",
    "packaging",
    "reader",
    "src",
    "testkit",
    "tests",
];
const ENDINGS: [&str; 8] = ["c", "cpp", "h", "md", "py", "rs", "sh", "toml"];

/// The texts below `folder`, each with its path from the top of the sources.
fn texts(folder: &str, deep: bool, out: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(workspace_dir().join(folder)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = if folder.is_empty() {
            name
        } else {
            format!("{folder}/{name}")
        };
        if entry.file_type().unwrap().is_dir() {
            if deep && !path.ends_with("target") {
                texts(&path, deep, out);
            }
        } else if ENDINGS.iter().any(|e| path.ends_with(&format!(".{e}"))) {
            let text = fs::read_to_string(entry.path()).unwrap_or_else(|e| panic!("{path}: {e}"));
            out.push((path, text));
        }
    }
}

/// The anchors of a page, as its headings make them: small letters, digits, `-` and `_`, spaces as `-`.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut out = BTreeSet::new();
    for line in page.lines() {
        fenced ^= line.starts_with("```");
        if fenced || !line.starts_with('#') {
            continue;
        }
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading
            .chars()
            .filter(|&c| c.is_alphanumeric() || " -_".contains(c));
        out.insert(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
    }
    out
}

/// What `text` cites: path of a page as written there, empty for the page itself, and the heading if one is named.
fn citations(text: &str, is_page: bool) -> Vec<(String, Option<String>)> {
    let in_path = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let anchor = |rest: &str| {
        let rest = rest.strip_prefix('#')?;
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || "-_".contains(c)))
            .unwrap_or(rest.len());
        (end > 0).then(|| rest[..end].to_owned())
    };
    let mut out = Vec::new();
    for (at, _) in text.match_indices(".md") {
        let begin = text[..at]
            .rfind(|c| !in_path(c))
            .map_or(0, |b| b + text[b..].chars().next().unwrap().len_utf8());
        let path = &text[begin..at + 3];
        let heading = anchor(&text[at + 3..]);
        // Without a heading, a page of the folder docs; other names may be anything's.
        if heading.is_some() || path.starts_with("docs/") {
            out.push((path.to_owned(), heading));
        }
    }
    if is_page {
        for (at, _) in text.match_indices("](#") {
            out.push((String::new(), anchor(&text[at + 2..])));
        }
    }
    out
}

/// What of the citations in `text`, a file at `path`, is not there.
fn missing(path: &str, text: &str) -> Vec<String> {
    let top = workspace_dir();
    let folder = Path::new(path).parent().unwrap();
    let mut out = Vec::new();
    for (page, heading) in citations(text, path.ends_with(".md")) {
        let named = match page.as_str() {
            "" => Path::new(path).to_owned(),
            // Said from the top everywhere, or as a link from the file's own folder.
            p if p.starts_with("docs/") => p.into(),
            p => folder.join(p),
        };
        let Ok(content) = fs::read_to_string(top.join(&named)) else {
            out.push(format!("{path} names {page}, which is not there"));
            continue;
        };
        if let Some(heading) = heading
            && !anchors(&content).contains(&heading)
        {
            out.push(format!(
                "{path} names {page}#{heading}: the page has no such heading"
            ));
        }
    }
    out
}

#[test]
fn every_page_and_heading_that_is_named_exists() {
    let mut all = Vec::new();
    texts("", false, &mut all);
    FOLDERS.iter().for_each(|folder| texts(folder, true, &mut all));
    // This file is full of names that are none.
    all.retain(|(path, _)| path != "tests/headings.rs");
    let with_heading = |(path, text): &(String, String)| {
        citations(text, path.ends_with(".md"))
            .iter()
            .filter(|(_, heading)| heading.is_some())
            .count()
    };
    assert!(
        all.len() > 200 && all.iter().map(with_heading).sum::<usize>() > 1,
        "nothing was looked at"
    );
    let wrong: Vec<_> = all.iter().flat_map(|(path, text)| missing(path, text)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_name_of_nothing_is_found() {
    assert!(missing("src/x.rs", "// docs/format.md#objects, and docs/format.md.").is_empty());
    assert_eq!(missing("src/x.rs", "// docs/format.md#no-such-heading").len(), 1);
    assert_eq!(missing("src/x.rs", "// see docs/no-such-page.md").len(), 1);
    assert_eq!(
        missing("docs/x.md", "[a](format.md#objects) [b](format.md#nothing)").len(),
        1
    );
    assert_eq!(missing("docs/format.md", "[a](#objects) [b](#nothing)").len(), 1);
}

#[test]
fn nothing_cites_a_text_that_is_not_in_the_sources() {
    let mut all = Vec::new();
    texts("", false, &mut all);
    FOLDERS.iter().for_each(|folder| texts(folder, true, &mut all));
    let cites = |line: &str| {
        ["spec section ", "spec sections ", "spec §"].iter().any(|words| {
            line.split(words)
                .skip(1)
                .any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        })
    };
    let wrong: Vec<_> = all
        .iter()
        .filter(|(_, text)| text.lines().any(cites))
        .map(|(path, _)| path)
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(cites(concat!("see spec section", " 4")));
}

/// The environment variables in a source: texts that are one and nothing else.
fn variables(source: &str) -> BTreeSet<&str> {
    let texts = source.split('"');
    texts.filter(|text| is_variable(text)).collect()
}

fn is_variable(text: &str) -> bool {
    let rest = text.strip_prefix("LEAN_REGION_");
    rest.is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
}

#[test]
fn every_variable_that_is_read_is_on_a_page() {
    let (mut sources, mut pages) = (Vec::new(), Vec::new());
    texts("src", true, &mut sources);
    texts("olean/src", true, &mut sources);
    texts("", false, &mut pages);
    texts("docs", true, &mut pages);
    // News is no place to look it up.
    pages.retain(|(path, _)| path != "CHANGELOG.md");
    let read: BTreeSet<&str> = sources.iter().flat_map(|(_, text)| variables(text)).collect();
    assert!(read.len() > 12, "variables are found: {read:?}");
    // Only builds for tests read it.
    for name in read.into_iter().filter(|name| *name != "LEAN_REGION_FAULT") {
        let whole = |text: &str| {
            let mut rest = text.split(name).skip(1);
            rest.any(|after| !after.starts_with(|c: char| c.is_ascii_uppercase() || c == '_'))
        };
        assert!(
            pages.iter().any(|(_, text)| whole(text)),
            "no page tells of {name}"
        );
    }
}
