//! What would happen if the library were swapped into a given Lean, and why.

use super::files::Survey;
use super::image::{self, Grade};
use super::probe::{self, Attached};
use crate::error::Result;
use crate::outcome::Outcome;
use crate::output::Output;
use crate::render::{BAD, DIM, GOOD, TITLE, WARN, bytes, clean, count, plural};
use crate::scratch::Scratch;
use crate::swap::library;
use crate::swap::report::{Host, Report};
use crate::swap::run::{IMAGE, Mode, without_preload};
use serde::Serialize;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// How good a finding is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// As it should be.
    Good,
    /// It works, but not as well as it could.
    Warn,
    /// It does not work.
    Bad,
    /// For information.
    Info,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    topic: &'static str,
    state: State,
    text: String,
}

/// The JSON document.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    works: bool,
    host: Option<&'a Host>,
    library: String,
    findings: &'a [Finding],
}

/// The findings so far.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, state: State, topic: &'static str, text: impl Into<String>) {
        self.0.push(Finding {
            topic,
            state,
            text: text.into(),
        });
    }
}

/// Looks at the program that `name` stands for.
pub fn run(name: &OsStr, library: Option<&Path>, out: &mut Output) -> Result<Outcome> {
    let library = library::find(library)?;
    let program = probe::resolve(name)?;
    let dir = Scratch::new("olean-doctor-")?;
    let mut found = Findings::default();
    // Where nothing can be preloaded, trying it would only say so again in other words.
    let report = match look_at_program(&program, &mut found) {
        true => look_at_modes(&library, &program, dir.path(), &mut found)?,
        false => None,
    };
    if let Some(report) = &report {
        look_at_host(&report.host, &program, &mut found);
        look_at_files(&library, &program, report, &mut found)?;
        look_at_image(&library, &program, &report.host, &mut found)?;
    }
    look_at_system(&mut found);
    let works = report.is_some();
    let host = report.as_ref().map(|report| &report.host);
    if out.is_json() {
        out.json(&Document {
            schema: 1,
            works,
            host,
            library: library.display().to_string(),
            findings: &found.0,
        })?;
    } else {
        print(&found.0, works, &library, out)?;
    }
    Ok(Outcome::good_if(works))
}

/// What kind of program it is; answers whether the dynamic linker can preload anything into it.
fn look_at_program(program: &Path, found: &mut Findings) -> bool {
    found.add(State::Info, "program", program.display().to_string());
    let mut preloads = look_at_owner(program, found);
    let start = fs::File::open(program).and_then(|mut file| {
        let mut start = [0; 4];
        std::io::Read::read_exact(&mut file, &mut start).map(|()| start)
    });
    match start {
        Ok([b'#', b'!', ..]) => {
            found.add(
                State::Info,
                "program",
                "a script: the library goes into what it starts",
            );
        }
        Ok([0x7f, b'E', b'L', b'F']) => match probe::has_linker(program) {
            Ok(true) => {}
            Ok(false) => {
                preloads = false;
                found.add(
                    State::Bad,
                    "program",
                    "it is linked statically: there is no dynamic linker that could preload the library",
                );
            }
            Err(why) => found.add(
                State::Warn,
                "program",
                format!("its ELF headers cannot be read: {why}"),
            ),
        },
        _ => found.add(State::Warn, "program", "neither an ELF program nor a script"),
    }
    if !preloads {
        return false;
    }
    let libraries = probe::libraries(program);
    if libraries.is_empty() {
        found.add(
            State::Info,
            "libraries",
            "the dynamic linker names none of Lean's; a Lean inside the program itself is found as well",
        );
    }
    for library in libraries {
        found.add(State::Info, "libraries", library);
    }
    true
}

/// Whether it changes its user when it starts, for then nothing is preloaded (ld.so(8), secure-execution mode).
fn look_at_owner(program: &Path, found: &mut Findings) -> bool {
    let Ok(meta) = fs::metadata(program) else {
        return true;
    };
    let mode = meta.permissions().mode();
    if mode & 0o6000 == 0 {
        return true;
    }
    // SAFETY: the calls take nothing and cannot fail.
    let (user, group) = unsafe { (libc::getuid(), libc::getgid()) };
    let changes = mode & 0o4000 != 0 && meta.uid() != user || mode & 0o2000 != 0 && meta.gid() != group;
    let (state, text) = match changes {
        true => (
            State::Bad,
            "it is set-user-ID or set-group-ID: the dynamic linker preloads nothing into it",
        ),
        false => (
            State::Warn,
            "it is set-user-ID or set-group-ID: the dynamic linker preloads nothing into it when another user than you, \
             its owner, starts it",
        ),
    };
    found.add(state, "program", text);
    !changes
}

/// Tries every mode; answers the report of mode replace.
fn look_at_modes(library: &Path, program: &Path, dir: &Path, found: &mut Findings) -> Result<Option<Report>> {
    let mut replaced = None;
    for mode in [Mode::Replace, Mode::Observe, Mode::Compare] {
        let topic = mode.name();
        let (attached, passed_over) = probe::attach(library, program, mode, dir)?;
        if mode == Mode::Replace {
            for lean in &passed_over {
                found.add(State::Warn, "processes", without_preload(lean));
            }
        }
        match attached {
            Attached::Yes(report) => {
                found.add(
                    State::Good,
                    topic,
                    "attaches, all functions of the loader are redirected",
                );
                if mode == Mode::Replace {
                    replaced = Some(*report);
                }
            }
            Attached::No(why) => {
                let state = if mode == Mode::Replace {
                    State::Bad
                } else {
                    State::Warn
                };
                let why = why.unwrap_or_else(|| {
                    "no process of it has a Lean runtime with a loader; a launcher that starts another program drops \
                     LD_PRELOAD if it cleans the environment"
                        .to_owned()
                });
                found.add(state, topic, why);
            }
        }
    }
    Ok(replaced)
}

fn look_at_host(host: &Host, program: &Path, found: &mut Findings) {
    let hash = if host.githash.is_empty() {
        "none"
    } else {
        &host.githash
    };
    found.add(
        State::Info,
        "Lean",
        format!("{}, githash {hash}", host.lean_version),
    );
    let file = if host.library.is_empty() {
        program
    } else {
        Path::new(&host.library)
    };
    found.add(State::Info, "Lean", format!("in {}", file.display()));
    found.add(
        State::Info,
        "generation",
        format!("regions are of the {} generation", host.abi),
    );
    found.add(State::Info, "allocator", host.allocator.clone());
    match probe::functions(file) {
        Ok(functions) => {
            for (name, size) in functions {
                if let Some(size) = size {
                    found.add(
                        State::Info,
                        "function",
                        format!("{name}, {}", plural(size, "byte")),
                    );
                }
            }
        }
        Err(why) => found.add(
            State::Warn,
            "function",
            format!("'{}' cannot be read: {why}", file.display()),
        ),
    }
}

/// The folders that this Lean searches for modules.
fn search_path(program: &Path) -> Vec<PathBuf> {
    let path = env::var_os("LEAN_PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
    folders.extend(probe::own_modules(program));
    let mut folders: Vec<PathBuf> = folders
        .iter()
        .filter_map(|folder| folder.canonicalize().ok())
        .collect();
    folders.sort();
    folders.dedup();
    folders
}

fn look_at_files(library: &Path, program: &Path, report: &Report, found: &mut Findings) -> Result<()> {
    let survey = Survey::of(&search_path(program))?;
    found.add(
        State::Info,
        "region files",
        format!(
            "{} with {} on the search path",
            plural(survey.files, "file"),
            bytes(survey.bytes)
        ),
    );
    if let Some(first) = survey.unreadable.first() {
        let others = plural(survey.unreadable.len() as u64, "file");
        found.add(
            State::Warn,
            "region files",
            format!("{others} without a valid header, such as {}", first.display()),
        );
    }
    for (hash, files) in survey
        .githashes
        .iter()
        .filter(|(hash, _)| **hash != report.host.githash)
    {
        found.add(
            State::Warn,
            "githash",
            format!(
                "{} of another Lean, {hash}, which this one may refuse; build them again",
                plural(*files, "file")
            ),
        );
    }
    let overlaps = survey.overlaps();
    if let Some((a, b)) = overlaps.first() {
        found.add(
            State::Warn,
            "addresses",
            format!(
                "{} of files want the same addresses, such as {} and {}: if both are read, one is relocated",
                plural(overlaps.len() as u64, "pair"),
                a.display(),
                b.display()
            ),
        );
    }
    let host = match report.host.library.as_str() {
        "" => program,
        file => Path::new(file),
    };
    let Some(maps) = probe::waiting_maps(library, program, host)? else {
        found.add(
            State::Info,
            "addresses",
            "it does not wait for its input with --stdin, so its addresses are unknown",
        );
        return Ok(());
    };
    let misses = survey.misses(&maps);
    match misses.first() {
        None => found.add(
            State::Good,
            "addresses",
            format!("all {} base addresses were free in a process just started", count(survey.files)),
        ),
        Some((path, what)) => found.add(
            State::Warn,
            "addresses",
            format!(
                "{} of {} base addresses were taken in a process just started, such as that of {} by {what}; such files \
                 are relocated",
                count(misses.len() as u64),
                count(survey.files),
                path.display()
            ),
        ),
    }
    look_at_mappings(maps.len() as u64, survey.files, survey.bytes, found);
    Ok(())
}

/// The image that the user named, if there is one.
fn look_at_image(library: &Path, program: &Path, host: &Host, found: &mut Findings) -> Result<()> {
    let Some(file) = env::var_os(IMAGE).filter(|file| !file.is_empty()) else {
        return Ok(());
    };
    let lean = match host.library.as_str() {
        "" => program,
        file => Path::new(file),
    };
    let maps = probe::waiting_maps(library, program, lean)?;
    let maps: Option<Vec<_>> = maps
        .as_ref()
        .map(|maps| maps.iter().map(|m| (m.start, m.end, m.what.as_str())).collect());
    for (grade, text) in image::findings(Path::new(&file), &host.githash, maps.as_deref()) {
        let state = match grade {
            Grade::Good => State::Good,
            Grade::Warn => State::Warn,
            Grade::Bad => State::Bad,
        };
        found.add(state, "image", text);
    }
    Ok(())
}

/// The system's limits against what importing everything takes.
fn look_at_mappings(own: u64, regions: u64, size: u64, found: &mut Findings) {
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let needed = own + regions;
    match number("/proc/sys/vm/max_map_count") {
        None => found.add(
            State::Info,
            "mappings",
            "the system does not tell vm.max_map_count",
        ),
        Some(limit) => {
            let text = format!(
                "{} for the process and one for each of {} is {} of {} (vm.max_map_count)",
                count(own),
                plural(regions, "region"),
                count(needed),
                count(limit)
            );
            match needed * 10 > limit * 9 {
                true => found.add(
                    State::Warn,
                    "mappings",
                    text + "; raise it with sysctl vm.max_map_count",
                ),
                false => found.add(State::Good, "mappings", text),
            }
        }
    }
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let field = |name: &str| {
        let line = meminfo
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
    };
    match number("/proc/sys/vm/overcommit_memory") {
        Some(2) => {
            let left = field("CommitLimit").zip(field("Committed_AS"));
            let left = left.map_or(0, |(limit, used)| limit.saturating_sub(used));
            let state = if left < size { State::Warn } else { State::Good };
            found.add(
                state,
                "overcommit",
                format!(
                    "strict (vm.overcommit_memory is 2): mapping all regions privately commits {}, {} are left",
                    bytes(size),
                    bytes(left)
                ),
            );
        }
        Some(_) => found.add(
            State::Good,
            "overcommit",
            "not strict: mapped files are not counted as memory",
        ),
        None => found.add(State::Info, "overcommit", "the system does not tell"),
    }
}

fn look_at_system(found: &mut Findings) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let seccomp = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
    match seccomp.map(str::trim) {
        Some("0") => found.add(State::Good, "seccomp", "no filter"),
        Some(_) => found.add(
            State::Info,
            "seccomp",
            "a filter is active, as in containers; if it forbids mprotect, attaching says so above",
        ),
        None => found.add(State::Info, "seccomp", "the system does not tell"),
    }
    let selinux = fs::read_to_string("/sys/fs/selinux/enforce").ok();
    match selinux.as_deref().map(str::trim) {
        Some("1") => found.add(
            State::Info,
            "SELinux",
            "enforcing; attaching changes code pages (execmod), and if that is denied it says so above",
        ),
        Some(_) => found.add(State::Good, "SELinux", "permissive"),
        None => found.add(State::Good, "SELinux", "not active"),
    }
    if let Some(mode) = env::var_os("LEAN_REGION_MODE") {
        found.add(
            State::Info,
            "variables",
            format!("LEAN_REGION_MODE is set to '{}'", mode.display()),
        );
    }
}

fn print(found: &[Finding], works: bool, library: &Path, out: &mut Output) -> Result<()> {
    writeln!(
        out,
        "{DIM}library {}{DIM:#}",
        clean(&library.display().to_string())
    )?;
    let mut last = "";
    for finding in found {
        let topic = if finding.topic == last { "" } else { finding.topic };
        last = finding.topic;
        let (style, mark) = match finding.state {
            State::Good => (GOOD, "✓"),
            State::Warn => (WARN, "!"),
            State::Bad => (BAD, "✗"),
            State::Info => (DIM, "·"),
        };
        writeln!(out, "{style}{mark}{style:#} {topic:<13} {}", clean(&finding.text))?;
    }
    let (style, words) = match works {
        true => (GOOD, "the library works in this Lean"),
        false => (
            BAD,
            "the library does not work here; Lean's own loader stays in place",
        ),
    };
    writeln!(out, "{TITLE}verdict{TITLE:#}         {style}{words}{style:#}")?;
    Ok(())
}
