//! What the tests against shared data have in common: where it lies, and the independent checker run as one
//! Python process that answers about many files.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// The folder of shared data, beside the workspace.
///
/// # Panics
/// It is not there.
#[must_use]
pub fn shared() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    assert!(
        path.join("corpus/manifest.json").is_file(),
        "{} is missing: these tests need it",
        path.display()
    );
    path.canonicalize().expect("the path of an existing folder")
}

/// A module of the corpus.
#[derive(Debug, Clone)]
pub struct Module {
    /// Its entry in the manifest.
    pub entry: Value,
    /// Its path.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Module {
    /// A number of its entry.
    ///
    /// # Panics
    /// The manifest has no such number.
    #[must_use]
    pub fn number(&self, key: &str) -> u64 {
        self.entry[key]
            .as_u64()
            .unwrap_or_else(|| panic!("{key} of {}", self.path.display()))
    }

    /// A text of its entry.
    ///
    /// # Panics
    /// The manifest has no such text.
    #[must_use]
    pub fn text(&self, key: &str) -> &str {
        self.entry[key]
            .as_str()
            .unwrap_or_else(|| panic!("{key} of {}", self.path.display()))
    }
}

/// All modules of the corpus.
///
/// # Panics
/// The corpus is incomplete.
#[must_use]
pub fn corpus() -> Vec<Module> {
    let dir = shared().join("corpus");
    let manifest = std::fs::read_to_string(dir.join("manifest.json")).expect("the manifest");
    let manifest: Value = serde_json::from_str(&manifest).expect("the manifest is JSON");
    let modules: Vec<Module> = manifest["modules"]
        .as_array()
        .expect("a list of modules")
        .iter()
        .map(|entry| {
            let path = dir.join(entry["file"].as_str().expect("a file name"));
            let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            Module {
                entry: entry.clone(),
                path,
                bytes,
            }
        })
        .collect();
    assert!(
        modules.len() >= 24,
        "the corpus has only {} modules",
        modules.len()
    );
    modules
}

/// The independent checker.
pub struct Judge {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Judge {
    /// Starts it on `request`: see `judge.py` for the requests it knows.
    ///
    /// # Panics
    /// There is no `python3`.
    #[must_use]
    pub fn start(request: &Value) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("judge.py");
        let mut child = Command::new("python3")
            .arg(script)
            .arg(shared().join("tools"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("python3 is needed: {e}"));
        let mut stdin = child.stdin.take().expect("piped");
        stdin
            .write_all(request.to_string().as_bytes())
            .expect("the judge reads its request");
        drop(stdin);
        let out = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, out }
    }

    /// Its next answer, with the bytes it sends along; `None` when it has none left.
    ///
    /// # Panics
    /// It broke off.
    pub fn answer(&mut self) -> Option<(Value, Vec<u8>)> {
        let mut line = String::new();
        self.out.read_line(&mut line).expect("an answer of the judge");
        if line.is_empty() {
            let status = self.child.wait().expect("the judge ends");
            assert!(status.success(), "the judge broke off: {status}");
            return None;
        }
        let answer: Value = serde_json::from_str(&line).expect("JSON");
        let mut bytes = vec![0; answer["bytes"].as_u64().unwrap_or(0) as usize];
        self.out.read_exact(&mut bytes).expect("the bytes of the answer");
        Some((answer, bytes))
    }
}
