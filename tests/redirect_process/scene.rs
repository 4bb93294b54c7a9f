//! What tests of redirected processes share: an imitated runtime with a program on it, and a program that has neither a
//! runtime nor this library until it is told to load them.
#![allow(dead_code, reason = "each test needs a part of it")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use testkit::hosts::build_redirected;
use testkit::lean::{self, Options};
use testkit::process::{self, Output};
use testkit::{TempDir, Value, c, library, temp_dir, workspace_dir};

/// A C source of these tests.
pub fn source(name: &str) -> PathBuf {
    workspace_dir().join("c-tests/redirect").join(name)
}

/// A directory with a runtime, a program linked against it, and room for reports.
pub struct Scene {
    pub dir: TempDir,
    pub program: PathBuf,
}

impl Scene {
    pub fn new(label: &str, defines: &[&str], link_args: &[&str]) -> Scene {
        let dir = temp_dir(label);
        let program = build_redirected(dir.path(), defines, link_args);
        fs::create_dir(dir.path().join("reports")).expect("new directory");
        Scene { dir, program }
    }

    pub fn reports_dir(&self) -> PathBuf {
        self.dir.path().join("reports")
    }

    pub fn run(&self, options: &Options, args: &[&str]) -> Output {
        let options = options.clone().report(&self.reports_dir());
        let mut command = Command::new(&self.program);
        process::run(
            options
                .apply(&mut command)
                .current_dir(self.dir.path())
                .args(args),
        )
    }

    pub fn reports(&self) -> Vec<Value> {
        lean::reports(&self.reports_dir())
    }

    pub fn remove_reports(&self) {
        fs::remove_dir_all(self.reports_dir())
            .and_then(|()| fs::create_dir(self.reports_dir()))
            .expect("emptied");
    }

    /// The only report, which is removed.
    pub fn take_report(&self) -> Value {
        let mut reports = self.reports();
        assert_eq!(reports.len(), 1, "{reports:?}");
        self.remove_reports();
        reports.remove(0)
    }
}

/// Preloaded, in this mode.
pub fn preloaded(mode: &str) -> Options {
    Options::preloaded(library()).env("LEAN_REGION_MODE", mode)
}

/// A program with neither runtime nor library, which loads what it is told.
pub struct Bare<'a> {
    scene: &'a Scene,
    program: PathBuf,
    /// The path of this library.
    pub ours: String,
    /// The path of the scene's runtime.
    pub host: String,
}

impl<'a> Bare<'a> {
    pub fn new(scene: &'a Scene) -> Self {
        let dir = scene.dir.path();
        let mut build = c::Build::new();
        build.file(source("program.c")).arg("-ldl").arg("-lpthread");
        let text = |path: PathBuf| path.into_os_string().into_string().expect("UTF-8");
        Bare {
            scene,
            program: build.build(dir.join("bare")),
            ours: text(library()),
            host: text(dir.join("libhost.so")),
        }
    }

    pub fn command(&self, options: &Options, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        options
            .apply(&mut command)
            .current_dir(self.scene.dir.path())
            .args(args);
        command
    }

    pub fn run(&self, options: &Options, args: &[&str]) -> Output {
        process::run(&mut self.command(options, args))
    }
}
