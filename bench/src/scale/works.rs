//! What is run: commands of a real Lean over a tree of modules, by which sides, and after what.

use super::side::{ALONE, ASKED, FILES, FLOOR, IMAGE, INSIDE, OURS, STALE, STOCK, TOGETHER, TRUST};

/// How a work is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// As it comes.
    Warm,
    /// With nothing in the page cache.
    Cold,
    /// Each system call about a file takes a millisecond.
    Delayed,
    /// System calls are counted.
    Counted,
    /// Its memory is looked at when it ends.
    Inspected,
}

/// What Lean is asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// An empty module: start-up.
    Nothing,
    /// One module is imported.
    One,
    /// Everything is imported.
    Import,
    /// The same, and a snapshot of it is saved.
    Save,
    /// The same, over the snapshot of the run before.
    SaveAgain,
    /// That snapshot is loaded.
    Load,
    /// The same by `olean load`, without Lean.
    Set,
}

impl What {
    /// Whether Lean does it on one thread, while its others wait.
    #[must_use]
    pub fn is_serial(self) -> bool {
        matches!(self, What::Nothing | What::One | What::Import)
    }
}

/// What is done once before a work, and not measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Before {
    /// Nothing.
    Nothing,
    /// The images are built, so that their pages are as writing left them.
    Build,
    /// The page cache is dropped and every side runs once, so that the pages are as page faults left them.
    Fault,
    /// The page cache is dropped and all files are read from beginning to end.
    Read,
    /// Every file gets the modification time that it has: its change time is a new one.
    Restore,
}

/// Some rows of the table with the same name.
#[derive(Clone, Debug)]
pub struct Work {
    /// What is done.
    pub name: String,
    /// Which figures are shown.
    pub figures: &'static [&'static str],
    /// By whom; the first side is what the others are divided by.
    pub sides: &'static [&'static str],
    /// Runs of each side at most.
    pub most: Option<usize>,
    /// Runs for each one that is asked for: what takes little and differs by little is run more often.
    pub times: usize,
    /// Asked of Lean.
    pub what: What,
    /// In which way.
    pub how: How,
    /// After what.
    pub before: Before,
}

const WARM: &[&str] = &["processor time", "wall time", "peak memory", "page faults"];
const WALL: &[&str] = &["wall time"];
const CALLS: &[&str] = &["system calls"];
const MEMORY: &[&str] = &["page tables", "mappings", "anonymous memory"];

/// Works beside those that are always run.
pub const EXTRAS: [&str; 6] = ["cold", "states", "delay", "calls", "set", "restored"];

/// An empty module.
pub(super) const START: &str = "start-up";
/// The import of everything.
pub(super) const IMPORT: &str = "import";
/// The header snapshot of that, loaded.
pub(super) const LOAD: &str = "header snapshot, load";
/// The same, saved.
pub(super) const SAVE: &str = "header snapshot, save";
/// The same, where one over the same files is replaced.
pub(super) const SAVE_AGAIN: &str = "header snapshot replaced by another one";
/// One module imported.
pub(super) const ONE: &str = "import of one module";
/// The set of files of the snapshot, loaded with nothing in the page cache.
pub(super) const COLD_SET: &str = "snapshot set, cold";
const LOADERS: &[&str] = &[STOCK, OURS, IMAGE, INSIDE];

/// The works, `extra` among them.
#[must_use]
pub fn list(extra: &[String]) -> Vec<Work> {
    let asked = |name: &str| extra.iter().any(|e| e == name);
    let warm = |name: &str, what, sides| Work {
        name: name.to_owned(),
        figures: WARM,
        sides,
        most: None,
        times: 1,
        what,
        how: How::Warm,
        before: Before::Nothing,
    };
    let import = warm(IMPORT, What::Import, &[STOCK, OURS, IMAGE, TRUST]);
    let load = warm(LOAD, What::Load, LOADERS);
    let mut list = vec![
        Work {
            times: 8,
            ..warm(START, What::Nothing, &[STOCK, OURS, IMAGE])
        },
        import.clone(),
        warm(SAVE, What::Save, &[STOCK, OURS, IMAGE]),
        warm(SAVE_AGAIN, What::SaveAgain, &[STOCK, OURS]),
        load.clone(),
        warm(ONE, What::One, &[OURS, IMAGE]),
        warm("import, every entry stale", What::Import, &[OURS, STALE]),
    ];
    if asked("set") {
        for (name, how, most) in [
            ("snapshot set", How::Warm, None),
            (COLD_SET, How::Cold, Some(5)),
            ("snapshot set, 1 ms each call", How::Delayed, Some(1)),
        ] {
            let sides: &[&str] = match how {
                How::Cold => &[ALONE, TOGETHER, FLOOR, FILES, ASKED],
                _ => &[ALONE, TOGETHER],
            };
            list.push(Work {
                figures: WALL,
                most,
                how,
                ..warm(name, What::Set, sides)
            });
        }
    }
    let mut both = |change: &dyn Fn(&mut Work)| {
        for work in [&import, &load] {
            let mut work = work.clone();
            change(&mut work);
            list.push(work);
        }
    };
    both(&|work| {
        work.name += ", memory at its end";
        (work.how, work.figures, work.most) = (How::Inspected, MEMORY, Some(3));
    });
    for (asked, suffix, how, figures, runs) in [
        (asked("cold"), "cold", How::Cold, WALL, 5),
        (asked("delay"), "1 ms each call", How::Delayed, WALL, 1),
        (asked("calls"), "calls", How::Counted, CALLS, 1),
    ] {
        if asked {
            both(&|work| {
                work.name += ", ";
                work.name += suffix;
                (work.how, work.figures, work.most) = (how, figures, Some(runs));
            });
        }
    }
    if asked("states") {
        for (suffix, before) in [
            ("pages as built", Before::Build),
            ("pages as faulted in", Before::Fault),
            ("pages as read", Before::Read),
        ] {
            both(&|work| {
                work.name += ", ";
                work.name += suffix;
                work.before = before;
            });
        }
    }
    if asked("restored") {
        both(&|work| {
            work.name += ", restored times";
            // Files of the image differ as well then, so there is nothing more to see inside it.
            work.sides = &[STOCK, OURS, IMAGE];
            work.before = Before::Restore;
        });
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_in_the_list_and_files_are_restored_last() {
        let names = |extra: &[&str]| -> Vec<String> {
            let extra: Vec<String> = extra.iter().map(|&e| e.to_owned()).collect();
            list(&extra).into_iter().map(|w| w.name).collect()
        };
        assert_eq!(names(&[]).len(), 9);
        assert_eq!(names(&["cold"]).len(), 11);
        assert_eq!(names(&["states"]).len(), 15);
        assert_eq!(names(&["set"]).len(), 12);
        let all = names(&["restored", "states", "cold", "delay", "calls", "set"]);
        assert!(all.last().unwrap().ends_with("restored times"), "{all:?}");
    }
}
