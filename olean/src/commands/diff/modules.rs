//! How the differences between two builds of a module are printed.

use crate::decls::compare::{Field, ModuleDiff};
use crate::decls::entries::ExtensionDiff;
use crate::decls::module::Import;
use crate::decls::show::Shown;
use crate::error::Result;
use crate::output::Output;
use crate::render::{BAD, DIM, GOOD, TITLE, clean, count, cut, plural};
use crate::text::wrapped;
use anstyle::{AnsiColor, Style};
use std::collections::HashSet;
use std::io::Write;

/// What differs inside a line.
const MARK: Style = AnsiColor::Yellow.on_default().bold();
/// Columns left of expressions.
pub const INDENT: usize = 8;

/// Prints a module; of each extension at most `limit` entries.
pub fn print(diff: &ModuleDiff, stat: bool, limit: usize, out: &mut Output) -> Result<()> {
    let width = out.width();
    let head = format!("{}: {}", clean(&diff.module), summary(diff));
    for (i, line) in wrapped(&head, width).into_iter().enumerate() {
        let indent = if i > 0 { "  " } else { "" };
        match line.split_once(": ").filter(|_| i == 0) {
            Some((name, rest)) => writeln!(out, "{TITLE}{name}{TITLE:#}: {rest}")?,
            None => writeln!(out, "{indent}{line}")?,
        }
    }
    if stat {
        return Ok(());
    }
    for f in &diff.files {
        field(f, 2, width, out)?;
    }
    for (sign, style, imports) in [
        ('-', BAD, &diff.imports_removed),
        ('+', GOOD, &diff.imports_added),
    ] {
        for import in imports {
            writeln!(
                out,
                "  {style}{sign}{style:#} {}",
                cut(&import_line(import), width - 4)
            )?;
        }
    }
    for (sign, style, all) in [('-', BAD, &diff.removed), ('+', GOOD, &diff.added)] {
        for d in all {
            let text = format!("{} {} : {}", d.kind, clean(&d.name), clean(&d.ty));
            writeln!(out, "  {style}{sign}{style:#} {}", cut(&text, width - 4))?;
        }
    }
    for r in &diff.renamed {
        let text = format!("{} {} → {}", r.kind, clean(&r.from), clean(&r.to));
        if text.chars().count() + 4 <= width {
            writeln!(out, "  {DIM}→{DIM:#} {text}")?;
        } else {
            writeln!(
                out,
                "  {DIM}→{DIM:#} {}",
                cut(&format!("{} {}", r.kind, clean(&r.from)), width - 4)
            )?;
            writeln!(out, "    → {}", cut(&clean(&r.to), width - 6))?;
        }
    }
    for d in &diff.changed {
        let text = format!("{} {}", d.kind, clean(&d.name));
        writeln!(out, "  {MARK}~{MARK:#} {}", cut(&text, width - 4))?;
        for f in &d.fields {
            field(f, 4, width, out)?;
        }
    }
    if diff.moved > 0 {
        let text = format!("{} moved in the source", plural(diff.moved, "declaration"));
        writeln!(out, "  {DIM}{}{DIM:#}", cut(&text, width - 2))?;
    }
    extensions(diff, limit, width, out)
}

/// Counts on one line.
pub fn summary(diff: &ModuleDiff) -> String {
    let entries: usize = diff
        .extensions
        .iter()
        .map(|e| e.added.len() + e.removed.len() + e.changed.len())
        .sum();
    let mut words = Vec::new();
    for (n, what) in [
        (diff.added.len(), "added"),
        (diff.removed.len(), "removed"),
        (diff.renamed.len(), "renamed"),
        (diff.changed.len(), "changed"),
        (diff.moved as usize, "moved"),
    ] {
        if n > 0 {
            words.push(format!("{} {what}", count(n as u64)));
        }
    }
    let imports = diff.imports_added.len() + diff.imports_removed.len();
    if imports > 0 {
        words.push(format!("{} of imports", plural(imports as u64, "change")));
    }
    if entries > 0 {
        let word = if entries == 1 { "entry" } else { "entries" };
        words.push(format!("{} {word} of extensions", count(entries as u64)));
    }
    for f in &diff.files {
        words.push(format!("other {}", f.what));
    }
    if words.is_empty() {
        return "other bytes, but no declaration, import or entry differs".to_owned();
    }
    words.join(", ")
}

fn import_line(i: &Import) -> String {
    let mut words = Vec::new();
    if i.public {
        words.push("public");
    }
    if i.meta {
        words.push("meta");
    }
    words.push("import");
    if i.all {
        words.push("all");
    }
    format!("{} {}", words.join(" "), clean(&i.module))
}

/// A field with both values, what differs marked below them.
fn field(f: &Field, indent: usize, width: usize, out: &mut Output) -> Result<()> {
    let blank = " ".repeat(indent);
    let short =
        f.a.text.chars().count() + f.b.text.chars().count() + f.what.chars().count() + 5 + indent <= width;
    if short && !f.a.text.contains(' ') && !f.b.text.contains(' ') {
        let (a, b) = (clean(&f.a.text), clean(&f.b.text));
        writeln!(out, "{blank}{DIM}{}{DIM:#} {a} → {b}", f.what)?;
        return Ok(());
    }
    writeln!(out, "{blank}{DIM}{}{DIM:#}", cut(&clean(&f.what), width - indent))?;
    both(&f.a, &f.b, indent + 2, width, out)
}

fn both(a: &Shown, b: &Shown, indent: usize, width: usize, out: &mut Output) -> Result<()> {
    for (sign, style, shown) in [('-', BAD, a), ('+', GOOD, b)] {
        side(sign, style, shown, indent, width, out)?;
    }
    Ok(())
}

fn side(
    sign: char,
    style: Style,
    shown: &Shown,
    indent: usize,
    width: usize,
    out: &mut Output,
) -> Result<()> {
    let blank = " ".repeat(indent);
    let room = width.saturating_sub(indent + 2);
    // Control characters take more columns when they are shown, so marks are placed piece by piece.
    let chars: Vec<char> = shown.text.chars().collect();
    let (mut line, mut under, mut columns, mut done) = (String::new(), String::new(), 0, 0);
    let mut put = |from: usize, to: usize, marked: bool| {
        let piece: String = chars[from.min(chars.len())..to.min(chars.len())].iter().collect();
        let piece = cut(&clean(&piece), room.saturating_sub(columns));
        let n = piece.chars().count();
        columns += n;
        under += &(if marked { "^" } else { " " }).repeat(n);
        if marked && n > 0 {
            line += &format!("{MARK}{piece}{MARK:#}");
        } else {
            line += &piece;
        }
    };
    for &[from, to] in &shown.marks {
        put(done, from, false);
        put(from, to, true);
        done = to;
    }
    put(done, chars.len(), false);
    writeln!(out, "{blank}{style}{sign}{style:#} {line}")?;
    let under = under.trim_end();
    // A mark below everything says nothing.
    let all = under.starts_with('^') && !under.contains(' ') && under.len() >= columns;
    if !under.is_empty() && !all {
        writeln!(out, "{blank}  {DIM}{under}{DIM:#}")?;
    }
    Ok(())
}

fn extensions(diff: &ModuleDiff, limit: usize, width: usize, out: &mut Output) -> Result<()> {
    let new = diff.added.iter().map(|d| d.name.as_str());
    let new: HashSet<&str> = new.chain(diff.renamed.iter().map(|r| r.to.as_str())).collect();
    let gone = diff.removed.iter().map(|d| d.name.as_str());
    let gone: HashSet<&str> = gone.chain(diff.renamed.iter().map(|r| r.from.as_str())).collect();
    let mut along = 0;
    for e in &diff.extensions {
        along += extension(e, &new, &gone, limit, width, out)?;
    }
    if along > 0 {
        let word = if along == 1 { "entry" } else { "entries" };
        let text = format!("{} {word} of extensions come and go with them", count(along));
        writeln!(out, "  {DIM}{}{DIM:#}", cut(&text, width - 2))?;
    }
    Ok(())
}

/// Whether an extension holds what the compiler makes of declarations, which changes along with them.
fn is_compiled(extension: &str) -> bool {
    ["Compiler.LCNF.", "Lean.IR."]
        .iter()
        .any(|part| extension.contains(part))
}

/// One extension; how many of its entries come and go with declarations.
fn extension(
    e: &ExtensionDiff,
    new: &HashSet<&str>,
    gone: &HashSet<&str>,
    limit: usize,
    width: usize,
    out: &mut Output,
) -> Result<u64> {
    let apart = |keys: &[String], with: &HashSet<&str>| -> Vec<String> {
        keys.iter()
            .filter(|k| !with.contains(k.as_str()))
            .cloned()
            .collect()
    };
    let (added, removed) = (apart(&e.added, new), apart(&e.removed, gone));
    let along = (e.added.len() - added.len() + e.removed.len() - removed.len()) as u64;
    if added.is_empty() && removed.is_empty() && e.changed.is_empty() {
        return Ok(along);
    }
    if is_compiled(&e.extension) {
        let changed = e.changed.iter().map(|c| c.key.as_str());
        let keys: Vec<&str> = changed
            .chain(removed.iter().chain(&added).map(String::as_str))
            .collect();
        let text = format!("{}: {}", clean(&e.extension), clean(&keys.join(", ")));
        writeln!(out, "  {DIM}{}{DIM:#}", cut(&text, width - 2))?;
        return Ok(along);
    }
    writeln!(out, "  {DIM}{}{DIM:#}", cut(&clean(&e.extension), width - 2))?;
    let mut left = limit;
    for c in &e.changed {
        if left == 0 {
            break;
        }
        left -= 1;
        let at = if c.at.is_empty() {
            String::new()
        } else {
            format!(" at {}", c.at)
        };
        writeln!(
            out,
            "    {MARK}~{MARK:#} {}",
            cut(&(clean(&c.key) + &at), width - 6)
        )?;
        both(&c.a, &c.b, 6, width, out)?;
    }
    for (sign, style, keys) in [('-', BAD, &removed), ('+', GOOD, &added)] {
        for key in keys.iter().take(left) {
            writeln!(out, "    {style}{sign}{style:#} {}", cut(&clean(key), width - 6))?;
        }
        left -= left.min(keys.len());
    }
    let all = e.changed.len() + removed.len() + added.len();
    if all > limit {
        let text = format!("… {} more; see --limit", count((all - limit) as u64));
        writeln!(out, "    {DIM}{}{DIM:#}", cut(&text, width - 4))?;
    }
    Ok(along)
}
