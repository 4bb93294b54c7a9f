//! Levels and expressions on one line, near to how Lean prints them. Iterative, and no longer than asked for.

use olean_reader::types::{EXPR, LEVEL, Type};
use olean_reader::{Graph, NodeId, Value};
use std::collections::HashSet;
use std::ops::Range;

/// At most so many objects are searched for a use of a bound variable.
const MAX_SEARCH: usize = 2000;

/// A text, and whether it is all there is.
pub struct Line {
    pub text: String,
    pub complete: bool,
}

/// A field of an object.
pub type Edge = (NodeId, usize);

/// What is to be seen in a term besides its text.
#[derive(Clone, Copy)]
pub struct Marks<'m> {
    /// Fields whose texts are reported.
    pub differs: &'m HashSet<Edge>,
    /// Those and the fields that lead to them.
    pub touched: &'m HashSet<Edge>,
    /// Whether what does not lead to a difference is left out where it is not short.
    pub elide: bool,
}

/// A text with its marked parts.
pub struct Marked {
    pub text: String,
    pub complete: bool,
    /// Characters, ascending and apart.
    pub spans: Vec<Range<usize>>,
}

/// Terms with more objects are left out where only differences are wanted.
const SHORT: usize = 8;

/// Whether values of this type can be written on one line.
pub fn is_term(graph: &Graph<'_, '_>, ty: Type, n: NodeId) -> bool {
    is_level_zero(graph, ty, n)
        || graph
            .shape(ty, n)
            .is_some_and(|c| c.name.starts_with("Expr.") || c.name.starts_with("Level."))
}

fn is_level_zero(graph: &Graph<'_, '_>, ty: Type, n: NodeId) -> bool {
    // `Level.zero` is the only constructor without fields.
    matches!((ty, LEVEL), (Type::Data(a), Type::Data(b)) if std::ptr::eq(a, b)) && graph.children_len(n) == 0
}

/// The expression or level `n` of type `ty` in at most `budget` characters.
pub fn line(graph: &Graph<'_, '_>, ty: Type, n: NodeId, budget: usize) -> Line {
    let mut writer = Writer {
        graph,
        names: Vec::new(),
        stack: vec![Item::Value(Value::Object(n), ty, Context::default(), Free, None)],
        text: String::new(),
        len: 0,
        budget,
        marks: None,
        spans: Vec::new(),
        open: None,
    };
    let complete = writer.run();
    Line {
        text: writer.text,
        complete,
    }
}

/// The expression `n` below binders of these names (outermost first) in at most `budget` characters.
pub fn marked(
    graph: &Graph<'_, '_>,
    binders: &[Value],
    n: NodeId,
    budget: usize,
    marks: Marks<'_>,
) -> Marked {
    let mut writer = Writer {
        graph,
        names: Vec::new(),
        stack: Vec::new(),
        text: String::new(),
        len: 0,
        budget,
        marks: Some(marks),
        spans: Vec::new(),
        open: None,
    };
    let mut context = Context::default();
    for &name in binders {
        context = writer.bind(name, context);
    }
    writer
        .stack
        .push(Item::Value(Value::Object(n), EXPR, context, Free, None));
    let complete = writer.run();
    if let Some(start) = writer.open {
        writer.spans.push(start..writer.text.chars().count());
    }
    Marked {
        text: writer.text,
        complete,
        spans: writer.spans,
    }
}

/// The innermost bound variable, by its index in `names`.
type Context = Option<usize>;

enum Item {
    Text(String),
    Word(&'static str),
    /// A value of this type, where it stands, and in which field it is.
    Value(Value, Type, Context, Position, Option<Edge>),
    /// The beginning of a marked part.
    Open,
    /// The end of a marked part.
    Close,
}

/// Where a term stands, which decides what needs parentheses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Position {
    /// Anything may stand here.
    Free,
    /// Left of an arrow: no binders.
    Left,
    /// An argument: one word.
    Argument,
}
use Position::{Argument, Free, Left};

struct Writer<'g, 'r, 'a> {
    graph: &'g Graph<'r, 'a>,
    marks: Option<Marks<'g>>,
    spans: Vec<Range<usize>>,
    /// Where the marked part that is being written begins.
    open: Option<usize>,
    /// Bound variables: name, and the one around it.
    names: Vec<(String, Context)>,
    stack: Vec<Item>,
    text: String,
    len: usize,
    budget: usize,
}

impl Writer<'_, '_, '_> {
    fn run(&mut self) -> bool {
        while let Some(item) = self.stack.pop() {
            let complete = match item {
                Item::Text(t) => self.put(&t),
                Item::Word(t) => self.put(t),
                Item::Open => {
                    self.open = Some(self.len);
                    true
                }
                Item::Close => {
                    let start = self.open.take().unwrap_or(self.len);
                    self.spans.push(start..self.len);
                    true
                }
                Item::Value(v, ty, context, at, edge) => {
                    if self.differs(edge) {
                        self.open = Some(self.len);
                        self.stack.push(Item::Close);
                    }
                    if self.is_left_out(v, ty, edge) {
                        self.put("⋯")
                    } else {
                        self.value(v, ty, context, at);
                        true
                    }
                }
            };
            if !complete {
                self.text.push('…');
                return false;
            }
        }
        true
    }

    /// Whether a marked part begins with this field.
    fn differs(&self, edge: Option<Edge>) -> bool {
        let marked = self.marks.zip(edge).is_some_and(|(m, e)| m.differs.contains(&e));
        marked && self.open.is_none()
    }

    /// Whether an expression is left out because nothing below it differs.
    fn is_left_out(&self, v: Value, ty: Type, edge: Option<Edge>) -> bool {
        let (Some(marks), Some(edge), Value::Object(n)) = (self.marks, edge, v) else {
            return false;
        };
        let is_expr = matches!((ty, EXPR), (Type::Data(a), Type::Data(b)) if std::ptr::eq(a, b));
        let equal = self.open.is_none() && !marks.touched.contains(&edge);
        marks.elide && is_expr && equal && !self.is_short(n)
    }

    fn is_short(&self, n: NodeId) -> bool {
        let mut stack = vec![n];
        let mut seen = 0;
        while let Some(n) = stack.pop() {
            seen += 1;
            if seen > SHORT {
                return false;
            }
            let shape = self.graph.shape(EXPR, n);
            let below = self.graph.children(n).filter_map(|v| match v {
                Value::Object(c) if shape.is_some() && self.graph.shape(EXPR, c).is_some() => Some(c),
                _ => None,
            });
            stack.extend(below);
        }
        true
    }

    fn put(&mut self, t: &str) -> bool {
        for c in t.chars() {
            if self.len + 1 >= self.budget {
                return false;
            }
            self.len += 1;
            self.text.push(c);
        }
        true
    }

    /// Lays out items so that the first of them comes next.
    fn next(&mut self, items: Vec<Item>, paren: bool) {
        if paren {
            self.stack.push(Item::Word(")"));
        }
        self.stack.extend(items.into_iter().rev());
        if paren {
            self.stack.push(Item::Word("("));
        }
    }

    fn value(&mut self, v: Value, ty: Type, context: Context, at: Position) {
        let graph = self.graph;
        let Value::Object(n) = v else {
            self.stack.push(Item::Text(match v {
                Value::Scalar(v) => v.to_string(),
                _ => "?".to_owned(),
            }));
            return;
        };
        if is_level_zero(graph, ty, n) {
            return self.stack.push(Item::Word("0"));
        }
        let Some(shape) = graph.shape(ty, n) else {
            return self.stack.push(Item::Word("?"));
        };
        let field = |i| graph.child(n, i).expect("the shape has so many fields");
        let expr = |i, at| Item::Value(field(i), EXPR, context, at, Some((n, i)));
        let level = |i| Item::Value(field(i), LEVEL, context, Argument, None);
        let name = |i| Item::Text(binder(graph, field(i)));
        match shape.name {
            "Expr.bvar" => {
                let text = self.variable(graph.small_nat(field(0)), context);
                self.stack.push(Item::Text(text));
            }
            "Expr.fvar" | "Level.param" | "Expr.const" => self.stack.push(name(0)),
            "Expr.mvar" | "Level.mvar" => self.next(vec![Item::Word("?"), name(0)], false),
            "Expr.sort" => self.sort(field(0), context, at == Argument),
            "Expr.app" => self.application(n, context, at == Argument),
            "Expr.lam" => {
                let [open, close] = brackets(graph, n);
                let binder = vec![
                    Item::Word("fun "),
                    Item::Word(open),
                    name(0),
                    Item::Word(" : "),
                    expr(1, Free),
                ];
                let inner = self.bind(field(0), context);
                let body = vec![
                    Item::Word(close),
                    Item::Word(" => "),
                    Item::Value(field(2), EXPR, inner, Free, Some((n, 2))),
                ];
                self.next(binder.into_iter().chain(body).collect(), at > Free);
            }
            "Expr.forallE" => {
                let inner = self.bind(field(0), context);
                let body = Item::Value(field(2), EXPR, inner, Free, Some((n, 2)));
                let [open, close] = brackets(graph, n);
                let items = if self.is_used(field(2)) || open != "(" {
                    let binder = vec![
                        Item::Word("∀ "),
                        Item::Word(open),
                        name(0),
                        Item::Word(" : "),
                        expr(1, Free),
                    ];
                    binder
                        .into_iter()
                        .chain([Item::Word(close), Item::Word(", "), body])
                        .collect()
                } else {
                    vec![expr(1, Left), Item::Word(" → "), body]
                };
                self.next(items, at > Free);
            }
            "Expr.letE" => {
                let head = vec![
                    Item::Word("let "),
                    name(0),
                    Item::Word(" : "),
                    expr(1, Free),
                    Item::Word(" := "),
                    expr(2, Free),
                ];
                let inner = self.bind(field(0), context);
                let body = [
                    Item::Word("; "),
                    Item::Value(field(3), EXPR, inner, Free, Some((n, 3))),
                ];
                self.next(head.into_iter().chain(body).collect(), at > Free);
            }
            "Expr.lit" => {
                let text = self.literal(field(0));
                self.stack.push(Item::Text(text));
            }
            "Expr.mdata" => self
                .stack
                .push(Item::Value(field(1), EXPR, context, at, Some((n, 1)))),
            "Expr.proj" => {
                let index = graph
                    .small_nat(field(1))
                    .map_or("?".to_owned(), |i| (i + 1).to_string());
                self.next(vec![expr(2, Argument), Item::Text(format!(".{index}"))], false);
            }
            "Level.succ" => {
                let (base, add) = self.successors(v);
                match base {
                    Some(base) => {
                        let items = vec![
                            Item::Value(base, LEVEL, context, Argument, None),
                            Item::Text(format!("+{add}")),
                        ];
                        self.next(items, false);
                    }
                    None => self.stack.push(Item::Text(add.to_string())),
                }
            }
            "Level.max" => self.next(
                vec![Item::Word("max "), level(0), Item::Word(" "), level(1)],
                at == Argument,
            ),
            "Level.imax" => self.next(
                vec![Item::Word("imax "), level(0), Item::Word(" "), level(1)],
                at == Argument,
            ),
            _ => self.stack.push(Item::Word("?")),
        }
    }

    fn bind(&mut self, name: Value, context: Context) -> Context {
        self.names.push((binder(self.graph, name), context));
        Some(self.names.len() - 1)
    }

    /// The name of bound variable number `index`, counted from the innermost.
    fn variable(&self, index: Option<u64>, mut context: Context) -> String {
        let Some(index) = index else {
            return "#?".to_owned();
        };
        for left in (0..=index).rev() {
            let Some(at) = context else { break };
            let (name, outer) = &self.names[at];
            if left == 0 {
                return name.clone();
            }
            context = *outer;
        }
        format!("#{index}")
    }

    /// The level under successors, `None` for zero, and their number.
    fn successors(&self, v: Value) -> (Option<Value>, u64) {
        let (mut v, mut add) = (v, 0);
        while let Value::Object(n) = v {
            if is_level_zero(self.graph, LEVEL, n) {
                return (None, add);
            }
            match self.graph.shape(LEVEL, n) {
                Some(c) if c.name == "Level.succ" => v = self.graph.child(n, 0).expect("it has a field"),
                _ => break,
            }
            add += 1;
        }
        (if v == Value::Scalar(0) { None } else { Some(v) }, add)
    }

    fn sort(&mut self, level: Value, context: Context, paren: bool) {
        let (base, add) = self.successors(level);
        match (base, add) {
            (None, 0) => self.stack.push(Item::Word("Prop")),
            (None, 1) => self.stack.push(Item::Word("Type")),
            (None, n) => self.next(vec![Item::Text(format!("Type {}", n - 1))], paren),
            (Some(base), 0) => self.next(
                vec![
                    Item::Word("Sort "),
                    Item::Value(base, LEVEL, context, Argument, None),
                ],
                paren,
            ),
            (Some(base), n) => {
                let more = if n > 1 {
                    format!("+{}", n - 1)
                } else {
                    String::new()
                };
                let items = vec![
                    Item::Word("Type "),
                    Item::Value(base, LEVEL, context, Argument, None),
                    Item::Text(more),
                ];
                self.next(items, paren);
            }
        }
    }

    fn application(&mut self, n: NodeId, context: Context, paren: bool) {
        let mut items = Vec::new();
        let mut head = Value::Object(n);
        let (mut edge, mut closing) = (None, false);
        // More arguments than characters are left are not shown anyway; the rest stays one item.
        while let Value::Object(f) = head
            && items.len() <= self.budget
            && self.graph.shape(EXPR, f).is_some_and(|c| c.name == "Expr.app")
        {
            // A function that differs as a whole is marked from its head to its last argument.
            if !closing && self.differs(edge) {
                items.push(Item::Close);
                closing = true;
            }
            let [function, argument] =
                [0, 1].map(|i| self.graph.child(f, i).expect("an application has two fields"));
            let below = if closing { None } else { Some((f, 1)) };
            items.extend([
                Item::Value(argument, EXPR, context, Argument, below),
                Item::Word(" "),
            ]);
            (head, edge) = (function, Some((f, 0)));
        }
        items.push(Item::Value(
            head,
            EXPR,
            context,
            Argument,
            edge.filter(|_| !closing),
        ));
        if closing {
            items.push(Item::Open);
        }
        items.reverse();
        self.next(items, paren);
    }

    fn literal(&self, v: Value) -> String {
        let Value::Object(n) = v else {
            return "?".to_owned();
        };
        match self.graph.child(n, 0) {
            Some(Value::Scalar(v)) => v.to_string(),
            Some(Value::Object(n)) => match (self.graph.string(n), self.graph.bignum(n)) {
                (Some(s), _) => format!("{s:?}"),
                (_, Some(v)) if v.magnitude.len() <= self.budget => v.to_decimal(),
                _ => "…".to_owned(),
            },
            _ => "?".to_owned(),
        }
    }

    /// Whether the innermost bound variable occurs; `true` also when that takes too long to find out.
    fn is_used(&self, body: Value) -> bool {
        let mut stack = vec![(body, 0u64)];
        let mut steps = 0;
        while let Some((v, depth)) = stack.pop() {
            let Value::Object(n) = v else { continue };
            let Some(shape) = self.graph.shape(EXPR, n) else {
                continue;
            };
            steps += 1;
            if steps > MAX_SEARCH {
                return true;
            }
            let field = |i| self.graph.child(n, i).expect("the shape has so many fields");
            match shape.name {
                "Expr.bvar" if self.graph.small_nat(field(0)) == Some(depth) => return true,
                "Expr.app" => stack.extend([(field(0), depth), (field(1), depth)]),
                "Expr.lam" | "Expr.forallE" => stack.extend([(field(1), depth), (field(2), depth + 1)]),
                "Expr.letE" => stack.extend([(field(1), depth), (field(2), depth), (field(3), depth + 1)]),
                "Expr.mdata" => stack.push((field(1), depth)),
                "Expr.proj" => stack.push((field(2), depth)),
                _ => {}
            }
        }
        false
    }
}

/// A name, without what macros append to keep names apart.
fn binder(graph: &Graph<'_, '_>, v: Value) -> String {
    let name = graph.name(v).unwrap_or_else(|| "[anonymous]".to_owned());
    match name.split_once("._@") {
        Some((plain, _)) => format!("{plain}✝"),
        None => name,
    }
}

/// The brackets of a binder: its kind is the byte after the 8 bytes of data.
fn brackets(graph: &Graph<'_, '_>, n: NodeId) -> [&'static str; 2] {
    match graph.scalars(n).get(8) {
        Some(1) => ["{", "}"],
        Some(2) => ["⦃", "⦄"],
        Some(3) => ["[", "]"],
        _ => ["(", ")"],
    }
}
