//! The types of what Lean keeps in module files, as far as constructors, field names and field types go.
//! Files carry no types: a type is followed from a root that looks like module data, and left as soon as
//! an object does not have one of its shapes (upstream `src/Lean/Environment.lean`, `Declaration.lean`,
//! `Expr.lean`, `Level.lean`, `src/Init/Prelude.lean`).

use super::graph::{Graph, Value};
use super::space::NodeId;
use crate::format::object::Kind;
use std::fmt;

/// A type, as far as it is known.
#[derive(Clone, Copy)]
pub enum Type {
    /// Nothing is known.
    Any,
    /// `Lean.Name`.
    Name,
    /// `Array` of a type.
    Array(&'static Type),
    /// `List` of a type.
    List(&'static Type),
    /// An inductive type with these constructors.
    Data(&'static [Ctor]),
}

// Types contain themselves, so none of this is derived.
impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("Any"),
            Self::Name => f.write_str("Name"),
            Self::Array(_) => f.write_str("Array"),
            Self::List(_) => f.write_str("List"),
            Self::Data(ctors) => f.write_str(ctors[0].name),
        }
    }
}

/// A constructor of an inductive type.
pub struct Ctor {
    /// Its tag.
    pub tag: u8,
    /// Its name, as in `Expr.app`.
    pub name: &'static str,
    /// Names and types of its pointer fields.
    pub fields: &'static [(&'static str, Type)],
}

const NAMES: Type = Type::List(&Type::Name);

static LEVELS: [Ctor; 5] = [
    Ctor {
        tag: 1,
        name: "Level.succ",
        fields: &[("level", Type::Data(&LEVELS))],
    },
    Ctor {
        tag: 2,
        name: "Level.max",
        fields: &[("lhs", Type::Data(&LEVELS)), ("rhs", Type::Data(&LEVELS))],
    },
    Ctor {
        tag: 3,
        name: "Level.imax",
        fields: &[("lhs", Type::Data(&LEVELS)), ("rhs", Type::Data(&LEVELS))],
    },
    Ctor {
        tag: 4,
        name: "Level.param",
        fields: &[("name", Type::Name)],
    },
    Ctor {
        tag: 5,
        name: "Level.mvar",
        fields: &[("mvarId", Type::Name)],
    },
];

static EXPRS: [Ctor; 12] = [
    Ctor {
        tag: 0,
        name: "Expr.bvar",
        fields: &[("deBruijnIndex", Type::Any)],
    },
    Ctor {
        tag: 1,
        name: "Expr.fvar",
        fields: &[("fvarId", Type::Name)],
    },
    Ctor {
        tag: 2,
        name: "Expr.mvar",
        fields: &[("mvarId", Type::Name)],
    },
    Ctor {
        tag: 3,
        name: "Expr.sort",
        fields: &[("u", Type::Data(&LEVELS))],
    },
    Ctor {
        tag: 4,
        name: "Expr.const",
        fields: &[("declName", Type::Name), ("us", Type::List(&Type::Data(&LEVELS)))],
    },
    Ctor {
        tag: 5,
        name: "Expr.app",
        fields: &[("fn", Type::Data(&EXPRS)), ("arg", Type::Data(&EXPRS))],
    },
    Ctor {
        tag: 6,
        name: "Expr.lam",
        fields: &[
            ("binderName", Type::Name),
            ("binderType", Type::Data(&EXPRS)),
            ("body", Type::Data(&EXPRS)),
        ],
    },
    Ctor {
        tag: 7,
        name: "Expr.forallE",
        fields: &[
            ("binderName", Type::Name),
            ("binderType", Type::Data(&EXPRS)),
            ("body", Type::Data(&EXPRS)),
        ],
    },
    Ctor {
        tag: 8,
        name: "Expr.letE",
        fields: &[
            ("declName", Type::Name),
            ("type", Type::Data(&EXPRS)),
            ("value", Type::Data(&EXPRS)),
            ("body", Type::Data(&EXPRS)),
        ],
    },
    Ctor {
        tag: 9,
        name: "Expr.lit",
        fields: &[("literal", Type::Data(&LITERAL))],
    },
    Ctor {
        tag: 10,
        name: "Expr.mdata",
        fields: &[("data", Type::Any), ("expr", Type::Data(&EXPRS))],
    },
    Ctor {
        tag: 11,
        name: "Expr.proj",
        fields: &[
            ("typeName", Type::Name),
            ("idx", Type::Any),
            ("struct", Type::Data(&EXPRS)),
        ],
    },
];

static LITERAL: [Ctor; 2] = [
    Ctor {
        tag: 0,
        name: "Literal.natVal",
        fields: &[("val", Type::Any)],
    },
    Ctor {
        tag: 1,
        name: "Literal.strVal",
        fields: &[("val", Type::Any)],
    },
];

static CONSTANT_VAL: [Ctor; 1] = [Ctor {
    tag: 0,
    name: "ConstantVal",
    fields: &[
        ("name", Type::Name),
        ("levelParams", NAMES),
        ("type", Type::Data(&EXPRS)),
    ],
}];

static AXIOM: [Ctor; 1] = [Ctor {
    tag: 0,
    name: "AxiomVal",
    fields: &[("toConstantVal", Type::Data(&CONSTANT_VAL))],
}];
static DEFN: [Ctor; 1] = [Ctor {
    tag: 0,
    name: "DefinitionVal",
    fields: &[
        ("toConstantVal", Type::Data(&CONSTANT_VAL)),
        ("value", Type::Data(&EXPRS)),
        ("hints", Type::Any),
        ("all", NAMES),
    ],
}];
static THM: [Ctor; 1] = [Ctor {
    tag: 0,
    name: "TheoremVal",
    fields: &[
        ("toConstantVal", Type::Data(&CONSTANT_VAL)),
        ("value", Type::Data(&EXPRS)),
        ("all", NAMES),
    ],
}];
static OPAQUE: [Ctor; 1] = [Ctor {
    tag: 0,
    name: "OpaqueVal",
    fields: &[
        ("toConstantVal", Type::Data(&CONSTANT_VAL)),
        ("value", Type::Data(&EXPRS)),
        ("all", NAMES),
    ],
}];
static QUOT: [Ctor; 1] = [Ctor {
    tag: 0,
    name: "QuotVal",
    fields: &[("toConstantVal", Type::Data(&CONSTANT_VAL))],
}];
static INDUCT: [Ctor; 1] = [Ctor {
    tag: 0,
    name: "InductiveVal",
    fields: &[
        ("toConstantVal", Type::Data(&CONSTANT_VAL)),
        ("numParams", Type::Any),
        ("numIndices", Type::Any),
        ("all", NAMES),
        ("ctors", NAMES),
        ("numNested", Type::Any),
    ],
}];
static CTOR: [Ctor; 1] = [Ctor {
    tag: 0,
    name: "ConstructorVal",
    fields: &[
        ("toConstantVal", Type::Data(&CONSTANT_VAL)),
        ("induct", Type::Name),
        ("cidx", Type::Any),
        ("numParams", Type::Any),
        ("numFields", Type::Any),
    ],
}];
static RULE: [Ctor; 1] = [Ctor {
    tag: 0,
    name: "RecursorRule",
    fields: &[
        ("ctor", Type::Name),
        ("nfields", Type::Any),
        ("rhs", Type::Data(&EXPRS)),
    ],
}];
static REC: [Ctor; 1] = [Ctor {
    tag: 0,
    name: "RecursorVal",
    fields: &[
        ("toConstantVal", Type::Data(&CONSTANT_VAL)),
        ("all", NAMES),
        ("numParams", Type::Any),
        ("numIndices", Type::Any),
        ("numMotives", Type::Any),
        ("numMinors", Type::Any),
        ("rules", Type::List(&Type::Data(&RULE))),
    ],
}];

static CONSTANT: [Ctor; 8] = [
    Ctor {
        tag: 0,
        name: "ConstantInfo.axiomInfo",
        fields: &[("val", Type::Data(&AXIOM))],
    },
    Ctor {
        tag: 1,
        name: "ConstantInfo.defnInfo",
        fields: &[("val", Type::Data(&DEFN))],
    },
    Ctor {
        tag: 2,
        name: "ConstantInfo.thmInfo",
        fields: &[("val", Type::Data(&THM))],
    },
    Ctor {
        tag: 3,
        name: "ConstantInfo.opaqueInfo",
        fields: &[("val", Type::Data(&OPAQUE))],
    },
    Ctor {
        tag: 4,
        name: "ConstantInfo.quotInfo",
        fields: &[("val", Type::Data(&QUOT))],
    },
    Ctor {
        tag: 5,
        name: "ConstantInfo.inductInfo",
        fields: &[("val", Type::Data(&INDUCT))],
    },
    Ctor {
        tag: 6,
        name: "ConstantInfo.ctorInfo",
        fields: &[("val", Type::Data(&CTOR))],
    },
    Ctor {
        tag: 7,
        name: "ConstantInfo.recInfo",
        fields: &[("val", Type::Data(&REC))],
    },
];

static IMPORT: [Ctor; 1] = [Ctor {
    tag: 0,
    name: "Import",
    fields: &[("module", Type::Name)],
}];
static ENTRY: [Ctor; 1] = [Ctor {
    tag: 0,
    name: "Prod.mk",
    fields: &[("fst", Type::Name), ("snd", Type::Array(&Type::Any))],
}];

static MODULE: [Ctor; 1] = [Ctor {
    tag: 0,
    name: "ModuleData",
    fields: &[
        ("imports", Type::Array(&Type::Data(&IMPORT))),
        ("constNames", Type::Array(&Type::Name)),
        ("constants", Type::Array(&Type::Data(&CONSTANT))),
        ("extraConstNames", Type::Array(&Type::Name)),
        ("entries", Type::Array(&Type::Data(&ENTRY))),
    ],
}];

/// The root of every part of a module: imports, constants, entries of extensions.
pub const MODULE_DATA: Type = Type::Data(&MODULE);

/// `Lean.Level`; `Level.zero`, an object without fields, is none of the constructors listed.
pub const LEVEL: Type = Type::Data(&LEVELS);
/// `Lean.Expr`.
pub const EXPR: Type = Type::Data(&EXPRS);

impl Graph<'_, '_> {
    /// The type of the root: module data where it looks like it.
    #[must_use]
    pub fn root_type(&self) -> Type {
        let Value::Object(root) = self.root() else {
            return Type::Any;
        };
        let arrays = |v| matches!(v, Value::Object(n) if self.kind(n) == Kind::Array);
        let fits = self.shape(MODULE_DATA, root).is_some() && self.children(root).all(arrays);
        if fits { MODULE_DATA } else { Type::Any }
    }

    /// The constructor of `ty` that an object is, if its tag and number of fields fit one.
    #[must_use]
    pub fn shape(&self, ty: Type, n: NodeId) -> Option<&'static Ctor> {
        let Type::Data(ctors) = ty else { return None };
        let (kind, tag, len) = (self.kind(n), self.tag(n), self.children_len(n));
        let fits = |c: &&Ctor| kind == Kind::Ctor && c.tag == tag && c.fields.len() == len;
        ctors.iter().find(fits)
    }

    /// The type of pointer field `i` of an object of type `ty`.
    #[must_use]
    pub fn child_type(&self, ty: Type, n: NodeId, i: usize) -> Type {
        match ty {
            Type::Data(_) => self.shape(ty, n).map_or(Type::Any, |c| c.fields[i].1),
            Type::Array(element) if self.kind(n) == Kind::Array => *element,
            Type::List(element) if self.is_cons(n) => {
                if i == 0 {
                    *element
                } else {
                    ty
                }
            }
            _ => Type::Any,
        }
    }

    /// Whether an object has the shape of `List.cons`.
    #[must_use]
    pub fn is_cons(&self, n: NodeId) -> bool {
        self.kind(n) == Kind::Ctor && self.tag(n) == 1 && self.children_len(n) == 2
    }
}
