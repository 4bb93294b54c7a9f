//! Processes under a tracer, with a time limit, and what they leave; C programs; directories that they run in.

use std::fs::{self, File, FileTimes};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};
use testkit::c;

/// No operation takes a tenth of this, even on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(300);

/// The number that processes are told to have, so that a process meets what an earlier one left (`FAULTS_PID`).
pub const NUMBER: &str = "4242";

/// Sources of the program of operations, in `c-tests`.
pub const OPERATIONS: [&str; 5] = [
    "faults/main.c",
    "faults/operations.c",
    "faults/quiet.c",
    "faults/limits.c",
    "scenarios/common.c",
];

/// Sources of the program of threads and processes.
pub const LOAD: [&str; 2] = ["faults/load.c", "scenarios/common.c"];

/// Compiles a C program against a library.
pub fn compiled(library: &Path, sources: &[&str], arguments: &[&str], output: PathBuf) -> PathBuf {
    let root = testkit::workspace_dir();
    let mut build = c::Build::new();
    build.include(root.join("include"));
    for source in sources {
        build.file(root.join("c-tests").join(source));
    }
    build.link(library).arg("-pthread");
    for &argument in arguments {
        build.arg(argument);
    }
    build.build(output)
}

/// A program, its arguments and variables; `LD_PRELOAD` stands apart, for the tracer must not get it.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Program and arguments.
    pub words: Vec<String>,
    /// Variables.
    pub env: Vec<(String, String)>,
    /// Libraries to preload.
    pub preload: Vec<PathBuf>,
    /// Where it runs.
    pub dir: PathBuf,
}

/// What is done to it.
#[derive(Clone, Debug)]
pub enum Traced {
    /// Nothing; no tracer.
    Not,
    /// All its calls and where they are made from are written down.
    Whole,
    /// Calls of one name are written down, and this is done to them, in the tracer's words.
    Injected {
        /// The name of the call.
        call: String,
        /// Such as `error=EIO:when=3`.
        what: String,
        /// Only calls with these files; none: all.
        paths: Vec<String>,
    },
}

/// What a process left.
#[derive(Clone, Debug)]
pub struct Left {
    /// How it ended; `None` if it had to be ended.
    pub status: Option<ExitStatus>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Left {
    /// What is wrong whatever the operation: a hang or a signal.
    pub fn bad_end(&self) -> Option<String> {
        match self.status {
            None => Some(format!("it did not end in {} s", PATIENCE.as_secs())),
            Some(status) => status.signal().map(|signal| format!("signal {signal}")),
        }
    }

    /// The exit code, where there is one.
    pub fn code(&self) -> Option<i32> {
        self.status.and_then(|status| status.code())
    }
}

impl Program {
    /// The command line, and where the tracer writes.
    fn command(&self, traced: &Traced, log: &Path) -> Command {
        let mut command = match traced {
            Traced::Not => Command::new(&self.words[0]),
            Traced::Whole | Traced::Injected { .. } => Command::new("strace"),
        };
        let preload: Vec<String> = self.preload.iter().map(|p| p.display().to_string()).collect();
        let preload = preload.join(" ");
        match traced {
            Traced::Not => {
                if !preload.is_empty() {
                    command.env("LD_PRELOAD", preload);
                }
                command.args(&self.words[1..]);
            }
            Traced::Whole | Traced::Injected { .. } => {
                command.args(["-qq", "-ff", "-y", "-o"]).arg(log);
                if let Traced::Injected { call, what, paths } = traced {
                    // The quick way to stop at few calls; strace kills nothing then.
                    if !what.starts_with("signal") {
                        command.arg("--seccomp-bpf");
                    }
                    command.args(["-e", &format!("trace={call}")]);
                    command.args(["-e", &format!("inject={call}:{what}"), "-e", "signal=none"]);
                    for path in paths {
                        command.args(["-P", &path.replace("DIR", &self.dir.to_string_lossy())]);
                    }
                } else {
                    command.arg("-k");
                }
                if !preload.is_empty() {
                    command.args(["-E", &format!("LD_PRELOAD={preload}")]);
                }
                command.arg("--").args(&self.words);
            }
        }
        for (name, _) in std::env::vars_os() {
            if name
                .to_str()
                .is_some_and(|name| name.starts_with("LEAN") || name.starts_with("LD_"))
            {
                command.env_remove(name);
            }
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.current_dir(&self.dir);
        command
    }

    /// Starts it in a group of its own. Logs and outputs lie in `logs`, which is emptied first.
    fn spawn(&self, traced: &Traced, logs: &Path) -> Child {
        empty(logs);
        let file =
            |name: &str| File::create(logs.join(name)).unwrap_or_else(|e| panic!("{}: {e}", logs.display()));
        let mut command = self.command(traced, &logs.join("trace"));
        command.stdin(Stdio::null()).process_group(0);
        command.stdout(file("stdout")).stderr(file("stderr"));
        command
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"))
    }

    /// Starts it without a tracer, to be killed.
    pub fn start(&self, logs: &Path) -> Child {
        self.spawn(&Traced::Not, logs)
    }

    /// Runs it to its end.
    pub fn run(&self, traced: &Traced, logs: &Path) -> Left {
        let mut child = self.spawn(traced, logs);
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child") {
                break Some(status);
            }
            if start.elapsed() > PATIENCE {
                // The tracer alone would leave what it traces.
                _ = Command::new("kill")
                    .args(["-9", "--", &format!("-{}", child.id())])
                    .status();
                _ = child.wait();
                break None;
            }
            std::thread::sleep(Duration::from_millis(if start.elapsed().as_millis() < 50 {
                1
            } else {
                4
            }));
        };
        let text =
            |name: &str| String::from_utf8_lossy(&fs::read(logs.join(name)).unwrap_or_default()).into_owned();
        Left {
            status,
            stdout: text("stdout"),
            // What the tracer says itself is nothing that the program said.
            stderr: text("stderr")
                .split_inclusive('\n')
                .filter(|line| !line.starts_with("strace: "))
                .collect(),
        }
    }

    /// The command line as somebody would type it.
    pub fn shown(&self, traced: &Traced) -> String {
        let command = self.command(traced, Path::new("trace"));
        let mut words = vec![format!("cd {} &&", self.dir.display())];
        words.extend(self.env.iter().map(|(name, value)| format!("{name}={value}")));
        let quoted = |word: &std::ffi::OsStr| {
            let word = word.to_string_lossy();
            if word.contains(' ') {
                format!("'{word}'")
            } else {
                word.into_owned()
            }
        };
        words.push(quoted(command.get_program()));
        words.extend(command.get_args().map(quoted));
        words.join(" ")
    }
}

/// The number behind a word of a line; 0 if it is not there.
pub fn number(line: &str, word: &str) -> usize {
    let mut words = line.split(' ').skip_while(|w| *w != word);
    words.nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn set_modified(path: &Path, time: SystemTime) {
    let file = File::options().write(true).open(path);
    file.and_then(|file| file.set_times(FileTimes::new().set_modified(time)))
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

/// Makes a file, or all files below a directory, an hour old: what was just made may still change unseen, and who
/// makes an image or a list of files waits for it to grow older.
pub fn age(path: &Path) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())) {
            age(&entry.expect("an entry").path());
        }
    } else {
        set_modified(path, SystemTime::now() - Duration::from_secs(3600));
    }
}

/// Makes a directory that is empty.
pub fn empty(dir: &Path) {
    if dir.exists() {
        fs::remove_dir_all(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    }
    fs::create_dir_all(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
}

/// Copies a directory and what is below it.
pub fn copy(from: &Path, to: &Path) {
    empty(to);
    for entry in fs::read_dir(from).unwrap_or_else(|e| panic!("{}: {e}", from.display())) {
        let entry = entry.expect("an entry");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().expect("a type").is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
            let modified = entry.metadata().and_then(|m| m.modified());
            set_modified(&to, modified.expect("a time"));
        }
    }
}
