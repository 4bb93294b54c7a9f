//! What both loaders refuse, in the same words: ours say more behind them.

use crate::graph::assert_same;
use crate::lean::{Region, lean};
use crate::{Files, Pair, Taken, release};
use lean_region::object::Obj;
use std::ffi::c_void;
use std::fs;

/// Fails unless our text begins with the incumbent's. `theirs` and `ours` are the file names in them.
#[track_caller]
fn assert_same_words<T, U>(theirs: Result<T, String>, ours: Result<U, String>, case: &str) {
    let theirs = theirs
        .err()
        .unwrap_or_else(|| panic!("{case}: the incumbent accepts it"));
    let ours = ours.err().unwrap_or_else(|| panic!("{case}: we accept it"));
    let theirs = theirs.replace(".theirs", "");
    let ours = ours.replace(".ours", "");
    assert!(
        ours.starts_with(&theirs),
        "{case}:\n  theirs: {theirs}\n  ours:   {ours}"
    );
    println!("{case}: {ours}");
}

#[test]
fn what_cannot_be_saved_is_refused_in_the_same_words() {
    let mut files = Files::new("differential-refused");
    let host = lean().host;
    // SAFETY: the runtime is initialised; the closure is never called; children are owned by their parents.
    let cases = unsafe {
        let closure = host.mk_closure(lean().spawn as *const c_void, 2, &[]);
        let stdin = host
            .symbol(c"lean_get_stdin")
            .expect("Lean has a function that gives an external object");
        let stream: unsafe extern "C" fn() -> Obj = std::mem::transmute(stdin);
        [
            ("closure", host.mk_array(&[Obj::UNIT, closure]), false),
            (
                "external object",
                host.mk_pair(host.mk_string("x"), stream_handle(stream())),
                false,
            ),
            ("external object, closures allowed", stream_handle(stream()), true),
        ]
    };
    for (case, object, closures) in cases {
        let pair = files.pair();
        let save =
            |loader: &crate::Loader| loader.save(pair.of(loader), pair.key, object, &[], None, closures);
        assert_same_words(save(&lean().theirs), save(&lean().ours), case);
        assert!(
            fs::read_dir(pair.ours.parent().unwrap())
                .unwrap()
                .next()
                .is_none(),
            "{case}: a file is left"
        );
    }
    let gone = Files::new("differential-gone");
    let mut there = Files::new("differential-there");
    let pair = there.pair();
    let name = |who: &str| gone.dir.path().join(format!("no/such/x.{who}"));
    assert_same_words(
        lean()
            .theirs
            .save(&name("theirs"), pair.key, Obj::UNIT, &[], None, false),
        lean()
            .ours
            .save(&name("ours"), pair.key, Obj::UNIT, &[], None, false),
        "directory does not exist",
    );
}

/// The external object in a stream: streams of the runtime hold closures over a handle.
///
/// # Safety
/// `stream` is a live object.
unsafe fn stream_handle(stream: Obj) -> Obj {
    let all = crate::graph::reachable(stream);
    // SAFETY: live objects.
    let external = all.into_iter().find(|o| unsafe { o.kind().tag } == 254);
    external.expect("a stream has a handle")
}

#[test]
fn files_that_are_none_are_refused_in_the_same_words() {
    let mut files = Files::new("differential-unreadable");
    let good = files.pair();
    let compactor = lean()
        .theirs
        .save(&good.theirs, good.key, Obj::UNIT, &[], None, false);
    release(compactor);
    let bytes = fs::read(&good.theirs).unwrap();
    let changed = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        Some(bytes)
    };
    let cases = [
        ("no file", None),
        ("empty file", Some(vec![])),
        ("half a header", Some(bytes[..50].to_vec())),
        ("87 bytes", Some(bytes[..87].to_vec())),
        ("another marker", changed(0, b'O')),
        ("version 1", changed(5, 1)),
        ("version 4", changed(5, 4)),
        ("other flags", changed(6, 0)),
        ("unknown flags", changed(6, 3)),
        ("another githash", changed(40, b'0')),
    ];
    for (case, content) in cases {
        let pair = files.pair();
        if let Some(content) = content {
            fs::write(&pair.theirs, &content).unwrap();
            fs::write(&pair.ours, &content).unwrap();
        }
        assert_same_words(
            lean().theirs.read(&pair.theirs, &[]),
            lean().ours.read(&pair.ours, &[]),
            case,
        );
    }
}

#[test]
fn wrong_dependencies_are_refused_in_the_same_words() {
    let mut files = Files::new("differential-wrong-deps");
    let host = lean().host;
    let lower = files.pair();
    // SAFETY: the runtime is initialised.
    let object = unsafe { host.mk_string("in the dependency") };
    release(
        lean()
            .theirs
            .save(&lower.theirs, lower.key, object, &[], None, false),
    );
    let region = lean().theirs.read(&lower.theirs, &[]).expect("a region");
    let upper = files.pair();
    // SAFETY: as above; objects of regions are not counted.
    let root = unsafe { host.mk_array(&[region.root, Obj::UNIT]) };
    for loader in Pair::both() {
        release(loader.save(upper.of(&loader), upper.key, root, &[&region], None, false));
    }
    upper.assert_equal("a root with a pointer into a dependency");
    // Read where it cannot land, so that pointers are looked at.
    let taken = Taken::at(upper.base());
    let read = |deps: &[&Region]| {
        assert_same_words(
            lean().theirs.read(&upper.theirs, deps),
            lean().ours.read(&upper.ours, deps),
            &format!("{} dependencies", deps.len()),
        );
    };
    read(&[]);
    read(&[&region, &region]);
    drop(taken);
    let own = lean().theirs.read(&upper.theirs, &[&region]).expect("a region");
    read(&[&region, &own]);
    assert_same(root, own.root, "the region that depends");
    own.free();
    release([root, object]);
    region.free();
}

#[test]
fn each_loader_frees_its_own_regions_once() {
    let mut files = Files::new("differential-free");
    let host = lean().host;
    let pair = files.pair();
    // SAFETY: the runtime is initialised.
    let object = unsafe { host.mk_string("x") };
    release(lean().ours.save(&pair.ours, pair.key, object, &[], None, false));
    let (theirs, ours) = (lean().theirs, lean().ours);
    let region = theirs.read(&pair.ours, &[]).expect("a region");
    // SAFETY: the structure lives; freeing consumes a reference.
    unsafe { host.inc(region.structure) };
    let refused = ours.free(region.structure).expect_err("not a region of ours");
    assert!(refused.contains("failed to free a region"), "{refused}");
    region.free();
    let region = ours.read(&pair.ours, &[]).expect("a region");
    // SAFETY: as above, twice.
    unsafe {
        host.inc(region.structure);
        host.inc(region.structure);
        assert_eq!(ours.free(region.structure), Ok(Obj::UNIT));
        assert_eq!(region.structure.field(1), Obj::UNIT, "the root is gone");
        ours.free(region.structure).expect_err("freed before");
        // As a dependency it is none any more.
        let root = Obj::UNIT;
        let again = files.pair();
        let error = ours
            .save(&again.ours, again.key, root, &[&region], None, false)
            .expect_err("freed");
        assert!(
            error.contains("dependency region 0 of 1 is no live region"),
            "{error}"
        );
        host.dec(region.structure);
    }
    release([object]);
}
