//! Checkers: the operations and the load under memcheck and helgrind, and where a nightly toolchain is there under
//! AddressSanitizer.

use crate::load;
use crate::operations::{self, Operation};
use crate::run::{Program, Traced, empty};
use crate::search::{Failure, Search, Tally};
use crate::subject::{Subject, Took};
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::c;

/// Arguments of valgrind's tools.
const MEMCHECK: [&str; 6] = [
    "valgrind",
    "--quiet",
    "--error-exitcode=99",
    "--leak-check=full",
    "--show-leak-kinds=definite,indirect",
    "--errors-for-leak-kinds=definite,indirect",
];
const HELGRIND: [&str; 4] = ["valgrind", "--tool=helgrind", "--quiet", "--error-exitcode=99"];

/// Runs a program once; what it says on stderr is a finding.
fn run(search: &Search, tally: &mut Tally, what: &str, program: &Program) {
    empty(&program.dir);
    let left = program.run(&Traced::Not, &search.place("logs", 0));
    let clean = left.code() == Some(0) && !left.stderr.contains("==") && !left.stdout.contains("left: ");
    tally.possible += 1;
    tally.add(if clean {
        Ok(Took::Bore)
    } else {
        let lines = left
            .stderr
            .lines()
            .filter(|line| !line.contains("WARNING: unhandled"));
        Err(Failure {
            subject: tally.name.clone(),
            point: what.to_owned(),
            what: format!(
                "{:?}\n{}\n{}",
                left.status,
                left.stdout,
                lines.take(40).collect::<Vec<_>>().join("\n")
            ),
            again: program.shown(&Traced::Not),
        })
    });
}

fn under(words: &[&str], program: Program) -> Program {
    let words = words
        .iter()
        .map(|&word| word.to_owned())
        .chain(program.words)
        .collect();
    Program { words, ..program }
}

/// Operations that are run: every one, or one of each kind.
fn chosen<'a>(search: &'a Search, built: &'a operations::Built) -> Vec<Operation<'a>> {
    let few = ["save-3", "save-parts", "read-3-relocated", "read-many", "free"];
    let all = operations::all(search, built)
        .into_iter()
        .filter(|o| o.name != "read-image" && search.wants(&o.name()));
    all.filter(|o| !search.short || (o.is_plain() && few.contains(&&*o.name)))
        .collect()
}

/// memcheck and helgrind.
pub fn valgrind(search: &Search) -> Vec<Tally> {
    let built = operations::build(search);
    let loads = load::build(&search.library, &search.dir);
    let dir = search.place("load", 0);
    let rounds = if search.short { 15 } else { 200 };
    let mut memcheck = Tally::new("memcheck");
    for operation in chosen(search, &built) {
        let name = operation.name();
        // Under it there are other descriptors and mappings.
        let program = operation.command(&search.place(&name, 0), 1000, 1000, false);
        run(search, &mut memcheck, &name, &under(&MEMCHECK, program));
    }
    let load = |threads| loads.load(&dir, [threads, 1, rounds], search.seed, false);
    run(search, &mut memcheck, "load", &under(&MEMCHECK, load(4)));
    let mut helgrind = Tally::new("helgrind");
    let suppressions = testkit::workspace_dir().join("c-tests/faults/helgrind.supp");
    let suppressions = format!("--suppressions={}", suppressions.display());
    let words: Vec<&str> = HELGRIND.iter().copied().chain([suppressions.as_str()]).collect();
    run(search, &mut helgrind, "load", &under(&words, load(8)));
    vec![memcheck, helgrind]
}

/// The library built with AddressSanitizer, if there is a toolchain for it.
fn sanitized() -> Result<PathBuf, String> {
    let target = testkit::target_dir().join("asan");
    let cargo = |arguments: &[&str]| {
        let mut command = Command::new("rustup");
        command.args(["run", "nightly", "cargo"]).args(arguments);
        // Those of the toolchain that runs this would win.
        for name in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTC", "RUSTDOC"] {
            command.env_remove(name);
        }
        command
    };
    if !cargo(&["--version"])
        .output()
        .is_ok_and(|output| output.status.success())
    {
        return Err("there is no nightly toolchain".to_owned());
    }
    let output = cargo(&[
        "build",
        "--locked",
        "-p",
        "lean-region",
        "--lib",
        "--target",
        "x86_64-unknown-linux-gnu",
    ])
    .current_dir(testkit::workspace_dir())
    .arg("--target-dir")
    .arg(&target)
    .env("RUSTFLAGS", "-Zsanitizer=address")
    .output()
    .map_err(|e| e.to_string())?;
    if output.status.success() {
        Ok(target.join("x86_64-unknown-linux-gnu/debug/liblean_region.so"))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// AddressSanitizer: operations and load, the C programs with the sanitizer's library of the C compiler.
pub fn sanitizer(search: &Search) -> Vec<Tally> {
    let library = match sanitized() {
        Ok(library) => library,
        Err(why) => {
            println!("AddressSanitizer: left out: {why}");
            return Vec::new();
        }
    };
    let into = search.dir.join("asan");
    empty(&into);
    let mut tally = Tally::new("AddressSanitizer");
    let root = testkit::workspace_dir().join("c-tests");
    let build = |files: &[&str], name: &str| {
        let mut build = c::Build::new();
        build.include(testkit::workspace_dir().join("include"));
        for file in files {
            build.file(root.join(file));
        }
        build
            .link(&library)
            .arg("-fsanitize=address")
            .arg("-pthread")
            .build(into.join(name))
    };
    let files = [
        "faults/main.c",
        "faults/operations.c",
        "faults/quiet.c",
        "faults/limits.c",
        "scenarios/common.c",
    ];
    let program = build(&files, "operations");
    let load = build(&["faults/load.c", "scenarios/common.c"], "load");
    let built = operations::build(search);
    let replaced = |program: Program, with: &Path| {
        let mut words = program.words;
        words[0] = with.display().to_string();
        // What the process keeps is no leak, and the runtime's own memory is the system's.
        let env = program
            .env
            .into_iter()
            .chain([("ASAN_OPTIONS".into(), "detect_leaks=0".into())])
            .collect();
        Program {
            words,
            env,
            ..program
        }
    };
    for operation in operations::all(search, &built)
        .into_iter()
        .filter(|o| o.name != "read-image")
    {
        let plain = operation.command(&search.place(&operation.name(), 0), 1000, 1000, false);
        run(search, &mut tally, &operation.name(), &replaced(plain, &program));
    }
    let loads = load::build(&search.library, &search.dir);
    for vandal in [false, true] {
        let rounds = if search.short { 50 } else { 1000 };
        let plain = loads.load(&search.place("load", 0), [8, 1, rounds], search.seed, vandal);
        run(
            search,
            &mut tally,
            if vandal { "load, files damaged" } else { "load" },
            &replaced(plain, &load),
        );
    }
    vec![tally]
}
