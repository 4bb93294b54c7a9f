//! Pages of documentation as tests: every command that a page shows is run in order, in one shell a page, and what
//! the page shows as its output is held against what was printed.
//!
//! What a fence's info string says:
//!
//! * `sh`: commands; each must succeed.
//! * `console`: lines that begin with `$ ` are commands, the lines below each are its output. A command that fails
//!   must show what it prints.
//! * `text` right below a block of commands: the output of that whole block.
//! * `c file=NAME` and the like: the content of a file that the reader is told to make.
//! * anything else is not run.
//!
//! Times, process ids, addresses and the folder of the repository differ everywhere and are masked; counts are
//! compared exactly. Below the comment `<!-- numbers vary -->` all numbers of the block are masked, and below
//! `<!-- the last N lines are compared -->` (tables of measurements, whose columns come and go) only those are.

use regex::Regex;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// What one fenced block asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Run the script; all of it has to succeed. What it should print, if the page shows it.
    Script(String, Option<String>),
    /// Run one command and compare what it prints.
    Command(String, String),
    /// Write a file.
    File(PathBuf, String),
}

/// A step of a page and the line where its block begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Line number in the page, from 1.
    pub line: usize,
    /// What to do.
    pub action: Action,
    /// All numbers of the output are masked.
    pub numbers_vary: bool,
    /// Only so many lines at the end of the output are compared.
    pub last: Option<usize>,
}

/// The steps of a page.
///
/// # Errors
/// A fence without an info string (nobody can tell whether it should run), or output before any command.
pub fn parse(page: &str) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = page.lines().enumerate();
    let (mut numbers_vary, mut last) = (false, None);
    while let Some((at, line)) = lines.next() {
        let line_number = at + 1;
        let Some(info) = line.strip_prefix("```") else {
            if line.trim() == "<!-- numbers vary -->" {
                numbers_vary = true;
            }
            let lines = line.trim().strip_prefix("<!-- the last ");
            if let Some(n) = lines.and_then(|l| l.strip_suffix(" lines are compared -->")) {
                last = Some(n.parse().map_err(|e| format!("line {line_number}: {e}"))?);
            }
            continue;
        };
        let mut body = String::new();
        for (_, inner) in lines.by_ref().take_while(|(_, l)| *l != "```") {
            body.push_str(inner);
            body.push('\n');
        }
        let mut words = info.split_whitespace();
        let (vary, tail) = (std::mem::take(&mut numbers_vary), last.take());
        let mut push = |action| {
            steps.push(Step {
                line: line_number,
                action,
                numbers_vary: vary,
                last: tail,
            });
        };
        let language = words.next();
        if let Some(name) = words.find_map(|w| w.strip_prefix("file=")) {
            push(Action::File(name.into(), body));
            continue;
        }
        match language {
            None => {
                return Err(format!(
                    "line {line_number}: the block does not say what it is (sh, console, text, …)"
                ));
            }
            Some("sh") => push(Action::Script(body, None)),
            Some("console") => console(&body)
                .map_err(|e| format!("line {line_number}: {e}"))?
                .into_iter()
                .for_each(push),
            Some("text") => {
                if let Some(Step {
                    action: Action::Script(_, output @ None),
                    numbers_vary,
                    last,
                    ..
                }) = steps.last_mut()
                {
                    *output = Some(body);
                    *numbers_vary |= vary;
                    *last = last.or(tail);
                }
            }
            Some(_) => {}
        }
    }
    Ok(steps)
}

/// Commands and outputs of a `console` block.
fn console(body: &str) -> Result<Vec<Action>, String> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut continued = false;
    for line in body.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            found.push((format!("{command}\n"), String::new()));
            continued = line.ends_with('\\');
            continue;
        }
        let (command, output) = found.last_mut().ok_or("output before the first command")?;
        let to = if continued { command } else { output };
        to.push_str(line);
        to.push('\n');
        continued = continued && line.ends_with('\\');
    }
    Ok(found.into_iter().map(|(c, o)| Action::Command(c, o)).collect())
}

/// Takes out of a text what differs from run to run.
#[derive(Debug)]
pub struct Masks {
    folder: String,
    lean: Regex,
    always: Vec<(Regex, &'static str)>,
    numbers: Regex,
}

impl Masks {
    /// Masks for commands that run in the repository at `folder`.
    pub fn new(folder: &Path) -> Self {
        let rule = |pattern: &str, with| (Regex::new(pattern).expect("a fixed pattern"), with);
        Masks {
            folder: folder.display().to_string(),
            lean: Regex::new(r"[^ (]*/real-lean/[0-9a-f]+/").expect("a fixed pattern"),
            always: vec![
                rule(r"0x[0-9a-f]+", "0x…"),
                rule(r"\b[0-9][0-9.,]* ?(ns|µs|us|ms|s)\b", "… s"),
                rule(r#"("ns"|_ns"|"pid"|\bpid|process) ?:? ?[0-9]+"#, "$1 …"),
                rule(r"\b[0-9a-f]{32}\b", "digest"),
                rule(r"[ \t]+", " "),
            ],
            numbers: Regex::new(r"[0-9][0-9.,]*( ?(B|KiB|MiB|GiB|KB|MB|GB|%))?").expect("a fixed pattern"),
        }
    }

    /// `text` with the repository's folder masked alone.
    #[must_use]
    pub fn folder(&self, text: &str) -> String {
        let text = text.replace(&self.folder, "…");
        self.lean.replace_all(&text, "…/real-lean/").into_owned()
    }

    /// `text` without what varies.
    #[must_use]
    pub fn apply(&self, text: &str, numbers_vary: bool) -> String {
        let mut text = self.folder(text);
        for (pattern, with) in &self.always {
            text = pattern.replace_all(&text, *with).into_owned();
        }
        if numbers_vary {
            text = self.numbers.replace_all(&text, "#").into_owned();
        }
        text.lines()
            .map(|line| line.trim_end().to_owned() + "\n")
            .collect()
    }
}

/// One shell, which keeps variables and its folder from step to step.
struct Shell {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    scratch: PathBuf,
}

impl Shell {
    fn start(folder: &Path, scratch: &Path) -> std::io::Result<Self> {
        let mut command = Command::new("bash");
        // A stranger's shell has none of what cargo, a preloaded library or a Lean leave in the environment; cargo's
        // library path would lead to another build of the library.
        let ours = ["LD_", "LEAN", "CARGO", "RUST_", "UPDATE_EXPECT"];
        for (name, _) in std::env::vars_os() {
            if name
                .to_str()
                .is_some_and(|name| ours.iter().any(|o| name.starts_with(o)) && name != "CARGO_HOME")
            {
                command.env_remove(name);
            }
        }
        let mut child = command
            .arg("--norc")
            .current_dir(folder)
            .env("COLUMNS", "120")
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().expect("asked for");
        let output = BufReader::new(child.stdout.take().expect("asked for"));
        let scratch = scratch.to_owned();
        Ok(Shell {
            child,
            input,
            output,
            scratch,
        })
    }

    /// Runs `script` in the shell and answers what it printed, and whether every command of it succeeded.
    fn run(&mut self, script: &str) -> std::io::Result<(String, bool)> {
        let (file, printed) = (self.scratch.join("step.sh"), self.scratch.join("printed"));
        fs::write(&file, script)?;
        writeln!(
            self.input,
            "failed=0; set -E; trap failed=1 ERR; . '{}' > '{}' 2>&1 < /dev/null; trap - ERR; echo done $failed",
            file.display(),
            printed.display()
        )?;
        let mut answer = String::new();
        while !answer.starts_with("done ") {
            answer.clear();
            if self.output.read_line(&mut answer)? == 0 {
                let text = fs::read_to_string(&printed).unwrap_or_default();
                return Err(std::io::Error::other(format!("the shell ended:\n{text}")));
            }
        }
        let text = String::from_utf8_lossy(&fs::read(&printed)?).into_owned();
        Ok((text, answer.trim() == "done 0"))
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What running a page found.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Steps that were run.
    pub run: usize,
    /// Outputs that were compared.
    pub compared: usize,
    /// Blocks that were left out, because the caller's list names them.
    pub left_out: usize,
    /// What is wrong, each with the page's line.
    pub wrong: Vec<String>,
    /// Outputs that the page shows wrongly: what stands in the page, and what should.
    pub fixes: Vec<(String, String)>,
    /// Steps that took long, with their time.
    pub slow: Vec<(usize, Duration)>,
}

/// Runs `page`, whose text is `text`, in a shell that starts in `folder`. Scripts and commands that contain one of
/// the texts in `leave_out` are passed over. Files for the shell are made in `scratch`.
///
/// # Errors
/// The page cannot be read as steps, or the shell cannot be run.
pub fn run(text: &str, folder: &Path, scratch: &Path, leave_out: &[&str]) -> Result<Outcome, String> {
    let steps = parse(text)?;
    let masks = Masks::new(folder);
    let mut outcome = Outcome::default();
    let mut shell = Shell::start(folder, scratch).map_err(|e| format!("bash: {e}"))?;
    for step in steps {
        let at = step.line;
        let (script, expected, strict) = match step.action {
            Action::File(name, body) => {
                let script = format!(
                    "cat > '{}' <<'END-OF-THE-PAGES-FILE'\n{body}END-OF-THE-PAGES-FILE\n",
                    name.display()
                );
                (script, None, true)
            }
            Action::Script(script, expected) => (script, expected, true),
            Action::Command(script, output) => {
                let strict = output.is_empty();
                (script, Some(output), strict)
            }
        };
        if leave_out.iter().any(|text| script.trim() == text.trim()) {
            outcome.left_out += 1;
            continue;
        }
        let start = Instant::now();
        let (printed, good) = shell
            .run(&script)
            .map_err(|e| format!("line {at}: {e}\n{script}"))?;
        outcome.run += 1;
        if start.elapsed() > Duration::from_secs(10) {
            outcome.slow.push((at, start.elapsed()));
        }
        if strict && !good {
            outcome.wrong.push(format!(
                "line {at}: a command failed:\n{script}--- printed\n{printed}"
            ));
            continue;
        }
        if let Some(expected) = expected {
            outcome.compared += 1;
            let masked = |text: &str| masks.apply(last_lines(text, step.last), step.numbers_vary);
            let (wanted, got) = (masked(&expected), masked(&printed));
            if !matches(&wanted, &got) {
                let printed = masks.folder(&printed);
                outcome
                    .fixes
                    .push((format!("{script}{expected}"), format!("{script}{printed}")));
                outcome
                    .fixes
                    .push((format!("```text\n{expected}"), format!("```text\n{printed}")));
                outcome.wrong.push(format!(
                    "line {at}: the output is another one:\n{script}--- the page shows\n{expected}--- printed\n{printed}"
                ));
            }
        }
    }
    Ok(outcome)
}

/// The last lines of a text; all of it if no number is given.
fn last_lines(text: &str, lines: Option<usize>) -> &str {
    let ends = text.trim_end().rmatch_indices('\n');
    let start = lines.and_then(|n| ends.skip(n.saturating_sub(1)).map(|(at, _)| at + 1).next());
    &text[start.unwrap_or(0)..]
}

/// Whether `got` is what the page shows; a line of `…` alone stands for any lines.
fn matches(wanted: &str, got: &str) -> bool {
    let wanted: Vec<&str> = wanted.lines().collect();
    let got: Vec<&str> = got.lines().collect();
    let mut pieces = wanted.split(|line| line.trim() == "…");
    let first = pieces.next().unwrap_or_default();
    if !got.starts_with(first) {
        return false;
    }
    let mut rest = &got[first.len()..];
    let mut open = false;
    for piece in pieces {
        open = true;
        if piece.is_empty() {
            continue;
        }
        let Some(at) = rest.windows(piece.len()).position(|window| window == piece) else {
            return false;
        };
        rest = &rest[at + piece.len()..];
        open = false;
    }
    open || rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# Title\n\n```sh\nx=5\n```\n\n```console\n$ echo $x\n5\n$ echo a \\\n  b\na b\n$ false\n```\n\n\
                        <!-- numbers vary -->\n```sh\necho 17 ms and 4 things\n```\n```text\n99 ms and 3 things\n```\n\
                        ```c file=a.c\nint a;\n```\n```console\n$ cat a.c\nint a;\n```\n```json\n{}\n```\n";

    #[test]
    fn a_page_is_run_in_one_shell_and_compared() {
        let dir = crate::temp_dir("pages");
        let outcome = run(PAGE, dir.path(), dir.path(), &[]).unwrap();
        assert_eq!((outcome.run, outcome.compared), (7, 4));
        // Of all that, `false` alone is wrong: it fails and shows nothing.
        assert_eq!(outcome.wrong.len(), 1, "{:#?}", outcome.wrong);
        assert!(outcome.wrong[0].contains("a command failed:\nfalse"));
        let left_out = run(PAGE, dir.path(), dir.path(), &["false"]).unwrap();
        assert_eq!((left_out.left_out, left_out.wrong.len()), (1, 0));
    }

    #[test]
    fn what_a_page_shows_wrongly_is_found() {
        let dir = crate::temp_dir("pages-wrong");
        let wrong = |page: &str| run(page, dir.path(), dir.path(), &[]).unwrap().wrong.len();
        assert_eq!(
            wrong("```console\n$ echo 366 files in 5 ms\n366 files in 9 ms\n```\n"),
            0
        );
        assert_eq!(
            wrong("```console\n$ echo 366 files in 5 ms\n367 files in 5 ms\n```\n"),
            1
        );
        assert_eq!(wrong("```sh\nfalse\ntrue\n```\n"), 1);
        assert_eq!(wrong("```console\n$ seq 9\n1\n…\n8\n9\n```\n"), 0);
        assert_eq!(wrong("```console\n$ seq 9\n1\n…\n8\n```\n"), 1);
        let tail = "<!-- the last 2 lines are compared -->\n```console\n$ seq 9\nany\n8\n9\n```\n";
        assert_eq!(wrong(tail), 0);
        assert_eq!(wrong(&tail.replace("8", "7")), 1);
        assert!(parse("```\nls\n```\n").unwrap_err().contains("line 1"));
    }
}
