//! Chains of graphs in which much is equal and little is the same object: what is looked for by content, and when
//! that need not be done.

use crate::graph::Random;
use crate::lean::lean;
use crate::{Files, release, save_both, seeds};
use lean_region::object::Obj;

/// A constructor of `tag`, owned; its fields are owned by it.
fn ctor(tag: u8, fields: &[Obj]) -> Obj {
    // SAFETY: the runtime is initialised, and there is a field.
    unsafe { lean().host.mk_ctor(tag, fields, &[]) }
}

fn leaf(n: usize) -> Obj {
    ctor(0, &[Obj::boxed(n)])
}

fn array(elements: &[Obj]) -> Obj {
    // SAFETY: the runtime is initialised.
    unsafe { lean().host.mk_array(elements) }
}

/// One reference more.
fn again(o: Obj) -> Obj {
    // SAFETY: a live object of the test.
    unsafe { lean().host.inc(o) };
    o
}

/// Saves `parts` parts of one chain with both loaders and compares the files. `make` makes the root of each,
/// owned, after those before it, which it is given, have been saved.
fn save(parts: usize, context: &str, mut make: impl FnMut(&[Obj]) -> Obj) {
    let mut files = Files::new("differential-copies");
    for ours_first in [true, false] {
        let mut prev = [None; 2];
        let mut roots: Vec<Obj> = Vec::new();
        for part in 0..parts {
            let root = make(&roots);
            let context = format!("{context}, part {part}");
            prev = save_both(&files.pair(), root, &[], prev, false, ours_first, &context).map(Some);
            roots.push(root);
        }
        release(prev.into_iter().flatten());
        release(roots);
    }
}

#[test]
fn a_child_found_for_an_object_with_more_references_leads_to_any_parent() {
    save(1, "both children are equal", |_| {
        // The parent of the second leaf is written when that has been referred to twice.
        let (first, second) = (leaf(1), leaf(1));
        let parent = ctor(1, &[first, again(second)]);
        let equal = ctor(1, &[again(second), second]);
        array(&[parent, equal])
    });
}

#[test]
fn a_root_may_be_met_again_in_any_later_part() {
    // The only parent of the leaf so far, then an equal leaf as a root of its own, then two more parents of that.
    save(3, "an equal root", |roots| match roots {
        [] => array(&[ctor(1, &[leaf(1)])]),
        [_] => leaf(1),
        [.., root] => array(&[ctor(1, &[again(*root)]), ctor(1, &[again(*root)])]),
    });
}

#[test]
fn nothing_behind_the_end_of_a_part_is_taken_for_an_object() {
    // An equal string is dropped, and of what it leaves behind the end of the part, the text looks like a leaf.
    let text = || {
        // SAFETY: the runtime is initialised.
        unsafe {
            lean()
                .host
                .mk_string("\0\0\0\0\u{10}\0\u{1}\0\u{3}\0\0\0\0\0\0\0")
        }
    };
    let part = || ctor(1, &[leaf(7), text(), text()]);
    save(2, "a text like a leaf", |roots| match roots {
        [] => part(),
        _ => array(&[part(), leaf(1)]),
    });
}

/// Makes graphs of few different leaves, most of them by copying earlier ones.
struct Copies {
    random: Random,
    /// Owned once each.
    pool: Vec<Obj>,
}

impl Copies {
    /// An object of the pool with a reference more, one taken out of it, a copy of one, or a new leaf; owned.
    fn child(&mut self) -> Obj {
        if self.pool.is_empty() {
            return self.leaf();
        }
        let at = self.random.below(self.pool.len());
        match self.random.below(8) {
            0 | 1 => again(self.pool[at]),
            2 | 3 => self.pool.swap_remove(at),
            4..7 => self.copy(self.pool[at]),
            _ => self.leaf(),
        }
    }

    fn leaf(&mut self) -> Obj {
        match self.random.below(4) {
            0 => Obj::boxed(self.random.below(3)),
            // SAFETY: the runtime is initialised.
            1 => unsafe {
                lean()
                    .host
                    .mk_string(["", "a", "more than eight bytes"][self.random.below(3)])
            },
            2 => array(&[Obj::boxed(self.random.below(3))]),
            _ => leaf(self.random.below(20)),
        }
    }

    /// A copy of a graph, in which something may be shared that was not, or the other way round.
    fn copy(&mut self, o: Obj) -> Obj {
        if o.is_scalar() || self.random.one_in(12) {
            return again_or_scalar(o);
        }
        // SAFETY: live objects of the test, which are constructors, arrays and strings.
        unsafe {
            let tag = o.kind().tag;
            if tag > 246 {
                return again(o);
            }
            let count = if tag == 246 {
                o.size()
            } else {
                o.kind().other.into()
            };
            let child = |i| if tag == 246 { o.element(i) } else { o.field(i) };
            let mut copies: Vec<Obj> = Vec::new();
            for i in 0..count {
                // Equal neighbours are one object now and then.
                let copied = match copies.last() {
                    Some(&last) if child(i) == child(i - 1) && self.random.one_in(2) => again_or_scalar(last),
                    _ => self.copy(child(i)),
                };
                copies.push(copied);
            }
            if tag == 246 {
                array(&copies)
            } else {
                ctor(tag, &copies)
            }
        }
    }

    fn grow(&mut self, count: usize) {
        for _ in 0..count {
            let fields: Vec<Obj> = (0..1 + self.random.below(3)).map(|_| self.child()).collect();
            let object = match self.random.below(6) {
                0 => array(&fields),
                // SAFETY: the runtime is initialised, the value owned.
                1 if self.random.one_in(4) => unsafe {
                    fields[1..].iter().for_each(|&o| lean().host.dec(o));
                    lean().host.mk_ref(fields[0])
                },
                tag => ctor(tag as u8 / 3, &fields),
            };
            self.pool.push(object);
        }
    }

    /// A root, owned: an object of the pool by itself, or all of them.
    fn root(&mut self) -> Obj {
        let at = self.random.below(self.pool.len());
        match self.random.below(4) {
            0 => again(self.pool[at]),
            1 => self.copy(self.pool[at]),
            _ => {
                let all: Vec<Obj> = self.pool.iter().map(|&o| again_or_scalar(o)).collect();
                array(&all)
            }
        }
    }
}

fn again_or_scalar(o: Obj) -> Obj {
    if o.is_scalar() { o } else { again(o) }
}

#[test]
fn chains_of_copies_have_equal_files() {
    seeds(3000, |seed| {
        let mut copies = Copies {
            random: Random(seed ^ 0xc0 << 50),
            pool: Vec::new(),
        };
        let parts = 1 + copies.random.below(6);
        save(parts, &format!("seed {seed}"), |_| {
            // Small, for copies of copies grow fast.
            let more = 1 + copies.random.below(9);
            copies.grow(more);
            copies.root()
        });
        release(copies.pool);
    });
}
