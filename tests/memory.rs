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
    for (relocate, verify) in [("0", "0"), ("1", "0"), ("0", "1"), ("1", "1")] {
        let files = temp_dir("memory-files");
        let mut command = Command::new(&program);
        command
            .arg(files.path())
            .env("LEAN_REGION_FORCE_RELOCATE", relocate)
            .env("LEAN_REGION_VERIFY", verify);
        let output = process::run(&mut command).success();
        // As many lines as operations, each of which asked for memory and reported refusals; errors that do not need
        // much are made of the reserve.
        assert_eq!(output.stdout.lines().count(), 12, "{output}");
        let reported = output.stdout.lines().filter(|line| !line.contains(" 0 refusals"));
        assert!(reported.count() >= 7, "{output}");
    }
}
