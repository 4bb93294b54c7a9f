//! The loader's operations in a C program on the embedded runtime (`c-tests/faults`).

use crate::run::{Left, OPERATIONS, Program, Traced, age, compiled};
use crate::search::Search;
use crate::subject::{Point, Subject, Took, says};
use crate::trace::Call;
use std::path::{Path, PathBuf};
use testkit::c;

/// The program, and the library that shortens transfers.
pub struct Built {
    /// `operations`.
    pub program: PathBuf,
    /// `shim.so`.
    pub shim: PathBuf,
}

/// Compiles them.
pub fn build(search: &Search) -> Built {
    let mut shim = c::Build::new();
    shim.shared()
        .file(testkit::workspace_dir().join("c-tests/faults/shim.c"));
    Built {
        program: compiled(&search.library, &OPERATIONS, &[], search.dir.join("operations")),
        shim: shim.build(search.dir.join("shim.so")),
    }
}

/// One operation, under a switch of the library's or none.
pub struct Operation<'a> {
    search: &'a Search,
    built: &'a Built,
    /// As the program knows it.
    pub name: String,
    warm: bool,
    switch: Option<&'static str>,
}

/// Switches that change how files are read and saved, and which operations they change.
const SWITCHES: [(&str, &str); 3] = [
    ("LEAN_REGION_VERIFY", "read"),
    ("LEAN_REGION_FORCE_RELOCATE", "read"),
    ("LEAN_REGION_SYNC", "save"),
];

/// All of them.
pub fn all<'a>(search: &'a Search, built: &'a Built) -> Vec<Operation<'a>> {
    let program = Program {
        words: vec![built.program.display().to_string(), "list".into()],
        dir: search.dir.clone(),
        ..Program::default()
    };
    let left = program.run(&Traced::Not, &search.place("logs", 0));
    let names = &left.stdout;
    assert!(names.lines().count() > 10, "operations: {names}{}", left.stderr);
    let mut all = Vec::new();
    for name in names.lines() {
        let plain = [(false, None), (true, None)];
        let switched = SWITCHES.iter().filter(|(_, of)| name.starts_with(of));
        for (warm, switch) in plain
            .into_iter()
            .chain(switched.map(|(switch, _)| (true, Some(*switch))))
        {
            all.push(Operation {
                search,
                built,
                name: name.to_owned(),
                warm,
                switch,
            });
        }
    }
    all
}

impl Operation<'_> {
    /// The program with other words behind the operation's name.
    pub fn words(&self, dir: &Path, words: &[&str]) -> Program {
        let mut program = self.command(dir, 0, 0, false);
        program.words.truncate(2);
        program.words.extend(words.iter().map(|&word| word.to_owned()));
        program
    }

    /// Whether it is the plain form: not the first call of a process, and under no switch.
    pub fn is_plain(&self) -> bool {
        self.warm && self.switch.is_none()
    }

    /// What it makes new.
    pub fn targets(&self) -> &'static [&'static str] {
        match self.name.as_str() {
            name if name.starts_with("save-parts") => &["P.olean", "P.olean.server", "P.olean.private"],
            name if name.starts_with("save") => &["out.olean"],
            _ => &[],
        }
    }

    fn is_save(&self) -> bool {
        self.name.starts_with("save")
    }

    /// The program with what may be left afterwards, and whether calls are refused for good.
    pub fn command(&self, dir: &Path, descriptors: usize, mappings: usize, lasting: bool) -> Program {
        let mut words = vec![self.built.program.display().to_string(), self.name.clone()];
        words.push(if self.warm { "warm" } else { "cold" }.into());
        words.extend([descriptors.to_string(), mappings.to_string()]);
        words.push(if lasting { "lasting" } else { "once" }.into());
        let mut env: Vec<(String, String)> =
            self.switch.iter().map(|s| (s.to_string(), "1".into())).collect();
        if self.name == "read-image" {
            env.push((
                "LEAN_REGION_IMAGE".into(),
                dir.join("image").display().to_string(),
            ));
        }
        Program {
            words,
            env,
            preload: Vec::new(),
            dir: dir.to_owned(),
        }
    }
}

impl Subject for Operation<'_> {
    fn name(&self) -> String {
        let mut name = format!("c/{}", self.name);
        if !self.warm {
            name += "-first";
        }
        if let Some(switch) = self.switch {
            name += &switch
                .to_lowercase()
                .replace("lean_region_", "+")
                .replace('_', "-");
        }
        name
    }

    fn prepare(&self, dir: &Path) {
        if self.name != "read-image" {
            return;
        }
        let run = |words: Vec<String>| {
            let program = Program {
                words,
                dir: dir.to_owned(),
                ..Program::default()
            };
            let left = program.run(&Traced::Not, &dir.join("logs"));
            assert_eq!(left.code(), Some(0), "{}{}", left.stdout, left.stderr);
        };
        run(vec![
            self.built.program.display().to_string(),
            self.name.clone(),
            "files".into(),
        ]);
        for part in ["P.olean", "P.olean.server", "P.olean.private"] {
            age(&dir.join(part));
        }
        let tool = self.search.tool.display().to_string();
        let words = [&*tool, "image", "build", ".", "-o", "image"];
        run(words.map(str::to_owned).to_vec());
    }

    /// Building the image waits for files to grow older, seconds each time.
    fn keeps_its_files(&self) -> bool {
        self.name == "read-image"
    }

    fn program(&self, dir: &Path, point: Option<&Point>) -> Program {
        let Some(point) = point else {
            return self.command(dir, 0, 0, false);
        };
        // The tracer refuses without doing: what was to be closed stays open.
        let hits = if point.lasting { 1000 } else { 1 };
        let (mut descriptors, mut mappings) = (0, 0);
        match point.call.as_str() {
            "close" => descriptors = hits,
            // A mapping in two halves is one more.
            "munmap" | "mremap" => mappings = hits,
            "mprotect" | "madvise" => mappings = 2,
            _ => {}
        }
        self.command(dir, descriptors, mappings, point.lasting)
    }

    fn calls(&self, threads: &[Vec<Call>]) -> Vec<(usize, usize)> {
        let main = &threads[0];
        let mark = |number: &str| {
            main.iter()
                .position(|call| call.name == "getpriority" && call.arguments.contains(number))
        };
        let (begin, end) = (
            mark("2000001").expect("a beginning"),
            mark("2000002").expect("an end"),
        );
        (begin + 1..end).map(|at| (0, at)).collect()
    }

    fn judge(&self, _: &Path, left: &Left, point: Option<&Point>) -> Result<Took, String> {
        let all = || format!("{}{}", left.stdout, left.stderr);
        if left.code() != Some(0) || !left.stdout.ends_with("end\n") || left.stdout.contains("left: ") {
            return Err(all());
        }
        let unlinks = point.is_some_and(|point| point.call == "unlink");
        if self.is_save() && !unlinks && !left.stdout.contains("temporary 0\n") {
            return Err(all());
        }
        let first = left.stdout.lines().next().unwrap_or_default();
        let Some(error) = first.strip_prefix("error ") else {
            return Ok(Took::Bore);
        };
        // The program itself looks whether its file is named.
        match point {
            Some(point) if says(error, point) => Ok(Took::Reported),
            _ => Err(format!("the error does not name its cause: {}", all())),
        }
    }
}
