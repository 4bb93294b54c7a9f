//! Processes under a tracer, with a time limit, and what they leave.

use std::fs::{self, File, FileTimes};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// No operation takes a tenth of this, even on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(300);

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

    /// Runs it to its end. Logs and outputs lie in `logs`, which is emptied first.
    pub fn run(&self, traced: &Traced, logs: &Path) -> Left {
        empty(logs);
        let (out, err) = (logs.join("stdout"), logs.join("stderr"));
        let file = |path: &Path| File::create(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut command = self.command(traced, &logs.join("trace"));
        command.stdin(std::process::Stdio::null());
        command.stdout(file(&out)).stderr(file(&err)).process_group(0);
        let mut child = command
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
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
        let text = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        Left {
            status,
            stdout: text(&out),
            // What the tracer says itself is nothing that the program said.
            stderr: text(&err)
                .split_inclusive('\n')
                .filter(|line| !line.starts_with("strace: "))
                .collect(),
        }
    }

    /// Starts it without a tracer, to be killed. Outputs lie in `logs`, which is emptied first.
    pub fn start(&self, logs: &Path) -> Child {
        empty(logs);
        let file =
            |name: &str| File::create(logs.join(name)).unwrap_or_else(|e| panic!("{}: {e}", logs.display()));
        let mut command = self.command(&Traced::Not, logs);
        command
            .stdin(std::process::Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"));
        command
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"))
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
            let modified = entry.metadata().and_then(|m| m.modified()).expect("a time");
            let copied = File::options().write(true).open(&to).expect("a copy");
            copied
                .set_times(FileTimes::new().set_modified(modified))
                .expect("its time set");
        }
    }
}
