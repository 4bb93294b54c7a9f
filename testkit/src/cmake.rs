//! CMake for the test that uses the library by it, from a Python wheel where the system has none.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process::which;
use crate::wheel::Wheel;

const WHEEL: Wheel = Wheel {
    name: "cmake",
    package: "cmake==4.4.5",
    sha256: "85625a9b6d5e88ff99c7eb79123d85570844e77ac076366cf75c609cc0b1b579",
};

/// The program `cmake`. Panics when it cannot be had.
#[must_use]
pub fn cmake() -> PathBuf {
    which("cmake").unwrap_or_else(|| {
        let home = WHEEL.provide(install);
        home.unwrap_or_else(|e| panic!("the tests need CMake and cannot have it: {e}"))
            .join("bin/cmake")
    })
}

/// Makes the directory `home` out of the unpacked wheel.
fn install(unpacked: &Path, home: &Path) -> Result<(), String> {
    let data = unpacked.join("cmake/data");
    fs::rename(&data, home).map_err(|e| format!("{}: {e}", data.display()))?;
    let program = home.join("bin/cmake");
    // Unpacking forgets who may run what.
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&program, executable).map_err(|e| format!("{}: {e}", program.display()))
}
