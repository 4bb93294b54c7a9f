//! `olean diff`: what differs between two files, or between the files of two folders: declarations where the files
//! are parts of modules, else the first path at which they differ.

mod modules;

use crate::decls::compare::{self, ModuleDiff};
use crate::decls::load;
use crate::decls::module::Module;
use crate::error::{Failure, Result};
use crate::input::{self, Input, Source};
use crate::module::Part;
use crate::outcome::{Failed, Outcome};
use crate::output::Output;
use crate::prove;
use crate::render::{BAD, DIM, GOOD, TITLE, clean, cut, cut_left, plural};
use olean_reader::diff::{self, Difference, Reason};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Compare two modules, or all files of two folders
///
/// Files are equal if they have the same bytes, or hold the same graph at other addresses, in another order or format;
/// what makes the bytes differ is said then. Of modules that differ, all parts that lie beside each other are compared:
/// declarations, imports, entries of extensions. Of other files, and with --raw, the first path from the root at which
/// they differ is shown with both values.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// The one file or folder; - is standard input
    a: PathBuf,
    /// The other one
    b: PathBuf,
    /// A file or folder that both may point into, besides the parts of their own modules; may be given again
    #[arg(long, value_name = "FILE")]
    deps: Vec<PathBuf>,
    /// Only count; of two folders, list names without values
    #[arg(long)]
    stat: bool,
    /// Compare the given files alone, and show the first path at which they differ
    #[arg(long)]
    raw: bool,
    /// Entries to show of each extension; 0 is all
    #[arg(long, value_name = "N", default_value_t = 3)]
    limit: usize,
    /// Files with equal graphs but other bytes count as different
    #[arg(long)]
    bytes: bool,
}

const EXAMPLES: &str = "Exit codes: 0 equal, 1 different or bad, 2 wrong usage or unreadable files.\n\n\
     Examples:\n  \
     olean diff a/Foo.olean b/Foo.olean\n  \
     olean diff --stat build-a build-b\n  \
     olean diff --bytes build-a build-b      (is the build reproducible?)";

#[derive(Serialize)]
struct Report {
    schema: u32,
    identical: u64,
    same_graph: u64,
    different: u64,
    only_in_a: u64,
    only_in_b: u64,
    /// Pairs of which one file is bad or cannot be read.
    not_compared: u64,
    equal: bool,
    files: Vec<Pair>,
    modules: Vec<ModuleDiff>,
}

#[derive(Serialize)]
struct Pair {
    a: Option<String>,
    b: Option<String>,
    #[serde(flatten)]
    verdict: Verdict,
}

/// How two files compare.
#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
enum Verdict {
    Identical,
    SameGraph {
        because: Vec<String>,
    },
    Different {
        at: String,
        value_a: String,
        value_b: String,
    },
    OnlyInA,
    OnlyInB,
    NotCompared {
        because: String,
    },
}

impl From<Difference> for Verdict {
    fn from(d: Difference) -> Self {
        match d {
            Difference::Identical => Self::Identical,
            Difference::SameGraph(reasons) => Self::SameGraph {
                because: reasons.iter().map(Reason::to_string).collect(),
            },
            Difference::Different { path, left, right } => Self::Different {
                at: match path.trim_start_matches('.') {
                    "" => "root".to_owned(),
                    path => path.to_owned(),
                },
                value_a: left,
                value_b: right,
            },
        }
    }
}

/// Runs it.
pub fn run(args: &Args, out: &mut Output) -> Result<Outcome> {
    let folders = (args.a.is_dir(), args.b.is_dir());
    if args.a == Path::new("-") && args.b == Path::new("-") {
        return Err(Failure::Usage(
            "standard input (-) can be only one of the two files".to_owned(),
        ));
    }
    let pairs = match folders {
        (true, true) => pairs(&args.a, &args.b)?,
        (false, false) => {
            let (a, b) = (Source::one(&args.a)?, Source::one(&args.b)?);
            if args.raw {
                vec![(Some(a), Some(b))]
            } else {
                parts(a, b)
            }
        }
        _ => {
            return Err(Failure::Usage(
                "a folder and a file cannot be compared; give two files or two folders".to_owned(),
            ));
        }
    };
    let mut report = Report {
        schema: 1,
        identical: 0,
        same_graph: 0,
        different: 0,
        only_in_a: 0,
        only_in_b: 0,
        not_compared: 0,
        equal: false,
        files: Vec::new(),
        modules: Vec::new(),
    };
    let mut failed = Failed::default();
    let several = folders.0;
    let mut modules_seen = HashSet::new();
    let mut same: Vec<Pair> = Vec::new();
    for (a, b) in pairs {
        let verdict = match (&a, &b) {
            (Some(a), Some(b)) => match compare(a, b, &args.deps) {
                Ok(d) => Verdict::from(d),
                Err(failure) => {
                    let because = failure.to_string();
                    failed.note(failure);
                    Verdict::NotCompared { because }
                }
            },
            (Some(_), None) => Verdict::OnlyInA,
            _ => Verdict::OnlyInB,
        };
        match verdict {
            Verdict::Identical => report.identical += 1,
            Verdict::SameGraph { .. } => report.same_graph += 1,
            Verdict::Different { .. } => report.different += 1,
            Verdict::OnlyInA => report.only_in_a += 1,
            Verdict::OnlyInB => report.only_in_b += 1,
            Verdict::NotCompared { .. } => report.not_compared += 1,
        }
        let name = |s: &Option<Source>| s.as_ref().map(|s| s.name.clone());
        let pair = Pair {
            a: name(&a),
            b: name(&b),
            verdict,
        };
        let equal = matches!(pair.verdict, Verdict::Identical | Verdict::SameGraph { .. });
        if equal && !several && !out.is_json() {
            same.push(pair);
            continue;
        }
        // Parts of a module are told together, where the first that differs stands.
        let parts = if matches!(pair.verdict, Verdict::Different { .. }) && !args.raw {
            last_parts(&a, &b)
        } else {
            None
        };
        let mut told = false;
        if let Some((x, y)) = parts {
            if modules_seen.insert(x.name.clone()) {
                match compare_modules(&x, &y, args, out) {
                    Err(failure) => {
                        failed.note(failure);
                        told = true;
                    }
                    Ok(None) => {
                        modules_seen.remove(&x.name);
                    }
                    Ok(Some(diff)) => {
                        told = !diff.is_empty();
                        if out.is_json() {
                            report.modules.push(diff);
                        } else {
                            modules::print(&diff, args.stat && several, limit(args), out)?;
                        }
                    }
                }
            } else {
                told = true;
            }
        }
        if out.is_json() {
            report.files.push(pair);
        } else if !told && (!args.stat || several) {
            print(&pair, several, args.stat, out)?;
        }
    }
    // Of one module, that parts of it are equal matters only if no other part differs.
    let best = same.iter().find(|p| !matches!(p.verdict, Verdict::Identical));
    if let Some(pair) = best.or(same.first())
        && report.different == 0
        && !args.stat
    {
        print(pair, several, args.stat, out)?;
    }
    let graphs_equal = report.different + report.only_in_a + report.only_in_b + report.not_compared == 0;
    report.equal = graphs_equal && !(args.bytes && report.same_graph > 0);
    if out.is_json() {
        out.json(&report)?;
    } else if several || args.stat {
        summary(&report, out)?;
    }
    Ok(match failed.code() {
        Outcome::Good => Outcome::good_if(report.equal),
        worse => worse,
    })
}

/// Entries of an extension to show.
fn limit(args: &Args) -> usize {
    if args.limit == 0 { usize::MAX } else { args.limit }
}

/// Two files, or where they are parts of modules, all parts that both modules have.
fn parts(a: Source, b: Source) -> Vec<(Option<Source>, Option<Source>)> {
    let part = |s: &Source| s.path.as_deref().and_then(Part::of);
    let (Some(in_a), Some(in_b)) = (part(&a), part(&b)) else {
        return vec![(Some(a), Some(b))];
    };
    let alike = in_a.is_olean() == in_b.is_olean() && in_a.rank() == in_b.rank() && !in_a.is_beside(&in_b);
    if !alike || !in_a.is_present() || !in_b.is_present() {
        return vec![(Some(a), Some(b))];
    }
    let files = |part: &Part| {
        let all = part.present().into_iter();
        let ranks = all.filter_map(|p| Some((Part::of(&p)?.rank(), Source::file(p))));
        ranks.collect::<BTreeMap<usize, Source>>()
    };
    let (a, mut b) = (files(&in_a), files(&in_b));
    let both = a
        .into_iter()
        .filter_map(|(rank, a)| Some((Some(a), Some(b.remove(&rank)?))));
    both.collect()
}

/// The last parts that both modules have of which two files that differ are parts.
fn last_parts(a: &Option<Source>, b: &Option<Source>) -> Option<(Source, Source)> {
    let part = |s: &Option<Source>| Part::of(s.as_ref()?.path.as_deref()?);
    let (in_a, in_b) = (part(a)?, part(b)?);
    if in_a.is_beside(&in_b) || in_a.is_olean() != in_b.is_olean() {
        return None;
    }
    let ranked = |p: &Part| {
        let all = p.present().into_iter();
        let ranks = all.filter_map(|path| Some((Part::of(&path)?.rank(), path)));
        ranks.collect::<BTreeMap<usize, PathBuf>>()
    };
    let (a, mut b) = (ranked(&in_a), ranked(&in_b));
    let last = a
        .into_iter()
        .rev()
        .find_map(|(rank, path)| Some((path, b.remove(&rank)?)));
    last.map(|(x, y)| (Source::file(x), Source::file(y)))
}

/// Compares two builds of a module, given their last parts; `None` if the files are none of modules.
fn compare_modules(a: &Source, b: &Source, args: &Args, out: &Output) -> Result<Option<ModuleDiff>> {
    let width = out.width().saturating_sub(modules::INDENT);
    let name = b
        .path
        .as_deref()
        .and_then(|p| module_name(p, &args.b))
        .unwrap_or_else(|| b.name.clone());
    prove::one(a, &args.deps, |left| {
        let Some(left) = Module::read(left, name.clone()).map_err(Failure::Bad)? else {
            return Ok(None);
        };
        prove::one(b, &args.deps, |right| {
            let right = Module::read(right, name).map_err(Failure::Bad)?;
            Ok(right.map(|right| compare::compare(&left, &right, width)))
        })
    })
}

/// The name of the module with this part: of the path below the folder, or of the file.
fn module_name(path: &Path, argument: &Path) -> Option<String> {
    let part = Part::of(path)?;
    let folder = argument.is_dir().then(|| argument.to_owned());
    let name = load::module_name(part.stem(), folder.as_ref());
    Some(if part.is_olean() {
        name
    } else {
        name + " (compiled code)"
    })
}

/// The files of two folders by their paths in them.
fn pairs(a: &Path, b: &Path) -> Result<Vec<(Option<Source>, Option<Source>)>> {
    let inside = |folder: &Path| -> Result<BTreeSet<PathBuf>> {
        let files = input::region_files(folder)?;
        let relative = |p: PathBuf| p.strip_prefix(folder).map(Path::to_owned).unwrap_or(p);
        Ok(files.into_iter().map(relative).collect())
    };
    let (in_a, in_b) = (inside(a)?, inside(b)?);
    if in_a.is_empty() && in_b.is_empty() {
        return Err(Failure::NothingFound(a.to_owned()));
    }
    let of = |folder: &Path, files: &BTreeSet<PathBuf>, p: &PathBuf| {
        files.contains(p).then(|| Source::file(folder.join(p)))
    };
    // Compiled code after the declarations that it is made of.
    let mut all: Vec<&PathBuf> = in_a.union(&in_b).collect();
    all.sort_by_cached_key(|p| match Part::of(p) {
        Some(part) => (part.stem().to_owned(), !part.is_olean(), part.rank()),
        None => ((*p).clone(), false, 0),
    });
    let pairs = all.into_iter().map(|p| (of(a, &in_a, p), of(b, &in_b, p)));
    Ok(pairs.collect())
}

fn compare(a: &Source, b: &Source, deps: &[PathBuf]) -> Result<Difference> {
    // Most files of two builds have the same bytes; what those are need not be proved.
    if a.path.is_some() && b.path.is_some() {
        let (a, b) = (Input::open(a)?, Input::open(b)?);
        if *a == *b && a.starts_with(b"olean") {
            return Ok(Difference::Identical);
        }
    }
    prove::one(a, deps, |left| {
        let left = left.graph().map_err(Failure::Bad)?;
        prove::one(b, deps, |right| {
            let right = right.graph().map_err(Failure::Bad)?;
            diff::diff(&left, &right).map_err(Failure::Bad)
        })
    })
}

fn print(pair: &Pair, several: bool, stat: bool, out: &mut Output) -> Result<()> {
    let name = pair
        .a
        .as_ref()
        .or(pair.b.as_ref())
        .map_or(String::new(), |n| clean(n));
    match &pair.verdict {
        Verdict::Identical if several => {}
        Verdict::Identical => writeln!(out, "{GOOD}identical{GOOD:#}: the same bytes")?,
        Verdict::SameGraph { because } => {
            let prefix = if several {
                format!("{name}: ")
            } else {
                String::new()
            };
            writeln!(
                out,
                "{prefix}{GOOD}same graph{GOOD:#}, other bytes: {}",
                because.join(", ")
            )?;
        }
        Verdict::OnlyInA => writeln!(out, "{name}: {BAD}only in the first folder{BAD:#}")?,
        Verdict::OnlyInB => writeln!(out, "{name}: {BAD}only in the second folder{BAD:#}")?,
        Verdict::Different { .. } if stat => writeln!(out, "{name}: {BAD}different{BAD:#}")?,
        // Said on stderr already.
        Verdict::NotCompared { .. } => {}
        Verdict::Different {
            at,
            value_a: a,
            value_b: b,
        } => {
            let prefix = if several {
                format!("{name}: ")
            } else {
                String::new()
            };
            writeln!(
                out,
                "{prefix}{BAD}different{BAD:#} at {TITLE}{}{TITLE:#}",
                shorten(&clean(at))
            )?;
            writeln!(out, "  {DIM}-{DIM:#} {}", clean(a))?;
            writeln!(out, "  {DIM}+{DIM:#} {}", clean(b))?;
        }
    }
    Ok(())
}

/// A path without its middle where it is very long, as in a list of unknown type.
fn shorten(path: &str) -> String {
    const ENDS: usize = 100;
    if path.chars().count() <= 3 * ENDS {
        return path.to_owned();
    }
    format!(
        "{}{}",
        cut(path, ENDS),
        cut_left(path, ENDS).trim_start_matches('…')
    )
}

fn summary(r: &Report, out: &mut Output) -> Result<()> {
    let all = r.identical + r.same_graph + r.different + r.only_in_a + r.only_in_b + r.not_compared;
    let mut line = format!("{}:", plural(all, "file"));
    for (n, what) in [
        (r.identical, "identical"),
        (r.same_graph, "same graph"),
        (r.different, "different"),
        (r.only_in_a + r.only_in_b, "only in one folder"),
        (r.not_compared, "not compared"),
    ] {
        if n > 0 {
            line += &format!(" {n} {what},");
        }
    }
    writeln!(out, "{}", line.trim_end_matches([',', ':']))?;
    Ok(())
}
