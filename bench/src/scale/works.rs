//! What is run: a tree of modules, and commands of a real Lean over it.

use super::process::{self, Usage};
use super::side::Side;
use crate::files::Scratch;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::{RealLean, lean, real_lean, tree};

/// Modules of a tree that is made, and declarations in each: some fifteen thousand region files, 700 MB.
const MODULES: usize = 4000;
const DECLARATIONS: usize = 8;

/// System calls that go to the server of a network file system.
const METADATA: &str = "openat,newfstatat,fstat,statx,pread64";

/// How a work is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum How {
    Warm,
    Cold,
    Delayed,
    Counted,
}

/// One row of the table, or some with the same name.
pub struct Work {
    /// What is done.
    pub name: String,
    /// Which figures are shown.
    pub figures: &'static [&'static str],
    /// Runs of each side, if not as many as usual.
    pub runs: Option<usize>,
    what: What,
    how: How,
}

/// What Lean is asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    /// An empty module: start-up.
    Nothing,
    /// Everything is imported.
    Import,
    /// The same, and a snapshot of it is saved.
    Save,
    /// That snapshot is loaded.
    Load,
}

/// The tree and what lies beside it.
pub struct Works {
    lean: RealLean,
    tree: PathBuf,
    scratch: PathBuf,
    /// Removes the directory at the end.
    _owner: Scratch,
}

const WARM: &[&str] = &["processor time", "wall time", "peak memory", "page faults"];
const WALL: &[&str] = &["wall time"];
const CALLS: &[&str] = &["system calls"];

impl Works {
    /// Over the tree in `dir`, as `lean_tree` of testkit makes it; it is made if it is not there. Each side saves a
    /// snapshot to load.
    pub fn new(dir: &Path, sides: &[Side]) -> Works {
        let lean = real_lean();
        if !dir.join("All.olean").is_file() {
            eprintln!(
                "bench: {} is made: {MODULES} modules are compiled, which takes some minutes",
                dir.display()
            );
            lean::compile(
                &lean,
                &tree::generate(dir, MODULES, DECLARATIONS, 1),
                &lean::Options::stock(),
            );
        }
        let owner = Scratch::new();
        let works = Works {
            lean,
            tree: fs::canonicalize(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())),
            scratch: owner.dir("scale"),
            _owner: owner,
        };
        for (name, text) in [
            ("Nothing.lean", "prelude\n"),
            ("Top.lean", "prelude\nimport All\n"),
        ] {
            fs::write(works.scratch.join(name), text).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        for side in sides {
            process::run(&mut works.command(What::Save, side));
        }
        works
    }

    /// The works, `extra` among them.
    #[must_use]
    pub fn list(&self, extra: &[String]) -> Vec<Work> {
        let whats = [
            (What::Nothing, "start-up"),
            (What::Import, "import"),
            (What::Save, "header snapshot, save"),
            (What::Load, "header snapshot, load"),
        ];
        let asked = |name: &str| extra.iter().any(|e| e == name);
        let warm = |(what, name): (What, &str)| Work {
            name: name.to_owned(),
            figures: WARM,
            runs: None,
            what,
            how: How::Warm,
        };
        let mut list: Vec<Work> = whats.map(warm).into();
        let mut more = |how: How, suffix: &str, figures, runs| {
            for (what, name) in [whats[1], whats[3]] {
                list.push(Work {
                    name: format!("{name}, {suffix}"),
                    figures,
                    runs,
                    what,
                    how,
                });
            }
        };
        if asked("cold") {
            more(How::Cold, "cold", WALL, Some(5));
        }
        if asked("delay") {
            more(How::Delayed, "1 ms each call", WALL, Some(1));
        }
        if asked("calls") {
            more(How::Counted, "calls", CALLS, Some(1));
        }
        if asked("restored") {
            self.restore();
            more(How::Warm, "restored times", WARM, None);
        }
        list
    }

    /// Runs a work once.
    pub fn run(&self, work: &Work, side: &Side) -> Usage {
        let mut command = self.command(work.what, side);
        match work.how {
            How::Warm => process::run(&mut command),
            How::Cold => {
                // SAFETY: writes to disk what is not there yet.
                unsafe { libc::sync() };
                fs::write("/proc/sys/vm/drop_caches", "3")
                    .unwrap_or_else(|e| panic!("the page cache cannot be dropped: {e}"));
                process::run(&mut command)
            }
            How::Delayed => {
                let inject = format!("--inject={METADATA}:delay_enter=1000");
                process::run(&mut strace(&command, &["-e", "trace=none", &inject]))
            }
            How::Counted => {
                let counts = self.scratch.join("calls");
                let counts_text = counts.to_str().expect("UTF-8");
                let usage = process::run(&mut strace(&command, &["-c", "-S", "name", "-o", counts_text]));
                Usage {
                    calls: total(&fs::read_to_string(&counts).expect("counts of calls")),
                    ..usage
                }
            }
        }
    }

    fn command(&self, what: What, side: &Side) -> Command {
        let mut command = Command::new(&self.lean.program);
        lean::Options::stock().apply(&mut command);
        let snapshot = |option: &str| {
            let mut argument = OsString::from(option);
            argument.push(self.scratch.join(side.name));
            argument
        };
        command
            .current_dir(&self.scratch)
            .env("LEAN_PATH", &self.tree)
            .envs(side.env.iter().cloned());
        match what {
            What::Nothing => command.arg("Nothing.lean"),
            What::Import => command.arg("Top.lean"),
            What::Save => command.arg(snapshot("--incr-header-save=")).arg("Top.lean"),
            What::Load => command.arg(snapshot("--incr-load=")).arg("Top.lean"),
        };
        command
    }

    /// Gives every file the modification time that it has: its change time is a new one.
    fn restore(&self) {
        fn each(dir: &Path) {
            for entry in fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    each(&path);
                } else if path.is_file() {
                    let file = fs::File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                    let modified = file.metadata().and_then(|m| m.modified()).expect("a time");
                    file.set_modified(modified)
                        .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                }
            }
        }
        each(&self.tree);
    }
}

/// `command` under strace, with all its threads.
fn strace(command: &Command, arguments: &[&str]) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq"]).args(arguments);
    for (name, value) in command.get_envs() {
        // For the program, not for strace itself.
        let mut variable = OsString::from(name);
        if let Some(value) = value {
            variable.push("=");
            variable.push(value);
        }
        strace.arg("-E").arg(variable);
    }
    strace
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(command.get_current_dir().expect("set"));
    strace
}

/// The calls in the last line of a table of `strace -c`.
fn total(table: &str) -> u64 {
    let line = table
        .lines()
        .rfind(|line| line.ends_with("total"))
        .expect("a total");
    line.split_whitespace()
        .nth(3)
        .and_then(|n| n.parse().ok())
        .expect("a number")
}
