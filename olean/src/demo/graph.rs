//! The module of the demonstration: a graph of the shapes that Lean keeps in its files, with theorems about
//! natural numbers that share their types.

use super::objects::Object;

/// Components of names cycle through these.
const TOPICS: [&str; 6] = ["add", "mul", "sub", "div", "mod", "pow"];

/// The two parts of a module with `theorems` theorems: statements, and what only the module itself sees, their
/// proofs, which refer to the statements.
pub fn module(theorems: usize) -> (Object, Object) {
    let common = Common::new();
    let (mut names, mut infos, mut docs, mut proofs) = (vec![], vec![], vec![], vec![]);
    for i in 0..theorems {
        let name = Object::name(&format!("Demo.Nat.{}.law{i}", TOPICS[i % TOPICS.len()]));
        let statement = common.statement(i);
        let val = Object::ctor(0, vec![name.clone(), Object::scalar(0), statement.clone()], &[]);
        // `ConstantInfo.axiomInfo`: who imports the module sees no proof.
        let axiom = Object::ctor(0, vec![val.clone()], &[0]);
        infos.push(Object::ctor(0, vec![axiom], &[]));
        let theorem = Object::ctor(
            0,
            vec![val, common.proof(i, statement), Object::list(vec![name.clone()])],
            &[],
        );
        proofs.push(Object::ctor(2, vec![theorem], &[]));
        let text = format!(
            "Law {i} of {}: swapping sides changes nothing.",
            TOPICS[i % TOPICS.len()]
        );
        docs.push(Object::ctor(0, vec![name.clone(), Object::string(&text)], &[]));
        names.push(name);
    }
    let extension = Object::ctor(0, vec![Object::name("Demo.docStrings"), Object::array(docs)], &[]);
    let public = module_data(&names, infos, vec![extension]);
    let private = module_data(&names, proofs, vec![]);
    (public, private)
}

/// `Lean.ModuleData`: imports, names, constants, names of constants made by the compiler, entries of extensions.
fn module_data(names: &[Object], constants: Vec<Object>, entries: Vec<Object>) -> Object {
    let import = Object::ctor(0, vec![Object::name("Init")], &[0, 1, 0]);
    let fields = vec![
        Object::array(vec![import]),
        Object::array(names.to_vec()),
        Object::array(constants),
        Object::array(vec![]),
        Object::array(entries),
    ];
    Object::ctor(0, fields, &[1])
}

/// Expressions that all theorems share.
struct Common {
    nat: Object,
    eq: Object,
    trans: Object,
    variables: Vec<Object>,
}

/// `Lean.Expr` with the data word that Lean caches in every node; here it only has to tell nodes apart.
fn expr(tag: u8, fields: Vec<Object>, more: &[u8]) -> Object {
    let mut scalars = (0x100 + u64::from(tag)).to_le_bytes().to_vec();
    scalars.extend(more);
    Object::ctor(tag, fields, &scalars)
}

fn constant(name: &str) -> Object {
    expr(4, vec![Object::name(name), Object::scalar(0)], &[])
}

fn apply(function: Object, arguments: Vec<Object>) -> Object {
    arguments
        .into_iter()
        .fold(function, |f, a| expr(5, vec![f, a], &[]))
}

impl Common {
    fn new() -> Self {
        let nat = constant("Nat");
        let level = Object::ctor(
            1,
            vec![Object::ctor(0, vec![], &2221u64.to_le_bytes())],
            &1u64.to_le_bytes(),
        );
        let eq = expr(4, vec![Object::name("Eq"), Object::list(vec![level])], &[]);
        Self {
            eq: apply(eq, vec![nat.clone()]),
            nat,
            trans: constant("Eq.trans"),
            variables: (0..2).map(|i| expr(0, vec![Object::scalar(i)], &[])).collect(),
        }
    }

    /// `∀ (a b : Nat), op a (op b n) = op (op a b) n` with another number for each theorem, some of them large.
    fn statement(&self, i: usize) -> Object {
        let op = constant(&format!("Nat.{}", TOPICS[i % TOPICS.len()]));
        let limbs = match i % 10 {
            0 => vec![i as u64, 1 << 40],
            _ => vec![i as u64],
        };
        let literal = Object::ctor(0, vec![Object::nat(&limbs)], &[]);
        let n = expr(9, vec![literal], &[]);
        let [b, a] = [self.variables[0].clone(), self.variables[1].clone()];
        let left = apply(
            op.clone(),
            vec![a.clone(), apply(op.clone(), vec![b.clone(), n.clone()])],
        );
        let right = apply(op.clone(), vec![apply(op, vec![a, b]), n]);
        let body = apply(self.eq.clone(), vec![left, right]);
        let bind = |name, body| expr(7, vec![Object::name(name), self.nat.clone(), body], &[0]);
        bind("a", bind("b", body))
    }

    /// A term of the size that proofs have; nobody checks it.
    fn proof(&self, i: usize, statement: Object) -> Object {
        let step = |proof, k: usize| {
            apply(
                self.trans.clone(),
                vec![proof, self.variables[(i + k) % 2].clone()],
            )
        };
        (0..12).fold(statement, step)
    }
}
