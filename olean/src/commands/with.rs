//! `olean with`: a command with the library swapped into its Lean.

use crate::error::{Failure, Result, tell};
use crate::outcome::Outcome;
use crate::render::clean;
use crate::scratch::{self, Scratch};
use crate::swap::report::{self, Report};
use crate::swap::{library, processes, run};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};

/// Run a command with this loader swapped into its Lean
///
/// Sets LD_PRELOAD and becomes the command. The variables of the library work as ever: LEAN_REGION_MODE,
/// LEAN_REGION_REPORT and the others.
#[derive(clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    /// Say at the end, on stderr, which Lean it attached to and what it did there
    #[arg(short, long)]
    verbose: bool,
    /// The library to swap in [default: the one beside olean, in deps/ there, or installed; LEAN_REGION_LIBRARY names
    /// another]
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
    /// An image to read from (see olean image)
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// The command, such as lean and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

const EXAMPLES: &str = "Exit codes: the command's own; 128 and the signal's number if it was killed by one; 2 if it \
     could not be run.\n\n\
     Examples:\n  \
     olean with -- lean Foo.lean\n  \
     olean with --verbose -- lake build\n  \
     LEAN_REGION_MODE=compare olean with -- lean -o Foo.olean Foo.lean";

/// The library's variable for reports.
const REPORT: &str = "LEAN_REGION_REPORT";

/// Runs `olean with`.
pub fn run(args: &Args) -> Result<Outcome> {
    let library = library::find(args.library.as_deref())?;
    let mut command = run::swapped_in(&library, &args.command);
    if let Some(image) = run::image(args.image.as_deref())? {
        command.env(run::IMAGE, image);
    }
    if !args.verbose {
        // Comes back only when it fails.
        return Err(run::cannot_start(&args.command[0], &command.exec()));
    }
    let dir = Scratch::new("olean-with-")?;
    let wanted = std::env::var_os(REPORT).filter(|path| !path.is_empty());
    processes::adopt_orphans();
    let child = command.env(REPORT, dir.path().join("%p.json")).spawn();
    let mut child = child.map_err(|e| run::cannot_start(&args.command[0], &e))?;
    let running = scratch::running(child.id());
    let status = child.wait();
    drop(running);
    let status = status.map_err(|e| run::cannot_start(&args.command[0], &e))?;
    let reports = report::read_all(dir.path())?;
    report_on(&library, &reports, processes::running_children().len());
    if let Some(wanted) = wanted {
        pass_on(&reports, dir.path(), &wanted)?;
    }
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    Ok(Outcome::Code(
        code.and_then(|code| u8::try_from(code).ok()).unwrap_or(2),
    ))
}

/// Says on stderr what the library did.
fn report_on(library: &Path, reports: &[Report], still_running: usize) {
    let line = |text: String| tell(format_args!("olean: {text}"));
    line(clean(&library.display().to_string()));
    if reports.is_empty() {
        let so_far = if still_running > 0 { " so far" } else { "" };
        line(format!(
            "attached to nothing{so_far}: no process that has ended had a Lean runtime that could be attached to"
        ));
    }
    for Report {
        pid,
        mode,
        host,
        save,
        read,
        image,
        notes,
        ..
    } in reports
    {
        let place = match host.library.as_str() {
            "" => "the program itself",
            library => library,
        };
        line(format!(
            "process {pid}: mode {mode}, attached to Lean {} in {} ({} regions, {}): {} saves, {} reads, {} of them mapped",
            clean(&host.lean_version),
            clean(place),
            host.abi,
            host.allocator,
            save.calls,
            read.calls,
            read.mapped
        ));
        if let Some(image) = image.as_ref().filter(|i| i.reason.is_none()) {
            line(format!(
                "process {pid}: {} of {} reads from the image, {} of files that changed, {} of files that are not in it",
                image.served, read.calls, image.stale, image.absent
            ));
        }
        for note in notes {
            line(format!(
                "process {pid}: {}: {}",
                clean(&note.file),
                clean(&note.reason)
            ));
        }
    }
    if still_running > 0 {
        line(format!(
            "{} that it started still run; what the library does there is not told here",
            if still_running == 1 {
                "1 process".to_owned()
            } else {
                format!("{still_running} processes")
            }
        ));
    }
}

/// Puts the reports where the user wants them.
fn pass_on(reports: &[Report], dir: &Path, wanted: &OsStr) -> Result<()> {
    for Report { pid, .. } in reports {
        let mut path = wanted.as_bytes().to_vec();
        while let Some(at) = path.windows(2).position(|w| w == b"%p") {
            path.splice(at..at + 2, pid.to_string().into_bytes());
        }
        let path = PathBuf::from(OsString::from_vec(path));
        fs::copy(dir.join(format!("{pid}.json")), &path).map_err(Failure::io("write", &path))?;
    }
    Ok(())
}
