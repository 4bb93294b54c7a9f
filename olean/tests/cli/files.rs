//! The files that the tests look at, made once by the library's embedded runtime and by the test kit's writer.

use crate::graph;
use crate::objects::{self, Object};
use olean_reader::format::extension::{self, LibraryIdentity};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use testkit::olean::{Node, Spec, Val};

/// A folder with:
/// * `lib/`: `Demo.olean` and `Demo.olean.private` as the demonstration saves them, `Empty.olean`;
/// * `wasm/Small.olean`: 32-bit, native bignums;
/// * `Kinds.snap`: version 3, every kind of object, closures and their libraries;
/// * `bad/`: a truncated file, one with a wild pointer, one that is text, a part whose base is bad, a good one;
/// * `a/`, `b/`: two builds: identical, moved, changed, and files that only one has;
/// * `old/`, `new/`: two builds of a module, the second with a theorem more;
/// * `empty/`: nothing.
pub fn dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = testkit::shared_dir("olean-cli");
        make(&dir);
        dir
    })
}

fn write(path: PathBuf, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
    fs::write(path, bytes).expect("a file can be written");
}

fn make(dir: &Path) {
    fs::create_dir_all(dir.join("lib")).expect("a folder can be made");
    fs::create_dir_all(dir.join("empty")).expect("a folder can be made");
    let lib = |name: &str| dir.join("lib").join(name);
    let (public, private) = graph::module(3);
    let (a, b) = (lib("Demo.olean"), lib("Demo.olean.private"));
    objects::save_parts("Demo", &[(&a, &public), (&b, &private)]).expect("the module is saved");
    let none = Object::array(vec![]);
    let empty = Object::ctor(
        0,
        vec![none.clone(), none.clone(), none.clone(), none.clone(), none],
        &[0],
    );
    objects::save_parts("Empty", &[(&lib("Empty.olean"), &empty)]).expect("the module is saved");

    for (folder, theorems) in [("old", 3), ("new", 4)] {
        let path = |name: &str| dir.join(folder).join(name);
        fs::create_dir_all(dir.join(folder)).expect("a folder can be made");
        let (public, private) = graph::module(theorems);
        let (a, b) = (path("Demo.olean"), path("Demo.olean.private"));
        objects::save_parts("Demo", &[(&a, &public), (&b, &private)]).expect("the module is saved");
    }

    write(
        dir.join("wasm/Small.olean"),
        &small(0x1234_0000, "λ").write().bytes,
    );
    write(dir.join("Kinds.snap"), &kinds().write().bytes);

    let good = fs::read(&a).expect("it was saved");
    write(dir.join("bad/Good.olean"), &good);
    write(dir.join("bad/Cut.olean"), &good[..good.len() / 2 / 8 * 8]);
    let mut wild = small(0x1234_0000, "λ");
    wild.nodes.push(Node::Array(vec![Val::Word(0x4444_0000)]));
    write(dir.join("bad/Pointer.olean"), &wild.write().bytes);
    write(dir.join("bad/Text.olean"), b"theorem : True := trivial\n");
    write(dir.join("bad/Part.olean"), &good[..1000]);
    write(
        dir.join("bad/Part.olean.private"),
        &fs::read(&b).expect("it was saved"),
    );
    write(dir.join("bad/Good.olean.hash"), b"1234567890");

    for (folder, base, text) in [("a", 0x1234_0000, "before"), ("b", 0x5678_0000, "behind")] {
        let file = |name: &str| dir.join(folder).join(name);
        write(file("sub/Same.olean"), &good);
        write(file("Moved.olean"), &small(base, "λ").write().bytes);
        write(file("Changed.olean"), &small(0x1234_0000, text).write().bytes);
        write(file(&format!("Only{folder}.ir")), &good);
    }
}

/// A 32-bit file with the common kinds of objects.
fn small(base: u64, text: &str) -> Spec {
    let mut spec = Spec::new(false, false, 2);
    spec.base = base;
    let string = spec.push(Node::Str(format!("a text with a {text}")));
    let control = spec.push(Node::Str("tab\tbell\u{7}escape\u{1b}[31m".to_owned()));
    let big = spec.push(Node::Big(false, vec![0, 0, 0, 0, 0, 0, 0, 0, 1]));
    let negative = spec.push(Node::Big(true, vec![1, 2, 3, 4, 5]));
    let bytes = spec.push(Node::Sarray(1, (0..40).collect()));
    let array = spec.push(Node::Array(vec![string, string, control, big, negative, bytes]));
    spec.root = spec.push(Node::Ctor(3, vec![array, Val::Box(7), string], vec![1, 2, 3, 4]));
    spec
}

/// Every kind of object, with closures of two libraries, one of which is identified by its build id.
fn kinds() -> Spec {
    let mut spec = Spec::new(true, true, 3);
    spec.libraries = vec![
        (0x7000_0000_0000, b"/opt/lean/lib/lean/libleanshared.so".to_vec()),
        (0x7100_0000_0000, b"plugin.so".to_vec()),
    ];
    let identities = [
        LibraryIdentity::BuildId((0..20).collect()),
        LibraryIdentity::Sampled {
            digest: [0xab; 32],
            functions: vec![16, 64],
        },
    ];
    spec.extension = Some(extension::encode(&identities, &[0; 16]));
    let string = spec.push(Node::Str("value".to_owned()));
    let thunk = spec.push(Node::Thunk(string));
    let task = spec.push(Node::Task(thunk));
    let reference = spec.push(Node::Ref(Val::Box(1)));
    let promise = spec.push(Node::Promise(task));
    let first = spec.push(Node::Closure(0, 0x1000, 3, vec![string, Val::Box(2)]));
    let second = spec.push(Node::Closure(1, 0x20, 1, vec![]));
    let third = spec.push(Node::Closure(0, 0x2000, 2, vec![first]));
    let doubles = spec.push(Node::Sarray(8, vec![0; 16]));
    let big = spec.push(Node::Big(true, vec![0xff; 20]));
    let all = vec![
        thunk, task, reference, promise, first, second, third, doubles, big,
    ];
    spec.root = spec.push(Node::Array(all));
    spec
}
