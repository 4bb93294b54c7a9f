//! What a program's Lean is, found out by starting it: attached to in each mode, stopped with its libraries loaded,
//! and asked where its own modules are; and the loader functions in its library.

use crate::addresses::{Mapping, parse_maps};
use crate::error::{Failure, Result};
use crate::scratch;
use crate::swap::processes::Watch;
use crate::swap::report::{self, Report};
use crate::swap::run::{Mode, cannot_start, swapped_in};
use object::elf::PT_INTERP;
use object::read::elf::{ElfFile64, ProgramHeader};
use object::{Object, ObjectSymbol};
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The loader's functions in all releases.
const FUNCTIONS: [&str; 7] = [
    "lean_compacted_region_save",
    "lean_compacted_region_read",
    "lean_compacted_region_free",
    "lean_compacted_region_size",
    "lean_compacted_region_is_memory_mapped",
    "lean_save_module_data_parts",
    "lean_read_module_data_parts",
];

/// How long a program may take to load its libraries, and to end when its input does.
const PATIENCE: Duration = Duration::from_secs(20);

/// The program that `name` stands for, as `execvp` finds it.
pub fn resolve(name: &OsStr) -> Result<PathBuf> {
    let path = Path::new(name);
    let found = match path.components().count() {
        1 if !path.is_absolute() => {
            let dirs = env::var_os("PATH").unwrap_or_default();
            env::split_paths(&dirs)
                .map(|dir| dir.join(path))
                .find(|path| path.is_file())
        }
        _ => Some(path.to_owned()).filter(|path| path.is_file()),
    };
    found.ok_or_else(|| Failure::CannotRun(format!("there is no program '{}'", path.display())))
}

/// What became of attaching in one mode.
pub enum Attached {
    Yes(Box<Report>),
    /// Why not, if the library said so.
    No(Option<String>),
}

/// Starts `PROGRAM --version` with the library in `mode`. Answers as well which Leans among its processes the library
/// could not get into.
pub fn attach(library: &Path, program: &Path, mode: Mode, dir: &Path) -> Result<(Attached, Vec<PathBuf>)> {
    let reports = dir.join(mode.name());
    fs::create_dir(&reports).map_err(Failure::io("create", &reports))?;
    let said = dir.join(format!("{}.stderr", mode.name()));
    let stderr = fs::File::create(&said).map_err(Failure::io("create", &said))?;
    let command = [program.as_os_str().to_owned(), "--version".into()];
    let child = swapped_in(library, &command)
        .env("LEAN_REGION_MODE", mode.name())
        .env("LEAN_REGION_REPORT", reports.join("%p.json"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn();
    let mut child = child.map_err(|e| cannot_start(&command[0], &e))?;
    let running = scratch::running(child.id());
    let mut watch = Watch::default();
    while child.try_wait().is_ok_and(|status| status.is_none()) {
        watch.look(child.id(), library);
        std::thread::sleep(Duration::from_millis(2));
    }
    drop(running);
    let attached = match report::read_all(&reports)?.pop() {
        Some(report) => Attached::Yes(Box::new(report)),
        None => {
            let stderr = fs::read(&said).map_err(Failure::io("read", &said))?;
            let stderr = String::from_utf8_lossy(&stderr);
            let words = stderr.lines().find_map(|line| line.strip_prefix("lean-region: "));
            Attached::No(words.map(str::to_owned))
        }
    };
    Ok((attached, watch.found()))
}

/// Whether an ELF program asks for a dynamic linker.
pub fn has_linker(program: &Path) -> std::result::Result<bool, String> {
    let bytes = fs::read(program).map_err(|e| e.to_string())?;
    let elf: ElfFile64<'_> = ElfFile64::parse(&*bytes).map_err(|e| e.to_string())?;
    let endian = elf.endian();
    let headers = elf.elf_program_headers();
    Ok(headers.iter().any(|header| header.p_type(endian) == PT_INTERP))
}

/// The shared libraries of `program` that have to do with Lean, by what the dynamic linker says (ld.so(8)).
pub fn libraries(program: &Path) -> Vec<String> {
    let output = Command::new(program)
        .env("LD_TRACE_LOADED_OBJECTS", "1")
        .stdin(Stdio::null())
        .output();
    let text = output.map(|Output { stdout, .. }| String::from_utf8_lossy(&stdout).into_owned());
    let text = text.unwrap_or_default();
    let lines = text.lines().map(str::trim).filter(|line| {
        let name = line.split(' ').next().unwrap_or_default().to_lowercase();
        ["lean", "init_shared", "lake"]
            .iter()
            .any(|part| name.contains(part))
    });
    lines
        .map(|line| line.split(" (0x").next().unwrap_or(line).to_owned())
        .collect()
}

/// The loader functions that `file` exports, with their sizes in bytes; or why that cannot be told.
pub fn functions(file: &Path) -> std::result::Result<Vec<(&'static str, Option<u64>)>, String> {
    let open = fs::File::open(file).map_err(|e| e.to_string())?;
    // SAFETY: a library is replaced by renaming, not written to while programs have it mapped.
    let bytes = unsafe { memmap2::Mmap::map(&open) }.map_err(|e| e.to_string())?;
    let elf: ElfFile64<'_> = ElfFile64::parse(&*bytes).map_err(|e| e.to_string())?;
    let mut found: Vec<(&'static str, Option<u64>)> = FUNCTIONS.map(|name| (name, None)).to_vec();
    for symbol in elf.dynamic_symbols().filter(|symbol| !symbol.is_undefined()) {
        let name = symbol.name().unwrap_or_default();
        if let Some(known) = found.iter_mut().find(|(function, _)| *function == name) {
            known.1 = Some(symbol.size());
        }
    }
    Ok(found)
}

/// The folder of the program's own modules, if it is a `lean` that says.
pub fn own_modules(program: &Path) -> Option<PathBuf> {
    let output = Command::new(program)
        .arg("--print-libdir")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    (output.status.success() && path.is_dir()).then_some(path)
}

/// The mappings of `PROGRAM --stdin` while it waits for its input, in which `host` is loaded; `None` if it does not
/// wait.
pub fn waiting_maps(library: &Path, program: &Path, host: &Path) -> Result<Option<Vec<Mapping>>> {
    let command = [program.as_os_str().to_owned(), "--stdin".into()];
    let child = swapped_in(library, &command)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut child = child.map_err(|e| cannot_start(&command[0], &e))?;
    let maps = settled_maps(&mut child, host);
    // Its input ends here.
    drop(child.stdin.take());
    let end = Instant::now() + PATIENCE;
    while child.try_wait().is_ok_and(|status| status.is_none()) {
        if Instant::now() > end {
            // Our own child, which does not listen.
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(maps)
}

/// The mappings of `child` once they have stopped changing with `host` among them.
fn settled_maps(child: &mut Child, host: &Path) -> Option<Vec<Mapping>> {
    let file = PathBuf::from(format!("/proc/{}/maps", child.id()));
    let host = host.canonicalize().ok()?;
    let mut last = String::new();
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end && child.try_wait().ok()?.is_none() {
        let now = fs::read_to_string(&file).ok()?;
        let loaded = now.lines().any(|line| line.ends_with(&*host.to_string_lossy()));
        if loaded && now == last {
            return Some(parse_maps(&now));
        }
        last = now;
        std::thread::sleep(Duration::from_millis(50));
    }
    None
}
