//! Graphs of live objects: made at random of every kind there is, and compared.

use crate::lean::{Lean, lean};
use lean_region::object::Obj;
use std::collections::{HashMap, HashSet};
use std::ffi::c_void;
use testkit::olean::split_mix;

/// Numbers from a seed.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        split_mix(&mut self.0)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        // Few different ones, so that equal contents come about.
        let top = if self.one_in(2) { 2 } else { 256 };
        (0..n).map(|_| self.below(top) as u8).collect()
    }
}

/// What may occur in a graph.
#[derive(Clone, Copy, Default)]
pub struct Kinds {
    pub closures: bool,
}

/// A pool of objects, each owned once, from which further ones are made.
pub struct Pool {
    pub random: Random,
    pub kinds: Kinds,
    owned: Vec<Obj>,
    /// Objects of regions, which are not counted.
    pub foreign: Vec<Obj>,
    /// Tasks given to workers that may still run, owned once more.
    running: Vec<Obj>,
}

unsafe extern "C" fn first_of_two(value: Obj, unit: Obj) -> Obj {
    assert_eq!(unit, Obj::UNIT);
    value
}

unsafe extern "C" fn first_after_a_while(value: Obj, unit: Obj) -> Obj {
    std::thread::sleep(std::time::Duration::from_micros(300));
    // SAFETY: passed on.
    unsafe { first_of_two(value, unit) }
}

const TEXTS: [&str; 8] = [
    "",
    "a",
    "ab",
    "Nat.add_comm",
    "λ x ↦ x",
    "\u{1F600}\u{0}middle",
    "exactly8",
    "_private.Init.Prelude.0",
];

impl Pool {
    pub fn new(seed: u64, kinds: Kinds) -> Self {
        Pool {
            random: Random(seed),
            kinds,
            owned: Vec::new(),
            foreign: Vec::new(),
            running: Vec::new(),
        }
    }

    /// Makes `count` objects more.
    pub fn grow(&mut self, count: usize) {
        for _ in 0..count {
            let object = self.make();
            self.owned.push(object);
        }
    }

    /// An object of the pool, borrowed, or a scalar.
    pub fn pick(&mut self) -> Obj {
        if self.owned.is_empty() || self.random.one_in(12) {
            return self.scalar();
        }
        let n = self.owned.len();
        // The youngest are the largest.
        let i = if self.random.one_in(2) {
            self.random.below(n)
        } else {
            n - 1
        };
        self.owned[i]
    }

    /// An object that holds all of the pool, borrowed.
    pub fn all(&mut self) -> Obj {
        let elements = self.owned.clone();
        // SAFETY: the array owns a reference of each.
        let all = unsafe {
            for o in &elements {
                lean().host.inc(*o);
            }
            lean().host.mk_array(&elements)
        };
        self.owned.push(all);
        all
    }

    fn scalar(&mut self) -> Obj {
        let bits = 1 + self.random.below(63);
        Obj::boxed(self.random.next() as usize & ((1 << bits) - 1))
    }

    /// A child for a new object, owned: out of the pool, so that it has one reference, or shared with it.
    fn child(&mut self) -> Obj {
        if !self.foreign.is_empty() && self.random.one_in(4) {
            let i = self.random.below(self.foreign.len());
            return self.foreign[i];
        }
        if self.owned.is_empty() || self.random.one_in(5) {
            return self.scalar();
        }
        let i = self.random.below(self.owned.len());
        if self.random.one_in(2) {
            return self.owned.swap_remove(i);
        }
        // SAFETY: the pool's objects live.
        unsafe { lean().host.inc(self.owned[i]) };
        self.owned[i]
    }

    fn children(&mut self, most: usize) -> Vec<Obj> {
        let count = self.random.below(most + 1);
        (0..count).map(|_| self.child()).collect()
    }

    fn text(&mut self) -> String {
        let mut text = TEXTS[self.random.below(TEXTS.len())].to_owned();
        match self.random.below(20) {
            0 => text = text.repeat(1 + self.random.below(3000)),
            1..8 => text.push_str(&self.random.below(30).to_string()),
            _ => {}
        }
        text
    }

    fn make(&mut self) -> Obj {
        // SAFETY: the runtime is initialised; children are owned and passed on once; the kinds are laid out as
        // lean.h says.
        unsafe {
            match self.random.below(26) {
                0..6 => self.ctor(),
                6..8 => self.array(),
                8..10 => self.scalar_array(),
                10..13 => self.string(),
                13..15 => self.name(),
                15 | 16 => self.number(),
                17 => self.thunk(),
                18 => self.task(),
                19 => self.promise(),
                20 => {
                    let value = self.child();
                    lean().host.mk_ref(value)
                }
                21 => self.boxed(),
                22 | 23 => self.copy(),
                24 => self.unowned(),
                _ => self.marked(),
            }
        }
    }

    unsafe fn ctor(&mut self) -> Obj {
        let tag = [0, 1, 2, 18, 243][self.random.below(5)];
        let mut most = (5, 20);
        if self.random.one_in(30) {
            most = (255, 1023);
        }
        let fields = self.children(most.0);
        let wanted = usize::from(fields.is_empty());
        let bytes = wanted + self.random.below(most.1);
        let bytes = if self.random.one_in(2) { wanted } else { bytes };
        let scalars = self.random.bytes(bytes);
        // SAFETY: fewer than 256 fields and 1024 bytes, not neither.
        unsafe { lean().host.mk_ctor(tag, &fields, &scalars) }
    }

    unsafe fn array(&mut self) -> Obj {
        let Lean { host, array_push, .. } = lean();
        let most = if self.random.one_in(10) { 300 } else { 6 };
        let mut elements = self.children(most);
        let pushed = if self.random.one_in(2) {
            elements.len() / 2
        } else {
            0
        };
        let rest = elements.split_off(elements.len() - pushed);
        // SAFETY: an array of one owner, which grows beyond what it holds.
        unsafe {
            let array = host.mk_array(&elements);
            rest.into_iter().fold(array, |a, e| array_push(a, e))
        }
    }

    unsafe fn scalar_array(&mut self) -> Obj {
        let size = 1 << self.random.below(4);
        let most = if self.random.one_in(10) { 5000 } else { 12 };
        let count = self.random.below(most);
        let bytes = self.random.bytes(count * size);
        // SAFETY: whole elements; a smaller size than capacity leaves spare room.
        unsafe {
            let array = lean().host.mk_sarray(size as u8, &bytes);
            if count > 0 && self.random.one_in(3) {
                array.set_word(8, self.random.below(count));
            }
            array
        }
    }

    unsafe fn string(&mut self) -> Obj {
        let Lean {
            host, string_push, ..
        } = lean();
        let text = self.text();
        // SAFETY: a string of one owner, which grows beyond what it holds.
        unsafe {
            let mut string = host.mk_string(&text);
            if self.random.one_in(3) {
                for c in ['x', 'é', '→'] {
                    string = string_push(string, c as u32);
                }
            }
            string
        }
    }

    unsafe fn name(&mut self) -> Obj {
        let host = lean().host;
        // SAFETY: names of names, strings and naturals.
        unsafe {
            let mut name = Obj::UNIT;
            for _ in 0..=self.random.below(3) {
                name = if self.random.one_in(3) {
                    host.mk_name_num(name, Obj::boxed(self.random.below(3)))
                } else {
                    let text = self.text();
                    host.mk_name_str(name, host.mk_string(&text))
                };
            }
            name
        }
    }

    unsafe fn number(&mut self) -> Obj {
        let host = lean().host;
        let count = match self.random.below(40) {
            0 => 8188 + self.random.below(9),
            1 => 20_000,
            n => 1 + n / 8,
        };
        let mut limbs: Vec<u64> = (0..count).map(|_| self.random.next()).collect();
        if self.random.one_in(3) {
            limbs = vec![5, 1];
        }
        let negative = self.random.one_in(2);
        // SAFETY: the runtime is initialised.
        let number = unsafe {
            if self.random.one_in(2) {
                host.mk_nat_from_limbs(&limbs)
            } else {
                host.mk_int_from_limbs(negative, &limbs)
            }
        };
        number.expect("Lean makes bignums")
    }

    unsafe fn thunk(&mut self) -> Obj {
        let host = lean().host;
        let value = self.child();
        // SAFETY: a thunk without value has its closure, of one missing argument, in the second word.
        unsafe {
            if self.random.one_in(2) {
                return host.mk_thunk(value);
            }
            let thunk = host.mk_thunk(Obj::UNIT);
            thunk.set_word(8, 0);
            let closure = host.mk_closure(first_of_two as *const c_void, 2, &[value]);
            thunk.set_word(16, closure.0);
            thunk
        }
    }

    unsafe fn task(&mut self) -> Obj {
        let Lean { host, spawn, .. } = lean();
        let value = self.child();
        // SAFETY: the closure takes the unit and gives an object.
        unsafe {
            // A worker may hold its task longer than a region lives that the value points into.
            let code = match self.random.below(3) {
                _ if !self.foreign.is_empty() => return host.mk_task(value),
                0 => return host.mk_task(value),
                1 => first_of_two as *const c_void,
                _ => first_after_a_while as *const c_void,
            };
            let task = spawn(host.mk_closure(code, 2, &[value]), 0, false);
            host.inc(task);
            self.running.push(task);
            task
        }
    }

    /// Has the runtime count `object` and all below it no more. A worker that takes or gives back a reference
    /// just then goes on with the count as it was, and what is still used is freed: no task may be running.
    ///
    /// # Safety
    /// `object` is live, counted, and used by nobody but this pool.
    unsafe fn mark_persistent(&mut self, object: Obj) {
        // SAFETY: live tasks, which the pool owns.
        unsafe {
            for task in self.running.drain(..) {
                let _ = lean().host.task_get(task);
                lean().host.dec(task);
            }
            (lean().mark_persistent)(object);
        }
    }

    unsafe fn promise(&mut self) -> Obj {
        let Lean {
            host,
            promise_new,
            promise_resolve,
            ..
        } = lean();
        let value = self.child();
        // SAFETY: the value is consumed, the promise borrowed.
        unsafe {
            let promise = promise_new();
            host.dec(promise_resolve(value, promise));
            promise
        }
    }

    unsafe fn boxed(&mut self) -> Obj {
        let word = self.random.next() >> self.random.below(64);
        // SAFETY: the runtime is initialised.
        unsafe { lean().host.box_usize(word as usize) }
    }

    /// A new object that is equal to one of the pool.
    unsafe fn copy(&mut self) -> Obj {
        let original = self.pick();
        // SAFETY: the pool's objects live; the copy owns references of its own.
        unsafe { copy(original, 2) }
    }

    /// An object that is not counted, as compilers emit them, or a closure.
    unsafe fn unowned(&mut self) -> Obj {
        let host = lean().host;
        // SAFETY: leaked memory laid out as a constructor or string; the children are never released.
        unsafe {
            match self.random.below(3) {
                0 if self.kinds.closures => {
                    let fixed = self.children(5);
                    let code = match self.random.below(3) {
                        0 => first_of_two as *const c_void,
                        1 => lean().array_push as *const c_void,
                        _ => lean().string_push as *const c_void,
                    };
                    host.mk_closure(code, fixed.len() as u16 + 1, &fixed)
                }
                0 | 1 => {
                    let text = TEXTS[self.random.below(TEXTS.len())];
                    let object = static_words(4 + text.len() / 8 + 1, 0, 0, 249);
                    object.set_word(8, text.len() + 1);
                    object.set_word(16, text.len() + 1);
                    object.set_word(24, text.chars().count());
                    object
                        .ptr()
                        .add(32)
                        .copy_from_nonoverlapping(text.as_ptr(), text.len());
                    object
                }
                _ => {
                    // The size that compilers write may end within a word.
                    let scalars = self.random.below(12);
                    let tag = self.random.below(3) as u8;
                    let child = self.child();
                    if !child.is_scalar() && child.rc() != 0 {
                        self.mark_persistent(child);
                    }
                    let size = 16 + scalars;
                    let object = static_words(size.div_ceil(8), size as u16, 1, tag);
                    object.set_word(8, child.0);
                    for (i, byte) in self.random.bytes(scalars).into_iter().enumerate() {
                        object.ptr().add(16 + i).write(byte);
                    }
                    object
                }
            }
        }
    }

    /// An object of the pool together with all below it, counted by several threads or not at all.
    unsafe fn marked(&mut self) -> Obj {
        let object = self.child();
        if object.is_scalar() {
            return object;
        }
        // SAFETY: a live object.
        unsafe {
            if object.rc() != 0 {
                if self.random.one_in(3) {
                    self.mark_persistent(object);
                } else {
                    lean().host.mark_mt(object);
                }
            }
        }
        object
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for object in self.owned.iter().chain(&self.running) {
            // SAFETY: owned by the pool.
            unsafe { lean().host.dec(*object) };
        }
    }
}

/// Zeroed memory that is never released, with the header of an object that is not counted.
fn static_words(words: usize, cs_sz: u16, other: u8, tag: u8) -> Obj {
    let memory: &'static mut [u64] = Vec::leak(vec![0; words]);
    memory[0] = u64::from(cs_sz) << 32 | u64::from(other) << 48 | u64::from(tag) << 56;
    Obj(memory.as_ptr() as usize)
}

/// A new object equal to `o`, copied down to `depth`; below that the objects are shared.
///
/// # Safety
/// `o` is a scalar or a live object.
unsafe fn copy(o: Obj, depth: usize) -> Obj {
    let host = lean().host;
    // SAFETY: a live object and its layout.
    unsafe {
        if o.is_scalar() {
            return o;
        }
        let kind = o.kind();
        let below = |o: Obj| copy(o, depth - 1);
        match kind.tag {
            _ if depth == 0 => {}
            0..=243 => {
                let fields: Vec<Obj> = (0..kind.other.into()).map(|i| below(o.field(i))).collect();
                return host.mk_ctor(kind.tag, &fields, scalars(o));
            }
            246 => {
                let elements: Vec<Obj> = (0..o.size()).map(|i| below(o.element(i))).collect();
                return host.mk_array(&elements);
            }
            248 => return host.mk_sarray(kind.other & 0x7f, content(o)),
            249 => return host.mk_string(std::str::from_utf8(&content(o)[..o.size() - 1]).expect("UTF-8")),
            251 if o.word(8) != 0 => return host.mk_thunk(below(Obj(o.word(8)))),
            253 => return host.mk_ref(below(Obj(o.word(8)))),
            _ => {}
        }
        host.inc(o);
        o
    }
}

/// The scalars behind the fields of a constructor.
///
/// # Safety
/// `o` is a live constructor.
unsafe fn scalars<'a>(o: Obj) -> &'a [u8] {
    // SAFETY: releases record the size of constructors.
    unsafe {
        let kind = o.kind();
        let at = 8 + 8 * usize::from(kind.other);
        std::slice::from_raw_parts(o.ptr().add(at), usize::from(kind.cs_sz) - at)
    }
}

/// The bytes of a string, scalar array or bignum.
///
/// # Safety
/// `o` is one.
unsafe fn content<'a>(o: Obj) -> &'a [u8] {
    // SAFETY: by the layout of the kind.
    unsafe {
        let kind = o.kind();
        let (at, bytes) = match kind.tag {
            249 => (o.ptr().add(32), o.size()),
            248 => (o.ptr().add(24), o.size() * usize::from(kind.other & 0x7f)),
            _ => {
                let limbs = (o.word(8) >> 32) as i32;
                (o.word(16) as *mut u8, 8 * limbs.unsigned_abs() as usize)
            }
        };
        std::slice::from_raw_parts(at, bytes)
    }
}

/// The objects that `o` leads to.
///
/// # Safety
/// `o` is a live object; thunks and tasks have their value.
pub unsafe fn children(o: Obj) -> Vec<Obj> {
    // SAFETY: by the layout of the kind.
    unsafe {
        match o.kind().tag {
            0..=243 => (0..o.kind().other.into()).map(|i| o.field(i)).collect(),
            246 => (0..o.size()).map(|i| o.element(i)).collect(),
            245 => (0..o.word(16) >> 16 & 0xffff)
                .map(|i| Obj(o.word(24 + 8 * i)))
                .collect(),
            244 | 251..=253 => vec![Obj(o.word(8))],
            _ => vec![],
        }
    }
}

/// All objects below `root`.
pub fn reachable(root: Obj) -> Vec<Obj> {
    let mut seen = HashSet::new();
    let mut stack = vec![root];
    while let Some(o) = stack.pop() {
        if !o.is_scalar() && seen.insert(o) {
            // SAFETY: the tests give live graphs whose thunks and tasks have values.
            stack.extend(unsafe { children(o) });
        }
    }
    let mut all: Vec<Obj> = seen.into_iter().collect();
    all.sort_by_key(|o| o.0);
    all
}

/// Fails unless the graph below `b` is the one below `a`, in which equal objects may have been distinct. `b`
/// lies in regions.
pub fn assert_same(a: Obj, b: Obj, context: &str) {
    compare(a, b, true, context);
}

/// As [`assert_same`], but one object may have become several: in a file that was saved without a region which
/// other dependencies of it point into, that region's objects are there a second time.
pub fn assert_same_value(a: Obj, b: Obj, context: &str) {
    compare(a, b, false, context);
}

fn compare(a: Obj, b: Obj, one_to_one: bool, context: &str) {
    let mut images: HashMap<Obj, Obj> = HashMap::new();
    let mut seen: HashSet<(Obj, Obj)> = HashSet::new();
    let mut stack = vec![(a, b)];
    while let Some((a, b)) = stack.pop() {
        if a.is_scalar() || b.is_scalar() {
            assert_eq!(a, b, "{context}: scalars");
            continue;
        }
        if !seen.insert((a, b)) {
            continue;
        }
        if let Some(other) = images.insert(a, b) {
            assert!(
                !one_to_one,
                "{context}: the object {a:x?} has become {b:x?} and {other:x?}"
            );
        }
        // SAFETY: both graphs live, and thunks and tasks have their values after a save.
        unsafe {
            let (ka, kb) = (a.kind(), b.kind());
            assert_eq!(ka.tag, kb.tag, "{context}: tags");
            assert_eq!(b.rc(), 0, "{context}: objects of regions are not counted");
            match ka.tag {
                0..=243 => {
                    assert_eq!(
                        (ka.other, ka.cs_sz),
                        (kb.other, kb.cs_sz),
                        "{context}: constructors"
                    );
                    assert_eq!(scalars(a), scalars(b), "{context}: scalars of a constructor");
                }
                248 => {
                    assert_eq!(ka.other & 0x7f, kb.other, "{context}: element sizes");
                    assert_eq!(content(a), content(b), "{context}: scalar arrays");
                }
                249 => {
                    assert_eq!(a.word(24), b.word(24), "{context}: characters of strings");
                    assert_eq!(content(a), content(b), "{context}: strings");
                }
                250 => {
                    assert_eq!(
                        a.word(8) >> 32,
                        b.word(8) >> 32,
                        "{context}: signs and sizes of numbers"
                    );
                    assert_eq!(content(a), content(b), "{context}: numbers");
                }
                245 => assert_eq!(
                    (a.word(8), a.word(16) as u32),
                    (b.word(8), b.word(16) as u32),
                    "{context}: code and arity of closures"
                ),
                _ => {}
            }
            let (ca, cb) = (children(a), children(b));
            assert_eq!(ca.len(), cb.len(), "{context}: numbers of children");
            stack.extend(ca.into_iter().zip(cb));
        }
    }
}
