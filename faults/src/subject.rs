//! What is searched: an operation that can be run again and again in a fresh directory, with what is asked of it after
//! a call of it was refused.

use crate::errors::{self, Errno};
use crate::run::{Left, Program};
use crate::trace::Call;
use std::path::Path;

/// One call refused.
#[derive(Clone, Debug)]
pub struct Point {
    /// The name of the call.
    pub call: String,
    /// The how many-th of its thread, or of those of its thread with these files.
    pub n: usize,
    /// The files, where only calls with them are meant; `DIR` is where the operation runs.
    pub paths: Vec<String>,
    /// With this error.
    pub error: Errno,
    /// Whether all after it are refused as well.
    pub lasting: bool,
}

impl Point {
    /// In the tracer's words.
    pub fn what(&self) -> String {
        let n = self.n;
        let when = match (self.lasting, self.error.name) {
            (false, _) => n.to_string(),
            // Who is interrupted tries again, and nobody is for ever.
            (true, "EINTR") => format!("{n}..{}", n + 20),
            (true, _) => format!("{n}+"),
        };
        format!("error={}:when={when}", self.error.name)
    }
}

/// How an operation took it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Took {
    /// It did what it was to do.
    Bore,
    /// It gave an error with the file's name and the cause.
    Reported,
    /// Another call was hit than the one that was meant.
    Missed,
}

/// Something to search.
pub trait Subject: Sync {
    /// Its name, as the command line has it.
    fn name(&self) -> String;

    /// Makes `dir`, which is empty, ready for it.
    fn prepare(&self, dir: &Path);

    /// Whether what was made ready serves for every run: it reads files alone.
    fn keeps_its_files(&self) -> bool {
        false
    }

    /// The program, for a run that is traced only, or with a point refused.
    fn program(&self, dir: &Path, point: Option<&Point>) -> Program;

    /// Which calls of the trace belong to it: numbers of thread and call.
    fn calls(&self, threads: &[Vec<Call>]) -> Vec<(usize, usize)>;

    /// The files that calls are known by: calls of other threads have the same numbers. None where there is one thread.
    fn paths(&self, _call: &Call) -> Vec<String> {
        Vec::new()
    }

    /// Whether it is searched at this point.
    fn takes(&self, _point: &Point) -> bool {
        true
    }

    /// What came of it.
    ///
    /// # Errors
    /// What is wrong.
    fn judge(&self, dir: &Path, left: &Left, point: Option<&Point>) -> Result<Took, String>;
}

/// Whether a text says the cause, in the system's words or in ours.
pub fn says(text: &str, point: &Point) -> bool {
    let text = text.to_lowercase();
    let memory = point.error.name == "ENOMEM" || errors::is_memory(&point.call);
    (memory && text.contains("memory")) || text.contains(&point.error.text().to_lowercase())
}
