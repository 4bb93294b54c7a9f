//! Two builds of a few modules, with known changes from the one to the other.

use crate::run::{code, output};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use testkit::{Value, lean, process, real_lean, tree};

const OPTIONS: &str = "set_option autoImplicit false
set_option bootstrap.inductiveCheckResultingUniverse false
set_option genCtorIdx false
set_option genInjectivity false
set_option genSizeOf false
universe u v w
";

/// A module of the module system with declarations of every kind; there is no standard library, so what rests on
/// `sorry` rests on an axiom of that name.
const KNOWN: &str = "public section
namespace Known
axiom sorryAx (α : Sort u) (synthetic : Prop) : α
axiom choice : N
theorem proof (p q : Prop) (a : p) (b : q) : And p q := ⟨a, b⟩
theorem gone (p : Prop) (a : p) : p := a
theorem oldName (p : Prop) (a : p) : p := id a
/-- A doc comment. -/
def documented : N := N.s N.z
def attributed (n : N) : N := N.s n
def univ (α : Type u) (a : α) : α := a
private def hidden (n : N) : N := N.s (N.s n)
def usesHidden (n : N) : N := hidden n
theorem lazy (p : Prop) : p := sorryAx p p
theorem viaLazy (p : Prop) : And p p := ⟨lazy p, lazy p⟩
noncomputable def chosen : N := N.s choice
opaque sealed : N := N.s N.z
def «tief 3» : String := \"eine Zeichenkette\"
mutual
inductive Even : N → Prop where
  | z : Even .z
  | s (n : N) : Odd n → Even (.s n)
inductive Odd : N → Prop where
  | s (n : N) : Even n → Odd (.s n)
end
structure Box where
  n : N
instance : Default Box := ⟨⟨N.z⟩⟩
theorem last (a b : N) (h : Eq a b) : Eq b a := Eq.symm h
end Known
";

/// What the second build has otherwise: one change of each kind.
const CHANGES: [(&str, &str); 7] = [
    ("And p q := ⟨a, b⟩", "And p q := And.intro (id a) b"),
    (
        "theorem gone (p : Prop) (a : p) : p := a",
        "theorem fresh (p q : Prop) (a : p) (_ : q) : p := a",
    ),
    ("oldName", "newName"),
    ("A doc comment.", "Another doc comment."),
    ("def attributed", "@[reducible] def attributed"),
    (
        "def univ (α : Type u) (a : α) : α",
        "def univ.{x} (α : Type x) (a : α) : α",
    ),
    (
        "private def hidden (n : N) : N := N.s (N.s n)",
        "private def hidden (n : N) : N := N.s n",
    ),
];

const FIRST: &str = "theorem Order.first (p : Prop) (a : p) : p := a\n";
const SECOND: &str = "theorem Order.second (p : Prop) (a : p) : p := id a\n";

/// A folder with the builds `old` and `new`: `Base`, `Known` (see [`CHANGES`]), `Order`, whose declarations changed
/// places, `Plain`, which uses no module system and is the same, and `Imports`, which imports one module more.
pub fn dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = testkit::shared_dir("olean-decls");
        make(&dir.join("old"), false);
        make(&dir.join("new"), true);
        dir
    })
}

fn make(dir: &Path, new: bool) {
    let lean = real_lean();
    let tree = tree::generate(dir, 0, 0, 1);
    lean::compile(&lean, &tree, &lean::Options::stock());
    let known = CHANGES
        .iter()
        .filter(|_| new)
        .fold(KNOWN.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        });
    let module = "module\nprelude\npublic import Base\n";
    let order = if new { [SECOND, FIRST] } else { [FIRST, SECOND] };
    let more = if new { "public import Order\n" } else { "" };
    let imports = format!("{module}{more}");
    for (name, head, body) in [
        ("Known", module, known.as_str()),
        ("Order", module, &format!("public section\n{}", order.concat())),
        (
            "Plain",
            "prelude\nimport Known\n",
            "theorem plain (p : Prop) : p := Known.lazy p\n",
        ),
        ("Imports", &imports, "public section\ndef imports : N := N.z\n"),
    ] {
        fs::write(dir.join(format!("{name}.lean")), format!("{head}{OPTIONS}{body}")).expect("a source");
        let mut command = lean::command(&lean, dir, &lean::Options::stock());
        let output = process::run(
            command
                .arg("-o")
                .arg(format!("{name}.olean"))
                .arg(format!("{name}.lean")),
        );
        let output = output.success();
        assert!(
            output.stdout.is_empty() && output.stderr.is_empty(),
            "not silent: {output}"
        );
    }
}

/// What a command prints with `--json`, and its exit code.
pub fn json(args: &[&str]) -> (Value, i32) {
    let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
    let output = output(dir(), &args);
    let text = String::from_utf8_lossy(&output.stderr);
    let value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}\n{text}"));
    (value, code(&output))
}

/// The texts at a key of the objects in a list.
pub fn texts<'v>(list: &'v Value, key: &str) -> Vec<&'v str> {
    let list = list.as_array().unwrap_or_else(|| panic!("no list: {list}"));
    list.iter().filter_map(|v| v[key].as_str()).collect()
}
