//! `olean widen` and `olean narrow`: files of the other pointer width.

use crate::error::{Failure, Result};
use crate::input::{self, Source};
use crate::outcome::{Failed, Outcome};
use crate::output::Output;
use crate::prove::{self, Proved};
use crate::render::bytes;
use crate::write;
use clap::ValueEnum;
use olean_reader::format::base::BASE_ALIGN;
use olean_reader::transform::{self, Rewritten};
use olean_reader::{self, Region, Width};
use serde::Serialize;
use std::fs;
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
/// The reverse of widen, with the same limits. A boxed value that does not fit in 31 bits is an error, as only its type
/// could say what it would have to become; so is a code address above 4 GiB. The base address keeps its low 32 bits.
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
    /// Files or folders that it may point into, besides the parts of its own module
    #[arg(long, value_name = "FILE", num_args = 1..)]
    deps: Vec<PathBuf>,
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
    let mut report = Report {
        schema: 1,
        files: Vec::new(),
    };
    let mut failed = Failed::default();
    for (source, to) in work(args)? {
        let converted = prove::one(&source, &args.deps, |p| {
            let (result, base) = convert(p, args, width)?;
            Ok((result, base, p.region.file().bytes().len() as u64))
        });
        let (result, base, before) = match converted {
            Ok(converted) => converted,
            Err(failure) => {
                failed.note(failure);
                continue;
            }
        };
        if let Some(parent) = to.parent().filter(|_| args.from.is_dir()) {
            fs::create_dir_all(parent).map_err(Failure::io("create", parent))?;
        }
        write::file(&to, &result, out)?;
        report.files.push(Written {
            path: source.name.clone(),
            output: to.display().to_string(),
            base,
            bytes_before: before,
            bytes: result.len() as u64,
        });
    }
    if report.files.is_empty() && !out.is_json() {
        return Ok(failed.code());
    }
    write::told(&args.to, &report, out, || {
        let line = |w: &Written| {
            format!(
                "{}: {}, was {}, base 0x{:x}",
                w.output,
                bytes(w.bytes),
                bytes(w.bytes_before),
                w.base
            )
        };
        report.files.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    Ok(failed.code())
}

/// The files to read and where their results go.
fn work(args: &Common) -> Result<Vec<(Source, PathBuf)>> {
    if !args.from.is_dir() {
        return Ok(vec![(Source::one(&args.from)?, args.to.clone())]);
    }
    if args.to == Path::new("-") || args.to.is_file() {
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
    // Dependencies may grow into what lies behind them, so each is moved behind the one before where it must.
    let mut dep_bases: Vec<Option<u64>> = Vec::new();
    let mut free = 0;
    let rewrite = |region: &Region<'_>, deps: &[&Region<'_>], base: u64, dep_bases: &[Option<u64>]| {
        let target = Rewritten {
            width: Some(width),
            bignums,
            base: Some(base),
            dep_bases,
        };
        transform::rewrite(region, deps, &target).map_err(|e| Failure::refused(region.file().name(), &e))
    };
    for (i, dep) in p.deps.iter().enumerate() {
        let base = place(dep, width, free);
        let size = rewrite(dep, &p.deps[..i], base, &dep_bases)?.len() as u64;
        free = (base + size).next_multiple_of(BASE_ALIGN);
        dep_bases.push(Some(base));
    }
    let base = args.base.unwrap_or_else(|| place(p.region, width, free));
    Ok((rewrite(p.region, p.deps, base, &dep_bases)?, base))
}

/// Where a file goes: where it was, as far as the width allows, or else to the first free address.
fn place(region: &Region<'_>, width: Width, free: u64) -> u64 {
    (region.file().base() & width.max()).max(free)
}
