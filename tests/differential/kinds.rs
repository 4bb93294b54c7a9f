//! Every kind of object by itself, and the cases that no random graph hits.

use crate::graph::assert_same;
use crate::lean::{lean, on_large_stack};
use crate::{Files, Pair, read_all, release, save_both};
use lean_region::object::Obj;

/// Named objects of every kind, owned.
fn kinds() -> Vec<(String, Obj)> {
    let lean = lean();
    let host = lean.host;
    let mut all: Vec<(String, Obj)> = Vec::new();
    let mut add = |name: &str, o: Obj| all.push((name.to_owned(), o));
    // SAFETY: the runtime is initialised; each child is a fresh object, owned by its parent.
    unsafe {
        add("unit", Obj::UNIT);
        add("largest scalar", Obj(usize::MAX));
        for fields in [1, 2, 7, 64, 255] {
            add(
                &format!("{fields} fields"),
                host.mk_ctor(3, &vec![Obj::UNIT; fields], &[]),
            );
        }
        for scalars in [1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 1016, 1023] {
            let bytes = vec![0xa5; scalars];
            add(&format!("{scalars} scalar bytes"), host.mk_ctor(243, &[], &bytes));
            add(
                &format!("field and {scalars} scalar bytes"),
                host.mk_ctor(9, &[host.mk_string("f")], &bytes),
            );
        }
        add(
            "largest constructor",
            host.mk_ctor(1, &[Obj::boxed(7); 255], &[1; 1023]),
        );
        add("boxed word", host.box_usize(usize::MAX));
        add("empty array", host.mk_array(&[]));
        add(
            "array",
            host.mk_array(&[Obj::UNIT, host.mk_string("x"), host.mk_array(&[])]),
        );
        for size in [1u8, 2, 4, 8] {
            for count in [0usize, 1, 3, 1000] {
                let bytes: Vec<u8> = (0..count * usize::from(size)).map(|i| i as u8).collect();
                add(
                    &format!("{count} elements of {size}"),
                    host.mk_sarray(size, &bytes),
                );
            }
        }
        let mut floats = Vec::new();
        for f in [0.0, -0.0, 1.5, f64::NAN, f64::INFINITY] {
            floats.extend_from_slice(&f64::to_le_bytes(f));
        }
        add("float array", host.mk_sarray(8, &floats));
        let texts: Vec<Obj> = (0..100)
            .map(|len| host.mk_string(&"0123456".repeat(15)[..len]))
            .collect();
        add("strings of all small sizes", host.mk_array(&texts));
        for text in [
            "",
            "a",
            "1234567",
            "12345678",
            "grün → λ",
            "\u{0}\u{1F600}",
            &"long ".repeat(40_000),
        ] {
            add(&format!("string of {}", text.len()), host.mk_string(text));
        }
        for limbs in [1usize, 2, 3, 8187, 8188, 8189, 8192, 30_000] {
            let digits = vec![0x8000_0000_0000_0001; limbs];
            let natural = host.mk_nat_from_limbs(&digits).expect("a natural number");
            let negative = host.mk_int_from_limbs(true, &digits).expect("an integer");
            add(&format!("{limbs} limbs"), natural);
            add(&format!("{limbs} limbs, negative"), negative);
        }
        add("name", host.mk_name("Lean.Meta.λ"));
        add("thunk", host.mk_thunk(host.mk_string("value")));
        add("thunk of a scalar", host.mk_thunk(Obj::UNIT));
        add("task", host.mk_task(host.mk_string("value")));
        let promise = (lean.promise_new)();
        host.dec((lean.promise_resolve)(host.mk_string("value"), promise));
        add("promise", promise);
        let content = host.mk_string("content");
        host.inc(content);
        let (one, other) = (host.mk_ref(content), host.mk_ref(content));
        add("references of equal content", host.mk_array(&[one, other]));
        let number = || host.mk_nat(1 << 63).expect("a number");
        add("equal numbers", host.mk_array(&[number(), number()]));
        let thunk = || host.mk_thunk(host.mk_string("t"));
        let task = || host.mk_task(host.mk_string("t"));
        add(
            "equal thunks and tasks",
            host.mk_array(&[thunk(), task(), thunk(), task()]),
        );
        let equal = || host.mk_pair(host.mk_string("equal"), host.mk_sarray(1, b"equal"));
        add("equal content", host.mk_array(&[equal(), equal(), equal()]));
        // Runtimes mark arrays and strings that have one owner with a bit of the element size's byte.
        let marked = |o: Obj| {
            o.ptr().add(6).write(o.kind().other | 0x80);
            o
        };
        add(
            "scalar array with a mark",
            marked(host.mk_sarray(2, &[1, 2, 3, 4])),
        );
        add("string with a mark", marked(host.mk_string("marked")));
        add("array with a mark", marked(host.mk_array(&[Obj::UNIT])));
    }
    all
}

#[test]
fn every_kind_has_equal_files_that_both_read() {
    let mut files = Files::new("differential-kinds");
    for marked in 0..3 {
        for (name, object) in kinds() {
            let context = format!("{name}, marked {marked}");
            if !object.is_scalar() {
                // SAFETY: a live object.
                unsafe {
                    match marked {
                        0 => {}
                        1 => lean().host.mark_mt(object),
                        _ => (lean().mark_persistent)(object),
                    }
                }
            }
            for closures in [false, true] {
                let pair = files.pair();
                release(save_both(
                    &pair,
                    object,
                    &[],
                    [None; 2],
                    closures,
                    marked == 1,
                    &context,
                ));
                read_all(&pair, object, &context);
            }
            release([object]);
        }
    }
}

#[test]
fn a_deep_list_has_equal_files() {
    let mut files = Files::new("differential-deep");
    let host = lean().host;
    let pair = files.pair();
    // The incumbent and the runtime's own release and marking go by recursion or by lists of their own.
    let list = on_large_stack(1 << 20, || {
        let mut list = Obj::UNIT;
        for i in 0..300_000 {
            // SAFETY: the runtime is initialised; the tail is owned.
            list = unsafe { host.mk_ctor(1, &[Obj::boxed(i % 1000), list], &[]) };
        }
        list
    });
    on_large_stack(1 << 30, || {
        release(save_both(&pair, list, &[], [None; 2], false, true, "deep list"));
    });
    let again = files.pair();
    on_large_stack(256 << 10, || {
        let ours = lean().ours;
        let compactor = ours.save(&again.ours, pair.key, list, &[], None, false);
        release([compactor.expect("a small stack is enough")]);
    });
    assert_eq!(
        std::fs::read(&again.ours).unwrap(),
        std::fs::read(&pair.ours).unwrap()
    );
    for reader in Pair::both() {
        let region = reader.read(&pair.theirs, &[]).expect("a list");
        assert_same(list, region.root, reader.name);
        region.free();
    }
    release([list]);
}
