//! Objects of synthetic shape, the same in every run.

use crate::runtime::Runtime;
use lean_region::object::Obj;
use testkit::olean::split_mix;

/// Numbers from a seed.
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        split_mix(&mut self.0)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.bits() % limit as u64) as usize
    }
}

/// A linked list of `n` cells.
#[must_use]
pub fn list(runtime: &Runtime, n: usize) -> Obj {
    (0..n).fold(Obj::UNIT, |tail, i| {
        // SAFETY: the runtime is initialised; `tail` is owned.
        unsafe { runtime.host.mk_ctor(1, &[Obj::boxed(i), tail], &[]) }
    })
}

/// An array of `n` different objects.
#[must_use]
pub fn wide_array(runtime: &Runtime, n: usize) -> Obj {
    // SAFETY: the runtime is initialised; elements are owned.
    unsafe {
        let elements: Vec<Obj> = (0..n)
            .map(|i| runtime.host.mk_ctor(0, &[Obj::boxed(i), Obj::boxed(i / 2)], &[]))
            .collect();
        runtime.host.mk_array(&elements)
    }
}

/// An array of `n` strings of 4 to 60 bytes, some of them equal.
#[must_use]
pub fn strings(runtime: &Runtime, n: usize) -> Obj {
    let mut random = Random(5);
    let elements: Vec<Obj> = (0..n)
        .map(|_| {
            let len = 4 + random.below(57);
            let word = random.below(n);
            runtime.string(&format!("{word:0len$}"))
        })
        .collect();
    // SAFETY: the runtime is initialised; elements are owned.
    unsafe { runtime.host.mk_array(&elements) }
}

/// A full binary tree of that depth in which nothing is shared and half of all subtrees are equal.
#[must_use]
pub fn tree(runtime: &Runtime, depth: usize) -> Obj {
    fn below(runtime: &Runtime, depth: usize, leaf: &mut usize) -> Obj {
        if depth == 0 {
            *leaf += 1;
            return Obj::boxed(*leaf % 64);
        }
        let left = below(runtime, depth - 1, leaf);
        let right = below(runtime, depth - 1, leaf);
        // SAFETY: the runtime is initialised; both are owned.
        unsafe { runtime.host.mk_ctor(1, &[left, right], &[]) }
    }
    below(runtime, depth, &mut 0)
}

/// One array of `n` scalars.
#[must_use]
pub fn giant_array(runtime: &Runtime, n: usize) -> Obj {
    let elements: Vec<Obj> = (0..n).map(Obj::boxed).collect();
    // SAFETY: the runtime is initialised.
    unsafe { runtime.host.mk_array(&elements) }
}

/// About `n` objects in the proportions of elaborated modules: names, strings, expressions that share a third
/// of their parts, lists and arrays. Answers the array around them and the number of objects.
#[must_use]
pub fn mixed(runtime: &Runtime, n: usize, seed: u64) -> (Obj, usize) {
    let host = runtime.host;
    let mut random = Random(seed);
    let mut made = 1;
    // Owned once each; two thirds of the uses take that count over, the others add one.
    let mut pool: Vec<Obj> = Vec::new();
    let take = |random: &mut Random, pool: &mut Vec<Obj>| {
        if pool.is_empty() || random.below(8) == 0 {
            return Obj::boxed(random.below(1000));
        }
        // Mostly what was made recently, as terms are.
        let at = pool.len() - 1 - random.below(64.min(pool.len()));
        if random.below(3) > 0 {
            return pool.swap_remove(at);
        }
        // SAFETY: a live object of the runtime.
        unsafe { host.inc(pool[at]) };
        pool[at]
    };
    while made < n {
        // SAFETY: the runtime is initialised; fields are owned; names get a hash, expressions their data word.
        let object = unsafe {
            match random.below(16) {
                0 | 1 => {
                    made += 1;
                    let text = runtime.string(&format!("name{}", random.below(n)));
                    let hash = random.bits().to_le_bytes();
                    host.mk_ctor(1, &[take(&mut random, &mut pool), text], &hash)
                }
                2 => runtime.string(&"text ".repeat(random.below(12))),
                3 => host.mk_ctor(
                    1,
                    &[take(&mut random, &mut pool), take(&mut random, &mut pool)],
                    &[],
                ),
                4 => {
                    let len = random.below(12);
                    let elements: Vec<Obj> = (0..len).map(|_| take(&mut random, &mut pool)).collect();
                    host.mk_array(&elements)
                }
                5 | 6 => {
                    let fields: Vec<Obj> = (0..3).map(|_| take(&mut random, &mut pool)).collect();
                    let mut scalars = random.bits().to_le_bytes().to_vec();
                    scalars.push(1);
                    host.mk_ctor(6, &fields, &scalars)
                }
                _ => {
                    let data = random.bits().to_le_bytes();
                    host.mk_ctor(
                        5,
                        &[take(&mut random, &mut pool), take(&mut random, &mut pool)],
                        &data,
                    )
                }
            }
        };
        made += 1;
        pool.push(object);
    }
    // SAFETY: the runtime is initialised; the pool's counts become the array's.
    (unsafe { host.mk_array(&pool) }, made)
}
