//! The tree of modules, what lies beside it, and the processes of a real Lean over it.

use super::bare::{self, Bare};
use super::images::{self, Images};
use super::process::{self, Usage};
use super::reads;
use super::side::{self, ASKED, FILES, FLOOR, Side};
use super::works::{Before, How, What, Work};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::{RealLean, TempDir, lean, real_lean, tree};

/// Modules of a tree that is made, and declarations in each: some fifteen thousand region files, 700 MB.
const MODULES: usize = 4000;
const DECLARATIONS: usize = 8;

/// System calls that may go to the server of a network file system. Lean's own loader reads by `read`.
const ABOUT_FILES: &str = "openat,newfstatat,fstat,statx,read,pread64,preadv2";

/// The tree and what lies beside it.
pub struct Works {
    lean: RealLean,
    /// Where the modules are.
    pub tree: PathBuf,
    /// Snapshots, images, and modules that import the tree's. On a disk, as the tree is: cold starts read them.
    scratch: TempDir,
    /// The images of the tree.
    pub images: Images,
}

impl Works {
    /// Over the tree in `dir`, as `lean_tree` of testkit makes it; it is made if it is not there. Snapshots to load are
    /// saved and images are built.
    #[must_use]
    pub fn new(dir: &Path) -> Works {
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
        let scratch = testkit::temp_dir("bench-scale");
        let tree = fs::canonicalize(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        let images = Images::new(scratch.path(), &tree, &scratch.path().join(side::SNAPSHOTS[1]));
        let works = Works {
            lean,
            tree,
            scratch,
            images,
        };
        for (name, text) in [
            ("Nothing.lean", "prelude\n"),
            ("One.lean", "prelude\nimport Base\n"),
            ("Top.lean", "prelude\nimport All\n"),
        ] {
            fs::write(works.scratch.path().join(name), text).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        let files = reads::files(&works.tree);
        let paths: Vec<&str> = files.iter().map(|f| f.to_str().expect("UTF-8")).collect();
        fs::write(works.list(), paths.join("\n")).unwrap_or_else(|e| panic!("the list of files: {e}"));
        for side in side::plain() {
            process::run(&mut works.saving(side.snapshot, &side));
        }
        eprintln!("bench: images are built");
        works.images.build();
        works
    }

    /// Does what comes before a work that these sides run.
    pub fn prepare(&self, work: &Work, sides: &[&Side]) {
        match work.before {
            Before::Nothing => {}
            Before::Build => self.images.build(),
            Before::Fault => {
                images::drop_caches();
                for side in sides {
                    process::run(&mut self.command(work.what, side));
                }
            }
            Before::Read => {
                images::drop_caches();
                self.images.read_all();
            }
            Before::Restore => self.restore(),
        }
    }

    /// Runs a work once.
    #[must_use]
    pub fn run(&self, work: &Work, side: &Side) -> Usage {
        let mut command = self.command(work.what, side);
        match work.how {
            How::Warm => {
                if work.what.is_serial() {
                    process::on_one_cpu(&mut command);
                }
                process::run(&mut command)
            }
            How::Inspected => process::inspect(&mut command),
            How::Cold => {
                images::drop_caches();
                process::run(&mut command)
            }
            How::Delayed => {
                // Only what is traced is delayed.
                let (trace, inject) = (
                    format!("trace={ABOUT_FILES}"),
                    format!("--inject={ABOUT_FILES}:delay_enter=1000"),
                );
                process::run(&mut strace(&command, &["-e", &trace, &inject, "-o", "/dev/null"]))
            }
            How::Counted => {
                let counts = self.scratch.path().join("calls");
                let counts_text = counts.to_str().expect("UTF-8");
                let usage = process::run(&mut strace(&command, &["-c", "-S", "name", "-o", counts_text]));
                Usage {
                    calls: total(&fs::read_to_string(&counts).expect("counts of calls")),
                    ..usage
                }
            }
        }
    }

    /// Lean in the directory of the modules that import the tree's.
    fn lean(&self, side: &Side) -> Command {
        let mut command = Command::new(&self.lean.program);
        lean::Options::stock().apply(&mut command);
        command
            .current_dir(self.scratch.path())
            .env("LEAN_PATH", &self.tree)
            .envs(side.env.iter().cloned());
        command
    }

    /// A file with the paths of the region files of the tree; made before anything is cold.
    fn list(&self) -> PathBuf {
        self.scratch.path().join("files")
    }

    fn snapshot(&self, option: &str, name: &str) -> OsString {
        let mut argument = OsString::from(option);
        argument.push(self.scratch.path().join(name));
        argument
    }

    fn saving(&self, snapshot: &str, side: &Side) -> Command {
        let mut command = self.lean(side);
        command
            .arg(self.snapshot("--incr-header-save=", snapshot))
            .arg("Top.lean");
        command
    }

    fn command(&self, what: What, side: &Side) -> Command {
        match side.name {
            FLOOR => {
                let mut command = Command::new("cat");
                command
                    .current_dir(self.scratch.path())
                    .arg(self.images.tree.as_path());
                return command;
            }
            FILES => return bare::command(&self.list(), Bare::AsTheyCome),
            ASKED => return bare::command(&self.list(), Bare::AskedFor),
            _ => {}
        }
        if what == What::Set {
            let mut command = Command::new(testkit::program("olean"));
            command
                .current_dir(self.scratch.path())
                .arg("load")
                .arg(self.scratch.path().join(side.snapshot));
            lean::Options::stock().apply(&mut command);
            command.envs(side.env.iter().cloned());
            return command;
        }
        let mut command = self.lean(side);
        match what {
            What::Nothing => command.arg("Nothing.lean"),
            What::One => command.arg("One.lean"),
            What::Import => command.arg("Top.lean"),
            // Not over the one that is loaded, which lies in an image.
            What::Save => {
                let snapshot = format!("saved-{}.snap", side.name);
                // There is none before the first run.
                _ = fs::remove_file(self.scratch.path().join(&snapshot));
                return self.saving(&snapshot, side);
            }
            What::SaveAgain => return self.saving(&format!("replaced-{}.snap", side.name), side),
            What::Load => command
                .arg(self.snapshot("--incr-load=", side.snapshot))
                .arg("Top.lean"),
            What::Set => unreachable!("done above"),
        };
        command
    }

    /// Gives every file the modification time that it has: its change time is a new one.
    fn restore(&self) {
        for path in images::files(&self.tree) {
            let file = fs::File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let modified = file.metadata().and_then(|m| m.modified()).expect("a time");
            file.set_modified(modified)
                .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
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
