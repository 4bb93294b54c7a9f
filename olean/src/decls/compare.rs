//! What two builds of a module have differently: declarations, imports, extensions, flags.

use super::digest::Digests;
use super::entries::{self, ExtensionDiff};
use super::kind::Kind;
use super::module::{Decl, Import, Module};
use super::show::{Shown, Side, pair};
use crate::dump::term;
use olean_reader::path::Place;
use olean_reader::types::{EXPR, Type};
use olean_reader::{NodeId, Value};
use serde::Serialize;
use std::collections::{HashMap, HashSet};

/// What differs between two builds of a module.
#[derive(Debug, Serialize)]
pub struct ModuleDiff {
    /// The module's name.
    pub module: String,
    /// Declarations that only the second build has.
    pub added: Vec<One>,
    /// Declarations that only the first build has.
    pub removed: Vec<One>,
    /// Declarations with the same kind, universe levels, type and value under another name.
    pub renamed: Vec<Renamed>,
    /// Declarations that both have, differently.
    pub changed: Vec<Changed>,
    /// Declarations that only stand elsewhere in the source.
    pub moved: u64,
    /// Other entries of extensions.
    pub extensions: Vec<ExtensionDiff>,
    /// Imports that only the second build has.
    pub imports_added: Vec<Import>,
    /// Imports that only the first build has.
    pub imports_removed: Vec<Import>,
    /// What the files say about themselves: Lean, parts, flags.
    pub files: Vec<Field>,
}

/// A declaration that only one build has.
#[derive(Debug, Serialize)]
pub struct One {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// Its type, cut to the width.
    #[serde(rename = "type")]
    pub ty: String,
}

/// A declaration under another name.
#[derive(Debug, Serialize)]
pub struct Renamed {
    /// Its kind.
    pub kind: Kind,
    /// The name in the first build.
    pub from: String,
    /// The name in the second build.
    pub to: String,
}

/// A declaration that both builds have differently.
#[derive(Debug, Serialize)]
pub struct Changed {
    /// Its name.
    pub name: String,
    /// Its kind in the second build.
    pub kind: Kind,
    /// What differs.
    pub fields: Vec<Field>,
}

/// Something that differs.
#[derive(Debug, Serialize)]
pub struct Field {
    /// What it is: `type`, `value`, `universe levels`, `hints`, …
    pub what: String,
    /// What the first build has.
    pub a: Shown,
    /// What the second build has.
    pub b: Shown,
}

impl Field {
    fn plain(what: &str, a: impl Into<String>, b: impl Into<String>) -> Self {
        Self {
            what: what.to_owned(),
            a: Shown::plain(a),
            b: Shown::plain(b),
        }
    }
}

impl ModuleDiff {
    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        let nothing = self.added.is_empty() && self.removed.is_empty() && self.renamed.is_empty();
        let same = self.changed.is_empty() && self.extensions.is_empty() && self.moved == 0;
        nothing
            && same
            && self.imports_added.is_empty()
            && self.imports_removed.is_empty()
            && self.files.is_empty()
    }
}

/// Compares two builds; expressions are cut to `width` columns.
pub fn compare(a: &Module<'_, '_>, b: &Module<'_, '_>, width: usize) -> ModuleDiff {
    let (da, db) = (Digests::new(a), Digests::new(b));
    let (a, b) = (
        Side {
            module: a,
            digests: &da,
        },
        Side {
            module: b,
            digests: &db,
        },
    );
    let (extensions, moved) = entries::compare(a, b, width);
    let mut diff = ModuleDiff {
        module: b.module.name.clone(),
        added: Vec::new(),
        removed: Vec::new(),
        renamed: Vec::new(),
        changed: Vec::new(),
        moved,
        extensions,
        imports_added: Vec::new(),
        imports_removed: Vec::new(),
        files: files(a.module, b.module),
    };
    imports(a.module, b.module, &mut diff);
    declarations(a, b, width, &mut diff);
    diff
}

fn imports(a: &Module<'_, '_>, b: &Module<'_, '_>, diff: &mut ModuleDiff) {
    let missing = |these: &[Import], those: &[Import]| {
        let there: HashSet<String> = those.iter().map(|i| format!("{i:?}")).collect();
        let gone = these.iter().filter(|i| !there.contains(&format!("{i:?}")));
        gone.cloned().collect::<Vec<Import>>()
    };
    diff.imports_removed = missing(&a.imports, &b.imports);
    diff.imports_added = missing(&b.imports, &a.imports);
}

/// What headers and roots say.
fn files(a: &Module<'_, '_>, b: &Module<'_, '_>) -> Vec<Field> {
    let header = |m: &Module<'_, '_>| {
        let file = m.graph.region(m.first().region).file();
        let parts: Vec<&str> = m
            .parts
            .iter()
            .map(|p| [".olean", ".server", ".private"][p.rank.min(2)])
            .collect();
        [
            ("Lean", file.lean_version().to_owned()),
            ("githash", file.githash().to_owned()),
            ("pointer width", format!("{} bits", file.width().bits())),
            (
                "module system",
                if m.is_module { "used" } else { "not used" }.to_owned(),
            ),
            ("parts", parts.join(" ")),
        ]
    };
    let mut fields = Vec::new();
    for ((what, x), (_, y)) in header(a).into_iter().zip(header(b)) {
        if x != y {
            fields.push(Field::plain(what, x, y));
        }
    }
    fields
}

fn declarations(a: Side<'_, '_, '_>, b: Side<'_, '_, '_>, width: usize, diff: &mut ModuleDiff) {
    let in_a: HashMap<&str, &Decl> = a.module.decls.iter().map(|d| (d.name.as_str(), d)).collect();
    let in_b: HashMap<&str, &Decl> = b.module.decls.iter().map(|d| (d.name.as_str(), d)).collect();
    // Without the private parts of one build, only what is public can be compared.
    let public = a.module.is_whole() != b.module.is_whole();
    let sorted = |m: &Module<'_, '_>, other: &HashMap<&str, &Decl>| {
        let lone = |&i: &usize| !other.contains_key(m.decls[i].name.as_str());
        let shown = |&i: &usize| !public || m.decls[i].public.is_some();
        let mut all: Vec<usize> = (0..m.decls.len()).filter(lone).filter(shown).collect();
        all.sort_by(|&i, &k| m.decls[i].name.cmp(&m.decls[k].name));
        all
    };
    let (gone, new) = (sorted(a.module, &in_b), sorted(b.module, &in_a));
    let content = |s: Side<'_, '_, '_>, d: &Decl| {
        let expressions = s.module.expressions(d.info);
        let digests: Vec<u128> = expressions.iter().map(|(_, v)| s.digest(*v)).collect();
        (d.kind, levels(s, d.info), digests)
    };
    let mut candidates: HashMap<_, Vec<usize>> = HashMap::new();
    for &i in new.iter().rev() {
        candidates
            .entry(content(b, &b.module.decls[i]))
            .or_default()
            .push(i);
    }
    let mut paired = HashSet::new();
    for &i in &gone {
        let d = &a.module.decls[i];
        match candidates.get_mut(&content(a, d)).and_then(Vec::pop) {
            Some(k) => {
                paired.insert(k);
                diff.renamed.push(Renamed {
                    kind: d.kind,
                    from: d.name.clone(),
                    to: b.module.decls[k].name.clone(),
                });
            }
            None => diff.removed.push(one(a, d, width)),
        }
    }
    let rest = new.iter().filter(|i| !paired.contains(*i));
    diff.added = rest.map(|&i| one(b, &b.module.decls[i], width)).collect();
    let mut common: Vec<(&Decl, &Decl)> = Vec::new();
    for d in &a.module.decls {
        common.extend(in_b.get(d.name.as_str()).map(|other| (d, *other)));
    }
    common.sort_by(|x, y| x.0.name.cmp(&y.0.name));
    for (x, y) in common {
        let fields = changes(a, x, b, y, public, width);
        if !fields.is_empty() {
            diff.changed.push(Changed {
                name: y.name.clone(),
                kind: y.kind,
                fields,
            });
        }
    }
}

fn one(side: Side<'_, '_, '_>, d: &Decl, width: usize) -> One {
    let ty = side.module.expressions(d.info).first().map(|(_, v)| *v);
    One {
        name: d.name.clone(),
        kind: d.kind,
        ty: match ty {
            Some(Value::Object(n)) => term::line(&side.module.graph, EXPR, n, width).text,
            _ => "?".to_owned(),
        },
    }
}

/// The names of a constant's universe levels.
fn levels(side: Side<'_, '_, '_>, info: NodeId) -> u128 {
    let below = |v: Option<Value>, i| match v {
        Some(Value::Object(n)) => side.module.graph.child(n, i),
        _ => None,
    };
    let constant = below(side.module.graph.child(info, 0), 0);
    below(constant, 1).map_or(0, |v| side.digest(v))
}

fn changes(
    a: Side<'_, '_, '_>,
    x: &Decl,
    b: Side<'_, '_, '_>,
    y: &Decl,
    public: bool,
    width: usize,
) -> Vec<Field> {
    let mut fields = Vec::new();
    let infos = if public {
        x.public.zip(y.public)
    } else {
        Some((x.info, y.info))
    };
    let Some((nx, ny)) = infos else {
        return fields;
    };
    let differ = |p: NodeId, q: NodeId| a.digest(Value::Object(p)) != b.digest(Value::Object(q));
    if x.kind != y.kind {
        fields.push(Field::plain("kind", x.kind.word(), y.kind.word()));
    }
    if differ(nx, ny) {
        let (pa, pb) = (a.module.place(nx), b.module.place(ny));
        let before = fields.len();
        constant(a, pa, b, pb, width, &mut fields);
        if fields.len() == before && x.kind == y.kind {
            fields.push(Field::plain("contents", "differs", "differs"));
        }
    }
    // What others see of it may change while it stays what it is, and stay while it changes.
    let seen = |d: &Decl, s: Side<'_, '_, '_>| match d.public {
        None => "nothing",
        Some(p) if s.module.graph.tag(p) == s.module.graph.tag(d.info) => "all of it",
        Some(_) => "its type",
    };
    let several = a.module.parts.len() > 1 && b.module.parts.len() > 1 && !public;
    if several && seen(x, a) != seen(y, b) {
        fields.push(Field::plain("public part has", seen(x, a), seen(y, b)));
    }
    if x.flags != y.flags {
        let words = |d: &Decl| match d.flags.words().join(" ") {
            none if none.is_empty() => "none".to_owned(),
            words => words,
        };
        fields.push(Field::plain("attributes", words(x), words(y)));
    }
    fields
}

/// The fields of a `ConstantInfo` that differ.
fn constant(
    a: Side<'_, '_, '_>,
    pa: Place,
    b: Side<'_, '_, '_>,
    pb: Place,
    width: usize,
    out: &mut Vec<Field>,
) {
    let (ga, gb) = (&a.module.graph, &b.module.graph);
    let (Value::Object(na), Value::Object(nb)) = (pa.value, pb.value) else {
        return;
    };
    let shapes = (ga.shape(pa.ty, na), gb.shape(pb.ty, nb));
    let (Some(sa), Some(sb)) = shapes else { return };
    let [fa, fb] = [sa, sb].map(|s| s.fields.iter().map(|f| f.0).collect::<Vec<&str>>());
    for (i, name) in fa.iter().enumerate() {
        let Some(k) = fb.iter().position(|other| other == name) else {
            continue;
        };
        let (va, vb) = (
            ga.step(pa, na, i, &mut String::new()),
            gb.step(pb, nb, k, &mut String::new()),
        );
        let (Some(va), Some(vb)) = (va, vb) else { continue };
        if a.digest(va.value) == b.digest(vb.value) {
            continue;
        }
        match *name {
            "val" | "toConstantVal" => constant(a, va, b, vb, width, out),
            "name" => {}
            "rules" => rules(a, va, b, vb, width, out),
            name => out.push(field(word(name), a, va, b, vb, width)),
        }
    }
    let scalars = (ga.scalars(na), gb.scalars(nb));
    if sa.name == sb.name && scalars.0 != scalars.1 && sa.name != "ConstantInfo.defnInfo" {
        let words = |s: &[u8]| match (sa.name, s.first()) {
            ("DefinitionVal", Some(0)) => "unsafe".to_owned(),
            ("DefinitionVal", Some(1)) => "safe".to_owned(),
            ("DefinitionVal", Some(2)) => "partial".to_owned(),
            _ => s.iter().map(|b| format!("{b:02x}")).collect(),
        };
        out.push(Field::plain("flags", words(scalars.0), words(scalars.1)));
    }
}

/// What a field of a constant is called.
fn word(field: &str) -> &str {
    match field {
        "levelParams" => "universe levels",
        "all" => "declared together with",
        "ctors" => "constructors",
        "numParams" => "parameters",
        "numIndices" => "indices",
        "numMotives" => "motives",
        "numMinors" => "minor premises",
        "numFields" => "fields",
        "numNested" => "nested types",
        "cidx" => "number of the constructor",
        "induct" => "type",
        field => field,
    }
}

fn field(what: &str, a: Side<'_, '_, '_>, pa: Place, b: Side<'_, '_, '_>, pb: Place, width: usize) -> Field {
    let expr = |ty: Type| matches!((ty, EXPR), (Type::Data(x), Type::Data(y)) if std::ptr::eq(x, y));
    let [left, right] = match (pa.value, pb.value) {
        (Value::Object(na), Value::Object(nb)) if expr(pa.ty) => pair(a, na, b, nb, width),
        _ => entries::strings([text(a, what, pa), text(b, what, pb)], width),
    };
    Field {
        what: what.to_owned(),
        a: left,
        b: right,
    }
}

/// A field that is no expression, in words.
fn text(side: Side<'_, '_, '_>, what: &str, place: Place) -> Shown {
    let graph = &side.module.graph;
    if what == "hints" {
        // `ReducibilityHints`: opaque, abbrev, regular with a height.
        return Shown::plain(match place.value {
            Value::Scalar(0) => "opaque".to_owned(),
            Value::Scalar(_) => "abbrev".to_owned(),
            Value::Object(n) => {
                let height = graph
                    .scalars(n)
                    .first_chunk::<4>()
                    .map(|b| u32::from_le_bytes(*b));
                format!("regular, height {}", height.unwrap_or(0))
            }
            Value::Outside(_) => "?".to_owned(),
        });
    }
    let mut names = Vec::new();
    let mut v = place.value;
    while let (Type::List(_), Value::Object(n)) = (place.ty, v) {
        if !graph.is_cons(n) || names.len() > 1000 {
            break;
        }
        let name = graph.child(n, 0).and_then(|v| graph.name(v));
        names.push(name.unwrap_or_else(|| "?".to_owned()));
        v = graph.child(n, 1).unwrap_or(Value::Scalar(0));
    }
    match place.ty {
        Type::List(_) => Shown::plain(format!("[{}]", names.join(", "))),
        _ => Shown::plain(graph.describe(place)),
    }
}

/// The rules of a recursor that differ, or how many there are.
fn rules(a: Side<'_, '_, '_>, pa: Place, b: Side<'_, '_, '_>, pb: Place, width: usize, out: &mut Vec<Field>) {
    let list = |side: Side<'_, '_, '_>, place: Place| {
        let graph = &side.module.graph;
        let mut all = Vec::new();
        let mut v = place.value;
        while let Value::Object(n) = v {
            if !graph.is_cons(n) {
                break;
            }
            if let Some(Value::Object(rule)) = graph.child(n, 0) {
                let name = graph.child(rule, 0).and_then(|v| graph.name(v));
                all.extend(name.zip(graph.child(rule, 2)));
            }
            v = graph.child(n, 1).unwrap_or(Value::Scalar(0));
        }
        all
    };
    let (x, y) = (list(a, pa), list(b, pb));
    let names = |l: &[(String, Value)]| l.iter().map(|r| r.0.clone()).collect::<Vec<_>>().join(", ");
    if names(&x) != names(&y) {
        let texts = [Shown::plain(names(&x)), Shown::plain(names(&y))];
        let [left, right] = entries::strings(texts, width);
        out.push(Field {
            what: "rules".to_owned(),
            a: left,
            b: right,
        });
        return;
    }
    for ((name, va), (_, vb)) in x.into_iter().zip(y) {
        if let (Value::Object(na), Value::Object(nb)) = (va, vb)
            && a.digest(va) != b.digest(vb)
        {
            let [left, right] = pair(a, na, b, nb, width);
            out.push(Field {
                what: format!("rule of {name}"),
                a: left,
                b: right,
            });
        }
    }
}
