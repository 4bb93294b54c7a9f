//! `olean doctor DIR`: a workspace with each kind of trouble gets each finding and no other, a healthy one none.

use crate::run::{code, olean, output, stdout};
use olean_reader::format::dependencies::{Dependency, content_digest, encode};
use olean_reader::format::extension::push_dependencies;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use testkit::Value;
use testkit::olean::{Node, Spec, Val};

/// What a module of these tests looks like.
#[derive(Clone, Copy)]
struct Module {
    base: u64,
    /// Length of a string in the first part.
    text: usize,
    wide: bool,
    gmp: bool,
    /// Whether it says that it has three parts.
    has_parts: bool,
}

impl Module {
    fn at(base: u64) -> Self {
        Self {
            base,
            text: 40,
            wide: true,
            gmp: true,
            has_parts: true,
        }
    }

    fn spec(self) -> Spec {
        let mut spec = Spec::new(self.wide, self.gmp, 2);
        spec.base = self.base;
        spec
    }

    /// The root of a part: module data over some objects, which may lie in other parts.
    fn finish(self, mut spec: Spec, objects: Vec<Val>) -> Vec<u8> {
        let all = spec.push(Node::Array(objects));
        let none = spec.push(Node::Array(vec![]));
        let flags = vec![u8::from(self.has_parts), 0, 0, 0, 0, 0, 0, 0];
        spec.root = spec.push(Node::Ctor(0, vec![none, none, none, none, all], flags));
        spec.write().bytes
    }

    /// The bytes of all parts, each behind the one before and pointing into it.
    fn parts(self) -> [Vec<u8>; 3] {
        let mut base = self.base;
        let mut points_to: Option<u64> = None;
        [0, 1, 2].map(|_| {
            let mut spec = Module { base, ..self }.spec();
            let text = spec.push(Node::Str("x".repeat(self.text)));
            let inner = spec.push(Node::Array(vec![text, text]));
            let mut objects = vec![inner];
            objects.extend(points_to.map(Val::Word));
            let at = spec.write().offsets[1] as u64;
            points_to = Some(base + at);
            let bytes = self.with_base(base).finish(spec, objects);
            base = (base + bytes.len() as u64).next_multiple_of(0x1_0000);
            bytes
        })
    }

    fn with_base(self, base: u64) -> Self {
        Self { base, ..self }
    }
}

const SUFFIXES: [&str; 3] = [".olean", ".olean.server", ".olean.private"];

fn write(dir: &Path, name: &str, bytes: &[u8]) {
    fs::write(dir.join(name), bytes).expect("it can be written");
}

/// Writes all parts of a module.
fn save(dir: &Path, name: &str, module: Module) -> [Vec<u8>; 3] {
    let parts = module.parts();
    for (suffix, bytes) in SUFFIXES.iter().zip(&parts) {
        write(dir, &format!("{name}{suffix}"), bytes);
    }
    parts
}

/// Writes a module of one part.
fn save_alone(dir: &Path, name: &str, module: Module) -> Vec<u8> {
    let module = Module {
        has_parts: false,
        ..module
    };
    let bytes = module.finish(module.spec(), vec![]);
    write(dir, &format!("{name}.olean"), &bytes);
    bytes
}

/// Three modules in parts, one of one part, and a snapshot over two files: nothing is wrong.
fn healthy(dir: &Path) {
    for i in 0..3 {
        save(
            dir,
            &format!("Good{i}"),
            Module::at(0x5000_0000_0000 + i * 0x100_0000),
        );
    }
    let base = 0x5100_0000_0000;
    save_alone(dir, "Alone", Module::at(base));
    snapshot(dir, "Good.snap", base + 0x60, &["Alone.olean", "Good0.olean"]);
    write(dir, "Good0.olean.hash", b"123");
    write(dir, "Good0.ilean", b"{}");
}

/// A snapshot that points to `address`.
fn snapshot(dir: &Path, name: &str, address: u64, over: &[&str]) {
    let mut spec = Spec::new(true, true, 3);
    spec.base = 0x5200_0000_0000;
    spec.root = spec.push(Node::Array(vec![Val::Word(address)]));
    write(dir, name, &spec.write().bytes);
    let list: Vec<String> = over.iter().map(|o| format!("{{\"olean\":\"./{o}\"}}")).collect();
    write(
        dir,
        &format!("{name}.deps"),
        format!("[{}]", list.join(",")).as_bytes(),
    );
}

/// Kind, number of places and text of each finding, and the exit code.
fn findings(dir: &Path) -> (Vec<(String, usize, String)>, i32) {
    let output = output(dir, &["doctor", ".", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).expect("a document");
    assert_eq!(document["schema"], 1);
    if document["findings"] != Value::Array(vec![]) {
        testkit::documents::check("olean doctor DIR…", [&document]);
    }
    let findings = document["findings"].as_array().expect("a list");
    let text = |v: &Value| v.as_str().expect("a text").to_owned();
    let finding = |f: &Value| {
        assert!(!text(&f["remedy"]).is_empty());
        let places = f["places"].as_array().expect("a list").len();
        (text(&f["kind"]), places, text(&f["what"]))
    };
    (findings.iter().map(finding).collect(), code(&output))
}

fn kinds(dir: &Path) -> Vec<(String, usize)> {
    findings(dir)
        .0
        .into_iter()
        .map(|(kind, places, _)| (kind, places))
        .collect()
}

#[test]
fn a_healthy_workspace_has_nothing_found() {
    let dir = testkit::temp_dir("healthy");
    healthy(dir.path());
    let output = output(dir.path(), &["doctor", "."]);
    assert_eq!(
        (code(&output), stdout(&output)),
        (0, "nothing found in 10 files of 4 modules, 3.1 KiB; 1 snapshot\n")
    );
    assert!(output.stderr.is_empty());
}

/// What is planted, and the one finding it leads to: its kind and how many places it names.
type Trouble = (fn(&Path), &'static str, usize);

const TROUBLE: [Trouble; 22] = [
    (cut_file, "damaged", 1),
    (hurt_first_part, "damaged", 1),
    (no_region_file, "damaged", 3),
    (private_of_another_build, "mixed-builds", 1),
    (grown_first_part, "mixed-builds", 1),
    (first_part_of_another_build_without_pointers, "mixed-builds", 1),
    (lone_first_parts, "missing-part", 2),
    (no_server, "missing-part", 1),
    (only_private, "missing-part", 1),
    (lone_code, "missing-part", 1),
    (one_narrow_part, "mixed-width", 1),
    (another_toolchain, "other-toolchain", 3),
    (another_width, "other-width", 1),
    (other_bignums, "other-bignums", 1),
    (snapshots_out_of_date, "stale-snapshot", 2),
    (snapshot_that_remembers_another_file, "stale-snapshot", 1),
    (bad_snapshots, "damaged-snapshot", 2),
    (image_of_a_file_that_changed, "stale-image", 1),
    (bad_image, "damaged-image", 1),
    (low_base, "base-taken", 1),
    (same_base, "base-overlap", 1),
    (left_behind, "dangling-link", 1),
];

fn cut_file(dir: &Path) {
    let bytes = save_alone(dir, "Cut", Module::at(0x6000_0000_0000));
    write(dir, "Cut.olean", &bytes[..bytes.len() - 24]);
}

fn hurt_first_part(dir: &Path) {
    let [mut first, ..] = save(dir, "Hurt", Module::at(0x6000_0000_0000));
    // The reference count of the first object.
    first[96] = 1;
    write(dir, "Hurt.olean", &first);
}

fn no_region_file(dir: &Path) {
    write(dir, "Text.olean", b"theorem\n");
    write(dir, "Tiny.olean", b"x\n");
    write(dir, "Empty.olean", b"");
}

fn private_of_another_build(dir: &Path) {
    let module = Module::at(0x6000_0000_0000);
    let [first, ..] = save(dir, "Mixed", module);
    let [_, _, private] = Module { text: 90, ..module }.parts();
    assert!(first.len() < 0x1_0000);
    write(dir, "Mixed.olean.private", &private);
}

fn grown_first_part(dir: &Path) {
    let module = Module::at(0x6000_0000_0000);
    save(dir, "Grown", module);
    // It reaches over the places of both other parts, which therefore have the same base addresses as before.
    let [first, ..] = Module {
        text: 0x1_0000,
        ..module
    }
    .parts();
    write(dir, "Grown.olean", &first);
}

fn first_part_of_another_build_without_pointers(dir: &Path) {
    let base = 0x6000_0000_0000;
    let module = Module::at(base);
    for (suffix, base) in SUFFIXES.iter().zip([base, base + 0x3_0000, base + 0x4_0000]) {
        let module = module.with_base(base);
        write(
            dir,
            &format!("Apart{suffix}"),
            &module.finish(module.spec(), vec![]),
        );
    }
}

fn lone_first_parts(dir: &Path) {
    let module = Module::at(0x6000_0000_0000);
    for (i, name) in ["Lone1", "Lone2"].iter().enumerate() {
        save(
            dir,
            name,
            module.with_base(0x6000_0000_0000 + 0x10_0000 * i as u64),
        );
        fs::remove_file(dir.join(format!("{name}.olean.private"))).expect("it was written");
    }
}

fn no_server(dir: &Path) {
    save(dir, "Half", Module::at(0x6200_0000_0000));
    fs::remove_file(dir.join("Half.olean.server")).expect("it was written");
}

fn only_private(dir: &Path) {
    // Its file says nothing of server parts, but whatever has a private part has one.
    save(dir, "Only", Module::at(0x6000_0000_0000));
    fs::remove_file(dir.join("Only.olean")).expect("it was written");
}

fn lone_code(dir: &Path) {
    let module = Module::at(0x6300_0000_0000);
    let bytes = module.finish(module.spec(), vec![]);
    write(dir, "Code.ir", &bytes);
}

fn one_narrow_part(dir: &Path) {
    save(dir, "Odd", Module::at(0x6000_0000_0000));
    let narrow = Module {
        wide: false,
        ..Module::at(0x1_0000)
    };
    let [_, _, private] = narrow.parts();
    write(dir, "Odd.olean.private", &private);
}

fn another_toolchain(dir: &Path) {
    let parts = Module::at(0x6000_0000_0000).parts();
    for (suffix, mut bytes) in SUFFIXES.iter().zip(parts) {
        bytes[7..18].copy_from_slice(b"4.98.0-old\0");
        bytes[40..80].copy_from_slice(b"fedcba9876543210fedcba9876543210fedcba98");
        write(dir, &format!("Old{suffix}"), &bytes);
    }
}

fn another_width(dir: &Path) {
    let narrow = Module {
        wide: false,
        ..Module::at(0x1_0000)
    };
    save_alone(dir, "Wasm", narrow);
}

fn other_bignums(dir: &Path) {
    let native = Module {
        gmp: false,
        ..Module::at(0x6000_0000_0000)
    };
    save_alone(dir, "Native", native);
}

fn snapshots_out_of_date(dir: &Path) {
    snapshot(
        dir,
        "Gone.snap",
        0x5100_0000_0060,
        &["Alone.olean", "NoSuch.olean"],
    );
    // Where `Alone.olean` would be if it were larger.
    snapshot(
        dir,
        "Moved.snap",
        0x5100_0000_8000,
        &["Alone.olean", "Good0.olean"],
    );
}

fn bad_snapshots(dir: &Path) {
    snapshot(dir, "Cut.snap", 0x5100_0000_0060, &["Alone.olean"]);
    write(
        dir,
        "Cut.snap",
        &fs::read(dir.join("Cut.snap")).expect("it was written")[..100],
    );
    snapshot(dir, "List.snap", 0x5100_0000_0060, &["Alone.olean"]);
    write(dir, "List.snap.deps", b"{}");
}

fn snapshot_that_remembers_another_file(dir: &Path) {
    // Two of the same size: one that is as remembered, and one of which only the content tells.
    let over = ["Alone.olean", "Good0.olean"];
    let content: Vec<Vec<u8>> = over
        .iter()
        .map(|o| fs::read(dir.join(o)).expect("it is there"))
        .collect();
    let dependency = |i: usize, digest: &[u8]| Dependency {
        base: u64::from_le_bytes(content[i][80..88].try_into().expect("8 bytes")),
        size: content[i].len() as u64,
        device: 0,
        inode: 0,
        modified: 0,
        changed: 0,
        digest: Some(content_digest(digest, &mut [0; 512]).expect("memory can be read")),
        racy: false,
        path: over[i].as_bytes(),
    };
    for (name, second) in [("Same.snap", &content[1][..]), ("Other.snap", b"other")] {
        let record = encode(&mut [dependency(0, &content[0]), dependency(1, second)]).expect("memory");
        let mut payload = Vec::new();
        push_dependencies(&mut payload, &record).expect("memory");
        let mut spec = Spec::new(true, true, 3);
        spec.base = 0x5300_0000_0000;
        spec.root = spec.push(Node::Array(vec![Val::Word(0x5100_0000_0060)]));
        spec.extension = Some(payload);
        write(dir, name, &spec.write().bytes);
        write(
            dir,
            &format!("{name}.deps"),
            br#"[{"olean":"./Alone.olean"},{"olean":"./Good0.olean"}]"#,
        );
    }
}

fn image_of_a_file_that_changed(dir: &Path) {
    let built = output(dir, &["image", "build", ".", "-o", "all.image"]);
    assert_eq!(code(&built), 0, "{}", String::from_utf8_lossy(&built.stderr));
    assert_eq!(kinds(dir), []);
    let bytes = fs::read(dir.join("Alone.olean")).expect("it is there");
    fs::remove_file(dir.join("Alone.olean")).expect("it is there");
    write(dir, "Alone.olean", &bytes);
}

fn bad_image(dir: &Path) {
    write(dir, "bad.image", b"leanimg\nand no more");
    write(dir, "picture.image", b"of something else");
}

fn low_base(dir: &Path) {
    save_alone(dir, "Low", Module::at(0));
}

fn same_base(dir: &Path) {
    save_alone(dir, "Twin1", Module::at(0x6000_0000_0000));
    save_alone(dir, "Twin2", Module::at(0x6000_0000_0000));
}

fn left_behind(dir: &Path) {
    symlink("nowhere.olean", dir.join("Link.olean")).expect("a link can be made");
}

#[test]
fn each_trouble_is_found_and_nothing_else() {
    for (plant, kind, places) in TROUBLE {
        let dir = testkit::temp_dir("trouble");
        healthy(dir.path());
        plant(dir.path());
        let (found, exit) = findings(dir.path());
        let shown: Vec<(&str, usize)> = found.iter().map(|f| (f.0.as_str(), f.1)).collect();
        assert_eq!((shown.as_slice(), exit), (&[(kind, places)][..], 1), "{found:?}");
    }
}

#[test]
fn what_lacks_parts_is_counted_by_part() {
    let dir = testkit::temp_dir("lacking");
    healthy(dir.path());
    lone_first_parts(dir.path());
    no_server(dir.path());
    lone_code(dir.path());
    let (found, _) = findings(dir.path());
    let texts: Vec<&str> = found.iter().map(|f| f.2.as_str()).collect();
    assert_eq!(
        texts,
        [
            "1 module lacks .ir.sig, and Lean refuses to import it",
            "2 modules lack .olean.private, and Lean refuses to import them",
            "1 module lacks .olean.server, and Lean refuses to import it",
        ]
    );
}

#[test]
fn all_troubles_together_are_each_found_once() {
    let dir = testkit::temp_dir("all-troubles");
    healthy(dir.path());
    // Each in a folder of its own, as some use the same names and addresses.
    for (i, (plant, kind, _)) in TROUBLE.iter().enumerate() {
        // Snapshots are over files of the healthy part.
        if kind.ends_with("-snapshot") {
            plant(dir.path());
            continue;
        }
        let folder = dir.path().join(i.to_string());
        fs::create_dir(&folder).expect("a folder can be made");
        if kind.ends_with("-image") {
            // An image holds everything below its folder.
            healthy(&folder);
        }
        plant(&folder);
    }
    let mut found = kinds(dir.path());
    // Modules of different names at the same addresses are trouble of their own.
    found.retain(|(kind, _)| kind != "base-overlap");
    let mut names: Vec<&str> = found.iter().map(|f| f.0.as_str()).collect();
    names.dedup();
    assert_eq!(
        names,
        [
            "damaged",
            "mixed-builds",
            "missing-part",
            "mixed-width",
            "other-toolchain",
            "other-width",
            "other-bignums",
            "stale-snapshot",
            "damaged-snapshot",
            "stale-image",
            "damaged-image",
            "base-taken",
            "dangling-link"
        ]
    );
}

#[test]
fn dependents_of_damage_are_only_counted() {
    let dir = testkit::temp_dir("dependents");
    healthy(dir.path());
    hurt_first_part(dir.path());
    let output = output(dir.path(), &["doctor", "."]);
    let text = stdout(&output);
    assert!(
        text.contains("damaged: 1 file; 2 healthy parts depend on them"),
        "{text}"
    );
    assert!(text.contains("./Hurt.olean: offset 0x60: "), "{text}");
    assert!(!text.contains("Hurt.olean.server"), "{text}");
}

#[test]
fn verify_proves_lone_parts_and_says_that_they_are_alone() {
    let dir = testkit::temp_dir("lone");
    lone_first_parts(dir.path());
    for name in ["Lone1", "Lone2"] {
        fs::remove_file(dir.path().join(format!("{name}.olean.server"))).expect("it was written");
    }
    let output = output(dir.path(), &["verify", "."]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(code(&output), 0);
    assert!(
        stderr.contains("without other parts that importing needs: 2 modules"),
        "{stderr}"
    );
}

#[test]
fn one_narrow_part_does_not_blame_the_others() {
    let dir = testkit::temp_dir("odd");
    one_narrow_part(dir.path());
    // The largest of them.
    let narrow = Module {
        wide: false,
        text: 5000,
        ..Module::at(0x1_0000)
    };
    let [_, _, private] = narrow.parts();
    write(dir.path(), "Odd.olean.private", &private);
    let output = output(dir.path(), &["verify", "."]);
    assert_eq!(code(&output), 1);
    assert_eq!(
        stdout(&output),
        "./Odd.olean.private: a 32-bit file among 64-bit files\n"
    );
}

#[test]
fn limits_of_the_shell_are_held_against_what_importing_needs() {
    let dir = testkit::temp_dir("limits");
    // Each takes 64 KiB of addresses.
    for i in 0..3500 {
        save_alone(
            dir.path(),
            &format!("M{i}"),
            Module::at(0x6000_0000_0000 + i * 0x1_0000),
        );
    }
    let program = olean(dir.path(), &["doctor", "."]).get_program().to_owned();
    let limited = |limit: &str| {
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(format!("ulimit {limit} && exec \"$0\" doctor . -j 1 --json"));
        let output = shell
            .arg(&program)
            .current_dir(dir.path())
            .output()
            .expect("sh runs");
        let document: Value = serde_json::from_slice(&output.stdout).expect("a document");
        let findings = document["findings"].as_array().expect("a list");
        findings
            .iter()
            .map(|f| f["kind"].as_str().expect("a text").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(limited("-v 230000"), ["address-space"]);
    assert_eq!(limited("-d 230000"), ["data-size"]);
    assert_eq!(limited("-v 4000000"), [] as [&str; 0]);
}

#[test]
fn folders_are_folders() {
    let dir = testkit::temp_dir("folders");
    healthy(dir.path());
    for (line, expected) in [
        (&["doctor", "Good0.olean"][..], "is no folder"),
        (&["doctor", "nowhere"], "cannot open 'nowhere'"),
        (&["doctor", ".", "--", "lean"], "cannot be used with"),
        (&["doctor"], "required arguments were not provided"),
    ] {
        let output = output(dir.path(), line);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(code(&output), 2, "{line:?}: {stderr}");
        assert!(stderr.contains(expected), "{line:?}: {stderr}");
    }
}
