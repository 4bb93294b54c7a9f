//! `olean stats`: what fills files.

use crate::error::Result;
use crate::input;
use crate::outcome::{Failed, Outcome};
use crate::output::Output;
use crate::prove::{self, Deps, Many, Proved};
use crate::render::{DIM, TEXT, TITLE, Table, bytes, clean, count, cut, cut_left, percent, plural};
use olean_reader::stats::Subgraph;
use olean_reader::{CheckError, Graph, Kind, NodeId};
use serde::Serialize;
use std::cmp::Reverse;
use std::io::Write;
use std::path::PathBuf;

/// Show what fills files: kinds of objects, sharing, largest strings and arrays, root fields, extensions
///
/// Several files are added up; --each shows them one by one as well.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Files or folders; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A file or folder that they may point into, besides the parts of their own modules; may be given again
    #[arg(long, value_name = "FILE")]
    deps: Vec<PathBuf>,
    /// Of several files, show each one besides the sum
    #[arg(long)]
    each: bool,
    /// Lines in lists of largest strings, arrays and extensions
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,
    /// Threads [default: all cores]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
}

const EXAMPLES: &str = "Exit codes: 0 all shown, 1 some bad, 2 wrong usage or unreadable files.\n\n\
     Columns of the lists by root field and by extension: `reaches` counts everything below, `adds` what no line \
     above reaches.\n\n\
     Examples:\n  \
     olean stats Foo.olean\n  \
     olean stats build/lib --top 20\n  \
     olean stats --json Foo.olean | jq .total.depth";

#[derive(Serialize)]
struct Report {
    schema: u32,
    total: Numbers,
    files: Vec<Numbers>,
}

/// The numbers of one file, or the sum over several.
#[derive(Serialize, Default)]
struct Numbers {
    path: String,
    files: u64,
    bytes: u64,
    frame_bytes: u64,
    objects: u64,
    kinds: Vec<KindNumbers>,
    pointers: u64,
    scalars: u64,
    shared: u64,
    saved_bytes: u64,
    distinct: u64,
    depth: u32,
    unreachable_objects: u64,
    unreachable_bytes: u64,
    most_shared: Option<Spot>,
    strings: Vec<Spot>,
    arrays: Vec<Spot>,
    root_fields: Vec<Share>,
    extensions: Vec<Share>,
    cross: Vec<Cross>,
    outside: u64,
}

#[derive(Serialize)]
struct KindNumbers {
    kind: &'static str,
    objects: u64,
    bytes: u64,
}

/// An object worth a line.
#[derive(Serialize, Clone)]
struct Spot {
    path: String,
    offset: u64,
    /// Bytes of a string, elements of an array, references.
    size: u64,
    text: String,
}

#[derive(Serialize, Clone)]
struct Share {
    name: String,
    elements: u64,
    objects: u64,
    bytes: u64,
    adds_objects: u64,
    adds_bytes: u64,
}

/// Pointers into a dependency.
#[derive(Serialize, Clone)]
struct Cross {
    into: String,
    pointers: u64,
}

/// Runs it.
pub fn run(args: &Args, out: &mut Output) -> Result<Outcome> {
    let sources = input::sources(&args.files)?;
    let deps = Deps::open(&args.deps)?;
    let many = Many {
        sources: &sources,
        deps: &deps,
        jobs: args.jobs.unwrap_or_else(prove::cores),
        doing: "counting",
    };
    let mut total = Numbers::default();
    let (mut files, mut failed) = (Vec::new(), Failed::default());
    many.each(numbers, |_, result| {
        match result {
            Err(problem) => failed.note(problem),
            Ok(n) => {
                total.add(&n, args.top);
                if out.is_json() {
                    files.push(n);
                } else if args.each && sources.len() > 1 {
                    print(&n, args.top, out)?;
                }
            }
        }
        Ok(())
    })?;
    if sources.len() > 1 {
        total.path = plural(total.files, "file");
    }
    if out.is_json() {
        out.json(&Report {
            schema: 1,
            total,
            files,
        })?;
    } else if total.files > 0 {
        print(&total, args.top, out)?;
    }
    Ok(failed.code())
}

fn numbers(p: &Proved<'_, '_>) -> std::result::Result<Numbers, CheckError> {
    let graph = p.graph()?;
    let s = graph.stats()?;
    let path = &p.source.name;
    let spot = |&(node, size): &(NodeId, u64)| Spot {
        path: path.clone(),
        offset: graph.reference(node).offset,
        size,
        text: text(&graph, node),
    };
    let shares = |parts: &[Subgraph]| parts.iter().map(share).collect();
    Ok(Numbers {
        path: path.clone(),
        files: 1,
        bytes: p.region.file().bytes().len() as u64,
        frame_bytes: s.frame_bytes,
        objects: s.objects.into(),
        kinds: s.kinds.iter().map(|&(k, n, b)| kind_numbers(k, n, b)).collect(),
        pointers: s.pointers,
        scalars: s.scalars,
        shared: s.shared.into(),
        saved_bytes: s.saved_bytes,
        distinct: s.distinct.into(),
        depth: s.depth,
        unreachable_objects: s.unreachable.0.into(),
        unreachable_bytes: s.unreachable.1,
        most_shared: s.most_shared.map(|(n, references)| spot(&(n, references.into()))),
        strings: s.strings.iter().map(spot).collect(),
        arrays: s.arrays.iter().map(spot).collect(),
        root_fields: shares(&s.root_fields),
        extensions: shares(&s.extensions),
        cross: p
            .deps
            .iter()
            .zip(s.cross)
            .filter(|(_, n)| *n > 0)
            .map(|(dep, pointers)| Cross {
                into: dep.file().name().to_owned(),
                pointers,
            })
            .collect(),
        outside: s.outside,
    })
}

fn kind_numbers(kind: Kind, objects: u32, bytes: u64) -> KindNumbers {
    KindNumbers {
        kind: kind.name(),
        objects: objects.into(),
        bytes,
    }
}

fn share(part: &Subgraph) -> Share {
    Share {
        name: part.name.clone(),
        elements: part.elements,
        objects: part.reach.0.into(),
        bytes: part.reach.1,
        adds_objects: part.first.0.into(),
        adds_bytes: part.first.1,
    }
}

/// A word about an object: a string's beginning, a name, or what it is.
fn text(graph: &Graph<'_, '_>, node: NodeId) -> String {
    const MOST: usize = 80;
    if let Some(s) = graph.string(node) {
        return cut(s, MOST);
    }
    let value = olean_reader::Value::Object(node);
    match graph.name(value) {
        Some(name) => cut(&format!("`{name}"), MOST),
        None => graph.kind(node).name().to_owned(),
    }
}

impl Numbers {
    fn add(&mut self, n: &Self, top: usize) {
        if self.files == 0 {
            self.path.clone_from(&n.path);
        }
        self.files += n.files;
        self.bytes += n.bytes;
        self.frame_bytes += n.frame_bytes;
        self.objects += n.objects;
        self.pointers += n.pointers;
        self.scalars += n.scalars;
        self.shared += n.shared;
        self.saved_bytes += n.saved_bytes;
        self.distinct += n.distinct;
        self.depth = self.depth.max(n.depth);
        self.unreachable_objects += n.unreachable_objects;
        self.unreachable_bytes += n.unreachable_bytes;
        self.outside += n.outside;
        for k in &n.kinds {
            match self.kinds.iter_mut().find(|other| other.kind == k.kind) {
                Some(sum) => {
                    sum.objects += k.objects;
                    sum.bytes += k.bytes;
                }
                None => self.kinds.push(KindNumbers { ..*k }),
            }
        }
        if n.most_shared.as_ref().map(|s| s.size) > self.most_shared.as_ref().map(|s| s.size) {
            self.most_shared.clone_from(&n.most_shared);
        }
        merge_spots(&mut self.strings, &n.strings, top);
        merge_spots(&mut self.arrays, &n.arrays, top);
        merge_shares(&mut self.root_fields, &n.root_fields);
        merge_shares(&mut self.extensions, &n.extensions);
        self.cross.extend(n.cross.iter().cloned());
    }
}

fn merge_spots(sum: &mut Vec<Spot>, more: &[Spot], top: usize) {
    sum.extend(more.iter().cloned());
    sum.sort_by_key(|s| Reverse(s.size));
    sum.truncate(top);
}

fn merge_shares(sum: &mut Vec<Share>, more: &[Share]) {
    for m in more {
        match sum.iter_mut().find(|s| s.name == m.name) {
            Some(s) => {
                s.elements += m.elements;
                s.objects += m.objects;
                s.bytes += m.bytes;
                s.adds_objects += m.adds_objects;
                s.adds_bytes += m.adds_bytes;
            }
            None => sum.push(m.clone()),
        }
    }
}

fn print(n: &Numbers, top: usize, out: &mut Output) -> Result<()> {
    let width = out.width();
    writeln!(
        out,
        "{TITLE}{}{TITLE:#}: {}, {}",
        clean(&n.path),
        bytes(n.bytes),
        plural(n.objects, "object")
    )?;
    let mut kinds = Table::new(&["kind", "objects", "bytes", "share"]);
    let mut row = |kind: &str, objects: String, b| {
        kinds.row([kind.to_owned(), objects, bytes(b), percent(b, n.bytes)]);
    };
    for k in &n.kinds {
        row(k.kind, count(k.objects), k.bytes);
    }
    row("header, sections", String::new(), n.frame_bytes);
    lines(&kinds, width, out)?;

    writeln!(out)?;
    let mut line = |label: &str, text: String| writeln!(out, "  {DIM}{label:<10}{DIM:#}  {text}");
    line(
        "pointers",
        format!("{}, boxed scalars {}", count(n.pointers), count(n.scalars)),
    )?;
    let copies = bytes(n.bytes + n.saved_bytes);
    line(
        "shared",
        format!(
            "{} with several references; {copies} if each had its own",
            plural(n.shared, "object")
        ),
    )?;
    if let Some(m) = &n.most_shared {
        let text = cut(&clean(&m.text), width.saturating_sub(40));
        line("", format!("most: {text} with {}", plural(m.size, "reference")))?;
    }
    let with = if n.cross.is_empty() {
        ""
    } else {
        ", dependencies included"
    };
    line("distinct", plural(n.distinct, "value") + with)?;
    line("depth", plural(n.depth.into(), "object") + with)?;
    if n.unreachable_objects > 0 {
        let (objects, size) = (
            plural(n.unreachable_objects, "object"),
            bytes(n.unreachable_bytes),
        );
        line("unreached", format!("{objects}, {size}"))?;
    }
    for c in n.cross.iter().take(top) {
        line(
            "into",
            format!("{}: {}", clean(&c.into), plural(c.pointers, "pointer")),
        )?;
    }
    if n.cross.len() > top {
        let rest: u64 = n.cross[top..].iter().map(|c| c.pointers).sum();
        let files = plural((n.cross.len() - top) as u64, "more pair");
        line("into", format!("{files} of files: {}", plural(rest, "pointer")))?;
    }

    shares("root field", "elements", &n.root_fields, n.root_fields.len(), out)?;
    let mut extensions = n.extensions.clone();
    extensions.retain(|e| e.elements > 0);
    extensions.sort_by_key(|e| Reverse(e.adds_bytes));
    shares("extension", "entries", &extensions, top, out)?;
    spots("largest strings", "bytes", &n.strings, n.files > 1, top, out)?;
    spots("largest arrays", "elements", &n.arrays, n.files > 1, top, out)?;
    writeln!(out)?;
    Ok(())
}

fn lines(table: &Table, width: usize, out: &mut Output) -> Result<()> {
    for line in table.lines(2, width) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn shares(title: &str, elements: &str, parts: &[Share], top: usize, out: &mut Output) -> Result<()> {
    if parts.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&[title, elements, "objects", "reaches", "adds"]);
    for p in parts.iter().take(top) {
        table.row([
            clean(&p.name),
            count(p.elements),
            count(p.objects),
            bytes(p.bytes),
            bytes(p.adds_bytes),
        ]);
    }
    if let Some(rest) = parts.get(top..).filter(|r| !r.is_empty()) {
        let sum = |f: fn(&Share) -> u64| rest.iter().map(f).sum::<u64>();
        table.row([
            format!("{} more", rest.len()),
            count(sum(|p| p.elements)),
            count(sum(|p| p.objects)),
            String::new(),
            bytes(sum(|p| p.adds_bytes)),
        ]);
    }
    writeln!(out)?;
    lines(&table, out.width(), out)
}

/// Characters of a path before an object.
const MOST_PATH: usize = 36;

fn spots(title: &str, unit: &str, spots: &[Spot], many: bool, top: usize, out: &mut Output) -> Result<()> {
    if spots.is_empty() || top == 0 {
        return Ok(());
    }
    writeln!(out, "\n  {DIM}{title}{DIM:#}")?;
    let width = out.width();
    for s in spots.iter().take(top) {
        let file = if many {
            format!("{} ", cut_left(&clean(&s.path), MOST_PATH))
        } else {
            String::new()
        };
        let mut line = format!("  {:>10} {unit}  {file}@0x{:x}", count(s.size), s.offset);
        if unit == "bytes" {
            line += "  ";
            let room = width.saturating_sub(line.chars().count());
            line += &format!("{TEXT}{}{TEXT:#}", cut(&clean(&s.text), room));
        }
        writeln!(out, "{line}")?;
    }
    Ok(())
}
