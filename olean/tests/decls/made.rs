//! Modules made by hand: sizes held against a count that looks at every declaration by itself, and terms that would be
//! endless if they were unfolded.

use crate::run::{code, output, stdout};
use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};
use testkit::olean::{Node, Rng, Spec, Val};

const DATA: [u8; 8] = [1; 8];

fn name(spec: &mut Spec, text: &str) -> Val {
    let string = spec.push(Node::Str(text.to_owned()));
    spec.push(Node::Ctor(1, vec![Val::Box(0), string], DATA.to_vec()))
}

/// A constant of this name as an expression.
fn constant(spec: &mut Spec, text: &str) -> Val {
    let name = name(spec, text);
    spec.push(Node::Ctor(4, vec![name, Val::Box(0)], DATA.to_vec()))
}

/// A definition; its `ConstantInfo` and its name.
fn definition(spec: &mut Spec, text: &str, ty: Val, value: Val) -> (Val, Val) {
    let name = name(spec, text);
    let val = spec.push(Node::Ctor(0, vec![name, Val::Box(0), ty], vec![]));
    let all = spec.push(Node::Ctor(1, vec![name, Val::Box(0)], vec![]));
    let safe = vec![1, 0, 0, 0, 0, 0, 0, 0];
    let definition = spec.push(Node::Ctor(0, vec![val, value, Val::Box(1), all], safe));
    (spec.push(Node::Ctor(1, vec![definition], vec![])), name)
}

fn module(spec: &mut Spec, definitions: &[(Val, Val)]) {
    let none = spec.push(Node::Array(vec![]));
    let names = spec.push(Node::Array(definitions.iter().map(|d| d.1).collect()));
    let infos = spec.push(Node::Array(definitions.iter().map(|d| d.0).collect()));
    spec.root = spec.push(Node::Ctor(0, vec![none, names, infos, none, none], vec![0; 8]));
}

/// The objects that one reaches.
fn reached(spec: &Spec, from: Val) -> BTreeSet<usize> {
    let mut seen = BTreeSet::new();
    let mut stack = vec![from];
    while let Some(v) = stack.pop() {
        let Val::Node(n) = v else { continue };
        if seen.insert(n)
            && let Node::Ctor(_, fields, _) | Node::Array(fields) = &spec.nodes[n]
        {
            stack.extend(fields);
        }
    }
    seen
}

#[test]
fn sizes_are_those_of_a_count_declaration_by_declaration() {
    let dir = testkit::temp_dir("sizes");
    for seed in 0..20 {
        let mut rng = Rng(seed);
        let mut spec = Spec::new(true, true, 2);
        let mut terms = vec![constant(&mut spec, "f"), constant(&mut spec, "x")];
        let mut definitions = Vec::new();
        for i in 0..8 {
            for _ in 0..rng.below(6) {
                let mut pick = || terms[rng.below(terms.len() as u64) as usize];
                let fields = vec![pick(), pick()];
                terms.push(spec.push(Node::Ctor(5, fields, DATA.to_vec())));
            }
            let mut pick = || terms[rng.below(terms.len() as u64) as usize];
            let (ty, value) = (pick(), pick());
            definitions.push(definition(&mut spec, &format!("d{i}"), ty, value));
        }
        module(&mut spec, &definitions);
        let written = spec.write();
        fs::write(dir.path().join("M.olean"), &written.bytes).expect("a file");
        let ends = written
            .offsets
            .iter()
            .skip(1)
            .copied()
            .chain([written.bytes.len()]);
        let sizes: Vec<usize> = written
            .offsets
            .iter()
            .zip(ends)
            .map(|(from, to)| to - from)
            .collect();
        let sets: Vec<BTreeSet<usize>> = definitions.iter().map(|d| reached(&spec, d.0)).collect();
        let list = output(dir.path(), &["ls", "M.olean", "--json"]);
        let list: testkit::Value = serde_json::from_slice(&list.stdout).expect("JSON");
        for (i, set) in sets.iter().enumerate() {
            let shared = |n: &usize| {
                sets.iter()
                    .enumerate()
                    .any(|(k, other)| k != i && other.contains(n))
            };
            let sum = |wanted: bool| -> usize {
                set.iter()
                    .filter(|n| shared(n) == wanted)
                    .map(|&n| sizes[n])
                    .sum()
            };
            let row = &list["declarations"][i];
            assert_eq!(row["name"], format!("d{i}"));
            assert_eq!(row["bytes"], sum(false), "d{i} of seed {seed}");
            assert_eq!(row["shared_bytes"], sum(true), "d{i} of seed {seed}");
        }
    }
}

/// A module with one definition, whose value has 2^5000 leaves if it is unfolded.
fn folded(leaf: &str) -> Vec<u8> {
    let mut spec = Spec::new(true, true, 2);
    let ty = constant(&mut spec, "T");
    let mut value = constant(&mut spec, leaf);
    for _ in 0..5000 {
        value = spec.push(Node::Ctor(5, vec![value, value], DATA.to_vec()));
    }
    let all = [definition(&mut spec, "d", ty, value)];
    module(&mut spec, &all);
    spec.write().bytes
}

#[test]
fn terms_that_share_everything_are_compared_and_listed_without_unfolding() {
    let dir = testkit::temp_dir("folded");
    fs::write(dir.path().join("A.olean"), folded("x")).expect("a file");
    fs::write(dir.path().join("B.olean"), folded("y")).expect("a file");
    let start = Instant::now();
    for args in [
        &["diff", "A.olean", "B.olean"][..],
        &["ls", "A.olean"],
        &["refs", "x", "A.olean"],
        &["grep", "x", "A.olean"],
        &["axioms", "A.olean", "--all"],
        &["dump", "A.olean", "--decl", "d"],
    ] {
        let output = output(dir.path(), args);
        assert!(code(&output) < 2, "{args:?}");
        let lines = stdout(&output);
        assert!(lines.contains('d') && lines.len() < 4000, "{args:?}: {lines}");
    }
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    let diff = output(dir.path(), &["diff", "A.olean", "B.olean"]);
    assert!(
        stdout(&diff).contains("~ def d\n    value\n"),
        "{}",
        stdout(&diff)
    );
}
