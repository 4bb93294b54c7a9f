//! What the commands work on: a small tree of modules compiled by the stock Lean, a snapshot and an image of it, and
//! older files under the names that commands make new.

use crate::command::{Command, Scope};
use crate::run::{NUMBER, Program, Traced, age, empty};
use crate::search::Search;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use testkit::lean::{self, Options};
use testkit::{RealLean, tree};

/// The directories.
pub struct Inputs {
    /// The library that keeps the process's number, and so the names of temporary files.
    shim: PathBuf,
    lean: RealLean,
    /// Modules, `Foo.lean`, `Parts.lean`, `snap`, `tree.image`.
    tree: PathBuf,
    old: PathBuf,
    old_refresh: PathBuf,
}

const FOO: &str = "prelude\nimport All\ndef two : N := .s (.s .z)\n#print two\n";
const PARTS: &str = "module
prelude
public import Base
set_option autoImplicit false
set_option bootstrap.inductiveCheckResultingUniverse false
set_option genCtorIdx false
set_option genInjectivity false
set_option genSizeOf false
public section
inductive Tree : Type where
  | leaf : Tree
  | node (l r : Tree) : Tree
private def hidden : N := .s .z
def shown : N := .s (.s .z)
";

/// The parts of `Parts.lean`.
const FILES: [&str; 5] = [
    "Parts.olean",
    "Parts.olean.server",
    "Parts.olean.private",
    "Parts.ir",
    "Parts.ir.sig",
];

/// Makes them.
pub fn make(search: &Search, shim: &Path) -> Inputs {
    let lean = testkit::real_lean();
    let dir = search.dir.join("inputs");
    empty(&dir);
    let tree = tree::generate(&dir.join("tree"), 3, 2, search.seed);
    lean::compile(&lean, &tree, &Options::stock());
    let tree = tree.dir;
    let run_with = |words: &[&str], inside: &Path, preload: &[&PathBuf]| {
        let program = Program {
            words: words.iter().map(|&word| word.to_owned()).collect(),
            env: vec![("LEAN_PATH".into(), tree.display().to_string())],
            preload: preload.iter().map(|&library| library.clone()).collect(),
            dir: inside.to_owned(),
        };
        let left = program.run(&Traced::Not, &search.place("inputs-logs", 0));
        assert!(
            left.code() == Some(0),
            "{words:?}: {}{}",
            left.stdout,
            left.stderr
        );
    };
    let run = |words: &[&str], inside: &Path| run_with(words, inside, &[]);
    let program = lean.program.display().to_string();
    let tool = search.tool.display().to_string();
    fs::write(tree.join("Foo.lean"), FOO).expect("a source");
    fs::write(tree.join("Old.lean"), FOO.replace("two", "three")).expect("a source");
    fs::write(tree.join("Parts.lean"), PARTS.replace("shown", "other")).expect("a source");
    let old = dir.join("old");
    empty(&old);
    run(
        &[
            &program,
            "-R",
            ".",
            "-o",
            "../old/Parts.olean",
            "-i",
            "../old/Parts.ilean",
            "Parts.lean",
        ],
        &tree,
    );
    fs::write(tree.join("Parts.lean"), PARTS).expect("a source");
    // The stock Lean does not write down which files a snapshot was made with.
    run_with(
        &[&program, "--incr-save=snap", "Foo.lean"],
        &tree,
        &[&search.library],
    );
    run(&[&program, "--incr-save=../old/snap", "Old.lean"], &tree);
    fs::write(old.join("out.olean"), "old").expect("a file");
    age(&tree);
    let words = [
        &*tool,
        "image",
        "build",
        ".",
        "--snapshot",
        "snap",
        "-o",
        "tree.image",
    ];
    let build_image = || run(&words, &tree);
    build_image();
    fs::copy(tree.join("tree.image"), old.join("out.image")).expect("a copy");
    // Other times than the image and the snapshot know.
    age(&tree);
    let old_refresh = dir.join("old-refresh");
    empty(&old_refresh);
    for name in ["snap", "snap.deps"] {
        if tree.join(name).exists() {
            fs::copy(tree.join(name), old_refresh.join(name)).expect("a copy");
        }
    }
    fs::copy(tree.join("tree.image"), old_refresh.join("out.image")).expect("a copy");
    build_image();
    Inputs {
        shim: shim.to_owned(),
        lean,
        tree,
        old,
        old_refresh,
    }
}

/// Commands of Lean, with the library or as it is.
pub fn lean<'a>(search: &'a Search, inputs: &Inputs, stock: bool) -> Vec<Command<'a>> {
    let program = inputs.lean.program.display().to_string();
    let tree = inputs.tree.display().to_string();
    let (source, parts) = (format!("{tree}/Foo.lean"), format!("{tree}/Parts.lean"));
    let make =
        |name: [&'static str; 2], words: &[&str], targets: &[&'static str], env: &[(&str, &str)]| Command {
            search,
            name: name[usize::from(stock)],
            words: [program.as_str(), "-R", &tree]
                .iter()
                .chain(words)
                .map(|&word| word.to_owned())
                .collect(),
            env: [("LEAN_PATH", tree.as_str()), ("FAULTS_PID", NUMBER)]
                .iter()
                .chain(env)
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
            preload: std::iter::once(&inputs.shim)
                .chain((!stock).then_some(&search.library))
                .cloned()
                .collect(),
            inputs: inputs.tree.clone(),
            old: (!targets.is_empty()).then(|| inputs.old.clone()),
            same_bytes: targets.len() > 1,
            targets: targets.to_vec(),
            scope: if stock { Scope::Files } else { Scope::Library },
            baseline: OnceLock::new(),
        };
    let load = format!("--incr-load={tree}/snap");
    let image = format!("{tree}/tree.image");
    let mut all = vec![
        make(
            ["lean/save", "stock/save"],
            &["-o", "Parts.olean", "-i", "Parts.ilean", &parts],
            &FILES,
            &[],
        ),
        make(
            ["lean/incr-save", "stock/incr-save"],
            &["--incr-save=snap", &source],
            &["snap"],
            &[],
        ),
        make(
            ["lean/incr-header-save", "stock/incr-header-save"],
            &["--incr-header-save=snap", &source],
            &["snap"],
            &[],
        ),
        make(["lean/import", "stock/import"], &[&source], &[], &[]),
        make(["lean/incr-load", "stock/incr-load"], &[&load, &source], &[], &[]),
    ];
    if !stock {
        all.push(make(
            ["lean/import-relocated", ""],
            &[&source],
            &[],
            &[("LEAN_REGION_FORCE_RELOCATE", "1")],
        ));
        all.push(make(
            ["lean/import-verified", ""],
            &[&source],
            &[],
            &[("LEAN_REGION_VERIFY", "1")],
        ));
        all.push(make(
            ["lean/import-image", ""],
            &[&source],
            &[],
            &[("LEAN_REGION_IMAGE", &image)],
        ));
        all.push(make(
            ["lean/incr-load-image", ""],
            &[&load, &source],
            &[],
            &[("LEAN_REGION_IMAGE", &image)],
        ));
        all.push(Command {
            scope: Scope::Attaching,
            ..make(
                ["lean/attach-and-report", ""],
                &["--version"],
                &[],
                &[("LEAN_REGION_REPORT", "report.json")],
            )
        });
    }
    all
}

/// Commands of the tool.
pub fn tool<'a>(search: &'a Search, inputs: &Inputs) -> Vec<Command<'a>> {
    let tree = inputs.tree.display().to_string();
    let make = |name: &'static str, words: &[&str], targets: &[&'static str], old: &Path| Command {
        search,
        name,
        words: [&*search.tool.display().to_string()]
            .iter()
            .chain(words)
            .map(|&word| word.to_owned())
            .collect(),
        env: vec![
            ("LEAN_PATH".into(), tree.clone()),
            ("FAULTS_PID".into(), NUMBER.into()),
        ],
        preload: vec![inputs.shim.clone()],
        inputs: inputs.tree.clone(),
        old: (!targets.is_empty()).then(|| old.to_owned()),
        same_bytes: !targets.contains(&"out.image"),
        targets: targets.to_vec(),
        scope: Scope::Process,
        baseline: OnceLock::new(),
    };
    let base = format!("{tree}/Base.olean");
    let (old, old_refresh) = (inputs.old.as_path(), inputs.old_refresh.as_path());
    vec![
        make("tool/verify", &["verify", &tree], &[], old),
        make("tool/hash", &["hash", &base], &[], old),
        make("tool/dump", &["dump", &base], &[], old),
        make(
            "tool/narrow",
            &["narrow", &base, "out.olean"],
            &["out.olean"],
            old,
        ),
        make(
            "tool/relocate",
            &["relocate", &base, "--base", "0x7f0000000000", "-o", "out.olean"],
            &["out.olean"],
            old,
        ),
        make("tool/refresh", &["refresh", "snap"], &["snap"], old_refresh),
        make(
            "tool/image-build",
            &["image", "build", &tree, "-o", "out.image"],
            &["out.image"],
            old,
        ),
        make(
            "tool/image-refresh",
            &["image", "refresh", "out.image"],
            &["out.image"],
            old_refresh,
        ),
    ]
}
