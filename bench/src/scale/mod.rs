//! Whole processes at scale: a real Lean imports some thousand modules, saves a snapshot of that and loads it, with
//! its own loader and with ours, without and with an image, in turn. What counts is the processor time of the whole
//! process, for that is what is left of a loader's gains when everything about it has its say: page faults later on,
//! memory, start-up.
//!
//! * [`process`]: one run, and what it took;
//! * [`images`]: the images, and states of the page cache;
//! * [`side`]: who loads; [`works`]: what is run; [`tree`]: how;
//! * [`reads`]: reads without anything around them; [`bare`]: what the disk takes alone;
//! * [`targets`]: what has to be reached; [`table`]: what was;
//! * this file: rounds.

pub mod bare;
pub mod images;
pub mod process;
pub mod reads;
pub mod side;
pub mod table;
pub mod targets;
pub mod tree;
pub mod works;

use crate::measure::Spread;
use side::Side;
use std::path::{Path, PathBuf};
use table::{Runs, Table};
use tree::Works;
use works::{How, Work};

/// How much is run.
pub struct Options {
    /// Runs of each side; the first ones come on top and are not counted.
    pub runs: usize,
    /// Only works whose name contains this.
    pub filter: String,
    /// Works beside those that are always run, of [`works::EXTRAS`].
    pub extra: Vec<String>,
    /// Where the numbers go as JSON.
    pub json: Option<PathBuf>,
}

/// Runs everything over the tree in `dir`, which is made if it is not there, and prints the table.
pub fn run(dir: &Path, options: &Options) {
    let works = Works::new(dir);
    let sides = side::all(&works.images);
    let mut table = Table::new(reads::regions(&works.tree));
    let asked = |name: &str| name.contains(&options.filter);
    if asked("building an image") {
        build(&works, &mut table, options.runs.min(3));
    }
    if asked("read, inside the loader") {
        for side in sides
            .iter()
            .filter(|s| [side::OURS, side::IMAGE, side::TRUST].contains(&s.name))
        {
            let [stock, own] = reads::measure(&works.tree, side, options.runs);
            table.add_reads(side.name, &stock, &own);
        }
    }
    for work in works::list(&options.extra).iter().filter(|w| asked(&w.name)) {
        let by: Vec<&Side> = work
            .sides
            .iter()
            .map(|name| {
                sides
                    .iter()
                    .find(|s| s.name == *name)
                    .expect("a side of that name")
            })
            .collect();
        works.prepare(work, &by);
        let runs = measure(&works, work, &by, options.runs);
        table.add(work, &runs);
    }
    let numbers = table.finish();
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&numbers).expect("numbers and texts");
        std::fs::write(path, text + "\n").unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
}

/// One unmeasured run of each side where that makes a difference, then rounds in turning order, so that what else the
/// machine does hits all alike.
fn measure(works: &Works, work: &Work, sides: &[&Side], runs: usize) -> Runs {
    let runs = work.times * work.most.map_or(runs, |most| most.min(runs));
    // Nothing gets warm in a cold run; waiting for each call takes minutes, and is the same the first time.
    let warm_up = usize::from(matches!(work.how, How::Warm | How::Inspected));
    let mut out = vec![Vec::with_capacity(runs); sides.len()];
    for round in 0..runs + warm_up {
        for i in 0..sides.len() {
            let side = if round % 2 == 0 { i } else { sides.len() - 1 - i };
            let usage = works.run(work, sides[side]);
            if round >= warm_up {
                out[side].push(usage);
            }
        }
    }
    out
}

/// The image of the tree built, and its bytes written by nothing but system calls, in turn.
fn build(works: &Works, table: &mut Table, runs: usize) {
    let (mut wall, mut processor, mut floor) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let usage = works.images.build_tree();
        wall.push(usage.wall.as_secs_f64());
        processor.push(usage.processor.as_secs_f64());
        floor.push(works.images.write_bare().as_secs_f64());
    }
    let median = |values: &[f64]| Spread::of(values).median;
    table.add_build(median(&wall), median(&processor), median(&floor), targets::BUILD);
}
