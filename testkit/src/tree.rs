//! Trees of Lean modules that need no standard library, so that a bare `lean` can elaborate, save and import
//! them. Generated from a seed: the same arguments give the same bytes on every machine.
//!
//! A tree holds `Base`, which declares what the elaborator asks for (equality, products, natural numbers,
//! lists, strings, classes), the wanted number of modules over it, and `All`, which imports them all. Two
//! thirds of the modules use the module system, so that they are saved in parts (`.olean`, `.olean.server`,
//! `.olean.private`); the others are saved as one part. Declarations come in every kind that works here:
//! inductive types (mutual ones too), structures, classes and instances, theorems, recursive definitions,
//! private ones, string and bignum literals, deep terms, names outside ASCII, documentation.

use crate::rng::Rng;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// A generated tree.
#[derive(Debug, Clone)]
pub struct Tree {
    /// Its directory, which is also the search path of its modules.
    pub dir: PathBuf,
    /// Its modules; each imports only earlier ones. The first is `Base`, the last `All`.
    pub modules: Vec<Module>,
}

/// One module of a [`Tree`].
#[derive(Debug, Clone)]
pub struct Module {
    /// Its name, such as `größe.M7`.
    pub name: String,
    /// Its source file, relative to the tree's directory and without the extension.
    pub stem: PathBuf,
    /// Indices of the modules it imports.
    pub imports: Vec<usize>,
    /// Whether it uses the module system and is saved in three parts.
    pub is_module: bool,
}

impl Module {
    fn new(name: &str, imports: Vec<usize>, is_module: bool) -> Self {
        Self {
            name: name.to_owned(),
            stem: name.split('.').collect(),
            imports,
            is_module,
        }
    }

    /// Its source file, relative to the tree's directory.
    pub fn source(&self) -> PathBuf {
        self.stem.with_extension("lean")
    }

    /// Its main region file, relative to the tree's directory.
    pub fn olean(&self) -> PathBuf {
        self.stem.with_extension("olean")
    }
}

impl Tree {
    /// The module that imports all others.
    pub fn all(&self) -> &Module {
        self.modules.last().expect("a tree is not empty")
    }

    /// Copies the sources, and nothing else, into the directory `dir`.
    pub fn copy_sources(&self, dir: &Path) -> Tree {
        for module in &self.modules {
            let to = dir.join(module.source());
            create_parent(&to);
            let from = self.dir.join(module.source());
            fs::copy(&from, &to).unwrap_or_else(|e| panic!("{} to {}: {e}", from.display(), to.display()));
        }
        Tree {
            dir: dir.to_owned(),
            modules: self.modules.clone(),
        }
    }
}

/// Options that switch off what the elaborator would derive from a library that is not there.
const OPTIONS: &str = "set_option autoImplicit false
set_option bootstrap.inductiveCheckResultingUniverse false
set_option genCtorIdx false
set_option genInjectivity false
set_option genSizeOf false
set_option maxRecDepth 4096
universe u v w
";

/// What the elaborator and the compiler take for granted, declared under the names they look for.
const BASE: &str = r"@[expose] public section
unsafe axiom lcErased : Type
unsafe axiom lcAny : Type
unsafe axiom lcVoid : Type
unsafe axiom lcProof {α : Prop} : α
unsafe axiom lcUnreachable {α : Sort u} : α
@[inline] def id {α : Sort u} (a : α) : α := a
inductive PUnit : Sort u where
  | unit : PUnit
inductive True : Prop where
  | intro : True
inductive False : Prop
inductive Eq {α : Sort u} : α → α → Prop where
  | refl (a : α) : Eq a a
@[reducible] def Eq.ndrec.{u1, u2} {α : Sort u2} {a : α} {motive : α → Sort u1} (m : motive a) {b : α}
    (h : Eq a b) : motive b := Eq.rec m h
theorem Eq.symm {α : Sort u} {a b : α} (h : Eq a b) : Eq b a :=
  Eq.ndrec (motive := fun x => Eq x a) (Eq.refl a) h
@[macro_inline] def cast {α β : Sort u} (h : Eq α β) (a : α) : β := Eq.ndrec (motive := fun x => x) a h
inductive HEq : {α : Sort u} → α → {β : Sort u} → β → Prop where
  | refl {α : Sort u} (a : α) : HEq a a
theorem heq_of_eq {α : Sort u} {a b : α} (h : Eq a b) : HEq a b :=
  Eq.ndrec (motive := fun x => HEq a x) (HEq.refl a) h
theorem eq_of_heq {α : Sort u} {a b : α} (h : HEq a b) : Eq a b :=
  have general : (β : Sort u) → (c : β) → HEq a c → (e : Eq α β) → Eq (cast e a) c :=
    fun _ _ same => HEq.rec
      (motive := fun {β} (c : β) (_ : HEq a c) => (e : Eq α β) → Eq (cast e a) c)
      (fun (_ : Eq α α) => Eq.refl a) same
  general α b h (Eq.refl α)
structure PProd (α : Sort u) (β : Sort v) where
  fst : α
  snd : β
structure And (a b : Prop) : Prop where
  intro ::
  left : a
  right : b
structure Prod (α : Type u) (β : Type v) where
  fst : α
  snd : β
inductive Nat where
  | zero : Nat
  | succ (n : Nat) : Nat
class OfNat (α : Type u) (_ : Nat) where
  ofNat : α
instance instOfNatNat (n : Nat) : OfNat Nat n where
  ofNat := n
inductive List (α : Type u) where
  | nil : List α
  | cons (head : α) (tail : List α) : List α
structure Char where
  val : Nat
structure String where
  chars : List Char
inductive N : Type where
  | z : N
  | s (n : N) : N
class Default (α : Type u) where
  default : α
instance : Default Nat := ⟨0⟩
instance : Default String := ⟨⟨List.nil⟩⟩
instance {α : Type u} : Default (List α) := ⟨List.nil⟩
instance {α : Type u} {β : Type v} [Default α] [Default β] : Default (Prod α β) :=
  ⟨⟨Default.default, Default.default⟩⟩
";

/// Writes a tree of `modules` modules with `decls` declarations each (and `Base` and `All`) into `dir`, which
/// is created.
pub fn generate(dir: &Path, modules: usize, decls: usize, seed: u64) -> Tree {
    let mut random = Rng(seed);
    let mut tree = Tree {
        dir: dir.to_owned(),
        modules: vec![Module::new("Base", vec![], true)],
    };
    write(&tree, 0, BASE);
    for i in 0..modules {
        let name = match random.index(4) {
            0 => format!("Sub.Dir.M{i}"),
            1 => format!("größe.M{i}"),
            _ => format!("M{i}"),
        };
        let is_module = random.index(3) != 0;
        let imports = imports(&tree, is_module, &mut random);
        tree.modules.push(Module::new(&name, imports, is_module));
        let mut text = format!(
            "{}namespace {name}\n",
            if is_module { "public section\n" } else { "" }
        );
        for k in 0..decls {
            declaration(&mut text, k, &mut random);
        }
        writeln!(text, "end {name}").expect("text grows");
        write(&tree, i + 1, &text);
    }
    let everything = (0..tree.modules.len()).collect();
    tree.modules.push(Module::new("All", everything, false));
    write(&tree, modules + 1, "");
    tree
}

/// `Base` and up to three earlier modules; a module of the module system imports only its like.
fn imports(tree: &Tree, is_module: bool, random: &mut Rng) -> Vec<usize> {
    let mut imports = vec![0];
    for _ in 0..3 {
        let candidate = random.index(tree.modules.len());
        if (!is_module || tree.modules[candidate].is_module) && !imports.contains(&candidate) {
            imports.push(candidate);
        }
    }
    imports.sort_unstable();
    imports
}

fn write(tree: &Tree, index: usize, body: &str) {
    let module = &tree.modules[index];
    let mut text = String::from(if module.is_module {
        "module\nprelude\n"
    } else {
        "prelude\n"
    });
    for &import in &module.imports {
        let public = if module.is_module { "public " } else { "" };
        writeln!(text, "{public}import {}", tree.modules[import].name).expect("text grows");
    }
    text.push_str(OPTIONS);
    text.push_str(body);
    let path = tree.dir.join(module.source());
    create_parent(&path);
    fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

fn create_parent(path: &Path) {
    let parent = path.parent().expect("a file lies in a directory");
    fs::create_dir_all(parent).unwrap_or_else(|e| panic!("{}: {e}", parent.display()));
}

/// One declaration, or a few that belong together; `k` makes their names unique in the module.
fn declaration(text: &mut String, k: usize, random: &mut Rng) {
    let n = random.index(30);
    let digits: String = (0..20 + n * 3)
        .map(|_| char::from(b'1' + random.index(9) as u8))
        .collect();
    let written = match random.index(12) {
        0 => {
            let constructors: String = (0..=random.index(4))
                .map(|j| format!("  | c{j} (a : α) (x : N) (rest : T{k} α) : T{k} α\n"))
                .collect();
            writeln!(
                text,
                "inductive T{k} (α : Type u) : Type u where\n{constructors}  | «末» : T{k} α"
            )
        }
        1 => writeln!(text, "theorem t{k} : Eq {0} {0} := Eq.refl _", numeral(n)),
        2 => writeln!(
            text,
            "theorem f{k} (α : Type u) (a b : α) (h : Eq a b) : Eq b a := Eq.symm h"
        ),
        3 => writeln!(
            text,
            "/-- Number {n}: ☃ → {digits} -/\ndef zahl{k}₁ : Nat := {digits}"
        ),
        4 => writeln!(
            text,
            "def str{k} : String := \"{digits} wörter ☃ 𝔸 {}\"",
            "x".repeat(n * n)
        ),
        5 => writeln!(
            text,
            "structure S{k} (α : Type u) where\n  x{k} : Nat\n  ys : List α\n\
             structure R{k} (α : Type u) extends S{k} α where\n  z : α\n  w : Nat := x{k}"
        ),
        6 => writeln!(
            text,
            "mutual\ninductive Even{k} : N → Prop where\n  | z : Even{k} .z\n  | s (n : N) : Odd{k} n → Even{k} (.s n)\n\
             inductive Odd{k} : N → Prop where\n  | s (n : N) : Even{k} n → Odd{k} (.s n)\nend"
        ),
        7 => writeln!(
            text,
            "def add{k} : N → N → N\n  | .z, b => b\n  | .s a, b => .s (add{k} a b)"
        ),
        8 => writeln!(
            text,
            "structure I{k} where\n  n : Nat\ninstance : Default I{k} := ⟨⟨{n}⟩⟩\n\
             def d{k} : Prod I{k} (List Nat) := Default.default"
        ),
        9 => {
            let depth = if random.index(8) == 0 { 600 } else { n };
            writeln!(text, "def «tief {k}» : N := {}", numeral(depth))
        }
        10 => writeln!(
            text,
            "private def hidden{k} (n : Nat) : Nat := n\n\
             theorem both{k} (p q : Prop) (a : p) (b : q) : And q p := ⟨b, a⟩"
        ),
        _ => {
            let cells = (0..n).fold("List.nil".to_owned(), |tail, i| format!("List.cons {i} ({tail})"));
            writeln!(
                text,
                "def list{k} : List Nat := {cells}\ntheorem big{k} : Eq ({digits} : Nat) {digits} := Eq.refl _"
            )
        }
    };
    written.expect("text grows");
}

fn numeral(n: usize) -> String {
    format!("{}N.z{}", "(N.s ".repeat(n), ")".repeat(n))
}
