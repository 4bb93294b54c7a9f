//! The test kit itself: generated trees are the same each time, the real Lean takes them, C programs build
//! and run, the counting helpers count.

use std::fs;
use std::process::Command;

use testkit::{c, lean, process, real_lean, temp_dir, tree};

#[test]
fn the_same_seed_gives_the_same_tree_and_lean_accepts_it() {
    let dir = temp_dir("kit");
    let first = tree::generate(&dir.path().join("first"), 12, 20, 7);
    let second = tree::generate(&dir.path().join("second"), 12, 20, 7);
    assert_eq!(first.modules.len(), 14);
    for (a, b) in first.modules.iter().zip(&second.modules) {
        assert_eq!(
            fs::read(first.dir.join(a.source())).unwrap(),
            fs::read(second.dir.join(b.source())).unwrap()
        );
    }
    assert!(
        first.modules.iter().any(|module| module.is_module) && first.modules.iter().any(|m| !m.is_module)
    );

    let options = lean::Options::stock();
    lean::compile(&real_lean(), &first, &options);
    let files = lean::region_files(&first);
    for module in &first.modules {
        assert_eq!(
            files.contains_key(&module.stem.with_extension("olean.private")),
            module.is_module
        );
    }
    let output = lean::import_all(&real_lean(), &first, &options);
    assert!(lean::stat(&output, "number of imported modules") >= 13);
}

#[test]
fn c_programs_build_and_run_under_valgrind() {
    let dir = temp_dir("kit-c");
    let (lib, main) = (dir.path().join("lib.c"), dir.path().join("main.c"));
    fs::write(&lib, "int answer(void); int answer(void) { return ANSWER; }").unwrap();
    fs::write(&main, "#include <stdlib.h>\nint answer(void); int main(int c, char **v) { (void)v; void *volatile p = malloc(8); if (c < 2) free(p); p = 0; return answer() - 42; }").unwrap();
    let lib = c::Build::new()
        .shared()
        .bsymbolic()
        .define("ANSWER", "42")
        .file(&lib)
        .build(dir.path().join("lib.so"));
    let program = c::Build::new()
        .file(&main)
        .link(lib)
        .build(dir.path().join("main"));
    let mut command = Command::new(&program);
    process::run(&mut command).success();
    process::run(&mut testkit::valgrind(&command)).success();
    command.arg("leak");
    assert_eq!(
        process::run(&mut testkit::valgrind(&command)).status.code(),
        Some(99)
    );
}

#[test]
fn descriptors_and_mappings_are_counted() {
    // Other tests of this process open a few files at the same time, hence a hundred and some slack.
    let (pid, program) = (std::process::id(), std::env::current_exe().unwrap());
    let before = process::open_descriptors(pid);
    let files: Vec<_> = (0..100).map(|_| fs::File::open(&program).unwrap()).collect();
    let during = process::open_descriptors(pid);
    assert!((before + 80..before + 120).contains(&during), "{before} {during}");
    drop(files);
    assert!(
        process::maps_of(pid, &program) >= 2,
        "a program has several segments"
    );
    assert_eq!(
        process::maps_of(pid, &testkit::workspace_dir().join("Cargo.toml")),
        0
    );
    let maps = process::maps(pid);
    assert!(maps.iter().all(|map| map.start < map.end) && maps.is_sorted_by_key(|map| map.start));
}
