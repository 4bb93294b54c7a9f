//! `olean widen` and `olean narrow`: files of the other pointer width.

use crate::error::{Failure, Result, tell};
use crate::input::{self, Source};
use crate::module::{self, Part};
use crate::outcome::{Failed, Outcome};
use crate::output::Output;
use crate::prove::{self, Deps, Many, Proved};
use crate::render::{BAD, GOOD, bytes, plural};
use crate::write::{self, Set};
use clap::ValueEnum;
use olean_reader::format::base::BASE_ALIGN;
use olean_reader::transform::{self, Rewritten, TransformError};
use olean_reader::{self, Region, Width};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Rewrite a 32-bit file (wasm) as a 64-bit one
///
/// Objects keep their order and values. A file carries no types, so what depends on them cannot be known and is kept as
/// it is: USize fields next to other scalars keep 4 bytes, negative Int and large UInt32 values stay in the form that
/// 32-bit Lean gave them. Bignums that a 64-bit Lean would box are boxed only if their type says so; they are kept.
/// Names, terms, strings and proofs have none of these.
#[derive(clap::Args)]
#[command(after_long_help = WIDEN_EXAMPLES)]
pub struct WidenArgs {
    #[command(flatten)]
    common: Common,
}

const WIDEN_EXAMPLES: &str = "Exit codes: 0 written, 1 a file is bad or has the wrong width, 2 wrong usage or I/O.\n\n\
     Parts of one module are moved apart, as they grow; widen all of them, a folder for instance.\n\n\
     Examples:\n  \
     olean widen wasm/Foo.olean Foo.olean\n  \
     olean widen wasm/lib lib64 --bignums gmp";

/// Rewrite a 64-bit file as a 32-bit one (wasm)
///
/// The reverse of widen, with the same limits. A boxed number that does not fit in 31 bits becomes a bignum where its place
/// tells that it is a Nat: in names and in literals. Elsewhere it is an error, as only its type could say what it would
/// have to become; so is a code address above 4 GiB. The base address keeps its low 32 bits.
#[derive(clap::Args)]
#[command(after_long_help = NARROW_EXAMPLES)]
pub struct NarrowArgs {
    #[command(flatten)]
    common: Common,
}

const NARROW_EXAMPLES: &str = "Exit codes: 0 written, 1 a file is bad or a value does not fit, 2 wrong usage or I/O.\n\n\
     Examples:\n  \
     olean narrow Foo.olean wasm/Foo.olean --bignums native\n  \
     olean narrow Foo.olean - --base 0x10000 | olean info -";

#[derive(clap::Args)]
struct Common {
    /// The file or folder to read; - is standard input
    #[arg(value_name = "IN")]
    from: PathBuf,
    /// The file or folder to write; - is standard output
    #[arg(value_name = "OUT")]
    to: PathBuf,
    /// Layout of bignums in the result
    #[arg(long, value_enum, value_name = "LAYOUT", default_value_t = Layout::Keep)]
    bignums: Layout,
    /// Base address of the result, in hexadecimal with 0x or in decimal; a multiple of 0x10000
    #[arg(long, value_name = "ADDR", value_parser = crate::arguments::address)]
    base: Option<u64>,
    /// A file or folder that it may point into, besides the parts of its own module; may be given again
    #[arg(long, value_name = "FILE")]
    deps: Vec<PathBuf>,
    /// Of a folder, write the modules that can be rewritten although others cannot
    #[arg(long)]
    keep_going: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Layout {
    /// That of the file
    Keep,
    /// That of Lean built with GMP, as releases are
    Gmp,
    /// That of Lean built without GMP, as for wasm
    Native,
}

#[derive(Serialize)]
struct Report {
    schema: u32,
    files: Vec<Written>,
}

#[derive(Serialize)]
struct Written {
    path: String,
    output: String,
    base: u64,
    bytes_before: u64,
    bytes: u64,
}

/// Runs `olean widen`.
pub fn widen(args: &WidenArgs, out: &mut Output) -> Result<Outcome> {
    run(&args.common, Width::W64, out)
}

/// Runs `olean narrow`.
pub fn narrow(args: &NarrowArgs, out: &mut Output) -> Result<Outcome> {
    run(&args.common, Width::W32, out)
}

fn run(args: &Common, width: Width, out: &mut Output) -> Result<Outcome> {
    let work = work(args)?;
    let sources: Vec<Source> = work.iter().map(|(source, _)| source.clone()).collect();
    let deps = Deps::open(&args.deps)?;
    write::refuse_inputs(work.iter().map(|(_, to)| to.as_path()), &deps.read_with(&sources))?;
    let folder = args.from.is_dir();
    let set = Set::default();
    let many = Many {
        sources: &sources,
        deps: &deps,
        jobs: prove::cores(),
        doing: if width == Width::W32 {
            "narrowing"
        } else {
            "widening"
        },
    };
    let to: HashMap<&Source, &Path> = work.iter().map(|(s, to)| (s, to.as_path())).collect();
    let mut converted = Vec::new();
    many.each(
        |p| {
            let converted = convert(p, args, width);
            Ok(converted.and_then(|(result, base)| {
                let done = Written {
                    path: p.source.name.clone(),
                    output: to[p.source].display().to_string(),
                    base,
                    bytes_before: p.region.file().bytes().len() as u64,
                    bytes: result.len() as u64,
                };
                // Files of a folder go to the disk at once, under names that nobody looks for yet.
                match folder {
                    true => set
                        .add(to[p.source], &result)
                        .map(|staged| (done, Made::Staged(staged))),
                    false => Ok((done, Made::Bytes(result))),
                }
            }))
        },
        |source, result| {
            let result = result.map_err(Failure::from).and_then(|made| made);
            converted.push((source.clone(), result));
            Ok(())
        },
    )?;
    let (mut failed, mut told) = (Failed::default(), HashSet::new());
    let mut refused = HashSet::new();
    let mut made = Vec::new();
    for (source, result) in converted {
        match result {
            Ok(done) => made.push((source, done)),
            Err(failure) => {
                refused.insert(module::module_of(&source));
                // What is wrong with a file stands in the way of all parts behind it.
                if told.insert(failure.to_string()) {
                    failed.note(failure);
                }
            }
        }
    }
    let modules: HashSet<_> = sources.iter().map(module::module_of).collect();
    let (all, bad) = (modules.len() as u64, refused.len() as u64);
    if folder && bad > 0 && !args.keep_going {
        made.clear();
    }
    // A module is written whole or not at all.
    made.retain(|(source, _)| !refused.contains(&module::module_of(source)));
    let mut report = Report {
        schema: 1,
        files: Vec::new(),
    };
    let mut staged = Vec::new();
    for (_, (done, made)) in made {
        match made {
            Made::Bytes(bytes) => write::file(&args.to, &bytes, out)?,
            Made::Staged(number) => staged.push(number),
        }
        report.files.push(done);
    }
    set.publish(&staged)?;
    if !report.files.is_empty() || out.is_json() {
        write::told(&args.to, &report, out, || {
            report.files.iter().map(line).collect::<Vec<_>>().join("\n")
        })?;
    }
    out.flush()?;
    if folder && !out.is_json() {
        summary(report.files.len() as u64, all, bad, args.keep_going);
    }
    Ok(failed.code())
}

/// A result.
enum Made {
    /// The bytes of the one file.
    Bytes(Vec<u8>),
    /// A file that waits for the others of its set, by its number there.
    Staged(usize),
}

fn line(w: &Written) -> String {
    format!(
        "{}: {}, was {}, base 0x{:x}",
        w.output,
        bytes(w.bytes),
        bytes(w.bytes_before),
        w.base
    )
}

/// How many modules were written, on stderr.
fn summary(files: u64, all: u64, bad: u64, keep_going: bool) {
    let (modules, files) = (plural(all, "module"), plural(files, "file"));
    tell(match (bad, keep_going) {
        (0, _) => format!("{GOOD}written{GOOD:#}: {modules}, {files}"),
        (_, true) => format!("{BAD}refused{BAD:#}: {bad} of {modules}; {files} of the others written"),
        (_, false) => {
            format!("{BAD}nothing written{BAD:#}: {bad} of {modules} refused; --keep-going writes the others")
        }
    });
}

/// The files to read and where their results go.
fn work(args: &Common) -> Result<Vec<(Source, PathBuf)>> {
    if !args.from.is_dir() {
        return Ok(vec![(Source::one(&args.from)?, args.to.clone())]);
    }
    if args.to == Path::new("-") || args.to.exists() && !args.to.is_dir() {
        return Err(Failure::Usage("a folder needs a folder to write to".to_owned()));
    }
    if args.base.is_some() {
        return Err(Failure::Usage(
            "--base is for one file; the files of a folder cannot share an address".to_owned(),
        ));
    }
    let sources = input::sources(std::slice::from_ref(&args.from))?;
    let to = |s: &Source| {
        let path = s.path.as_deref().expect("files of a folder have paths");
        args.to.join(path.strip_prefix(&args.from).unwrap_or(path))
    };
    Ok(sources
        .into_iter()
        .map(|s| (to(&s), s))
        .map(|(to, s)| (s, to))
        .collect())
}

/// The file in the other width and its base address.
fn convert(p: &Proved<'_, '_>, args: &Common, width: Width) -> Result<(Vec<u8>, u64)> {
    let file = p.region.file();
    if file.width() == width {
        return Err(Failure::Refused {
            path: p.source.name.clone(),
            text: format!("it has {}-bit pointers already", width.bits()),
        });
    }
    let bignums = match args.bignums {
        Layout::Keep => None,
        Layout::Gmp => Some(olean_reader::Bignums::Gmp),
        Layout::Native => Some(olean_reader::Bignums::Native),
    };
    let target = Rewritten {
        width: Some(width),
        bignums,
        ..Rewritten::default()
    };
    let mut bases = bases(p, &target).map_err(|e| Failure::refused(&p.source.name, &e))?;
    let own = bases.pop().flatten();
    let base = args.base.or(own).expect("every file has a place");
    let target = Rewritten {
        base: Some(base),
        dep_bases: &bases,
        ..target
    };
    let result = transform::rewrite(p.region, p.deps, &target);
    Ok((result.map_err(|e| Failure::refused(file.name(), &e))?, base))
}

/// Where the dependencies and then the file itself go: where they were, as far as the width allows. Parts of a module may
/// grow into what lies behind them, so each is moved behind the one before where it must. What a file needs depends on
/// its own module alone, so each goes where it also goes when it is rewritten itself.
fn bases(
    p: &Proved<'_, '_>,
    target: &Rewritten<'_>,
) -> std::result::Result<Vec<Option<u64>>, TransformError> {
    let width = target.width.expect("the width changes");
    let mut all: Vec<&Region<'_>> = p.deps.to_vec();
    all.push(p.region);
    let sizes = transform::sizes(&all, target)?;
    let part = |region: &Region<'_>| Part::of(Path::new(region.file().name()));
    let mut order: Vec<(Option<Part>, usize)> = all.iter().map(|r| part(r)).zip(0..).collect();
    order.sort();
    let mut bases = vec![None; all.len()];
    let mut before: Option<(Part, u64)> = None;
    for (part, i) in order {
        let free = match (&part, &before) {
            (Some(part), Some((other, end))) if part.is_beside(other) => *end,
            _ => 0,
        };
        let base = (all[i].file().base() & width.max()).max(free);
        bases[i] = Some(base);
        before = part.map(|part| (part, (base + sizes[i]).next_multiple_of(BASE_ALIGN)));
    }
    Ok(bases)
}
