//! Images: built by `olean image`, read by C programs on the embedded runtime and by a real Lean 4.35.0.

mod building;
mod corrupt;
mod hosts;
mod lean;
mod load;
mod many;
mod reading;
mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use testkit::process::{self, Output};
use testkit::{TempDir, Value, c, library, shared_dir, temp_dir, workspace_dir};

/// `olean` in the directory `dir`.
fn olean(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_olean"));
    command.env("NO_COLOR", "1").current_dir(dir);
    command
}

/// Makes the file as old as that.
fn set_age(path: &Path, seconds: u64) {
    let file = fs::File::options().append(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(seconds))
        .unwrap();
}

/// The C program that reads as its arguments say.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let (dir, sources) = (shared_dir("image-program"), workspace_dir().join("c-tests"));
        c::Build::new()
            .include(workspace_dir().join("include"))
            .include(sources.join("scenarios"))
            .file(sources.join("image/image.c"))
            .file(sources.join("scenarios/common.c"))
            .link(library())
            .arg("-pthread")
            .build(dir.join("image"))
    })
}

/// A directory with the program's files, whose times lie some seconds back.
struct Files {
    dir: TempDir,
}

const IMAGE: &str = "lib.image";

impl Files {
    fn saved() -> Self {
        let files = Files {
            dir: temp_dir("image"),
        };
        files.run_plain(&["save"]);
        files.age();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes every file so old that nobody waits for it.
    fn age(&self) {
        for entry in fs::read_dir(self.dir.path()).unwrap() {
            set_age(&entry.unwrap().path(), 60);
        }
    }

    /// Builds the image of everything that can be in one.
    fn build(&self) {
        let output = self.image(&["build", ".", "-o", IMAGE, "--json"]);
        assert_eq!(output.status.code(), Some(1), "{output}");
    }

    fn image(&self, args: &[&str]) -> Output {
        process::run(olean(self.dir.path()).arg("image").args(args))
    }

    fn run_plain(&self, words: &[&str]) -> String {
        self.run_with(&[], words).success().stdout
    }

    /// What the program prints with the image in use.
    fn run(&self, words: &[&str]) -> Vec<String> {
        self.run_env(&[], words)
    }

    fn run_env(&self, env: &[(&str, &str)], words: &[&str]) -> Vec<String> {
        let output = self.run_image(env, words).success();
        assert_eq!(output.stderr, "", "{output}");
        output.stdout.lines().map(str::to_owned).collect()
    }

    fn run_image(&self, env: &[(&str, &str)], words: &[&str]) -> Output {
        let image = self.path(IMAGE);
        let mut all = vec![("LEAN_REGION_IMAGE", image.to_str().unwrap())];
        all.extend(env);
        self.run_with(&all, words)
    }

    fn run_with(&self, env: &[(&str, &str)], words: &[&str]) -> Output {
        let mut command = Command::new(program());
        command
            .args(words)
            .envs(env.iter().copied())
            .current_dir(self.dir.path());
        process::run(&mut command)
    }
}

/// The report that the program printed last.
#[track_caller]
fn report(lines: &[String]) -> Value {
    lines.last().unwrap().parse().unwrap()
}

/// Where the reads were answered from.
fn places(lines: &[String]) -> Vec<&str> {
    lines.iter().map(|l| l.split(' ').next().unwrap()).collect()
}
