//! Children of a process with threads in the loader: each can save, read and free, whatever the threads did at the
//! moment of the fork.

use std::path::Path;
use std::process::Command;
use testkit::{c, library, process, shared_dir, temp_dir, workspace_dir};

fn forks(program: &Path, children: u32) {
    let dir = temp_dir("forks");
    let mut command = Command::new(program);
    command.arg(children.to_string()).arg("4").arg(dir.path());
    let output = process::run(&mut command).success();
    assert_eq!(output.stdout, format!("good {children} bad 0 hung 0\n"));
}

/// A quarter of the children at the beginning of their process, when everything is made for the first time.
#[test]
fn children_of_a_process_with_threads_end() {
    let dir = shared_dir("forks");
    let source = workspace_dir().join("c-tests/forks.c");
    let mut build = c::Build::new();
    build.include(workspace_dir().join("include"));
    let program = build
        .file(source)
        .link(library())
        .arg("-pthread")
        .build(dir.join("forks"));
    forks(&program, 1500);
    for _ in 0..50 {
        forks(&program, 10);
    }
}
