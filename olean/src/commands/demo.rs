//! `olean demo`: a module saved by one process and loaded by others, without Lean.

use crate::demo::{self, PARTS, Step};
use crate::error::{Failure, Result};
use crate::input::Source;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::prove::{Deps, Many};
use crate::render::{BAD, DIM, GOOD, TITLE, bytes, count, milliseconds};
use crate::scratch::{self, Scratch};
use clap::ValueEnum;
use serde::Serialize;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Save a module in one process and load it in others, mapped and relocated
///
/// Runs on the runtime inside the library: no Lean is needed. One process builds a module of theorems and saves its
/// two parts; the next one maps the files where they want to lie; a third one is made to relocate them. Each of those
/// saves what it has loaded once more, and the digests of all graphs have to be equal.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Theorems in the module
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    theorems: usize,
    /// Folder to leave the files in [default: a temporary one, removed at the end]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

const EXAMPLES: &str = "Exit codes: 0 all graphs are equal, 1 they differ, 2 something could not be run.\n\n\
     Examples:\n  \
     olean demo\n  \
     olean demo --dir /tmp/demo && olean stats /tmp/demo";

/// One process of the demonstration.
#[derive(clap::Args)]
pub struct StepArgs {
    what: What,
    dir: PathBuf,
    theorems: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    Save,
    Mapped,
    Relocated,
}

impl What {
    /// Where the process leaves its files.
    fn folder(self) -> &'static str {
        match self {
            Self::Save => "saved",
            Self::Mapped => "mapped",
            Self::Relocated => "relocated",
        }
    }
}

#[derive(Serialize)]
struct Report {
    schema: u32,
    files: Vec<SavedFile>,
    save: Step,
    mapped: Step,
    relocated: Step,
    equal: bool,
}

#[derive(Serialize)]
struct SavedFile {
    path: String,
    bytes: u64,
    objects: u32,
    graphhash: String,
}

/// Runs one step and prints what it did.
pub fn step(args: &StepArgs, out: &mut Output) -> Result<Outcome> {
    let saved = args.dir.join(What::Save.folder());
    let step = match args.what {
        What::Save => demo::save(&saved, args.theorems),
        What::Mapped | What::Relocated => demo::load(&saved, &args.dir.join(args.what.folder())),
    };
    out.json(&step.map_err(Failure::Usage)?)?;
    Ok(Outcome::Good)
}

/// Runs it.
pub fn run(args: &Args, out: &mut Output) -> Result<Outcome> {
    let temporary;
    let dir = match &args.dir {
        Some(dir) => dir.as_path(),
        None => {
            temporary = Scratch::new("olean-demo-")?;
            temporary.path()
        }
    };
    let run = |what: What| {
        let folder = dir.join(what.folder());
        fs::create_dir_all(&folder).map_err(Failure::io("create", &folder))?;
        run_step(what, dir, args.theorems)
    };
    let text = !out.is_json();
    let save = run(What::Save)?;
    let mut files = hashes(&dir.join(What::Save.folder()))?;
    if text {
        told_save(&save, &files, out)?;
    }
    let mapped = run(What::Mapped)?;
    if text {
        told_load("map", &mapped, out)?;
    }
    let relocated = run(What::Relocated)?;
    if text {
        told_load("relocate", &relocated, out)?;
    }
    let mut equal = mapped.objects == relocated.objects;
    for what in [What::Mapped, What::Relocated] {
        let again = hashes(&dir.join(what.folder()))?;
        equal &= again.iter().zip(&files).all(|(a, b)| a.graphhash == b.graphhash);
    }
    if text {
        let verdict = match equal {
            true => format!("{GOOD}equal{GOOD:#}: both loaded the graph that was saved"),
            false => format!("{BAD}different{BAD:#}: what was loaded is not what was saved"),
        };
        writeln!(out, "{verdict}")?;
        if args.dir.is_some() {
            let saved = dir.join(What::Save.folder());
            writeln!(
                out,
                "{DIM}the files are in '{}'; look into them with olean info, stats, dump{DIM:#}",
                saved.display()
            )?;
        }
    } else {
        let name = |f: &SavedFile| {
            Path::new(&f.path)
                .file_name()
                .map(|n| n.to_string_lossy().into_owned())
        };
        for f in &mut files {
            f.path = name(f).unwrap_or_default();
        }
        out.json(&Report {
            schema: 1,
            files,
            save,
            mapped,
            relocated,
            equal,
        })?;
    }
    Ok(Outcome::good_if(equal))
}

fn run_step(what: What, dir: &Path, theorems: usize) -> Result<Step> {
    let own = Path::new("/proc/self/exe");
    let mut command = Command::new(own);
    for name in [
        "LEAN_REGION_MODE",
        "LEAN_REGION_VERIFY",
        "LEAN_REGION_FORCE_RELOCATE",
        "LD_PRELOAD",
    ] {
        command.env_remove(name);
    }
    if matches!(what, What::Relocated) {
        command.env("LEAN_REGION_FORCE_RELOCATE", "1");
    }
    let what = what.to_possible_value().expect("no step is skipped");
    let child = command
        .args(["__demo", what.get_name()])
        .arg(dir)
        .arg(theorems.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Failure::io("start", own))?;
    let running = scratch::running(child.id());
    let output = child.wait_with_output();
    drop(running);
    let output = output.map_err(Failure::io("run", own))?;
    serde_json::from_slice(&output.stdout).map_err(|_| {
        Failure::Usage(
            String::from_utf8_lossy(&output.stderr)
                .trim()
                .trim_start_matches("error: ")
                .to_owned(),
        )
    })
}

/// The digests of the saved files.
fn hashes(dir: &Path) -> Result<Vec<SavedFile>> {
    let sources: Vec<Source> = PARTS.iter().map(|p| Source::file(dir.join(p))).collect();
    let mut files = Vec::new();
    let many = Many {
        sources: &sources,
        deps: &Deps::open(&[])?,
        jobs: 1,
        doing: "hashing",
    };
    many.each(
        |p| {
            Ok((
                p.region.file().bytes().len() as u64,
                p.region.summary().objects,
                p.graph()?.digests()?,
            ))
        },
        |source, result| {
            let (bytes, objects, digests) = result?;
            files.push(SavedFile {
                path: source.name.clone(),
                bytes,
                objects,
                graphhash: digests.graphhash.to_string(),
            });
            Ok(())
        },
    )?;
    Ok(files)
}

fn told_save(step: &Step, files: &[SavedFile], out: &mut Output) -> Result<()> {
    writeln!(out, "{TITLE}save{TITLE:#}      process {}", step.pid)?;
    let built = count(step.objects as u64);
    writeln!(out, "    {built} objects built in {}", milliseconds(step.visit_s))?;
    let different: u64 = files.iter().map(|f| u64::from(f.objects)).sum();
    writeln!(
        out,
        "    {} saved in {}: {} objects, equal ones merged",
        bytes(step.bytes),
        milliseconds(step.loader_s),
        count(different)
    )?;
    for (f, part) in files.iter().zip(PARTS) {
        let size = bytes(f.bytes);
        writeln!(
            out,
            "    {part:<20} {size:>10}  {DIM}graphhash {}{DIM:#}",
            f.graphhash
        )?;
    }
    out.flush()?;
    Ok(())
}

fn told_load(what: &str, step: &Step, out: &mut Output) -> Result<()> {
    let how = match (step.mapped, step.relocated) {
        (mapped, 0) => format!("{mapped} parts mapped at their addresses"),
        (0, relocated) => format!("{relocated} parts relocated"),
        (mapped, relocated) => format!("{mapped} parts mapped, {relocated} relocated"),
    };
    writeln!(out, "{TITLE}{what:<8}{TITLE:#}  process {}", step.pid)?;
    writeln!(out, "    {how} in {}", milliseconds(step.loader_s))?;
    let objects = count(step.objects as u64);
    writeln!(
        out,
        "    {objects} objects visited in {}",
        milliseconds(step.visit_s)
    )?;
    out.flush()?;
    Ok(())
}
