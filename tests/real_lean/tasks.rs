//! A C program in a process with a real Lean: tasks and promises that are finished while a save waits for them.

use std::process::Command;

use olean_reader::format::trailer::ends_with_extension;
use testkit::c::Build;
use testkit::lean::Options;
use testkit::process::{self, Output};
use testkit::{real_lean, temp_dir, workspace_dir};

use crate::ours;

#[test]
fn tasks_promises_and_thunks_are_awaited_as_the_stock_loader_does() {
    let dir = temp_dir("tasks");
    let mut build = Build::new();
    build.file(workspace_dir().join("c-tests/closures/tasks.c"));
    let program = real_lean().link(&mut build).build(dir.path().join("tasks"));
    let run = |options: &Options, command: &str, file: &str| -> Output {
        let mut run = Command::new(&program);
        process::run(options.apply(&mut run).arg(command).arg(dir.path().join(file))).success()
    };
    let loaders = [("stock", Options::stock()), ("ours", ours())];
    for (name, options) in &loaders {
        assert_eq!(run(options, "save", name).stdout, "waited 1\n", "{name}");
        // Only ours writes an extension section.
        let bytes = std::fs::read(dir.path().join(name)).expect("the file just saved");
        assert_eq!(ends_with_extension(&bytes), *name == "ours", "{name}");
    }
    let expected = "task finished\npromise promised\nthunk forced\nref held\nclosure 42\nshared 1\n";
    for (file, _) in &loaders {
        for (name, options) in &loaders {
            assert_eq!(run(options, "load", file).stdout, expected, "{file} by {name}");
        }
    }
}
