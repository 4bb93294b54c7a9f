//! Memory refused at every place where the library asks for it, in every operation.

use std::process::Command;
use testkit::{c, faulty_library, process, shared_dir, temp_dir, workspace_dir};

/// The operations of c-tests/memory.c, each with every request for memory refused in turn: no call ends the process,
/// hides why it failed, or keeps anything.
#[test]
fn refused_memory_is_an_error_and_nothing_stays() {
    let dir = shared_dir("memory");
    let mut build = c::Build::new();
    build.include(workspace_dir().join("include"));
    let program = build
        .file(workspace_dir().join("c-tests/memory.c"))
        .link(faulty_library())
        .build(dir.join("memory"));
    // Saves do not ask whether files are relocated or verified.
    let runs = [
        ("0", "0", "", 14, 6),
        ("1", "0", "read", 6, 1),
        ("0", "1", "read", 6, 1),
        ("1", "1", "read", 6, 1),
    ];
    for (relocate, verify, operations, lines, at_least) in runs {
        // Errors name the file, and are known by the word "memory": the folder's name must not have it.
        let files = temp_dir("refusals");
        let mut command = Command::new(&program);
        command
            .arg(files.path())
            .arg(operations)
            // Cargo's own entry leads to the library that refuses nothing.
            .env("LD_LIBRARY_PATH", faulty_library().parent().expect("a directory"))
            .env("LEAN_REGION_FORCE_RELOCATE", relocate)
            .env("LEAN_REGION_VERIFY", verify);
        let output = process::run(&mut command).success();
        // As many lines as operations, each of which asked for memory and reported refusals; errors that do not need
        // much are made of the reserve.
        assert_eq!(output.stdout.lines().count(), lines, "{output}");
        let reported = output.stdout.lines().filter(|line| !line.contains(" 0 refusals"));
        assert!(reported.count() >= at_least, "{output}");
    }
}
