//! Runs the tool and makes its output comparable.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The tool, in `dir` and with nothing of this process's environment that changes output.
pub fn olean(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_olean"));
    command.current_dir(dir).args(args).stdin(Stdio::null());
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "TERM"] {
        command.env_remove(name);
    }
    command
}

/// What it prints and its exit code.
pub fn output(dir: &Path, args: &[&str]) -> Output {
    olean(dir, args).output().expect("the tool runs")
}

/// The same with something on standard input.
pub fn output_from(dir: &Path, args: &[&str], input: &[u8]) -> Output {
    let mut command = olean(dir, args);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the tool runs");
    let mut pipe = child.stdin.take().expect("a pipe");
    match pipe.write_all(input) {
        // A tool that has nothing to read may have left already.
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => panic!("{e}"),
        _ => drop(pipe),
    }
    child.wait_with_output().expect("the tool ends")
}

/// Exit code.
pub fn code(output: &Output) -> i32 {
    output
        .status
        .code()
        .unwrap_or_else(|| panic!("ended by a signal: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Standard output as text.
pub fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

/// Command lines with what they print, lines of stderr marked by `!`, and with their exit codes.
pub fn transcript(dir: &Path, lines: &[&str]) -> String {
    let mut text = String::new();
    for line in lines {
        let args: Vec<&str> = line.split(' ').collect();
        let output = output(dir, &args);
        // Writing to a string does not fail.
        let _ = writeln!(text, "$ olean {line}\n{}", steady(stdout(&output)).trim_end());
        for l in steady(&String::from_utf8_lossy(&output.stderr)).lines() {
            let _ = writeln!(text, "! {l}");
        }
        let _ = writeln!(text, "? {}\n", code(&output));
    }
    text
}

/// The text without what changes from run to run and from release to release: times, process numbers, version.
fn steady(text: &str) -> String {
    let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    for i in 0..words.len() {
        let next = words
            .get(i + 1)
            .map_or("", String::as_str)
            .trim_end_matches([',', ':', '.']);
        let is_time = next
            .lines()
            .next()
            .is_some_and(|n| matches!(n.trim_end_matches(':'), "s" | "ms"));
        if is_time && words[i].parse::<f64>().is_ok() {
            words[i] = "[TIME]".to_owned();
        }
        if i > 0 && words[i - 1].ends_with("process") {
            let rest = words[i].trim_start_matches(|c: char| c.is_ascii_digit());
            if rest.len() < words[i].len() {
                words[i] = format!("[PID]{rest}");
            }
        }
    }
    words.join(" ").replace(env!("CARGO_PKG_VERSION"), "[VERSION]")
}
