//! Names, levels and expressions told by their shape alone, for places whose type is not known, such as the
//! entries of extensions. A guess, but a strict one: a whole tree has to fit.

use olean_reader::types::{EXPR, LEVEL, Type};
use olean_reader::{Graph, Kind, NodeId, Value};

/// What an object looks like, all the way down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Other,
    Name,
    Level,
    Levels,
    Literal,
    Expr,
}

/// What all objects of a graph look like.
pub struct Looks(Vec<Look>);

impl Looks {
    /// Looks at every object once, children before parents: compaction orders them so, and dependencies come before
    /// what points into them. Objects in another order are not recognised.
    pub fn new(graph: &Graph<'_, '_>, regions: usize) -> Self {
        let all = (0..graph.len() as u32).map(NodeId);
        let (own, mut order): (Vec<_>, Vec<_>) = all.partition(|&n| regions == 1 || graph.region_of(n) == 0);
        order.extend(own);
        Self::in_order(graph, &order)
    }

    /// The same in an order in which children come before parents.
    pub fn in_order(graph: &Graph<'_, '_>, order: &[NodeId]) -> Self {
        let mut looks = Self(vec![Look::Other; graph.len()]);
        for &n in order {
            looks.0[n.0 as usize] = looks.look(graph, n);
        }
        looks
    }

    /// Whether an object is a name, level or expression, which begin their scalars with 8 bytes that follow from
    /// the rest: hashes, which releases compute in different ways, and what else is cached.
    pub fn caches_data(&self, n: NodeId) -> bool {
        matches!(self.0[n.0 as usize], Look::Name | Look::Level | Look::Expr)
    }

    /// Whether a value is an expression.
    pub fn is_expr(&self, value: Value) -> bool {
        self.of(value) == Look::Expr
    }

    /// The type of a value, if its shape tells.
    pub fn type_of(&self, value: Value) -> Type {
        match self.of(value) {
            Look::Name => Type::Name,
            Look::Level => LEVEL,
            Look::Expr => EXPR,
            _ => Type::Any,
        }
    }

    fn of(&self, value: Value) -> Look {
        match value {
            Value::Object(n) => self.0[n.0 as usize],
            _ => Look::Other,
        }
    }

    fn look(&self, graph: &Graph<'_, '_>, n: NodeId) -> Look {
        if graph.kind(n) != Kind::Ctor {
            return Look::Other;
        }
        let fields: Vec<Value> = match graph.children_len(n) {
            0..=4 => graph.children(n).collect(),
            _ => return Look::Other,
        };
        let is = |v: Value, look| self.of(v) == look;
        let anonymous = |v| v == Value::Scalar(0);
        let name = |v| anonymous(v) || is(v, Look::Name);
        let nat = |v: Value| {
            graph.small_nat(v).is_some() || matches!(v, Value::Object(n) if graph.kind(n) == Kind::Mpz)
        };
        let string = |v: Value| matches!(v, Value::Object(n) if graph.kind(n) == Kind::String);
        // Newer releases keep the level zero as a scalar.
        let level = |v| anonymous(v) || is(v, Look::Level);
        let expr = |v| is(v, Look::Expr);
        // Levels and expressions cache 8 bytes of data; binders have a byte more, before padding.
        match (graph.tag(n), fields.as_slice(), graph.scalars(n).len()) {
            (1, &[prefix, part], 8) if name(prefix) && string(part) => Look::Name,
            (2, &[prefix, part], 8) if name(prefix) && nat(part) => Look::Name,
            (1, &[head, tail], 0) if level(head) && (anonymous(tail) || is(tail, Look::Levels)) => {
                Look::Levels
            }
            (0, &[v], 0) if nat(v) => Look::Literal,
            (1, &[v], 0) if string(v) => Look::Literal,
            // The data of the level zero begins with its hash.
            (0, &[], 8) if graph.scalars(n)[..4] == LEVEL_ZERO_HASH.to_le_bytes() => Look::Level,
            (1, &[v], 8) if level(v) => Look::Level,
            (2 | 3, &[a, b], 8) if level(a) && level(b) => Look::Level,
            (4 | 5, &[v], 8) if is(v, Look::Name) => Look::Level,
            (0, &[v], 8) if nat(v) => Look::Expr,
            (1 | 2, &[v], 8) if is(v, Look::Name) => Look::Expr,
            (3, &[v], 8) if level(v) => Look::Expr,
            (4, &[v, us], 8) if is(v, Look::Name) && (anonymous(us) || is(us, Look::Levels)) => Look::Expr,
            (5, &[f, a], 8) if expr(f) && expr(a) => Look::Expr,
            (6 | 7, &[v, t, b], 9..=16) if name(v) && expr(t) && expr(b) => Look::Expr,
            (8, &[v, t, x, b], 9..=16) if name(v) && expr(t) && expr(x) && expr(b) => Look::Expr,
            (9, &[v], 8) if is(v, Look::Literal) => Look::Expr,
            (10, &[_, e], 8) if expr(e) => Look::Expr,
            (11, &[s, i, e], 8) if name(s) && nat(i) && expr(e) => Look::Expr,
            _ => Look::Other,
        }
    }
}

/// Hash that Lean gives `Level.zero` (upstream `src/Lean/Level.lean`).
const LEVEL_ZERO_HASH: u32 = 2221;
