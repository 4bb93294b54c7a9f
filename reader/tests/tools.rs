//! Paths, comparison and statistics over module data that the test kit writes.

use olean_reader::diff::{Difference, Reason, diff};
use olean_reader::path::PathError;
use olean_reader::{CheckError, File, Graph, Kind, Region, Value};
use testkit::olean::{Node, Spec, Val};

/// Module data being put together.
struct Module(Spec);

impl Module {
    fn name(&mut self, parts: &[&str]) -> Val {
        parts.iter().fold(Val::Box(0), |prefix, part| {
            let s = self.0.push(Node::Str((*part).to_owned()));
            self.0.push(Node::Ctor(1, vec![prefix, s], vec![7; 8]))
        })
    }

    fn expr(&mut self, tag: u8, fields: Vec<Val>) -> Val {
        self.0.push(Node::Ctor(tag, fields, vec![1, 2, 3, 4, 5, 6, 7, 8]))
    }

    fn list(&mut self, items: &[Val]) -> Val {
        let cons = |tail, &head| self.0.push(Node::Ctor(1, vec![head, tail], vec![]));
        items.iter().rev().fold(Val::Box(0), cons)
    }

    fn array(&mut self, items: Vec<Val>) -> Val {
        self.0.push(Node::Array(items))
    }

    /// Axioms of these names, whose type is the application of a constant `f` to a literal.
    fn spec(names: &[&str], f: &str, literal: &str) -> Spec {
        let mut m = Module(Spec::new(true, true, 2));
        let mut const_names = Vec::new();
        let mut constants = Vec::new();
        for n in names {
            let name = m.name(&["Test", n]);
            let (u, v) = (m.name(&["u"]), m.name(&["v"]));
            let params = m.list(&[u, v]);
            let f = m.name(&["Test", f]);
            let f = m.expr(4, vec![f, Val::Box(0)]);
            let text = m.0.push(Node::Str(literal.to_owned()));
            let lit = m.0.push(Node::Ctor(1, vec![text], vec![]));
            let lit = m.expr(9, vec![lit]);
            let ty = m.expr(5, vec![f, lit]);
            let val = m.0.push(Node::Ctor(0, vec![name, params, ty], vec![]));
            let axiom = m.0.push(Node::Ctor(0, vec![val], vec![0; 8]));
            constants.push(m.0.push(Node::Ctor(0, vec![axiom], vec![])));
            const_names.push(name);
        }
        let init = m.name(&["Init"]);
        let import = m.0.push(Node::Ctor(0, vec![init], vec![0; 8]));
        let imports = m.array(vec![import]);
        let const_names = m.array(const_names);
        let constants = m.array(constants);
        let extra = m.array(vec![]);
        let extension = m.name(&["Test", "ext"]);
        let items = m.array(vec![Val::Box(1), Val::Box(2), const_names]);
        let pair = m.0.push(Node::Ctor(0, vec![extension, items], vec![]));
        let entries = m.array(vec![pair]);
        let fields = vec![imports, const_names, constants, extra, entries];
        m.0.root = m.0.push(Node::Ctor(0, fields, vec![1, 0, 0, 0, 0, 0, 0, 0]));
        m.0
    }
}

fn with_graph<T>(bytes: &[u8], f: impl FnOnce(&Graph<'_, '_>) -> T) -> T {
    let region = Region::check(File::parse(bytes, "", None).unwrap(), &[]).unwrap();
    f(&Graph::new(&region, &[]).unwrap())
}

fn compare(a: &[u8], b: &[u8]) -> Difference {
    with_graph(a, |a| with_graph(b, |b| diff(a, b))).unwrap()
}

fn different(path: &str, left: &str, right: &str) -> Difference {
    Difference::Different {
        path: path.into(),
        left: left.into(),
        right: right.into(),
    }
}

#[test]
fn paths_name_the_fields_of_module_data() {
    let bytes = Module::spec(&["a", "b c"], "f", "text").write().bytes;
    with_graph(&bytes, |g| {
        let at = |path: &str| g.follow(path).map(|p| g.describe(p)).map_err(|e| e.to_string());
        for (path, expected) in [
            ("", "ModuleData"),
            ("imports[0].module", "`Init"),
            ("constants", "array of 2"),
            (".constants[1].val", "AxiomVal"),
            ("constants[1].val.toConstantVal.name", "`Test.«b c»"),
            ("constants[0].val.toConstantVal.levelParams", "list"),
            ("constants[0].val.toConstantVal.levelParams[1]", "`v"),
            ("constants[0].val.toConstantVal.type.fn", "Expr.const"),
            ("constants[0].val.toConstantVal.type.fn.us", "[]"),
            ("constants[0].val.toConstantVal.type.arg.literal.val", "\"text\""),
            ("2[0].0.0.type.fn.0", "`Test.f"),
            ("entries[0].snd[1]", "2"),
        ] {
            assert_eq!(at(path).as_deref(), Ok(expected), "{path}");
        }
        assert_eq!(
            at("constants[2]"),
            Err("there is no `2` after `.constants`, which is array of 2".into())
        );
        assert!(at("constants[0].val.toConstantVal.levelParams[2]").is_err());
        assert!(
            at("entries[0].snd[1].x")
                .unwrap_err()
                .starts_with("there is no `x` after")
        );
        assert!(matches!(g.follow("constants[1"), Err(PathError::Syntax(_))));
        assert!(matches!(g.follow("a..b"), Err(PathError::NoSuch { .. })));
    });
}

#[test]
fn equal_files_are_identical_and_equal_graphs_have_reasons() {
    let spec = Module::spec(&["a", "b"], "f", "text");
    let bytes = spec.write().bytes;
    assert_eq!(compare(&bytes, &bytes), Difference::Identical);
    let other = Spec {
        wide: false,
        gmp: false,
        base: 0x100_0000,
        ..spec.clone()
    }
    .write()
    .bytes;
    let reasons = vec![Reason::Width, Reason::Bignums, Reason::Base];
    assert_eq!(compare(&bytes, &other), Difference::SameGraph(reasons));
    let mut hash = bytes.clone();
    hash[40] = b'f';
    assert_eq!(
        compare(&bytes, &hash),
        Difference::SameGraph(vec![Reason::Githash])
    );
    let mut version = bytes.clone();
    version[7] = b'5';
    assert_eq!(
        compare(&bytes, &version),
        Difference::SameGraph(vec![Reason::LeanVersion])
    );
    let v3 = Spec {
        version: 3,
        ..spec.clone()
    }
    .write()
    .bytes;
    assert_eq!(compare(&bytes, &v3), Difference::SameGraph(vec![Reason::Version]));
    let extended = Spec {
        version: 3,
        extension: Some(vec![]),
        ..spec.clone()
    }
    .write()
    .bytes;
    assert_eq!(
        compare(&v3, &extended),
        Difference::SameGraph(vec![Reason::Sections])
    );

    let mut more = spec.clone();
    more.nodes.insert(0, Node::Str("nobody".into()));
    shift(&mut more, |n| n + 1);
    assert_eq!(
        compare(&bytes, &more.write().bytes),
        Difference::SameGraph(vec![Reason::Unreachable])
    );

    // Two leaves, in either order.
    let mut pair = Spec::new(true, true, 2);
    let (x, y) = (pair.push(Node::Str("x".into())), pair.push(Node::Str("y".into())));
    pair.root = pair.push(Node::Array(vec![x, y]));
    let mut swapped = pair.clone();
    swapped.nodes.swap(0, 1);
    shift(&mut swapped, |n| if n < 2 { 1 - n } else { n });
    let d = compare(&pair.write().bytes, &swapped.write().bytes);
    assert_eq!(d, Difference::SameGraph(vec![Reason::Order]));

    // One leaf in place of two equal ones.
    let mut twice = pair.clone();
    twice.nodes[1] = Node::Str("x".into());
    let mut once = twice.clone();
    once.nodes.remove(1);
    shift(&mut once, |n| if n == 0 { 0 } else { n - 1 });
    let d = compare(&twice.write().bytes, &once.write().bytes);
    assert_eq!(d, Difference::SameGraph(vec![Reason::Sharing]));

    // The same scalar area with a longer `m_cs_sz`.
    let mut short = Spec::new(true, true, 2);
    short.root = short.push(Node::Ctor(0, vec![], vec![1]));
    let mut long = short.clone();
    long.nodes[0] = Node::Ctor(0, vec![], vec![1, 0, 0]);
    let d = compare(&short.write().bytes, &long.write().bytes);
    assert_eq!(d, Difference::SameGraph(vec![Reason::Padding]));
}

/// Renumbers all references of a file to its own objects.
fn shift(spec: &mut Spec, new: impl Fn(usize) -> usize) {
    let turn = |v: &mut Val| {
        if let Val::Node(n) = v {
            *n = new(*n);
        }
    };
    turn(&mut spec.root);
    for node in &mut spec.nodes {
        match node {
            Node::Ctor(_, f, _) | Node::Closure(_, _, _, f) | Node::Array(f) => f.iter_mut().for_each(turn),
            Node::Thunk(v) | Node::Task(v) | Node::Ref(v) | Node::Promise(v) => turn(v),
            Node::Sarray(..) | Node::Str(_) | Node::Big(..) => {}
        }
    }
}

#[test]
fn the_first_difference_has_a_path_and_both_values() {
    let write = |names: &[&str], f, text| Module::spec(names, f, text).write().bytes;
    let a = write(&["a", "b"], "f", "text");
    assert_eq!(
        compare(&a, &write(&["a", "b"], "g", "text")),
        different(
            ".constants[0].val.toConstantVal.type.fn.declName",
            "`Test.f",
            "`Test.g"
        )
    );
    assert_eq!(
        compare(&a, &write(&["a", "b"], "f", "other")),
        different(
            ".constants[0].val.toConstantVal.type.arg.literal.val",
            "\"text\"",
            "\"other\""
        )
    );
    assert_eq!(
        compare(&a, &write(&["a", "x"], "f", "text")),
        different(".constNames[1]", "`Test.b", "`Test.x")
    );
    assert_eq!(
        compare(&a, &write(&["a"], "f", "text")),
        different(".constNames", "array of 2", "array of 1")
    );
    let (x, y) = ("x".repeat(100) + "1", "x".repeat(100) + "1 and more");
    let Difference::Different { left, right, .. } = compare(&write(&["a"], "f", &x), &write(&["a"], "f", &y))
    else {
        panic!("the literals differ")
    };
    assert!(
        left.ends_with("(101 bytes)") && right.ends_with("(110 bytes)"),
        "{left} {right}"
    );
    let mut scalar = Spec::new(true, true, 2);
    scalar.root = Val::Box(3);
    assert_eq!(
        compare(&a, &scalar.write().bytes),
        different("", "ModuleData", "3")
    );
}

#[test]
fn statistics_add_up() -> Result<(), CheckError> {
    let mut spec = Module::spec(&["a", "b"], "f", "text");
    spec.push(Node::Str("not reached".into()));
    let bytes = spec.write().bytes;
    with_graph(&bytes, |g| {
        let s = g.stats()?;
        assert_eq!(s.objects as usize, spec.nodes.len());
        assert_eq!(s.object_bytes + s.frame_bytes, bytes.len() as u64);
        assert_eq!(s.frame_bytes, 96);
        assert_eq!(s.kinds.iter().map(|k| k.1).sum::<u32>(), s.objects);
        assert_eq!(s.unreachable, (1, 48));
        let arrays = spec.nodes.iter().filter(|n| matches!(n, Node::Array(_))).count();
        assert!(
            s.kinds
                .iter()
                .any(|k| k.0 == Kind::Array && k.1 as usize == arrays)
        );
        assert_eq!(g.string(s.strings[0].0), Some("not reached"));
        assert_eq!(s.arrays[0].1, 3);
        let names: Vec<_> = s
            .root_fields
            .iter()
            .map(|p| (p.name.as_str(), p.elements))
            .collect();
        let expected = [
            ("imports", 1),
            ("constNames", 2),
            ("constants", 2),
            ("extraConstNames", 0),
            ("entries", 1),
        ];
        assert_eq!(names, expected);
        // Every object but the root and the unreachable one is first reached from one field.
        assert_eq!(
            s.root_fields.iter().map(|p| p.first.0).sum::<u32>(),
            s.objects - 2
        );
        assert!(s.root_fields[2].reach.0 > s.root_fields[2].first.0);
        assert_eq!(s.extensions.len(), 1);
        assert_eq!(
            (s.extensions[0].name.as_str(), s.extensions[0].elements),
            ("Test.ext", 3)
        );
        let Value::Object(root) = g.root() else {
            panic!("the root is an object")
        };
        assert_eq!(s.depth, g.digests()?.height(root));
        // `constNames` is in the root and in the entries, each name also in its constant.
        assert_eq!(s.shared, 3);
        assert!(s.most_shared.is_some_and(|(_, n)| n == 2));
        Ok(())
    })
}

/// An array that holds a value of every kind.
fn one_of_each() -> Spec {
    let mut spec = Spec::new(true, true, 3);
    spec.libraries = vec![(0x1_0000, b"/lib/x.so".to_vec())];
    let text = spec.push(Node::Str("hi".to_owned()));
    let long = spec.push(Node::Str("x".repeat(61)));
    let ctor = spec.push(Node::Ctor(5, vec![text], vec![1, 2]));
    let wide = spec.push(Node::Ctor(6, vec![], vec![0xab; 31]));
    let array = spec.push(Node::Array(vec![text, ctor]));
    let bytes = spec.push(Node::Sarray(2, vec![1, 2, 3, 4]));
    let big = spec.push(Node::Big(true, [vec![0; 10], vec![1]].concat()));
    let huge = spec.push(Node::Big(false, vec![1; 65]));
    let thunk = spec.push(Node::Thunk(text));
    let task = spec.push(Node::Task(text));
    let promise = spec.push(Node::Promise(task));
    let reference = spec.push(Node::Ref(text));
    let closure = spec.push(Node::Closure(0, 0x40, 3, vec![text]));
    spec.root = spec.push(Node::Array(vec![
        Val::Box(5),
        text,
        long,
        ctor,
        wide,
        array,
        bytes,
        big,
        huge,
        thunk,
        task,
        promise,
        reference,
        closure,
    ]));
    spec
}

#[test]
fn every_kind_has_a_line_of_its_own() {
    let expected = [
        "5".to_owned(),
        "\"hi\"".to_owned(),
        format!("\"{}…\"", "x".repeat(60)),
        "ctor 5 with 1 fields, scalars 0102".to_owned(),
        format!("ctor 6 with 0 fields, scalars {}…", "ab".repeat(30)),
        "array of 2".to_owned(),
        "scalar array of 2 x 2 bytes: 01020304".to_owned(),
        "-1208925819614629174706176".to_owned(),
        "bignum of 65 bytes".to_owned(),
        "thunk".to_owned(),
        "task".to_owned(),
        "promise".to_owned(),
        "ref".to_owned(),
        "closure x.so+0x40, arity 3, 1 fixed".to_owned(),
    ];
    with_graph(&one_of_each().write().bytes, |g| {
        for (i, expected) in expected.iter().enumerate() {
            let place = g.follow(&format!("[{i}]")).unwrap();
            assert_eq!(g.describe(place), *expected);
        }
        assert_eq!(g.describe(g.root_place()), "array of 14");
        assert_eq!(format!("{:?}", g.root_place().ty), "Any");
        // What a kind does not have is not there.
        let closure = g
            .reached()
            .iter()
            .copied()
            .find(|&n| g.kind(n) == Kind::Closure)
            .unwrap();
        assert!(g.string(closure).is_none() && g.sarray(closure).is_none() && g.bignum(closure).is_none());
        assert!(g.scalars(closure).is_empty() && g.child(closure, 1).is_none());
        let root = g.reached()[0];
        assert!(g.closure(root).is_none() && g.closure(closure).is_some());
    });
}

#[test]
fn what_a_value_reaches_is_counted_once() {
    with_graph(&one_of_each().write().bytes, |g| {
        let of = |path: &str| {
            let mut found: Vec<_> = g.reachable_from(g.follow(path).unwrap().value).collect();
            found.sort_unstable();
            found
        };
        assert_eq!(of("[0]"), []);
        // The array, the string that both of its elements reach, and the constructor.
        let bytes: usize = of("[5]").into_iter().map(|n| g.size(n)).sum();
        assert_eq!((of("[5]").len(), bytes), (3, 24 + 16 + 40 + 24));
        let mut all = g.reached().to_vec();
        all.sort_unstable();
        assert_eq!(of(""), all);
    });
}

#[test]
fn names_are_put_together_as_lean_shows_them() {
    let mut spec = Spec::new(true, true, 2);
    let hash = || vec![7; 8];
    let component = |spec: &mut Spec, prefix, text: &str| {
        let text = spec.push(Node::Str(text.to_owned()));
        spec.push(Node::Ctor(1, vec![prefix, text], vec![7; 8]))
    };
    let plain = component(&mut spec, Val::Box(0), "a'");
    let quoted = component(&mut spec, plain, "b c");
    let numbered = spec.push(Node::Ctor(2, vec![quoted, Val::Box(12)], hash()));
    let large = spec.push(Node::Big(false, vec![0, 0, 0, 0, 1]));
    let large = spec.push(Node::Ctor(2, vec![numbered, large], hash()));
    // Not the shape of a name: a component that is no text, no hash, a prefix that is none.
    let array = spec.push(Node::Array(vec![]));
    let no_text = spec.push(Node::Ctor(1, vec![plain, array], hash()));
    let no_hash = spec.push(Node::Ctor(1, vec![plain, array], vec![]));
    let no_prefix = component(&mut spec, array, "x");
    let names = vec![
        plain,
        quoted,
        numbered,
        large,
        no_text,
        no_hash,
        no_prefix,
        Val::Box(0),
    ];
    spec.root = spec.push(Node::Array(names));
    with_graph(&spec.write().bytes, |g| {
        let Value::Object(root) = g.root() else {
            panic!("no root")
        };
        let names: Vec<_> = g.children(root).map(|v| g.name(v)).collect();
        let expected = [
            Some("a'"),
            Some("a'.«b c»"),
            Some("a'.«b c».12"),
            Some("a'.«b c».12.4294967296"),
            None,
            None,
            None,
            None,
        ];
        assert_eq!(names, expected.map(|n| n.map(str::to_owned)));
    });
}

#[test]
fn a_graph_without_its_dependencies_says_what_leaves_it() {
    let mut spec = Spec::new(true, true, 2);
    spec.root = spec.push(Node::Array(vec![Val::Word(0x7000_0000), Val::Box(3)]));
    let bytes = spec.write().bytes;
    let region = Region::walk(File::parse(&bytes, "a.olean", None).unwrap()).unwrap();
    let graph = Graph::new(&region, &[]).unwrap();
    assert_eq!(graph.outside(), 1);
    let place = graph.follow("[0]").unwrap();
    assert_eq!(place.value, Value::Outside(0x7000_0000));
    assert_eq!(graph.describe(place), "pointer 0x70000000 into another file");
    let digests = graph.digests().unwrap();
    assert_eq!(digests.graphhash.to_string().len(), 32);
    assert_ne!(digests.value(place.value), digests.graphhash);

    // A pointer into the file itself has to hit an object.
    spec.nodes[0] = Node::Array(vec![Val::Word(spec.base + 104), Val::Box(3)]);
    let bytes = spec.write().bytes;
    let region = Region::walk(File::parse(&bytes, "b.olean", None).unwrap()).unwrap();
    let error = Graph::new(&region, &[])
        .err()
        .expect("no object is there")
        .to_string();
    assert!(
        error.starts_with("b.olean: at file offset 0x78: object 0 at 0x60 (array): field 0: pointer"),
        "{error}"
    );
}
