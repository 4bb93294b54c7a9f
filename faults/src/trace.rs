//! What strace wrote: the system calls of each thread, which of them has which number, and where each was made from.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// One system call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// The how many-th of this name in its thread, from 1.
    pub n: usize,
    /// Arguments as strace shows them.
    pub arguments: String,
    /// What the tracer says that it did to it.
    pub injected: bool,
    /// Objects and functions that it was made from, the innermost first.
    pub stack: Vec<String>,
}

impl Call {
    /// What stays the same from run to run: no numbers, and no names of directories that differ.
    pub fn likeness(&self, dir: &Path) -> String {
        // What a call is to fill in is shown if it did.
        let inputs = match self.name.as_str() {
            "getcwd" | "getrandom" => 0,
            "read" | "pread64" | "preadv2" | "fstat" | "getdents64" | "clock_gettime" => 1,
            "newfstatat" | "statx" | "readlinkat" | "sched_getaffinity" => 2,
            "prlimit64" => 3,
            _ => usize::MAX,
        };
        let inputs: Vec<&str> = self.arguments.split(", ").take(inputs).collect();
        let text = inputs.join(", ").replace(&*dir.to_string_lossy(), "DIR");
        let mut out = format!("{}(", self.name);
        for c in text.chars() {
            match c {
                '0'..='9' if out.ends_with('#') => {}
                'a'..='f' if out.ends_with('#') => {}
                '0'..='9' => out.push('#'),
                c => out.push(c),
            }
        }
        out.replace("#x#", "#")
    }

    /// Paths in the arguments: of names and of what descriptors lead to.
    pub fn paths(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (open, close) in [('"', '"'), ('<', '>')] {
            let mut rest = self.arguments.as_str();
            while let Some((_, tail)) = rest.split_once(open) {
                let Some((path, tail)) = tail.split_once(close) else {
                    break;
                };
                if !path.is_empty() {
                    found.push(unescaped(path));
                }
                rest = tail;
            }
        }
        found
    }

    /// Whether the innermost frame outside the C library lies in the object of this name.
    pub fn made_by(&self, object: &str) -> bool {
        let libc = |frame: &&String| !frame.contains("/libc.so") && !frame.contains("ld-linux");
        self.stack
            .iter()
            .find(libc)
            .is_some_and(|frame| frame.contains(object))
    }
}

/// A path as it is: strace writes bytes outside ASCII in octal.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits = tail
            .iter()
            .take(3)
            .take_while(|b| (b'0'..=b'7').contains(*b))
            .count();
        if *first == b'\\' && digits > 0 {
            bytes.push(
                tail[..digits]
                    .iter()
                    .fold(0u8, |n, d| n.wrapping_mul(8).wrapping_add(d - b'0')),
            );
            rest = &tail[digits..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The calls of each thread, in the order in which the threads were started.
pub fn threads(log: &Path) -> Vec<Vec<Call>> {
    let (dir, name) = (
        log.parent().expect("a file in a directory"),
        log.file_name().expect("a name").to_string_lossy(),
    );
    let mut files: Vec<(u32, String)> = Vec::new();
    for entry in fs::read_dir(dir).expect("the directory of the log") {
        let path = entry.expect("an entry").path();
        let number = path.file_name().expect("a name").to_string_lossy().into_owned();
        if let Some(number) = number
            .strip_prefix(&format!("{name}."))
            .and_then(|n| n.parse().ok())
        {
            files.push((
                number,
                String::from_utf8_lossy(&fs::read(&path).expect("a log")).into_owned(),
            ));
        }
    }
    files.sort_unstable();
    files.iter().map(|(_, text)| calls(text)).collect()
}

fn calls(text: &str) -> Vec<Call> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut calls: Vec<Call> = Vec::new();
    for line in text.lines() {
        if let Some(frame) = line.strip_prefix(" > ") {
            if let Some(call) = calls.last_mut() {
                call.stack.push(frame.to_owned());
            }
            continue;
        }
        let Some((name, rest)) = line.split_once('(') else {
            continue;
        };
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            continue;
        }
        let n = counts.entry(name.to_owned()).or_default();
        *n += 1;
        calls.push(Call {
            name: name.to_owned(),
            n: *n,
            arguments: rest
                .rsplit_once(" = ")
                .map_or(rest, |(before, _)| before)
                .trim_end()
                .to_owned(),
            injected: line.ends_with("(INJECTED)"),
            stack: Vec::new(),
        });
    }
    calls
}
