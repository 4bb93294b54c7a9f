//! Chains of parts, and regions that point into other regions.

use crate::graph::{Pool, Random, assert_same, assert_same_value, reachable};
use crate::lean::{Loader, Region, lean};
use crate::{Files, Kinds, Pair, Taken, release, save_both, seeds};
use lean_region::object::Obj;

/// The parts of a chain, saved by both loaders.
struct Chain {
    parts: Vec<Pair>,
    roots: Vec<Obj>,
    /// Saved with all regions that its dependencies depend on.
    whole: bool,
}

/// Saves parts that share objects with one another, by pointer and by content.
fn save_chain(files: &mut Files, pool: &mut Pool, deps: &[&Region], context: &str) -> Chain {
    let mut chain = Chain {
        parts: Vec::new(),
        roots: Vec::new(),
        whole: true,
    };
    let mut prev = [None; 2];
    // Only the first part's dependencies count: without them the later ones' are of no use.
    let late = pool.random.one_in(6);
    chain.whole = !late;
    for part in 0..1 + pool.random.below(5) {
        let more = pool.random.below(30);
        pool.grow(more);
        let root = match pool.random.below(8) {
            0 if part > 0 => chain.roots[pool.random.below(part)],
            1 if !pool.foreign.is_empty() => pool.foreign[pool.random.below(pool.foreign.len())],
            2..5 => pool.all(),
            _ => pool.pick(),
        };
        let closures = pool.kinds.closures || pool.random.one_in(5);
        let (pair, ours_first) = (files.pair(), pool.random.one_in(2));
        let given = (part == 0) != late;
        let deps = if given { deps } else { &[] };
        let context = format!("{context}, part {part}");
        prev = save_both(&pair, root, deps, prev, closures, ours_first, &context).map(Some);
        chain.parts.push(pair);
        chain.roots.push(root);
    }
    release(prev.into_iter().flatten());
    chain
}

impl Chain {
    /// Reads all parts with `reader`, each with `deps` and the parts before it. The parts in `missed` find their
    /// addresses taken, as do those that lie there already, being among `others`.
    fn read(
        &self,
        reader: &Loader,
        writer: &Loader,
        deps: &[&Region],
        others: &[Region],
        missed: u64,
        context: &str,
    ) -> Vec<Region> {
        let mut regions: Vec<Region> = Vec::new();
        for (i, part) in self.parts.iter().enumerate() {
            let file = part.of(writer);
            let context = format!("{context}: {} reads {}", reader.name, file.display());
            let there = others
                .iter()
                .any(|r| r.mapped() && r.base() as usize == part.base());
            let miss = there || missed >> i & 1 == 1;
            let blocker = (miss && !there).then(|| Taken::at(part.base()));
            let all: Vec<&Region> = deps.iter().copied().chain(&regions).collect();
            let region = reader
                .read(file, &all)
                .unwrap_or_else(|e| panic!("{context}: {e}"));
            drop(blocker);
            // What lies there may be this very file, and then be handed out again.
            assert!(region.mapped() != miss || there, "{context}");
            let same = if self.whole {
                assert_same
            } else {
                assert_same_value
            };
            same(self.roots[i], region.root, &context);
            regions.push(region);
        }
        regions
    }
}

fn free_all(regions: Vec<Region>) {
    // The later ones point into the earlier ones.
    regions.into_iter().rev().for_each(Region::free);
}

#[test]
fn chained_parts_have_equal_files_that_both_read() {
    seeds(700, |seed| {
        let context = format!("seed {seed}");
        let mut files = Files::new("differential-chains");
        let mut pool = Pool::new(
            seed ^ 0x5eed << 32,
            Kinds {
                closures: seed % 3 == 2,
            },
        );
        let chain = save_chain(&mut files, &mut pool, &[], &context);
        for reader in Pair::both() {
            for writer in Pair::both() {
                for missed in [0, 1, 2, seed] {
                    let context = format!("{context}, missed {missed:b}");
                    free_all(chain.read(&reader, &writer, &[], &[], missed, &context));
                }
            }
        }
    });
}

#[test]
fn regions_that_depend_on_regions_have_equal_files_that_both_read() {
    seeds(500, |seed| {
        let context = format!("seed {seed}");
        let mut random = Random(seed);
        let mut files = Files::new("differential-deps");
        let mut pool = Pool::new(seed ^ 0xdeb << 32, Kinds::default());
        let lower = save_chain(&mut files, &mut pool, &[], &context);
        let loader = Pair::both()[random.below(2)];
        let missed = if seed % 2 == 0 { 0 } else { random.next() };
        let regions = lower.read(&loader, &lean().theirs, &[], &[], missed, &context);

        let mut upper_pool = Pool::new(
            seed ^ 0x1d << 40,
            Kinds {
                closures: seed % 5 == 0,
            },
        );
        for region in &regions {
            let objects = reachable(region.root);
            if !objects.is_empty() {
                upper_pool.foreign.push(region.root);
                upper_pool
                    .foreign
                    .extend((0..10).map(|_| objects[random.below(objects.len())]));
            }
        }
        let mut deps: Vec<&Region> = regions.iter().collect();
        // In any order, and one of them left out: what it holds is copied.
        if random.one_in(2) {
            deps.reverse();
        }
        if deps.len() > 2 && random.one_in(3) {
            deps.remove(random.below(deps.len()));
        }
        let context = format!(
            "{context}, dependencies read by {}, missed {missed:b}",
            loader.name
        );
        let mut upper = save_chain(&mut files, &mut upper_pool, &deps, &context);
        upper.whole &= deps.len() == regions.len();
        for reader in Pair::both() {
            for writer in Pair::both() {
                for missed in [0, 1, seed] {
                    free_all(upper.read(&reader, &writer, &deps, &[], missed, &context));
                }
                // The dependencies once more, elsewhere, because their addresses are taken by themselves.
                let elsewhere = lower.read(&reader, &writer, &[], &regions, 0, &context);
                let again = |d: &&Region| elsewhere.iter().find(|e| e.base() == d.base());
                let same: Vec<&Region> = deps.iter().map(|d| again(d).expect("read again")).collect();
                free_all(upper.read(&reader, &writer, &same, &[], 0, &context));
                free_all(elsewhere);
            }
        }
        // Its objects point into the regions.
        drop(upper_pool);
        free_all(regions);
    });
}
