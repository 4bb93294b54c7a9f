//! Snapshots over modules that were built anew since: refused, and never a signal. The stock loader uses them without
//! a word, and dies where the layout of a module is another one.

use std::fs;
use std::path::Path;
use std::process::Command;

use testkit::lean::{self, Options};
use testkit::process::{self, Output};
use testkit::{RealLean, temp_dir};

use crate::{ours, seen};

const LOW: &str = "prelude\ninductive N where\n  | z : N\n  | s (n : N) : N\ndef low : N := .s .z\n";
const TOP: &str = "prelude\nimport Low\ndef top : N := .s .z\n#print top\n";

struct Project<'a> {
    lean: RealLean,
    dir: &'a Path,
}

impl Project<'_> {
    fn run(&self, options: &Options, args: &[&str]) -> Output {
        let mut command: Command = lean::command(&self.lean, self.dir, options);
        process::run(command.args(args))
    }

    /// Builds the module `Low` from this text.
    fn build(&self, text: &str) {
        fs::write(self.dir.join("Low.lean"), text).unwrap();
        self.run(&Options::stock(), &["-o", "Low.olean", "Low.lean"])
            .success();
    }
}

#[test]
fn snapshots_of_rebuilt_modules_are_refused_and_of_restored_ones_are_not() {
    let dir = temp_dir("stale");
    let project = Project {
        lean: testkit::real_lean(),
        dir: dir.path(),
    };
    project.build(LOW);
    fs::write(dir.path().join("Top.lean"), TOP).unwrap();
    for save in ["--incr-header-save=Top.snap", "--incr-save=Top.snap"] {
        let plain = project.run(&ours(), &[save, "Top.lean"]).success();
        let load = |options: &Options| project.run(options, &["--incr-load=Top.snap", "Top.lean"]);
        assert_eq!(seen(&load(&ours())), seen(&plain));
        // Stock reads what ours saved.
        assert_eq!(seen(&load(&Options::stock())), seen(&plain));

        // Another file with other times, and the same content.
        fs::copy(dir.path().join("Low.olean"), dir.path().join("copy")).unwrap();
        fs::rename(dir.path().join("copy"), dir.path().join("Low.olean")).unwrap();
        assert_eq!(seen(&load(&ours())), seen(&plain));

        for (changed, what) in [
            // As long as before, and no object has moved.
            (LOW.replace("low", "lov"), "same size and other content"),
            // Everything behind has moved.
            (LOW.replace("low", "lower.than.before"), "built anew"),
        ] {
            project.build(&changed);
            let output = load(&ours());
            assert_eq!(output.status.code(), Some(1), "{save}: {output}");
            let text = format!("{}{}", output.stdout, output.stderr);
            assert!(
                text.contains("is stale") && text.contains("Low.olean") && text.contains(what),
                "{save}: {output}"
            );
        }
        project.build(LOW);
        assert_eq!(seen(&load(&ours())), seen(&plain));
    }
    // What is wished for: used all the same, with a word about it.
    project
        .run(&ours(), &["--incr-header-save=Top.snap", "Top.lean"])
        .success();
    project.build(&LOW.replace("low", "lov"));
    let load = ["--incr-load=Top.snap", "Top.lean"];
    // What Lean makes of it is its own affair.
    let output = project.run(&ours().env("LEAN_REGION_STALE", "warn"), &load);
    assert!(output.stderr.contains("'Top.snap' is stale"), "{output}");
    let output = project.run(&ours().env("LEAN_REGION_STALE", "ignore"), &load);
    assert!(!output.stderr.contains("stale"), "{output}");
}
