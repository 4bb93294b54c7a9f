//! Checkers: the operations and the load under memcheck and helgrind, and where a nightly toolchain is there under
//! AddressSanitizer.

use crate::load;
use crate::operations::{self, Operation};
use crate::run::{LOAD, OPERATIONS, Program, Traced, compiled, empty};
use crate::search::{Failure, Search, Tally};
use crate::subject::{Subject, Took};
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// Under memcheck, with the options that every test has.
fn memchecked(program: Program) -> Program {
    let mut plain = Command::new(&program.words[0]);
    plain.args(&program.words[1..]);
    let checked = testkit::valgrind(&plain);
    let words = std::iter::once(checked.get_program()).chain(checked.get_args());
    Program {
        words: words.map(|word| word.to_string_lossy().into_owned()).collect(),
        ..program
    }
}

fn helgrinded(program: Program) -> Program {
    let suppressions = testkit::workspace_dir().join("c-tests/faults/helgrind.supp");
    let suppressions = format!("--suppressions={}", suppressions.display());
    let words = HELGRIND.iter().map(|&word| word.to_owned());
    Program {
        words: words.chain([suppressions]).chain(program.words).collect(),
        ..program
    }
}

/// Operations that are run: every one, or a `few`, one of each kind.
fn chosen<'a>(search: &'a Search, built: &'a operations::Built, only_few: bool) -> Vec<Operation<'a>> {
    let few = ["save-3", "save-parts", "read-3-relocated", "read-many", "free"];
    let all = operations::all(search, built)
        .into_iter()
        .filter(|o| o.name != "read-image" && search.wants(&o.name()));
    all.filter(|o| !only_few || (o.is_plain() && few.contains(&&*o.name)))
        .collect()
}

/// memcheck and helgrind.
pub fn valgrind(search: &Search) -> Vec<Tally> {
    let built = operations::build(search);
    let loads = load::build(&search.library, &search.dir);
    let dir = search.place("load", 0);
    let rounds = if search.short { 15 } else { 200 };
    let mut memcheck = Tally::new("memcheck");
    for operation in chosen(search, &built, search.short) {
        let name = operation.name();
        // Under it there are other descriptors and mappings.
        let program = operation.command(&search.place(&name, 0), 1000, 1000, false);
        run(search, &mut memcheck, &name, &memchecked(program));
    }
    let mut helgrind = Tally::new("helgrind");
    if search.wants("load") {
        let load = |threads| loads.load(&dir, [threads, 1, rounds], search.seed, false);
        run(search, &mut memcheck, "load", &memchecked(load(4)));
        run(search, &mut helgrind, "load", &helgrinded(load(8)));
    }
    vec![memcheck, helgrind]
}

/// The library built with AddressSanitizer; nothing without a toolchain for it.
///
/// # Panics
/// If it does not build.
fn sanitized() -> Option<PathBuf> {
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
        return None;
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
    .expect("cargo is there");
    assert!(
        output.status.success(),
        "the library does not build with AddressSanitizer: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(target.join("x86_64-unknown-linux-gnu/debug/liblean_region.so"))
}

/// AddressSanitizer: operations and load, the C programs with the sanitizer's library of the C compiler. Nothing
/// without a nightly toolchain.
pub fn sanitizer(search: &Search) -> Option<Vec<Tally>> {
    let library = sanitized()?;
    let into = search.dir.join("asan");
    empty(&into);
    let mut tally = Tally::new("AddressSanitizer");
    let with = ["-fsanitize=address"];
    let program = compiled(&library, &OPERATIONS, &with, into.join("operations"));
    let load = compiled(&library, &LOAD, &with, into.join("load"));
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
    for operation in chosen(search, &built, false) {
        let plain = operation.command(&search.place(&operation.name(), 0), 1000, 1000, false);
        run(search, &mut tally, &operation.name(), &replaced(plain, &program));
    }
    let loads = load::build(&search.library, &search.dir);
    for vandal in [false, true].into_iter().filter(|_| search.wants("load")) {
        let rounds = if search.short { 50 } else { 1000 };
        let plain = loads.load(&search.place("load", 0), [8, 1, rounds], search.seed, vandal);
        run(
            search,
            &mut tally,
            if vandal { "load, files damaged" } else { "load" },
            &replaced(plain, &load),
        );
    }
    Some(vec![tally])
}
