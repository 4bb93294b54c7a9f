//! What a declaration is: its kind, and what attributes say about it.

use serde::Serialize;
use std::fmt;

/// The kind of a declaration, as the kernel knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A proved proposition.
    Theorem,
    /// A definition with a value that unfolds.
    Def,
    /// A constant that is assumed.
    Axiom,
    /// An inductive type.
    Inductive,
    /// A constructor of one.
    Constructor,
    /// The recursor of one.
    Recursor,
    /// A definition whose value never unfolds.
    Opaque,
    /// One of the four constants of quotients.
    Quot,
}

impl Kind {
    /// All kinds, in the order in which they are counted.
    pub const ALL: [Self; 8] = [
        Self::Theorem,
        Self::Def,
        Self::Axiom,
        Self::Inductive,
        Self::Constructor,
        Self::Recursor,
        Self::Opaque,
        Self::Quot,
    ];

    /// The kind of a `Lean.ConstantInfo` with this tag (upstream `src/Lean/Declaration.lean`).
    pub fn of_constant(tag: u8) -> Option<Self> {
        Some(match tag {
            0 => Self::Axiom,
            1 => Self::Def,
            2 => Self::Theorem,
            3 => Self::Opaque,
            4 => Self::Quot,
            5 => Self::Inductive,
            6 => Self::Constructor,
            7 => Self::Recursor,
            _ => return None,
        })
    }

    /// The kind that a `Lean.ConstantKind` says, which counts otherwise than `ConstantInfo`
    /// (upstream `src/Lean/Environment.lean`).
    pub fn of_original(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::Def,
            1 => Self::Theorem,
            2 => Self::Axiom,
            3 => Self::Opaque,
            4 => Self::Quot,
            5 => Self::Inductive,
            6 => Self::Constructor,
            7 => Self::Recursor,
            _ => return None,
        })
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Theorem => "theorem",
            Self::Def => "def",
            Self::Axiom => "axiom",
            Self::Inductive => "inductive",
            Self::Constructor => "constructor",
            Self::Recursor => "recursor",
            Self::Opaque => "opaque",
            Self::Quot => "quot",
        }
    }

    /// The word for several.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Theorem => "theorems",
            Self::Def => "defs",
            Self::Axiom => "axioms",
            Self::Inductive => "inductives",
            Self::Constructor => "constructors",
            Self::Recursor => "recursors",
            Self::Opaque => "opaques",
            Self::Quot => "quots",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Attributes of a declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(u16);

impl Flags {
    /// Found by instance search.
    pub const INSTANCE: Self = Self(1);
    /// A class.
    pub const CLASS: Self = Self(2);
    /// A structure; classes are ones too and only called classes.
    pub const STRUCTURE: Self = Self(4);
    /// Unfolded nearly everywhere.
    pub const REDUCIBLE: Self = Self(8);
    /// Unfolded nearly nowhere.
    pub const IRREDUCIBLE: Self = Self(16);
    /// Its short name does not do in its namespace.
    pub const PROTECTED: Self = Self(32);
    /// Known in its module only.
    pub const PRIVATE: Self = Self(64);
    /// Outside the logic.
    pub const UNSAFE: Self = Self(128);
    /// Need not terminate.
    pub const PARTIAL: Self = Self(256);

    const WORDS: [(Self, &'static str); 9] = [
        (Self::INSTANCE, "instance"),
        (Self::CLASS, "class"),
        (Self::STRUCTURE, "structure"),
        (Self::REDUCIBLE, "reducible"),
        (Self::IRREDUCIBLE, "irreducible"),
        (Self::PROTECTED, "protected"),
        (Self::PRIVATE, "private"),
        (Self::UNSAFE, "unsafe"),
        (Self::PARTIAL, "partial"),
    ];

    /// Adds an attribute.
    pub fn set(&mut self, flag: Self) {
        self.0 |= flag.0;
    }

    /// Whether an attribute is there.
    pub fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    /// The words for what is there.
    pub fn words(self) -> Vec<&'static str> {
        let there = Self::WORDS.iter().filter(|(flag, _)| self.has(*flag));
        let words = there.filter(|(flag, _)| *flag != Self::STRUCTURE || !self.has(Self::CLASS));
        words.map(|(_, word)| *word).collect()
    }
}
